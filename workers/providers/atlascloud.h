/* SPDX-License-Identifier: Apache-2.0 */
/* "atlascloud": Kling through AtlasCloud (llm-gateway.md 4.4; reference/providers.md 5.9). Base
 * https://api.atlascloud.ai. */
#ifndef VG_WORKERS_PROVIDERS_ATLASCLOUD_H
#define VG_WORKERS_PROVIDERS_ATLASCLOUD_H

#include "workers/provider.h"

const struct vg_provider *vg_atlascloud_provider(void);

#endif
