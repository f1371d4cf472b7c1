/* SPDX-License-Identifier: Apache-2.0 */
#include "db/migrate.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/id.h"
#include "common/mem.h"
#include "db/db.h"

/* A statement that waits for a table's lock stops everybody behind it: it waits a second at most,
 * lets the others pass, and comes again. */
enum { LOCK_TRIES = 120, PAUSE_MS = 500 };

/* One migrator at a time; released with the session. */
static const char begin_sql[] =
    "SET client_min_messages = 'warning'; SET statement_timeout = 0; SET lock_timeout = '60s';"
    "SELECT pg_advisory_lock(7598807760196301); SET lock_timeout = '1s'";
static const char table_sql[] = "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                "version integer PRIMARY KEY, name text NOT NULL,"
                                "applied_at timestamptz NOT NULL DEFAULT now())";
static const char version_sql[] =
    "SELECT count(*)::text FROM schema_migrations WHERE version = $1::int4";
static const char record_sql[] =
    "INSERT INTO schema_migrations (version, name) VALUES ($1::int4, $2)";
/* For CREATE INDEX CONCURRENTLY: its own waits stop nobody. */
static const char outside_mark[] = "\n-- Outside a transaction.\n";

struct migrator {
    PGconn *conn;
    void (*say)(void *ctx, const char *line); /* NULL: nobody listens */
    void *ctx;
    struct vg_err *err;
    bool again; /* the last failure was for a lock */
};

static int judge(struct migrator *self, PGresult *result, bool *out_positive)
{
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    /* The server's text speaks of our own SQL here, never of a caller's data. */
    if (!good)
        (void)vg_err_set(self->err, VG_ERR_INTERNAL, "Migration failed: %s",
                         PQerrorMessage(self->conn));
    self->again = !good && state && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0);
    if (good && out_positive)
        *out_positive = PQntuples(result) > 0 && PQgetvalue(result, 0, 0)[0] != '0';
    PQclear(result);
    return good ? 0 : -1;
}

static int run_sql(struct migrator *self, const char *sql)
{
    return judge(self, PQexec(self->conn, sql), NULL);
}

static int run_params(struct migrator *self, const char *sql, int count, const char *const *values,
                      bool *out_positive)
{
    return judge(self, PQexecParams(self->conn, sql, count, NULL, values, NULL, NULL, 0),
                 out_positive);
}

static void say(struct migrator *self, const struct vg_migration *migration, const char *what)
{
    char line[160];

    (void)snprintf(line, sizeof(line), "%s%s", migration->name, what);
    if (self->say)
        self->say(self->ctx, line);
}

/* Statement by statement, each ended by ";" at the end of a line. Repeating all of it does no harm:
 * such a migration says IF NOT EXISTS. */
static int run_outside(struct migrator *self, const char *sql)
{
    char *copy = vg_xstrdup(sql);
    int status = run_sql(self, "SET lock_timeout = 0");

    for (char *at = copy, *end; status == 0 && (end = strstr(at, ";\n")) != NULL; at = end + 2) {
        *end = '\0';
        status = run_sql(self, at);
    }
    free(copy);
    return status == 0 ? run_sql(self, "SET lock_timeout = '1s'") : -1;
}

static int apply_once(struct migrator *self, const struct vg_migration *migration,
                      const char *const *values)
{
    if (strstr(migration->sql, outside_mark))
        return run_outside(self, migration->sql) < 0
                   ? -1
                   : run_params(self, record_sql, 2, values, NULL);
    if (run_sql(self, "BEGIN") < 0 || run_sql(self, migration->sql) < 0 ||
        run_params(self, record_sql, 2, values, NULL) < 0)
        return -1;
    return run_sql(self, "COMMIT");
}

static int apply(struct migrator *self, const struct vg_migration *migration)
{
    char version[16];
    const char *values[] = {version, migration->name};
    uint16_t jitter = 0;
    bool known = false;

    (void)snprintf(version, sizeof(version), "%d", migration->version);
    if (run_params(self, version_sql, 1, values, &known) < 0)
        return -1;
    for (int i = 0; !known && apply_once(self, migration, values) < 0; i++) {
        if (!self->again || i >= LOCK_TRIES)
            return -1;
        if (PQtransactionStatus(self->conn) != PQTRANS_IDLE && run_sql(self, "ROLLBACK") < 0)
            return -1;
        say(self, migration, ": a table is locked, trying again");
        vg_random(&jitter, sizeof(jitter));
        (void)poll(NULL, 0, PAUSE_MS / 2 + jitter % PAUSE_MS);
    }
    if (!known)
        say(self, migration, "");
    return 0;
}

static int apply_all(struct migrator *self)
{
    size_t count = 0;
    const struct vg_migration *migrations = vg_migrations(&count);

    for (size_t i = 0; i < count; i++) {
        if (apply(self, &migrations[i]) < 0)
            return -1;
    }
    return 0;
}

int vg_db_migrate(const char *url, void (*say_line)(void *ctx, const char *line), void *ctx,
                  struct vg_err *err)
{
    const char *const keys[] = {"fallback_application_name", "connect_timeout",
                                "target_session_attrs", "dbname", NULL};
    const char *const values[] = {"videogate-migrate", "5", "read-write", url, NULL};
    struct migrator self = {
        .conn = PQconnectdbParams(keys, values, 1), .say = say_line, .ctx = ctx, .err = err};
    int status = -1;

    if (PQstatus(self.conn) != CONNECTION_OK)
        (void)vg_err_set(err, VG_ERR_UNAVAILABLE, "The database cannot be reached: %s",
                         PQerrorMessage(self.conn));
    else if (run_sql(&self, begin_sql) == 0 && run_sql(&self, table_sql) == 0)
        status = apply_all(&self);
    PQfinish(self.conn);
    return status;
}
