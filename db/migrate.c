/* SPDX-License-Identifier: Apache-2.0 */
#include "db/migrate.h"

#include <stdio.h>

#include <libpq-fe.h>

#include "common/mem.h"
#include "db/db.h"

/* One migrator at a time; released with the session. */
static const char lock_sql[] = "SET client_min_messages = 'warning'; SET lock_timeout = '60s';"
                               "SELECT pg_advisory_lock(7598807760196301)";
static const char table_sql[] = "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                "version integer PRIMARY KEY, name text NOT NULL,"
                                "applied_at timestamptz NOT NULL DEFAULT now())";
static const char version_sql[] =
    "SELECT count(*)::text FROM schema_migrations WHERE version = $1::int4";
static const char record_sql[] =
    "INSERT INTO schema_migrations (version, name) VALUES ($1::int4, $2)";

int vg_schema_version(void)
{
    size_t count = 0;
    const struct vg_migration *migrations = vg_migrations(&count);

    return count > 0 ? migrations[count - 1].version : 0;
}

static int run_sql(PGconn *conn, const char *sql, struct vg_err *err)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    /* The server's text speaks of our own SQL here, never of a caller's data. */
    if (!good)
        (void)vg_err_set(err, VG_ERR_INTERNAL, "Migration failed: %s", PQerrorMessage(conn));
    PQclear(result);
    return good ? 0 : -1;
}

static int run_params(PGconn *conn, const char *sql, int count, const char *const *values,
                      bool *out_positive, struct vg_err *err)
{
    PGresult *result = PQexecParams(conn, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    if (!good)
        (void)vg_err_set(err, VG_ERR_INTERNAL, "Migration failed: %s", PQerrorMessage(conn));
    else if (out_positive)
        *out_positive = PQntuples(result) > 0 && PQgetvalue(result, 0, 0)[0] != '0';
    PQclear(result);
    return good ? 0 : -1;
}

static int apply(PGconn *conn, const struct vg_migration *migration, bool *out_applied,
                 struct vg_err *err)
{
    char version[16];
    const char *values[] = {version, migration->name};
    bool known = false;

    (void)snprintf(version, sizeof(version), "%d", migration->version);
    *out_applied = false;
    if (run_params(conn, version_sql, 1, values, &known, err) < 0)
        return -1;
    if (known)
        return 0;
    if (run_sql(conn, "BEGIN", err) < 0 || run_sql(conn, migration->sql, err) < 0 ||
        run_params(conn, record_sql, 2, values, NULL, err) < 0 || run_sql(conn, "COMMIT", err) < 0)
        return -1;
    *out_applied = true;
    return 0;
}

static int apply_all(PGconn *conn, void (*say)(void *ctx, const char *line), void *ctx,
                     struct vg_err *err)
{
    size_t count = 0;
    const struct vg_migration *migrations = vg_migrations(&count);

    for (size_t i = 0; i < count; i++) {
        bool applied = false;

        if (apply(conn, &migrations[i], &applied, err) < 0)
            return -1;
        if (applied && say)
            say(ctx, migrations[i].name);
    }
    return 0;
}

int vg_db_migrate(const char *url, void (*say)(void *ctx, const char *line), void *ctx,
                  struct vg_err *err)
{
    const char *const keys[] = {"fallback_application_name", "dbname", NULL};
    const char *const values[] = {"videogate-migrate", url, NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    int status = -1;

    if (PQstatus(conn) != CONNECTION_OK)
        (void)vg_err_set(err, VG_ERR_UNAVAILABLE, "The database cannot be reached: %s",
                         PQerrorMessage(conn));
    else if (run_sql(conn, lock_sql, err) == 0 && run_sql(conn, table_sql, err) == 0)
        status = apply_all(conn, say, ctx, err);
    PQfinish(conn);
    return status;
}
