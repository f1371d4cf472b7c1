/* SPDX-License-Identifier: Apache-2.0 */
/* What sandbox_store.c and sandbox_recover.c share. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_STORE_PRIV_H
#define VG_WORKERS_PROVIDERS_SANDBOX_STORE_PRIV_H

#include <pthread.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/task.h"
#include "common/work_pool.h"
#include "workers/providers/sandbox/index.h"
#include "workers/providers/sandbox/store.h"

#define VG_SANDBOX_JOURNAL "jobs.jsonl"
#define VG_SANDBOX_LOG "submissions.log"

struct vg_sandbox_file {
    int fd;     /* owned; -1: none */
    off_t size; /* what is known to be whole */
};

struct vg_sandbox_store {
    char *dir; /* owned */
    int64_t retention_ms;
    int lock_fd; /* owned */

    /* The writing thread's alone. */
    struct vg_work_pool *pool; /* owned; one thread */
    struct vg_sandbox_file journal, log;
    off_t compacted_size; /* of the journal after the last rewrite */
    struct vg_buf lines, log_lines;

    pthread_mutex_t mutex; /* guards what follows, and the jobs' states and references */
    struct vg_sandbox_index index;
    struct vg_sandbox_write *first, **last; /* queue of writes */
    bool busy;                              /* the flush task is posted or runs */
    bool broken;
    struct vg_task flush;
};

/* Reads the journal and the log, forgets what is old, writes the journal anew and opens both for
 * appending. */
VG_MUSTCHECK int vg_sandbox_recover(struct vg_sandbox_store *store, struct vg_err *err);
/* Writes the journal anew from the index: temp, fsync, rename. Called with the mutex held. */
VG_MUSTCHECK int vg_sandbox_compact(struct vg_sandbox_store *store, struct vg_err *err);
/* One line of submissions.log. */
void vg_sandbox_log_line(struct vg_buf *out, const struct vg_sandbox_job *job);
/* Removes the files of a job that is forgotten. */
void vg_sandbox_forget_files(const struct vg_sandbox_store *store,
                             const struct vg_sandbox_job *job);

#endif
