/* SPDX-License-Identifier: Apache-2.0 */
/* The combiner: concurrent database operations of one kind become one statement and one commit
 * (design.md section 8).
 *
 * A few executor threads own one libpq connection each. A submitted operation waits in its kind's
 * queue; an idle executor takes what is queued (at most 64 of one kind), runs the kind's batch in
 * pipeline mode in one round trip where it can, and posts each operation's `done`. No timer: idle,
 * an operation leaves at once. When a batch fails because of one operation, its members are run one
 * by one. When the connection is lost, idempotent kinds are run again after reconnecting, until the
 * operation's deadline; then they fail with VG_ERR_UNAVAILABLE (retry_after_ms set).
 *
 * Submitting is thread-safe. An operation belongs to the combiner from submit until `done` is
 * posted. */
#ifndef VG_DB_DB_H
#define VG_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/task.h"

struct vg_db;
struct vg_db_kind; /* one row per operation kind; private to db/ */

struct vg_db_options {
    const char
        *url;    /* libpq conninfo or URI; of several hosts perhaps: the one that takes writes */
    bool pooled; /* `url` leads to a pooler in transaction mode */
    /* For LISTEN, which a pooler in transaction mode has not; NULL: `url`. Without one there is
     * no LISTEN: other processes' work is found by polling. */
    const char *listen_url;
    int executors;  /* connections; 0: 3 */
    int max_queued; /* operations; beyond it submit fails them with VG_ERR_OVERLOADED; 0: 16384 */
    struct vg_metrics *metrics;
    /* Wake-up: calls wake->run on `wake_executor` when an operation of this process made work due,
     * when another process notified that, and after the LISTEN connection came back. Coalesced:
     * never queued twice; the task itself is never posted (a private one that calls its `run` is).
     * The executor outlives vg_db_stop. May be NULL. */
    struct vg_executor *wake_executor;
    struct vg_task *wake;
};

/* Head of every operation; embed it first. From submit to `done` nobody else may touch the
 * operation or its arena: submit aborts when another operation under way has the same arena. */
struct vg_db_op {
    struct vg_executor *executor; /* where done.run is called */
    struct vg_task done;
    int64_t deadline_ns;
    struct vg_arena *arena; /* borrowed; results are allocated here */

    /* Results, valid in done.run. */
    bool ok;
    struct vg_err err;

    /* The combiner's. */
    const struct vg_db_kind *kind;
    struct vg_db_op *next;
    struct vg_task batch; /* runs the `done` of this operation and of those linked to it */
    int64_t token; /* names this operation in the rows it changes, so that it recognises its own
                      work when run again */
    int32_t runs;  /* how often it was sent */
};

/* Starts even while PostgreSQL is away: the executors keep trying. */
VG_MUSTCHECK int vg_db_start(struct vg_db **out, const struct vg_db_options *options,
                             struct vg_err *err);
/* Whether the last statement or connection attempt succeeded and the schema is at least ours
 * (migrations only add, so an older program runs on a newer schema); writes why not. */
bool vg_db_ready(const struct vg_db *db, char *why, size_t why_size);
/* Stops taking operations, runs what is queued until the deadline, fails the rest, joins, frees. */
struct vg_db *vg_db_stop(struct vg_db *db, int64_t deadline_ns);
/* The store's clock is the database's: nothing in db/ passes a wall clock in. */

/* Migrations (migrations/NNNN_name.sql, compiled in), under an advisory lock; idempotent. Blocking;
 * for videogatectl and tests. Calls `say` for each one applied. */
VG_MUSTCHECK int vg_db_migrate(const char *url, void (*say)(void *ctx, const char *line), void *ctx,
                               struct vg_err *err);

#endif
