/* SPDX-License-Identifier: Apache-2.0 */
/* The task API of ByteDance's ModelArk, which MiniMax's v2 follows: a task is polled by its id,
 * DELETE stops one that waits (and erases one that has ended), a list shows those of the last days.
 * Each function ends its call (workers/upstream/call.h). */
#ifndef VG_WORKERS_PROVIDERS_TASKS_H
#define VG_WORKERS_PROVIDERS_TASKS_H

#include "workers/upstream/call.h"

struct vg_task_api {
    const char *query;  /* "/v2/query/video_generation"; the list, and with "/ID" one task */
    const char *erase;  /* DELETE goes to this with "/ID" */
    const char *task;   /* where an answer about one task has it; "": it is the answer */
    const char *id;     /* where such an answer has the task's id */
    const char *result; /* where a task has the address of its video */
    const char *seed;   /* the seed a task was made with; NULL: not told */
};

void vg_task_poll(struct vg_call *call, const struct vg_task_api *api);
void vg_task_cancel(struct vg_call *call, const struct vg_task_api *api);
/* As vg_trace_judge says. */
void vg_task_lookup(struct vg_call *call, const struct vg_task_api *api);

#endif
