/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks and executors: how work changes threads. A task is embedded in the object it concerns;
 * posting hands the object to the executor's thread(s), where `run` is called once. */
#ifndef VG_COMMON_TASK_H
#define VG_COMMON_TASK_H

struct vg_task {
    void (*run)(struct vg_task *task);
    struct vg_task *next; /* the queue's; do not touch while posted */
};

/* Implemented by vg_loop (one thread, in order) and vg_work_pool (several threads). Posting is
 * thread-safe, never blocks and never runs the task inside the call. */
struct vg_executor {
    void (*post)(struct vg_executor *self, struct vg_task *task);
};

static inline void vg_post(struct vg_executor *executor, struct vg_task *task)
{
    executor->post(executor, task);
}

#endif
