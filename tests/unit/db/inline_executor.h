/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a posted task at once on the posting thread: enough for tasks that only signal. */
#ifndef VG_TESTS_UNIT_DB_INLINE_EXECUTOR_H
#define VG_TESTS_UNIT_DB_INLINE_EXECUTOR_H

#include "common/task.h"

static void inline_post(struct vg_executor *self, struct vg_task *task)
{
    (void)self;
    task->run(task);
}
static struct vg_executor inline_executor __attribute__((unused)) = {inline_post};

#endif
