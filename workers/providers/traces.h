/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup by a list of the last jobs, for providers that know no token of ours. */
#ifndef VG_WORKERS_PROVIDERS_TRACES_H
#define VG_WORKERS_PROVIDERS_TRACES_H

#include "workers/upstream/call.h"

/* How a provider lists its jobs: newest first, those of the lookup's model alone. */
struct vg_trace_list {
    const char *items;   /* path of the list in the answer */
    const char *id;      /* members of a job in it */
    const char *created; /* Unix time, in units of `unit_ms` */
    int64_t unit_ms;
    const char *seed; /* the seed it was made with; NULL: not told */
    size_t limit;     /* jobs that were asked for: fewer are all there are */
};

/* The token of a Submit as a number that providers tell in their lists: 31 bits of its hash. A seed
 * that the caller chose stands instead, one more for each further output; -1 leaves it to chance.
 */
int64_t vg_trace_seed(struct vg_call *call);

/* Ends the lookup: FOUND with our seed alone; ABSENT when nothing in the list can be ours and it
 * has had time to show it. */
void vg_trace_judge(struct vg_call *call, const struct vg_answer *answer,
                    const struct vg_trace_list *list);

#endif
