/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's /v1/videos (reference/providers.md section 3): OpenAI's own, Azure's, and any engine or
 * relay that speaks it, by base address. */
#ifndef VG_WORKERS_PROVIDERS_OPENAI_H
#define VG_WORKERS_PROVIDERS_OPENAI_H

#include "workers/provider.h"

/* "openai": Authorization: Bearer, base https://api.openai.com/v1. Engines of one's own need no
 * key. */
const struct vg_provider *vg_openai_provider(void);
/* "azure": api-key, base https://RESOURCE.openai.azure.com/openai/v1. */
const struct vg_provider *vg_azure_provider(void);

#endif
