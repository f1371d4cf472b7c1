/* SPDX-License-Identifier: Apache-2.0 */
/* avalanche's poll: Veo's record, the steps to 1080p and 4k behind it, and Sora's job. */
#ifndef VG_WORKERS_PROVIDERS_AVALANCHE_FOLLOW_H
#define VG_WORKERS_PROVIDERS_AVALANCHE_FOLLOW_H

#include "workers/upstream/call.h"

/* By its model a job belongs to one API or the other. */
bool vg_avalanche_is_sora(const struct vg_call *call);
void vg_avalanche_poll(struct vg_call *call);

#endif
