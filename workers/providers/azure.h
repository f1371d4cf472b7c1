/* SPDX-License-Identifier: Apache-2.0 */
/* Azure OpenAI (reference/providers.md 3.5): Sora 2 as OpenAI's /v1/videos, Sora 1 as jobs. The
 * base address is https://RESOURCE.openai.azure.com/openai/v1, the catalog's upstream model the
 * deployment's name, for Sora 1 with "jobs/" before it. */
#ifndef VG_WORKERS_PROVIDERS_AZURE_H
#define VG_WORKERS_PROVIDERS_AZURE_H

#include "workers/provider.h"

const struct vg_provider *vg_azure_provider(void);

#endif
