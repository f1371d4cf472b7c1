/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for work that blocks (disk, rendering). Tasks start in order of posting. */
#ifndef VG_COMMON_WORK_POOL_H
#define VG_COMMON_WORK_POOL_H

#include "common/err.h"
#include "common/task.h"

struct vg_work_pool;

VG_MUSTCHECK int vg_work_pool_start(struct vg_work_pool **out, const char *name, int threads,
                                    struct vg_err *err);
/* Any thread. */
struct vg_executor *vg_work_pool_executor(struct vg_work_pool *pool);
/* Runs everything queued, then joins and frees. */
struct vg_work_pool *vg_work_pool_stop(struct vg_work_pool *pool);

#endif
