/* SPDX-License-Identifier: Apache-2.0 */
#include "db/pg.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/clock.h"
#include "common/mem.h"
#include "db/migrate.h"
#include "db/pg_value.h"

enum {
    TICK_MS = 100, /* how often a wait asks give_up */
    CONNECT_TIMEOUT_MS = 5000,
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
static const char version_sql[] = "SELECT coalesce(max(version), 0) FROM schema_migrations";

static const struct vg_pg_statement begin_statement = {"vg_begin", "BEGIN"};
static const struct vg_pg_statement commit_statement = {"vg_commit", "COMMIT"};
static const struct vg_pg_statement replan_statement = {"vg_replan", "DISCARD PLANS"};
static const struct vg_pg_statement rollback_statement = {"vg_rollback", "ROLLBACK"};

/* Longest matching prefix wins: longer ones stand first. */
static const struct {
    const char *prefix;
    enum vg_pg_fault fault;
    enum vg_err_kind kind;
} sqlstates[] = {
    {"0A000", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* cached plan must not change result type */
    {"22021", VG_PG_FAULT_ROW, VG_ERR_INVALID_REQUEST}, /* bytes that are not UTF-8 */
    {"23505", VG_PG_FAULT_ROW, VG_ERR_CONFLICT},
    {"25006", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},  /* a standby: reconnect to the primary */
    {"26000", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* the prepared statement is gone */
    {"42P01", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* no table: the schema is missing */
    {"42P05", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE},
    {"53100", VG_PG_FAULT_AGAIN, VG_ERR_STORAGE_FULL},
    {"55P03", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE}, /* lock_timeout */
    {"57014", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE}, /* statement_timeout */
    {"57P", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},    /* shutdown, terminated, starting up */
    {"08", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
    {"25", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE},
    {"40", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
    {"53", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
    {"54", VG_PG_FAULT_ROW, VG_ERR_TOO_LARGE},
    {"58", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
};

enum vg_pg_fault vg_pg_fault_of(const char *sqlstate, enum vg_err_kind *out_kind)
{
    for (size_t i = 0; i < VG_COUNT(sqlstates); i++) {
        if (strncmp(sqlstate, sqlstates[i].prefix, strlen(sqlstates[i].prefix)) == 0) {
            *out_kind = sqlstates[i].kind;
            return sqlstates[i].fault;
        }
    }
    *out_kind = VG_ERR_INTERNAL;
    return VG_PG_FAULT_ROW;
}

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

/* Only edges log: what matters comes back as an error. */
static void drop_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static int connect_poll(struct vg_pg *pg)
{
    int64_t deadline = vg_deadline_in_ms(CONNECT_TIMEOUT_MS);
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

/* Reads one integer; 42P01 and anything else that fails reads as 0. */
static int read_version(struct vg_pg *pg, int *out_version)
{
    int64_t deadline = vg_deadline_in_ms(ANSWER_TIMEOUT_MS);
    PGresult *result = NULL;

    *out_version = 0;
    if (!PQsendQueryParams(pg->conn, version_sql, 0, NULL, NULL, NULL, NULL, 1))
        return -1;
    while (next_result(pg, deadline, &result) == 0) {
        if (!result)
            return 0;
        if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
            *out_version = (int)vg_pg_i64((const struct vg_pg_rows *)result, 0, 0);
        PQclear(result);
    }
    return -1;
}

static int prepare_session(struct vg_pg *pg, struct vg_err *err)
{
    int version = 0;

    if (PQsetnonblocking(pg->conn, 1) != 0 || vg_pg_exec(pg, session_sql, err) < 0 ||
        read_version(pg, &version) < 0)
        return set_unavailable(err, "The database connection failed.");
    if (version < vg_schema_version()) {
        (void)vg_err_set(err, VG_ERR_UNAVAILABLE,
                         "The database schema is version %d, this program needs %d: run "
                         "'videogatectl migrate'.",
                         version, vg_schema_version());
        return -1;
    }
    return 0;
}

int vg_pg_open(struct vg_pg **out, const char *url, const char *application,
               vg_pg_give_up_f *give_up, void *ctx, struct vg_err *err)
{
    /* The URL may overrule the first keys, never the last. */
    const char *const keys[] = {"fallback_application_name", "keepalives_idle", "tcp_user_timeout",
                                "dbname", NULL};
    const char *const values[] = {application, "10", "15000", url, NULL};
    struct vg_pg *pg = vg_xalloc(sizeof(*pg));

    pg->give_up = give_up;
    pg->give_up_ctx = ctx;
    pg->conn = PQconnectStartParams(keys, values, 1);
    (void)PQsetNoticeProcessor(pg->conn, drop_notice, NULL);
    if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD || connect_poll(pg) < 0) {
        (void)vg_pg_close(pg);
        return set_unavailable(err, "The database cannot be reached.");
    }
    if (prepare_session(pg, err) < 0) {
        (void)vg_pg_close(pg);
        return -1;
    }
    *out = pg;
    return 0;
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

void vg_pg_begin(struct vg_pg *pg, bool transaction)
{
    vg_pg_clear(pg);
    pg->transaction = transaction;
    pg->send_failed = !PQenterPipelineMode(pg->conn);
    replan(pg);
    if (transaction)
        (void)vg_pg_add(pg, &begin_statement, NULL);
}

size_t vg_pg_add(struct vg_pg *pg, const struct vg_pg_statement *statement,
                 const struct vg_pg_params *params)
{
    static const struct vg_pg_params none;
    const struct vg_pg_params *p = params ? params : &none;

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
        return 0;
    }
    *out_fault = judge(failed, err);
    bool open = PQtransactionStatus(pg->conn) != PQTRANS_IDLE;

    vg_pg_clear(pg);
    if (open && *out_fault != VG_PG_FAULT_LOST) {
        vg_pg_begin(pg, false);
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
