/* SPDX-License-Identifier: Apache-2.0 */
/* One PostgreSQL connection: connects to whichever server of the URL takes writes, without blocking
 * for good, runs prepared statements in pipeline mode in one round trip, maps SQLSTATE to error
 * kinds. One thread per connection. With db/pg_value.c the only user of libpq; private to db/.
 *
 * Every wait asks `give_up` at least ten times a second; when it says yes, the connection is
 * closed. */
#ifndef VG_DB_PG_H
#define VG_DB_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct vg_pg;
struct vg_pg_params;
struct vg_pg_rows; /* a result; read with db/pg_value.h */

/* Prepared on each connection at first use. Static data. */
struct vg_pg_statement {
    const char *name;
    const char *sql;
};

/* What a failed run means for the batch. */
enum vg_pg_fault {
    VG_PG_FAULT_ROW,   /* the statement refused its data; nothing changed */
    VG_PG_FAULT_AGAIN, /* deadlock, time limit, disk full; nothing changed; the same may succeed
                          later */
    VG_PG_FAULT_RESET, /* nothing changed, but the connection's state is stale: open a new one */
    VG_PG_FAULT_LOST,  /* the connection is gone; whether a COMMIT happened, or reached the standby
                          that must have it, is unknown */
    VG_PG_FAULT_MAX
};

typedef bool vg_pg_give_up_f(void *ctx);

/* Where to connect. */
struct vg_pg_target {
    const char *url; /* borrowed; libpq conninfo or URI, of several hosts perhaps */
    bool pooled;     /* a pooler hands out another session for each transaction: nothing is left in
                        one, no statement is prepared */
    size_t host;     /* of the URL's hosts, the one to try first; kept by vg_pg_open */
    int stale_pid;   /* of a backend that was left without its answer: it may wait for a standby for
                        ever, and is ended by the next connection; 0: none */
};

/* VG_ERR_UNAVAILABLE when no server takes us or the schema is older than ours. */
VG_MUSTCHECK int vg_pg_open(struct vg_pg **out, struct vg_pg_target *target,
                            const char *application, vg_pg_give_up_f *give_up, void *ctx,
                            struct vg_err *err);
struct vg_pg *vg_pg_close(struct vg_pg *pg);
int vg_pg_backend_pid(const struct vg_pg *pg);

/* What the runs from now on find counts as done by somebody: nothing is answered before the
 * synchronous standby, if one is configured, has it. A row whose COMMIT was cut off stands on the
 * primary alone, and reading it waits for nothing. */
void vg_pg_vouch(struct vg_pg *pg, bool on);
/* A run: begin, add statements, run, read rows, clear. */
void vg_pg_begin(struct vg_pg *pg, bool transaction);
/* `params` may be NULL; it is copied. Returns the handle of the statement's rows. */
size_t vg_pg_add(struct vg_pg *pg, const struct vg_pg_statement *statement,
                 const struct vg_pg_params *params);
/* Sends all with one Sync (COMMIT before it in a transaction) and waits. On failure nothing is left
 * open: a failed transaction is rolled back, a lost connection reports VG_PG_FAULT_LOST. */
VG_MUSTCHECK int vg_pg_run(struct vg_pg *pg, enum vg_pg_fault *out_fault, struct vg_err *err);
const struct vg_pg_rows *vg_pg_rows(const struct vg_pg *pg, size_t handle);
void vg_pg_clear(struct vg_pg *pg);

/* Outside a run, for the listener and migrations: plain SQL text, several statements allowed. */
VG_MUSTCHECK int vg_pg_exec(struct vg_pg *pg, const char *sql, struct vg_err *err);
/* Fails when the server does not answer or takes no writes (any more). */
VG_MUSTCHECK int vg_pg_probe(struct vg_pg *pg, struct vg_err *err);
int vg_pg_fd(const struct vg_pg *pg);
/* Reads what has arrived; *out_any: a notification of another connection was among it. */
VG_MUSTCHECK int vg_pg_notified(struct vg_pg *pg, bool *out_any, struct vg_err *err);

/* The row of the SQLSTATE table for a code. */
enum vg_pg_fault vg_pg_fault_of(const char *sqlstate, enum vg_err_kind *out_kind);

#endif
