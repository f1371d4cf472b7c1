/* SPDX-License-Identifier: Apache-2.0 */
/* "xai": Grok Imagine (reference/providers.md 5.6). Base https://api.x.ai/v1. */
#ifndef VG_WORKERS_PROVIDERS_XAI_H
#define VG_WORKERS_PROVIDERS_XAI_H

#include "workers/provider.h"

const struct vg_provider *vg_xai_provider(void);

#endif
