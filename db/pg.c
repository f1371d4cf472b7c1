/* SPDX-License-Identifier: Apache-2.0 */
#include "db/pg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/clock.h"
#include "common/mem.h"
#include "db/migrate.h"
#include "db/pg_hosts.h"
#include "db/pg_value.h"

enum {
    TICK_MS = 100,             /* how often a wait asks give_up */
    ANSWER_TIMEOUT_MS = 15000, /* beyond the server's own statement_timeout: the server is stuck */
    MAX_STEPS = 160,
    MAX_PREPARED = 64,
    REPLAN_RUNS = 1024, /* see vg_pg_begin */
    REPLAN_MS = 5000
};

struct step {
    const struct vg_pg_statement *statement;
    bool prepare;     /* the Parse of `statement`, not its execution */
    PGresult *result; /* owned */
};

struct vg_pg {
    PGconn *conn;
    vg_pg_give_up_f *give_up;
    void *give_up_ctx;
    bool lost;
    bool pooled;
    bool vouch;
    bool unconfirmed; /* the server gave up waiting for its standby in this run */
    bool transaction;
    bool send_failed;
    size_t step_count;
    struct step steps[MAX_STEPS];
    size_t prepared_count;
    const struct vg_pg_statement *prepared[MAX_PREPARED];
    int64_t runs;
    int64_t replan_run; /* the run before which plans are discarded */
    int64_t replan_ns;  /* or this time, whichever comes first */
};

/* Limits of our own sessions. Every statement here is meant to enter an index with few rows in
 * hand, so the plans that suit small tables alone are taken away: prepared ones would be kept while
 * the tables grow a thousandfold. And plans are generic: to plan a claim takes longer than to run
 * it. */
static const char session_sql[] =
    "SET client_encoding = 'UTF8'; SET timezone = 'UTC'; SET client_min_messages = 'warning';"
    "SET statement_timeout = '10s'; SET lock_timeout = '5s';"
    "SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_isolation = "
    "'read committed'; SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off;"
    "SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";
/* The same for one transaction, where a pooler hands out sessions. */
static const struct vg_pg_statement local_statement = {
    "vg_local",
    "SELECT set_config(name, value, true) FROM (VALUES ('timezone', 'UTC'),"
    " ('client_min_messages', 'warning'), ('statement_timeout', '10s'), ('lock_timeout', '5s'),"
    " ('idle_in_transaction_session_timeout', '10s'), ('jit', 'off'), ('enable_seqscan', 'off'),"
    " ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS s(name, value)"};
/* The first migration of ours that the database lacks. */
static const char missing_sql[] =
    "SELECT coalesce(min(v), 0) FROM unnest('{%s}'::int4[]) AS v"
    " WHERE NOT EXISTS (SELECT FROM schema_migrations m WHERE m.version = v)";

static const char writable_sql[] = "SHOW transaction_read_only";

static const struct vg_pg_statement begin_statement = {"vg_begin",
                                                       "BEGIN ISOLATION LEVEL READ COMMITTED"};
static const struct vg_pg_statement commit_statement = {"vg_commit", "COMMIT"};
static const struct vg_pg_statement replan_statement = {"vg_replan", "DISCARD PLANS"};
static const struct vg_pg_statement rollback_statement = {"vg_rollback", "ROLLBACK"};
/* A record whose commit waits for the standby, and so for all that stands before it in the log. */
static const struct vg_pg_statement vouch_statement = {
    "vg_vouch", "SELECT pg_logical_emit_message(true, 'videogate', '')"
                " WHERE current_setting('synchronous_standby_names') <> ''"};

/* ---- waiting */

static int set_unavailable(struct vg_err *err, const char *text)
{
    (void)vg_err_set(err, VG_ERR_UNAVAILABLE, "%s", text);
    if (err)
        err->retry_after_ms = 1000;
    return -1;
}

/* 0: ready or a tick passed; -1: given up or past the deadline. */
static int wait_fd(const struct vg_pg *pg, short events, int64_t deadline_ns)
{
    struct pollfd p = {.fd = PQsocket(pg->conn), .events = events};
    int64_t left = vg_deadline_left_ms(deadline_ns);

    if (p.fd < 0 || left <= 0 || pg->give_up(pg->give_up_ctx))
        return -1;
    if (poll(&p, 1, left < TICK_MS ? (int)left : TICK_MS) < 0 && errno != EINTR)
        return -1;
    return 0;
}

/* The next result of the command in front; *out NULL at its end. -1: the connection is lost. */
static int next_result(struct vg_pg *pg, int64_t deadline_ns, PGresult **out)
{
    while (PQisBusy(pg->conn)) {
        int more = PQflush(pg->conn);
        short events = (short)(more > 0 ? POLLIN | POLLOUT : POLLIN);

        if (more < 0 || wait_fd(pg, events, deadline_ns) < 0 || !PQconsumeInput(pg->conn)) {
            pg->lost = true;
            return -1;
        }
    }
    *out = PQgetResult(pg->conn);
    if (PQstatus(pg->conn) != CONNECTION_BAD)
        return 0;
    PQclear(*out);
    pg->lost = true;
    return -1;
}

/* ---- opening */

/* Only edges log: what matters comes back as an error. One warning is one: a COMMIT whose wait for
 * the standby was canceled says that it succeeded. */
static void take_notice(void *arg, const PGresult *notice)
{
    struct vg_pg *pg = arg;
    const char *where = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);

    if (where && strcmp(where, "SyncRepWaitForLSN") == 0)
        pg->unconfirmed = true;
}

static int connect_poll(struct vg_pg *pg, int64_t timeout_ms)
{
    int64_t deadline = vg_deadline_in_ms(timeout_ms);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK) {
        short events = (short)(status == PGRES_POLLING_READING ? POLLIN : POLLOUT);
        struct pollfd p = {.fd = PQsocket(pg->conn), .events = events};

        if (status == PGRES_POLLING_FAILED || wait_fd(pg, events, deadline) < 0)
            return -1;
        /* PQconnectPoll may block when called before its socket is ready: a tick alone must not
         * reach it. */
        if (poll(&p, 1, 0) > 0)
            status = PQconnectPoll(pg->conn);
    }
    return 0;
}

/* One value of one row; without one (42P01, say) *out stays. */
static int read_value(struct vg_pg *pg, const char *sql, void (*take)(const PGresult *, void *),
                      void *out)
{
    int64_t deadline = vg_deadline_in_ms(ANSWER_TIMEOUT_MS);
    PGresult *result = NULL;

    if (!PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 1))
        return -1;
    while (next_result(pg, deadline, &result) == 0) {
        if (!result)
            return 0;
        if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
            take(result, out);
        PQclear(result);
    }
    return -1;
}

static void take_int(const PGresult *result, void *out)
{
    *(int *)out = (int)vg_pg_i64((const struct vg_pg_rows *)result, 0, 0);
}

static void take_off(const PGresult *result, void *out)
{
    *(bool *)out = strcmp(PQgetvalue(result, 0, 0), "off") == 0;
}

/* 0: none is missing. */
static int read_missing(struct vg_pg *pg, int *out)
{
    struct vg_arena *arena = vg_arena_new();
    const char *list = "";
    size_t count = 0;
    const struct vg_migration *migrations = vg_migrations(&count);

    for (size_t i = 0; i < count; i++)
        list = vg_arena_printf(arena, "%s%s%d", list, i > 0 ? "," : "", migrations[i].version);
    *out = count > 0 ? migrations[0].version : 0; /* no table: all of them */
    int status = read_value(pg, vg_arena_printf(arena, missing_sql, list), take_int, out);

    (void)vg_arena_free(arena);
    return status;
}

static int prepare_session(struct vg_pg *pg, struct vg_err *err)
{
    int missing = 0;

    if (PQsetnonblocking(pg->conn, 1) != 0 ||
        (!pg->pooled && vg_pg_exec(pg, session_sql, err) < 0) || read_missing(pg, &missing) < 0)
        return set_unavailable(err, "The database connection failed.");
    if (missing > 0) {
        (void)vg_err_set(err, VG_ERR_UNAVAILABLE,
                         "The database lacks migration %d, which this program needs: run "
                         "'videogatectl migrate'.",
                         missing);
        return -1;
    }
    return 0;
}

/* A backend that waits for a standby does not notice that its client has left, and counts among
 * max_connections. Its commit stands on the primary, in doubt as before (vg_pg_vouch). */
static void end_stale(struct vg_pg *pg, struct vg_pg_target *target)
{
    char sql[200];

    if (target->stale_pid == 0 || pg->pooled)
        return;
    (void)snprintf(sql, sizeof(sql),
                   "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %d"
                   " AND wait_event = 'SyncRep' AND usename = current_user",
                   target->stale_pid);
    if (vg_pg_exec(pg, sql, NULL) == 0)
        target->stale_pid = 0;
}

static int connect_host(struct vg_pg *pg, const struct vg_pg_hosts *hosts, size_t index)
{
    struct vg_pg_host host;

    vg_pg_hosts_get(hosts, index, &host);
    pg->lost = false;
    pg->conn = PQconnectStartParams(host.keys, host.values, 0);
    if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD)
        return -1;
    (void)PQsetNoticeReceiver(pg->conn, take_notice, pg);
    return connect_poll(pg, vg_pg_hosts_timeout_ms(hosts));
}

/* Each server once, beginning with the one that was good last. */
static int connect_any(struct vg_pg *pg, const struct vg_pg_hosts *hosts, size_t *host)
{
    size_t count = vg_pg_hosts_count(hosts);

    for (size_t i = 0; i < count; i++, *host = (*host + 1) % count) {
        *host %= count;
        if (connect_host(pg, hosts, *host) == 0)
            return 0;
        PQfinish(pg->conn);
        pg->conn = NULL;
        if (pg->give_up(pg->give_up_ctx))
            return -1;
    }
    return -1;
}

int vg_pg_open(struct vg_pg **out, struct vg_pg_target *target, const char *application,
               vg_pg_give_up_f *give_up, void *ctx, struct vg_err *err)
{
    struct vg_pg_hosts *hosts = NULL;

    if (vg_pg_hosts_new(&hosts, target->url, application, err) < 0)
        return -1;
    struct vg_pg *pg = vg_xalloc(sizeof(*pg));
    bool several = vg_pg_hosts_count(hosts) > 1;

    pg->give_up = give_up;
    pg->give_up_ctx = ctx;
    pg->pooled = target->pooled;
    int status = connect_any(pg, hosts, &target->host);

    (void)vg_pg_hosts_free(hosts);
    if (status < 0)
        (void)set_unavailable(err, several ? "No server of the database is there and takes writes."
                                           : "The database cannot be reached.");
    else
        status = prepare_session(pg, err);
    if (status < 0) {
        (void)vg_pg_close(pg);
        return -1;
    }
    end_stale(pg, target);
    *out = pg;
    return 0;
}

int vg_pg_backend_pid(const struct vg_pg *pg)
{
    return PQbackendPID(pg->conn);
}

struct vg_pg *vg_pg_close(struct vg_pg *pg)
{
    if (!pg)
        return NULL;
    vg_pg_clear(pg);
    PQfinish(pg->conn);
    free(pg);
    return NULL;
}

/* ---- runs */

static bool is_prepared(const struct vg_pg *pg, const struct vg_pg_statement *statement)
{
    for (size_t i = 0; i < pg->prepared_count; i++) {
        if (pg->prepared[i] == statement)
            return true;
    }
    for (size_t i = 0; i < pg->step_count; i++) { /* its Parse is on the way */
        if (pg->steps[i].prepare && pg->steps[i].statement == statement)
            return true;
    }
    return false;
}

static struct step *push(struct vg_pg *pg, const struct vg_pg_statement *statement, bool prepare)
{
    VG_ASSERT(pg->step_count < MAX_STEPS);
    struct step *step = &pg->steps[pg->step_count++];

    *step = (struct step){.statement = statement, .prepare = prepare};
    return step;
}

/* A plan that was made while a table was empty may read all of it later, and statistics come
 * minutes late. So plans are made anew after 8, 16, 32, ... runs of the connection, then every
 * 1,024 runs, and after five seconds. */
static void replan(struct vg_pg *pg)
{
    int64_t now = vg_now_ns();

    if (pg->replan_run == 0)
        pg->replan_run = 4;
    else if (++pg->runs < pg->replan_run && now < pg->replan_ns)
        return;
    else
        (void)vg_pg_add(pg, &replan_statement, NULL);
    pg->replan_run += pg->replan_run < REPLAN_RUNS ? pg->replan_run : REPLAN_RUNS;
    pg->replan_ns = now + REPLAN_MS * VG_NS_PER_MS;
}

static void start(struct vg_pg *pg, bool transaction)
{
    vg_pg_clear(pg);
    pg->transaction = transaction;
    pg->unconfirmed = false;
    pg->send_failed = !PQenterPipelineMode(pg->conn);
}

void vg_pg_begin(struct vg_pg *pg, bool transaction)
{
    start(pg, transaction);
    if (!pg->pooled)
        replan(pg);
    if (transaction)
        (void)vg_pg_add(pg, &begin_statement, NULL);
    if (pg->pooled)
        (void)vg_pg_add(pg, &local_statement, NULL);
}

void vg_pg_vouch(struct vg_pg *pg, bool on)
{
    pg->vouch = on;
}

size_t vg_pg_add(struct vg_pg *pg, const struct vg_pg_statement *statement,
                 const struct vg_pg_params *params)
{
    static const struct vg_pg_params none;
    const struct vg_pg_params *p = params ? params : &none;

    if (pg->pooled) {
        (void)push(pg, statement, false);
        if (!pg->send_failed && !PQsendQueryParams(pg->conn, statement->sql, p->count, NULL,
                                                   p->values, p->lengths, p->formats, 1))
            pg->send_failed = true;
        return pg->step_count - 1;
    }
    if (!is_prepared(pg, statement)) {
        (void)push(pg, statement, true);
        if (!pg->send_failed && !PQsendPrepare(pg->conn, statement->name, statement->sql, 0, NULL))
            pg->send_failed = true;
    }
    (void)push(pg, statement, false);
    if (!pg->send_failed && !PQsendQueryPrepared(pg->conn, statement->name, p->count, p->values,
                                                 p->lengths, p->formats, 1))
        pg->send_failed = true;
    return pg->step_count - 1;
}

static enum vg_pg_fault judge(const PGresult *failed, struct vg_err *err)
{
    const char *state = PQresultErrorField(failed, PG_DIAG_SQLSTATE);
    enum vg_err_kind kind = VG_ERR_UNAVAILABLE;
    enum vg_pg_fault fault = VG_PG_FAULT_LOST;

    if (state)
        fault = vg_pg_fault_of(state, &kind);
    /* The server's own text may quote the caller's data: the code has to do. */
    (void)vg_err_set(err, kind, "The database refused the operation (SQLSTATE %s).",
                     state ? state : "unknown");
    if (err && vg_err_info(kind)->retryable)
        err->retry_after_ms = 1000;
    return fault;
}

/* Reads one result per step, then the Sync. *out_failed is the first step that failed. */
static int collect(struct vg_pg *pg, int64_t deadline_ns, const PGresult **out_failed)
{
    PGresult *result = NULL;

    *out_failed = NULL;
    for (size_t i = 0; i < pg->step_count; i++) {
        struct step *step = &pg->steps[i];

        if (next_result(pg, deadline_ns, &step->result) < 0) {
            step->result = NULL;
            return -1;
        }
        ExecStatusType status = PQresultStatus(step->result);
        bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

        if (good && step->prepare && pg->prepared_count < MAX_PREPARED)
            pg->prepared[pg->prepared_count++] = step->statement;
        if (!good && !*out_failed)
            *out_failed = step->result;
        if (next_result(pg, deadline_ns, &result) < 0)
            return -1;
        VG_ASSERT(!result);
    }
    if (next_result(pg, deadline_ns, &result) < 0)
        return -1;
    bool synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;

    PQclear(result);
    pg->lost = pg->lost || !synced;
    return synced ? 0 : -1;
}

static int exchange(struct vg_pg *pg, const PGresult **out_failed)
{
    int64_t deadline = vg_deadline_in_ms(ANSWER_TIMEOUT_MS);

    if (pg->send_failed || !PQpipelineSync(pg->conn) || collect(pg, deadline, out_failed) < 0 ||
        !PQexitPipelineMode(pg->conn)) {
        pg->lost = true;
        return -1;
    }
    return 0;
}

int vg_pg_run(struct vg_pg *pg, enum vg_pg_fault *out_fault, struct vg_err *err)
{
    const PGresult *failed = NULL;

    if (pg->vouch)
        (void)vg_pg_add(pg, &vouch_statement, NULL);
    if (pg->transaction)
        (void)vg_pg_add(pg, &commit_statement, NULL);
    if (exchange(pg, &failed) < 0) {
        *out_fault = VG_PG_FAULT_LOST;
        return set_unavailable(err, "The database connection was lost.");
    }
    if (!failed) {
        /* A COMMIT of a transaction that failed before answers ROLLBACK: the pipeline has aborted
         * then, so this cannot happen; but a commit that was none must never count as one. */
        if (pg->transaction)
            VG_ASSERT(strcmp(PQcmdStatus(pg->steps[pg->step_count - 1].result), "COMMIT") == 0);
        if (!pg->unconfirmed)
            return 0;
        vg_pg_clear(pg);
        *out_fault = VG_PG_FAULT_LOST;
        return set_unavailable(err, "The database did not confirm a commit by its standby.");
    }
    *out_fault = judge(failed, err);
    bool open = PQtransactionStatus(pg->conn) != PQTRANS_IDLE;

    vg_pg_clear(pg);
    if (open && *out_fault != VG_PG_FAULT_LOST) {
        start(pg, false);
        (void)vg_pg_add(pg, &rollback_statement, NULL);
        if (exchange(pg, &failed) < 0 || failed)
            *out_fault = VG_PG_FAULT_RESET;
        vg_pg_clear(pg);
    }
    return -1;
}

const struct vg_pg_rows *vg_pg_rows(const struct vg_pg *pg, size_t handle)
{
    VG_ASSERT(handle < pg->step_count);
    return (const struct vg_pg_rows *)pg->steps[handle].result;
}

void vg_pg_clear(struct vg_pg *pg)
{
    for (size_t i = 0; i < pg->step_count; i++)
        PQclear(pg->steps[i].result);
    pg->step_count = 0;
}

/* ---- plain statements and notifications */

int vg_pg_exec(struct vg_pg *pg, const char *sql, struct vg_err *err)
{
    int64_t deadline = vg_deadline_in_ms(ANSWER_TIMEOUT_MS);
    PGresult *result = NULL;
    bool failed = false;

    if (!PQsendQuery(pg->conn, sql))
        return set_unavailable(err, "The database connection was lost.");
    for (;;) {
        if (next_result(pg, deadline, &result) < 0)
            return set_unavailable(err, "The database connection was lost.");
        if (!result)
            return failed ? -1 : 0;
        ExecStatusType status = PQresultStatus(result);

        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && !failed) {
            failed = true;
            (void)judge(result, err);
        }
        PQclear(result);
    }
}

int vg_pg_probe(struct vg_pg *pg, struct vg_err *err)
{
    bool writable = false;

    if (read_value(pg, writable_sql, take_off, &writable) < 0)
        return set_unavailable(err, "The database connection was lost.");
    return writable ? 0 : set_unavailable(err, "The database takes no writes.");
}

int vg_pg_fd(const struct vg_pg *pg)
{
    return PQsocket(pg->conn);
}

int vg_pg_notified(struct vg_pg *pg, bool *out_any, struct vg_err *err)
{
    PGnotify *notify = NULL;

    *out_any = false;
    if (!PQconsumeInput(pg->conn) || PQstatus(pg->conn) == CONNECTION_BAD)
        return set_unavailable(err, "The database connection was lost.");
    while ((notify = PQnotifies(pg->conn)) != NULL) {
        if (notify->be_pid != PQbackendPID(pg->conn))
            *out_any = true;
        PQfreemem(notify);
    }
    return 0;
}
