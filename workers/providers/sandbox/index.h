/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's jobs in memory: by id, by token, by age. Holds one reference to each. One thread at
 * a time. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_INDEX_H
#define VG_WORKERS_PROVIDERS_SANDBOX_INDEX_H

#include "workers/providers/sandbox/job.h"

enum vg_sandbox_key { VG_SANDBOX_BY_ID, VG_SANDBOX_BY_TOKEN };

struct vg_sandbox_index {
    struct vg_sandbox_job **slots[2]; /* owned */
    size_t size;                      /* of each, a power of two */
    size_t count;
    struct vg_sandbox_job *oldest, *youngest;
};

void vg_sandbox_index_init(struct vg_sandbox_index *index);
/* Frees every job, whoever holds it. */
void vg_sandbox_index_fini(struct vg_sandbox_index *index);
struct vg_sandbox_job *vg_sandbox_index_find(const struct vg_sandbox_index *index,
                                             enum vg_sandbox_key by, const char *key);
/* Takes one reference over. Neither id nor token may be there yet. */
void vg_sandbox_index_add(struct vg_sandbox_index *index, struct vg_sandbox_job *job);
/* Takes a job out; the reference goes to the caller. */
void vg_sandbox_index_remove(struct vg_sandbox_index *index, struct vg_sandbox_job *job);

#endif
