/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/id.h"
#include "common/str.h"
#include "db/db_priv.h"
#include "db/listen.h"
#include "db/op_queue.h"

enum {
    DEFAULT_EXECUTORS = 3,
    MAX_EXECUTORS = 64,
    DEFAULT_QUEUED = 16384,
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 500,
    MAX_AGAIN =
        6, /* runs of one batch that ended in a deadlock, a time limit or a stale connection */
    RETRY_AFTER_MS = 1000
};

#define KIND_NAME(name, text) text,
static const char *const kind_names[] = {VG_DB_KINDS(KIND_NAME) NULL};
#undef KIND_NAME

enum {
    M_OPERATIONS,
    M_BATCHES,
    M_FAILED,
    M_SECONDS,
    M_RERUN,
    M_CONNECTS,
    M_READY,
    M_LOST,
    M_REFUSED
};
static const struct vg_metric_desc metric_table[] = {
    [M_OPERATIONS] = {"videogate_db_operations_total", VG_METRIC_COUNTER,
                      "Operations ended, by kind.", "kind", kind_names},
    [M_BATCHES] = {"videogate_db_batches_total", VG_METRIC_COUNTER,
                   "Batches run successfully, by kind.", "kind", kind_names},
    [M_FAILED] = {"videogate_db_failed_total", VG_METRIC_COUNTER,
                  "Operations that ended with an error other than their own, by kind.", "kind",
                  kind_names},
    [M_SECONDS] = {"videogate_db_batch_seconds", VG_METRIC_HISTOGRAM,
                   "Time of one batch at the database.", NULL, NULL},
    [M_RERUN] = {"videogate_db_reruns_total", VG_METRIC_COUNTER,
                 "Batches run again after a lost connection or a deadlock.", NULL, NULL},
    [M_CONNECTS] = {"videogate_db_connects_total", VG_METRIC_COUNTER,
                    "Database connections opened by executors.", NULL, NULL},
    [M_READY] = {"videogate_db_ready", VG_METRIC_GAUGE, "1 while the database answers.", NULL,
                 NULL},
    [M_LOST] = {"videogate_db_lost_total", VG_METRIC_COUNTER,
                "Database connections lost in use, or left because their server takes no writes.",
                NULL, NULL},
    [M_REFUSED] = {"videogate_db_connect_failures_total", VG_METRIC_COUNTER,
                   "Attempts to connect in vain, over all hosts.", NULL, NULL},
};

struct executor {
    struct vg_db *db;
    pthread_t thread;
    struct vg_pg *pg; /* NULL: not connected */
    struct vg_pg_target target;
    int retry_ms;
    /* The batch in hand, for give_up. */
    int64_t patience_ns;
};

struct vg_db {
    char *url;                 /* owned, secret */
    char *listen_url;          /* the same */
    struct vg_op_queue *queue; /* owned */
    struct vg_metric_set *metrics;
    struct vg_listen *listen;
    int64_t token_base;
    atomic_int_fast64_t tokens;

    pthread_mutex_t lock;
    /* Under the lock. */
    int64_t cursors[VG_DB_KIND_MAX];
    bool ready;
    char why[160];

    int executor_count;
    struct executor *executors; /* owned */
};

/* ---- ends of operations */

static void finish(struct vg_db *db, struct vg_db_op *op)
{
    vg_metric_add(db->metrics, M_OPERATIONS, op->kind->id, 1);
    vg_arena_take_back(op->arena);
    vg_post(op->executor, &op->done);
}

static void run_batch_done(struct vg_task *task)
{
    struct vg_db_op *op = VG_CONTAINER(task, struct vg_db_op, batch);

    while (op) {
        struct vg_db_op *next = op->next;

        op->done.run(&op->done); /* the operation may be gone */
        op = next;
    }
}

/* A whole batch: neighbours with the same executor wake it once. */
static void finish_all(struct vg_db *db, struct vg_db_op **ops, size_t count)
{
    vg_metric_add(db->metrics, M_OPERATIONS, ops[0]->kind->id, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        vg_arena_take_back(ops[i]->arena);
    for (size_t i = 0; i < count;) {
        struct vg_db_op *first = ops[i];
        struct vg_db_op *last = first;

        for (i++; i < count && ops[i]->executor == first->executor; i++)
            last = last->next = ops[i];
        last->next = NULL;
        first->batch.run = run_batch_done;
        vg_post(first->executor, &first->batch);
    }
}

static void fail(struct vg_db *db, struct vg_db_op *op, const struct vg_err *err)
{
    op->ok = false;
    op->err = *err;
    vg_metric_add(db->metrics, M_FAILED, op->kind->id, 1);
    finish(db, op);
}

static struct vg_err error_of(enum vg_err_kind kind, const char *text)
{
    struct vg_err err = {.kind = kind};

    (void)vg_err_set(&err, kind, "%s", text);
    err.retry_after_ms = vg_err_info(kind)->retryable ? RETRY_AFTER_MS : 0;
    return err;
}

static VG_PRINTF(3, 0) void set_error(struct vg_db_op *op, enum vg_err_kind kind, const char *fmt,
                                      va_list args)
{
    char detail[sizeof(op->err.detail)];

    memset(&op->err, 0, sizeof(op->err));
    op->ok = false;
    if (!fmt) {
        (void)vg_err_set(&op->err, kind, NULL);
        return;
    }
    (void)vsnprintf(detail, sizeof(detail), fmt, args);
    (void)vg_err_set(&op->err, kind, "%s", detail);
}

void vg_db_refuse(struct vg_db_op *op, enum vg_err_kind kind, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_error(op, kind, fmt, args);
    va_end(args);
    vg_post(op->executor, &op->done);
}

void vg_db_op_fail(struct vg_db_op *op, enum vg_err_kind kind, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_error(op, kind, fmt, args);
    va_end(args);
}

void vg_db_submit(struct vg_db *db, struct vg_db_op *op, const struct vg_db_kind *kind)
{
    vg_arena_lend(op->arena);
    op->kind = kind;
    op->ok = false;
    op->runs = 0;
    op->token = db->token_base + (int64_t)atomic_fetch_add(&db->tokens, 1);

    enum vg_op_queue_put put = vg_op_queue_put(db->queue, op);

    if (put == VG_OP_QUEUED)
        return; /* the operation may be gone */
    const struct vg_err err =
        put == VG_OP_STOPPING
            ? error_of(VG_ERR_UNAVAILABLE, "The service is shutting down.")
            : error_of(VG_ERR_OVERLOADED, "Too many database operations are waiting.");

    fail(db, op, &err);
}

/* Fails what waits in vain. */
static void sweep(struct vg_db *db)
{
    const struct vg_err err = error_of(VG_ERR_UNAVAILABLE, "The database cannot be reached.");
    struct vg_db_op *dead = vg_op_queue_expired(db->queue);

    while (dead) {
        struct vg_db_op *op = dead;

        dead = op->next;
        fail(db, op, &err);
    }
}

/* ---- readiness */

void vg_db_report(struct vg_db *db, bool good, const char *why)
{
    (void)pthread_mutex_lock(&db->lock);
    if (good != db->ready || !good) {
        db->ready = good;
        (void)vg_strcpy(db->why, sizeof(db->why), good ? "" : why);
        vg_metric_store(db->metrics, M_READY, 0, good);
    }
    (void)pthread_mutex_unlock(&db->lock);
}

bool vg_db_ready(const struct vg_db *db, char *why, size_t why_size)
{
    struct vg_db *self = (struct vg_db *)db; /* the lock alone is written */

    (void)pthread_mutex_lock(&self->lock);
    bool ready = self->ready;

    if (!ready && why_size > 0)
        (void)vg_strcpy(why, why_size, self->why);
    (void)pthread_mutex_unlock(&self->lock);
    return ready;
}

/* ---- executors */

/* Called in every wait for the server, ten times a second. */
static bool give_up(void *ctx)
{
    struct executor *self = ctx;

    sweep(self->db);
    return vg_now_ns() >= self->patience_ns || vg_op_queue_over(self->db->queue);
}

static bool connected(struct executor *self)
{
    struct vg_err err = {0};

    if (self->pg)
        return true;
    if (vg_pg_open(&self->pg, &self->target, "videogate", give_up, self, &err) < 0) {
        vg_metric_add(self->db->metrics, M_REFUSED, 0, 1);
        vg_db_report(self->db, false, vg_err_text(&err));
        return false;
    }
    self->retry_ms = RETRY_MIN_MS;
    vg_metric_add(self->db->metrics, M_CONNECTS, 0, 1);
    vg_db_report(self->db, true, "");
    return true;
}

/* Waits before the next attempt to connect, half to all of the time that has come to: replicas
 * must not all come at once. A stop ends the wait. */
static void rest(struct executor *self)
{
    uint16_t jitter = 0;

    vg_random(&jitter, sizeof(jitter));
    vg_op_queue_pause(self->db->queue, vg_now_ns() + self->retry_ms * VG_NS_PER_MS / 2 *
                                                         (UINT16_MAX + jitter) / UINT16_MAX);
    self->retry_ms = self->retry_ms * 2 < RETRY_MAX_MS ? self->retry_ms * 2 : RETRY_MAX_MS;
    sweep(self->db);
}

/* Keeps what may still run; fails the rest. */
static size_t drop_expired(struct executor *self, struct vg_db_op **ops, size_t count)
{
    int64_t now = vg_now_ns();
    bool over = vg_op_queue_over(self->db->queue);
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool tried = ops[i]->runs > 0 || !self->pg;
        const struct vg_err err =
            tried || over ? error_of(VG_ERR_UNAVAILABLE, "The database cannot be reached.")
                          : error_of(VG_ERR_DEADLINE, "The deadline passed before the database "
                                                      "was asked.");

        if (over || ops[i]->deadline_ns <= now)
            fail(self->db, ops[i], &err);
        else
            ops[kept++] = ops[i];
    }
    return kept;
}

static int64_t latest_deadline(struct vg_db_op *const *ops, size_t count)
{
    int64_t latest = 0;

    for (size_t i = 0; i < count; i++)
        latest = ops[i]->deadline_ns > latest ? ops[i]->deadline_ns : latest;
    return latest;
}

int vg_db_pg_run(struct vg_db_run *run)
{
    return vg_pg_run(run->pg, &run->fault, &run->err);
}

/* NOLINTNEXTLINE(readability-function-size): a statement and what it runs over */
const struct vg_pg_rows *vg_db_pg_ops(struct vg_db_run *run, bool write,
                                      const struct vg_pg_statement *statement,
                                      const struct vg_pg_field *fields, size_t field_count,
                                      struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params params;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, fields, field_count, ops, count);
    vg_pg_begin(run->pg, write);
    size_t handle = vg_pg_add(run->pg, statement, &params);

    return vg_db_pg_run(run) < 0 ? NULL : vg_pg_rows(run->pg, handle);
}

/* One try. 0: done, every operation has its result. */
static int run_once(struct executor *self, struct vg_db_op **ops, size_t count,
                    struct vg_db_run *run)
{
    struct vg_db *db = self->db;
    const struct vg_db_kind *kind = ops[0]->kind;
    int64_t start = vg_now_ns();

    *run = (struct vg_db_run){.db = db, .pg = self->pg, .fault = VG_PG_FAULT_ROW};
    for (size_t i = 0; i < count; i++) {
        run->again = run->again || ops[i]->runs > 0;
        ops[i]->runs++;
        ops[i]->ok = true;
    }
    (void)pthread_mutex_lock(&db->lock);
    run->cursor = db->cursors[kind->id];
    (void)pthread_mutex_unlock(&db->lock);

    run->scratch = vg_arena_new();
    vg_pg_vouch(self->pg, run->again);
    vg_crash_point("commit", kind_names[kind->id], "before");
    int status = kind->run(run, ops, count);

    vg_pg_clear(self->pg);
    run->scratch = vg_arena_free(run->scratch);
    if (status < 0)
        return -1;
    vg_crash_point("commit", kind_names[kind->id], "after");
    (void)pthread_mutex_lock(&db->lock);
    db->cursors[kind->id] = run->cursor;
    (void)pthread_mutex_unlock(&db->lock);
    vg_metric_add(db->metrics, M_BATCHES, kind->id, 1);
    vg_metric_observe_ns(db->metrics, M_SECONDS, 0, vg_now_ns() - start);
    vg_db_report(db, true, "");
    if (run->due)
        vg_listen_due(db->listen);
    return 0;
}

/* What a failed try means; true: the same batch may be sent again. */
static bool recover(struct executor *self, const struct vg_db_run *run, int *again)
{
    if (run->fault == VG_PG_FAULT_LOST || run->fault == VG_PG_FAULT_RESET) {
        self->target.stale_pid = vg_pg_backend_pid(self->pg);
        self->pg = vg_pg_close(self->pg);
        vg_metric_add(self->db->metrics, M_RERUN, 0, 1);
    }
    if (run->fault == VG_PG_FAULT_LOST) {
        vg_metric_add(self->db->metrics, M_LOST, 0, 1);
        vg_db_report(self->db, false, vg_err_text(&run->err));
        return true;
    }
    return run->fault != VG_PG_FAULT_ROW && ++*again < MAX_AGAIN;
}

/* Runs a batch to its end: each operation is finished. */
static void run_batch(struct executor *self, struct vg_db_op **ops, size_t count)
{
    struct vg_db_run run = {0};
    int again = 0;

    while ((count = drop_expired(self, ops, count)) > 0) {
        self->patience_ns = latest_deadline(ops, count);
        if (!connected(self)) {
            rest(self);
            continue;
        }
        if (run_once(self, ops, count, &run) == 0) {
            finish_all(self->db, ops, count);
            return;
        }
        if (recover(self, &run, &again)) {
            /* A server that drops every connection must not be hammered. */
            if (run.fault == VG_PG_FAULT_LOST && ops[0]->runs > 1)
                rest(self);
            continue;
        }
        if (count == 1) {
            fail(self->db, ops[0], &run.err);
            return;
        }
        for (size_t i = 0; i < count; i++) /* one of them is to blame: each by itself */
            run_batch(self, &ops[i], 1);   /* NOLINT(misc-no-recursion): one level */
        return;
    }
}

static void *executor_main(void *arg)
{
    struct executor *self = arg;
    struct vg_db_op *ops[VG_DB_MAX_BATCH];
    size_t count = 0;

    for (;;) {
        self->patience_ns = VG_NO_DEADLINE;
        /* Without a connection nothing is taken: an executor that has one may. */
        if (!connected(self)) {
            if (vg_op_queue_done(self->db->queue))
                break;
            rest(self);
            continue;
        }
        count = vg_op_queue_take(self->db->queue, ops);
        if (count == 0)
            break;
        run_batch(self, ops, count);
    }
    self->pg = vg_pg_close(self->pg);
    return NULL;
}

/* ---- life */

int vg_db_start(struct vg_db **out, const struct vg_db_options *options, struct vg_err *err)
{
    struct vg_db *db = vg_xalloc(sizeof(*db));
    int wanted = options->executors > 0 ? options->executors : DEFAULT_EXECUTORS;
    struct vg_db_options inner = *options;

    if (wanted > MAX_EXECUTORS)
        wanted = MAX_EXECUTORS;
    db->url = vg_xstrdup(options->url);
    db->listen_url = options->listen_url ? vg_xstrdup(options->listen_url) : NULL;
    db->queue = vg_op_queue_new(options->max_queued > 0 ? options->max_queued : DEFAULT_QUEUED,
                                options->metrics);
    /* Half the range of random numbers is left above for counting. */
    vg_random(&db->token_base, sizeof(db->token_base));
    db->token_base = (int64_t)((uint64_t)db->token_base >> 2);
    if (options->metrics)
        db->metrics = vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    (void)vg_strcpy(db->why, sizeof(db->why), "The database was not reached yet.");
    (void)pthread_mutex_init(&db->lock, NULL);
    db->executors = vg_xcalloc((size_t)wanted, sizeof(*db->executors));
    inner.url = db->url;
    inner.listen_url = db->listen_url;

    int status = vg_listen_start(&db->listen, db, &inner, err);

    while (status == 0 && db->executor_count < wanted) {
        struct executor *executor = &db->executors[db->executor_count];

        executor->db = db;
        executor->target = (struct vg_pg_target){.url = db->url, .pooled = options->pooled};
        executor->retry_ms = RETRY_MIN_MS;
        if (pthread_create(&executor->thread, NULL, executor_main, executor) != 0)
            status = vg_err_set(err, VG_ERR_INTERNAL, "A database thread cannot start.");
        else
            db->executor_count++;
    }
    if (status < 0) {
        (void)vg_db_stop(db, 0);
        return -1;
    }
    *out = db;
    return 0;
}

struct vg_db *vg_db_stop(struct vg_db *db, int64_t deadline_ns)
{
    if (!db)
        return NULL;
    vg_op_queue_stop(db->queue, deadline_ns);
    for (int i = 0; i < db->executor_count; i++)
        (void)pthread_join(db->executors[i].thread, NULL);
    db->listen = vg_listen_stop(db->listen);
    /* An executor that lost its connection leaves only when nothing is queued, so nothing is. */
    db->queue = vg_op_queue_free(db->queue);
    (void)pthread_mutex_destroy(&db->lock);
    free(db->executors);
    vg_free_secret(db->url);
    vg_free_secret(db->listen_url);
    free(db);
    return NULL;
}
