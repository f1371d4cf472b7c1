/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's durable memory: DIR/jobs.jsonl (the journal: the truth), DIR/submissions.log (one
 * line per accepted job, for people and tests), DIR/lock (one process at a time).
 *
 * All writes are made by one thread in batches: what arrived together is made durable by one
 * fdatasync of each file, before any `done` is called. A job can be found only once it is durable.
 * The journal is read and rewritten without what is old at open, and rewritten again when it has
 * grown; submissions.log is completed then if a crash came between the two files.
 *
 * Any thread, but for open and close. A job's fields `state`, `bytes` and `sha256` are read through
 * vg_sandbox_store_view; its identity and parameters never change while a reference is held. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_STORE_H
#define VG_WORKERS_PROVIDERS_SANDBOX_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/providers/sandbox/job.h"

struct vg_sandbox_store;

/* `retention_ms`: older jobs are forgotten, their tokens and files too. */
VG_MUSTCHECK int vg_sandbox_store_open(struct vg_sandbox_store **out, const char *dir,
                                       int64_t retention_ms, struct vg_err *err);
/* Does what is queued first. */
struct vg_sandbox_store *vg_sandbox_store_close(struct vg_sandbox_store *store);
const char *vg_sandbox_store_dir(const struct vg_sandbox_store *store);
/* False after a write whose fate is unknown: nothing is accepted until a restart. */
bool vg_sandbox_store_sound(struct vg_sandbox_store *store);
/* Every job that has not ended, oldest first; at start, before other calls. */
void vg_sandbox_store_each_open(struct vg_sandbox_store *store,
                                void (*visit)(void *ctx, struct vg_sandbox_job *job), void *ctx);

/* Reference to a durable job, or NULL. */
struct vg_sandbox_job *vg_sandbox_store_find(struct vg_sandbox_store *store, const char *id);
struct vg_sandbox_job *vg_sandbox_store_find_token(struct vg_sandbox_store *store,
                                                   const char *token);
struct vg_sandbox_job *vg_sandbox_store_ref(struct vg_sandbox_store *store,
                                            struct vg_sandbox_job *job);
struct vg_sandbox_job *vg_sandbox_store_unref(struct vg_sandbox_store *store,
                                              struct vg_sandbox_job *job);

/* Frees the prompt of a job that has ended and is not rendered any more. */
void vg_sandbox_store_shed(struct vg_sandbox_store *store, struct vg_sandbox_job *job);

struct vg_sandbox_view {
    enum vg_sandbox_state state;
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
};
void vg_sandbox_store_view(struct vg_sandbox_store *store, const struct vg_sandbox_job *job,
                           struct vg_sandbox_view *out);

/* One write; embedded in its owner, the store's until `done` is called on the store's thread (do
 * not block there). */
struct vg_sandbox_write {
    /* In: a new job (the store takes its one reference), or with `ends` a referenced one. Out, for
     * a new job: the job that has the token, referenced for the caller: another than given when
     * `existed`. NULL on failure. */
    struct vg_sandbox_job *job;
    bool ends;
    enum vg_sandbox_state state; /* with `ends`, as bytes and sha256 */
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
    void (*done)(struct vg_sandbox_write *write); /* may be NULL */
    /* results */
    bool ok;
    bool existed;
    bool applied; /* with `ends`: the job was in a state that this end may follow */
    struct vg_err err;

    struct vg_sandbox_write *next; /* the store's */
};
void vg_sandbox_store_write(struct vg_sandbox_store *store, struct vg_sandbox_write *write);

#endif
