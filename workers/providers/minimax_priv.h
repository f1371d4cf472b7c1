/* SPDX-License-Identifier: Apache-2.0 */
/* The two APIs behind one adapter. Private to minimax*.c. */
#ifndef VG_WORKERS_PROVIDERS_MINIMAX_PRIV_H
#define VG_WORKERS_PROVIDERS_MINIMAX_PRIV_H

#include "workers/upstream/call.h"

/* "task_id" of a Submit's answer; ends the call. */
void vg_minimax_created(struct vg_call *call, const struct vg_answer *answer);

void vg_minimax_v1_submit(struct vg_call *call);
void vg_minimax_v1_poll(struct vg_call *call);
void vg_minimax_v1_fetch(struct vg_call *call);

void vg_minimax_v2_submit(struct vg_call *call);
void vg_minimax_v2_poll(struct vg_call *call);
void vg_minimax_v2_cancel(struct vg_call *call);
void vg_minimax_v2_lookup(struct vg_call *call);

#endif
