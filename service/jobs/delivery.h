/* SPDX-License-Identifier: Apache-2.0 */
/* A callback delivery under way, from its claim to the record of what came of it: its body is built
 * once and stored, then sent. The schedule and the log are ours, one attempt is the webhook
 * sender's. Loop thread. Private to deliveries.c, which claims them. */
#ifndef VG_SERVICE_JOBS_DELIVERY_H
#define VG_SERVICE_JOBS_DELIVERY_H

#include "service/jobs/jobs_priv.h"

enum { VG_DELIVERY_RECORD_RETRY_MS = 300 }; /* of a result that could not be recorded */

struct vg_delivering_list {
    struct vg_jobs *jobs;           /* borrowed */
    struct vg_rpc_channel *channel; /* borrowed; to the webhook sender */
    struct vg_delivering *first;    /* delivery.c's, as what follows */
    int32_t count;
    int32_t unrecorded; /* of these, with a result that could not be recorded yet */
};

/* Copies what it needs of the row. `asked_ns`: before the claim was, when its lease began at the
 * earliest. */
void vg_delivering_start(struct vg_delivering_list *list, const struct vg_delivery *row,
                         int64_t asked_ns);
/* Cancels the attempts under way; when the jobs are dying, the rest is dropped, too. */
void vg_delivering_cut_short(struct vg_delivering_list *list);

#endif
