/* SPDX-License-Identifier: Apache-2.0 */
/* "avalanche": Veo and Sora as Kie sells them (reference/providers.md 4.2 to 4.5; llm-gateway.md
 * 4.8). Callers know it by this name alone. Base https://api.kie.ai. */
#ifndef VG_WORKERS_PROVIDERS_AVALANCHE_H
#define VG_WORKERS_PROVIDERS_AVALANCHE_H

#include "workers/provider.h"

const struct vg_provider *vg_avalanche_provider(void);

#endif
