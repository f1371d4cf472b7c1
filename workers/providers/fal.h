/* SPDX-License-Identifier: Apache-2.0 */
/* fal.ai's queue (reference/providers.md 5.7): many models behind one queue, each with an input of
 * its own. */
#ifndef VG_WORKERS_PROVIDERS_FAL_H
#define VG_WORKERS_PROVIDERS_FAL_H

#include "workers/provider.h"

/* "fal": Authorization: Key, base https://queue.fal.run. A model's id is what its endpoints begin
 * with, e.g. "fal-ai/veo3.1/fast". */
const struct vg_provider *vg_fal_provider(void);

#endif
