/* SPDX-License-Identifier: Apache-2.0 */
/* Replicate (reference/providers.md 5.8): many models as predictions, each with an input of its
 * own. */
#ifndef VG_WORKERS_PROVIDERS_REPLICATE_H
#define VG_WORKERS_PROVIDERS_REPLICATE_H

#include "workers/provider.h"

/* "replicate": Authorization: Bearer, base https://api.replicate.com/v1. A model's id is
 * OWNER/NAME, or OWNER/NAME:VERSION for one that Replicate does not keep warm itself. */
const struct vg_provider *vg_replicate_provider(void);

#endif
