/* SPDX-License-Identifier: Apache-2.0 */
/* Locks: an endpoint before its deliveries here, a delivery before its endpoint where an attempt
 * disables one (delivery_result_store.c); so nothing here waits for a delivery: locked ones are
 * skipped, and the next claim of one sees what became of its endpoint. */
#include "db/webhook_store.h"

#include "common/str.h"
#include "db/db_priv.h"
#include "db/delivery_sql.h"

#define ENDPOINT_COLUMNS                                                                           \
    "e.id, p.name, e.name, e.url, array_to_string(e.event_types, ','),"                            \
    " (SELECT s.hint FROM webhook_secrets s WHERE s.endpoint_id = e.id AND s.ends_at IS NULL"      \
    "  ORDER BY s.id DESC LIMIT 1), (SELECT s.public_key FROM webhook_secrets s"                   \
    "  WHERE s.endpoint_id = e.id AND s.ends_at IS NULL ORDER BY s.id DESC LIMIT 1), "             \
    "e.created_at,"                                                                                \
    " e.updated_at, e.disabled_at, CASE WHEN e.disabled_at IS NOT NULL"                            \
    "  THEN coalesce(e.disabled_reason, 'gone') END, e.failing_since"
#define FROM_ENDPOINTS " FROM webhook_endpoints e JOIN projects p ON p.id = e.project_id"
/* $1 id, $2 project or 0 */
#define VISIBLE "e.id = $1::text AND e.deleted_at IS NULL AND ($2::int8 = 0 OR e.project_id = $2)"

static const struct vg_pg_field endpoint_fields[] = {
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, id),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, project),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, name),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, url),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, event_types),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, hint),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, public_key),
    VG_PG_FIELD(TIME, vg_webhook_endpoint, created_at),
    VG_PG_FIELD(TIME, vg_webhook_endpoint, updated_at),
    VG_PG_FIELD(TIME, vg_webhook_endpoint, disabled_at),
    VG_PG_FIELD(TEXT, vg_webhook_endpoint, disabled_reason),
    VG_PG_FIELD(TIME, vg_webhook_endpoint, failing_since),
};
static const struct vg_pg_statement one_statement = {
    "vg_webhook_one", "SELECT " ENDPOINT_COLUMNS FROM_ENDPOINTS " WHERE " VISIBLE};

static void put_scope(struct vg_pg_params *params, struct vg_db_run *run, const char *id,
                      int64_t project_id)
{
    vg_pg_params_init(params, run->scratch);
    vg_pg_put_text(params, id);
    vg_pg_put_i64(params, project_id);
}

/* The one row, or the operation fails. */
static bool read_one(const struct vg_pg_rows *rows, struct vg_db_op *op,
                     struct vg_webhook_endpoint *out)
{
    if (vg_pg_count(rows) == 0) {
        vg_db_op_fail(op, VG_ERR_NOT_FOUND, "No such webhook endpoint.");
        return false;
    }
    vg_pg_read(rows, 0, 0, endpoint_fields, VG_COUNT(endpoint_fields), op->arena, out);
    return true;
}

/* ---- create */

/* The project by id, or by name where that is 0. */
#define PROJECT(id, name)                                                                          \
    "CASE WHEN " id " <> 0 THEN " id " ELSE (SELECT x.id FROM projects x WHERE x.name = " name     \
    ") END"
static const struct vg_pg_statement room_statement = {
    "vg_webhook_room", "SELECT p.id, (SELECT count(*) FROM webhook_endpoints e"
                       "  WHERE e.project_id = p.id AND e.deleted_at IS NULL) < $3::int4"
                       " FROM projects p WHERE p.id = " PROJECT("$1::int8", "$2::text")};
static const struct vg_pg_statement insert_statement = {
    "vg_webhook_insert",
    "INSERT INTO webhook_endpoints (id, project_id, name, url, event_types)"
    " SELECT $4::text, p.id, $5::text, $6::text, string_to_array($7::text, ',') FROM projects p"
    " WHERE p.id = " PROJECT("$1::int8",
                             "$2::text") " AND (SELECT count(*)"
                                         "  FROM webhook_endpoints e WHERE e.project_id = p.id AND "
                                         "e.deleted_at IS NULL) < $3::int4"
                                         " ON CONFLICT (id) DO NOTHING"};
static const struct vg_pg_statement secret_statement = {
    "vg_webhook_secret", "INSERT INTO webhook_secrets (endpoint_id, id, sealed, hint, public_key)"
                         " SELECT e.id, $3::text, ($6::bytea[])[1], $4::text, $5::text"
                         " FROM webhook_endpoints e WHERE " VISIBLE " ON CONFLICT DO NOTHING"};
static const struct vg_pg_field create_sealed[] = {
    VG_PG_FIELD_BYTES(vg_webhook_create, secret.sealed, secret.sealed_size)};
static const struct vg_pg_field rotate_sealed[] = {
    VG_PG_FIELD_BYTES(vg_webhook_rotate, secret.sealed, secret.sealed_size)};

static void put_project(struct vg_pg_params *params, struct vg_db_run *run,
                        const struct vg_webhook_create *op)
{
    vg_pg_params_init(params, run->scratch);
    vg_pg_put_i64(params, op->project_id);
    vg_pg_put_text(params, op->project);
    vg_pg_put_i32(params, VG_WEBHOOK_MAX_ENDPOINTS);
}

static void put_secret(struct vg_pg_params *params, const struct vg_webhook_secret *secret)
{
    vg_pg_put_text(params, secret->id);
    vg_pg_put_text(params, secret->hint);
    vg_pg_put_text(params, secret->public_key);
}

static int create_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_create *op = VG_CONTAINER(ops[0], struct vg_webhook_create, op);
    struct vg_pg_params room, insert, secret, one;

    put_project(&room, run, op);
    put_project(&insert, run, op);
    vg_pg_put_text(&insert, op->id);
    vg_pg_put_text(&insert, op->name);
    vg_pg_put_text(&insert, op->url);
    vg_pg_put_text(&insert, op->event_types);
    put_scope(&secret, run, op->id, 0);
    put_secret(&secret, &op->secret);
    vg_pg_put_ops(&secret, create_sealed, VG_COUNT(create_sealed), ops, count);
    put_scope(&one, run, op->id, 0);
    vg_pg_begin(run->pg, true);
    size_t space = vg_pg_add(run->pg, &room_statement, &room);
    (void)vg_pg_add(run->pg, &insert_statement, &insert);
    (void)vg_pg_add(run->pg, &secret_statement, &secret);
    size_t handle = vg_pg_add(run->pg, &one_statement, &one);

    if (vg_db_pg_run(run) < 0)
        return -1;
    if (vg_pg_count(vg_pg_rows(run->pg, handle)) > 0)
        (void)read_one(vg_pg_rows(run->pg, handle), ops[0], &op->endpoint);
    else if (vg_pg_count(vg_pg_rows(run->pg, space)) == 0)
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such project.");
    else
        vg_db_op_fail(ops[0], VG_ERR_INVALID_REQUEST,
                      "The project has %d webhook endpoints already; delete one first.",
                      VG_WEBHOOK_MAX_ENDPOINTS);
    return 0;
}

static const struct vg_db_kind create_kind = {VG_DB_WEBHOOK_CREATE, 1, create_run};

void vg_webhook_create(struct vg_db *db, struct vg_webhook_create *op)
{
    vg_db_submit(db, &op->op, &create_kind);
}

/* ---- get */

static const struct vg_pg_statement sealed_statement = {
    "vg_webhook_sealed", "SELECT s.sealed FROM webhook_secrets s WHERE s.endpoint_id = $1::text"
                         " AND (s.ends_at IS NULL OR s.ends_at > now())"
                         " ORDER BY s.ends_at DESC NULLS FIRST, s.id DESC LIMIT $2::int4"};

struct sealed_row {
    const void *data;
    size_t size;
};
static const struct vg_pg_field sealed_fields[] = {VG_PG_FIELD_BYTES(sealed_row, data, size)};

static int get_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_get *op = VG_CONTAINER(ops[0], struct vg_webhook_get, op);
    struct vg_pg_params one, sealed;

    VG_ASSERT(count == 1);
    put_scope(&one, run, op->id, op->project_id);
    vg_pg_params_init(&sealed, run->scratch);
    vg_pg_put_text(&sealed, op->id);
    vg_pg_put_i32(&sealed, (int32_t)VG_COUNT(op->sealed));
    vg_pg_begin(run->pg, false);
    size_t endpoint = vg_pg_add(run->pg, &one_statement, &one);
    size_t secrets = vg_pg_add(run->pg, &sealed_statement, &sealed);

    if (vg_db_pg_run(run) < 0)
        return -1;
    op->sealed_count = 0;
    if (!read_one(vg_pg_rows(run->pg, endpoint), ops[0], &op->endpoint))
        return 0;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, secrets);

    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct sealed_row row;

        vg_pg_read(rows, i, 0, sealed_fields, VG_COUNT(sealed_fields), op->op.arena, &row);
        op->sealed[op->sealed_count++] = (struct vg_view){row.data, row.size};
    }
    return 0;
}

static const struct vg_db_kind get_kind = {VG_DB_WEBHOOK_GET, 1, get_run};

void vg_webhook_get(struct vg_db *db, struct vg_webhook_get *op)
{
    vg_db_submit(db, &op->op, &get_kind);
}

/* ---- list */

/* The longest id sorts before "~". */
#define PAGE " AND e.id < coalesce($1::text, '~') ORDER BY e.id DESC LIMIT $2::int4"
static const struct vg_pg_statement list_all_statement = {"vg_webhook_list_all",
                                                          "SELECT " ENDPOINT_COLUMNS FROM_ENDPOINTS
                                                          " WHERE e.deleted_at IS NULL" PAGE};
static const struct vg_pg_statement list_statement = {
    "vg_webhook_list",
    "SELECT " ENDPOINT_COLUMNS FROM_ENDPOINTS
    " WHERE e.deleted_at IS NULL AND e.project_id = " PROJECT("$3::int8", "$4::text") PAGE};

static int list_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_list *op = VG_CONTAINER(ops[0], struct vg_webhook_list, op);
    bool all = op->project_id == 0 && !op->project;
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->after);
    vg_pg_put_i32(&params, op->limit + 1);
    if (!all) {
        vg_pg_put_i64(&params, op->project_id);
        vg_pg_put_text(&params, op->project);
    }
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, all ? &list_all_statement : &list_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->count = (size_t)vg_pg_count(rows);
    op->has_more = op->count > (size_t)op->limit;
    if (op->has_more)
        op->count = (size_t)op->limit;
    op->endpoints = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->endpoints));
    for (size_t i = 0; i < op->count; i++)
        vg_pg_read(rows, (int)i, 0, endpoint_fields, VG_COUNT(endpoint_fields), op->op.arena,
                   &op->endpoints[i]);
    return 0;
}

static const struct vg_db_kind list_kind = {VG_DB_WEBHOOK_LIST, 1, list_run};

void vg_webhook_list(struct vg_db *db, struct vg_webhook_list *op)
{
    vg_db_submit(db, &op->op, &list_kind);
}

/* ---- update */

static const struct vg_pg_statement update_statement = {
    "vg_webhook_update",
    "UPDATE webhook_endpoints e SET name = coalesce($3::text, e.name), disabled_at = NULL,"
    "  disabled_reason = NULL, failing_since = NULL, failed_at = NULL,"
    "  url = coalesce($4::text, e.url),"
    "  event_types = coalesce(string_to_array($5::text, ','), e.event_types),"
    "  updated_at = CASE WHEN e.disabled_at IS NULL AND coalesce($3, e.name) = e.name"
    "   AND coalesce($4, e.url) = e.url"
    "   AND coalesce(string_to_array($5, ','), e.event_types) = e.event_types"
    "   THEN e.updated_at ELSE now() END WHERE " VISIBLE};
/* Which address is used is read when a delivery is claimed; this keeps the cap by host true. */
static const struct vg_pg_statement move_statement = {
    "vg_webhook_move",
    "UPDATE deliveries d SET url = l.url, host_id = " VG_DELIVERY_HOST(
        "l.url", "l.project_id") " FROM (SELECT x.id, e.url, e.project_id FROM webhook_endpoints e"
                                 "  JOIN deliveries x ON x.endpoint_id = e.id"
                                 "  WHERE " VISIBLE
                                 " AND x.endpoint_id = $1 AND x.state = 1 AND x.url <> e.url"
                                 "  LIMIT 10000 FOR UPDATE OF x SKIP LOCKED) l WHERE d.id = l.id"};

/* Its owner says that it works: it is tried at once. $3 the new address or NULL. Before the update:
 * results of attempts lock receivers before endpoints, too. */
static const struct vg_pg_statement release_statement = {
    "vg_webhook_release",
    "DELETE FROM receivers r USING webhook_endpoints e WHERE " VISIBLE
    " AND r.host_id IN (" VG_DELIVERY_HOST("e.url", "e.project_id") ", " VG_DELIVERY_HOST(
        "coalesce($3::text, e.url)", "e.project_id") ")"};

static int update_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_update *op = VG_CONTAINER(ops[0], struct vg_webhook_update, op);
    struct vg_pg_params release, update, scope;

    VG_ASSERT(count == 1);
    put_scope(&release, run, op->id, op->project_id);
    vg_pg_put_text(&release, op->url);
    put_scope(&update, run, op->id, op->project_id);
    vg_pg_put_text(&update, op->name);
    vg_pg_put_text(&update, op->url);
    vg_pg_put_text(&update, op->event_types);
    put_scope(&scope, run, op->id, op->project_id);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &release_statement, &release);
    (void)vg_pg_add(run->pg, &update_statement, &update);
    if (op->url)
        (void)vg_pg_add(run->pg, &move_statement, &scope);
    size_t handle = vg_pg_add(run->pg, &one_statement, &scope);

    if (vg_db_pg_run(run) < 0)
        return -1;
    (void)read_one(vg_pg_rows(run->pg, handle), ops[0], &op->endpoint);
    return 0;
}

static const struct vg_db_kind update_kind = {VG_DB_WEBHOOK_UPDATE, 1, update_run};

void vg_webhook_update(struct vg_db *db, struct vg_webhook_update *op)
{
    vg_db_submit(db, &op->op, &update_kind);
}

/* ---- delete */

static const struct vg_pg_statement delete_statement = {
    "vg_webhook_delete",
    "UPDATE webhook_endpoints e SET deleted_at = now() WHERE " VISIBLE " RETURNING e.id"};
#define DELETED                                                                                    \
    "e.id = $1::text AND e.deleted_at IS NOT NULL AND ($2::int8 = 0 OR e.project_id = $2)"
static const struct vg_pg_statement forget_statement = {
    "vg_webhook_forget", "DELETE FROM webhook_secrets s USING webhook_endpoints e WHERE " DELETED
                         " AND s.endpoint_id = e.id"};
static const struct vg_pg_statement drop_statement = {
    "vg_webhook_drop",
    "UPDATE deliveries d SET state = 4, ended_at = now(), leased = false,"
    "  lease_seq = d.lease_seq + 1, last_reason = 'endpoint_deleted'"
    " FROM (SELECT x.id FROM webhook_endpoints e JOIN deliveries x ON x.endpoint_id = e.id"
    "  WHERE " DELETED " AND x.endpoint_id = $1 AND x.state = 1"
    "  LIMIT 10000 FOR UPDATE OF x SKIP LOCKED) l WHERE d.id = l.id"};
static const struct vg_pg_statement deleted_statement = {
    "vg_webhook_deleted", "SELECT e.id FROM webhook_endpoints e WHERE " DELETED};

/* Found deleted is found by this operation only when it was sent before. */
static int delete_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_delete *op = VG_CONTAINER(ops[0], struct vg_webhook_delete, op);
    struct vg_pg_params scope;

    VG_ASSERT(count == 1);
    put_scope(&scope, run, op->id, op->project_id);
    vg_pg_begin(run->pg, true);
    size_t now = vg_pg_add(run->pg, &delete_statement, &scope);
    (void)vg_pg_add(run->pg, &forget_statement, &scope);
    (void)vg_pg_add(run->pg, &drop_statement, &scope);
    size_t before = vg_pg_add(run->pg, &deleted_statement, &scope);

    if (vg_db_pg_run(run) < 0)
        return -1;
    bool found = vg_pg_count(vg_pg_rows(run->pg, now)) > 0 ||
                 (run->again && vg_pg_count(vg_pg_rows(run->pg, before)) > 0);
    if (!found)
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such webhook endpoint.");
    return 0;
}

static const struct vg_db_kind delete_kind = {VG_DB_WEBHOOK_DELETE, 1, delete_run};

void vg_webhook_delete(struct vg_db *db, struct vg_webhook_delete *op)
{
    vg_db_submit(db, &op->op, &delete_kind);
}

/* ---- rotate */

static const struct vg_pg_statement touch_statement = {
    "vg_webhook_touch", "UPDATE webhook_endpoints e SET updated_at = now() WHERE " VISIBLE};
/* $3 the new secret's id, $4 seconds: a second run finds its secret and ends nothing. */
static const struct vg_pg_statement end_statement = {
    "vg_webhook_end",
    "UPDATE webhook_secrets s SET ends_at = least(s.ends_at, now() + $4::int4 * interval '1 s')"
    " FROM webhook_endpoints e WHERE " VISIBLE
    " AND s.endpoint_id = $1 AND (s.ends_at IS NULL OR $4::int4 = 0) AND NOT EXISTS (SELECT"
    "  FROM webhook_secrets y WHERE y.endpoint_id = $1 AND y.id = $3::text)"};
static const struct vg_pg_statement trim_statement = {
    "vg_webhook_trim", "DELETE FROM webhook_secrets s USING webhook_endpoints e WHERE " VISIBLE
                       " AND s.endpoint_id = $1 AND s.id <> $3::text AND (s.ends_at <= now()"
                       "  OR s.id IN (SELECT x.id FROM webhook_secrets x WHERE x.endpoint_id = $1"
                       "   AND x.ends_at > now() ORDER BY x.ends_at DESC, x.id DESC"
                       "   OFFSET $4::int4))"};

static void put_end(struct vg_pg_params *params, struct vg_db_run *run,
                    const struct vg_webhook_rotate *op, int32_t number)
{
    put_scope(params, run, op->id, op->project_id);
    vg_pg_put_text(params, op->secret.id);
    vg_pg_put_i32(params, number);
}

static int rotate_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_webhook_rotate *op = VG_CONTAINER(ops[0], struct vg_webhook_rotate, op);
    struct vg_pg_params scope, end, trim, secret;

    put_scope(&scope, run, op->id, op->project_id);
    put_end(&end, run, op, op->keep_s);
    put_end(&trim, run, op, VG_WEBHOOK_MAX_OLD_SECRETS);
    put_scope(&secret, run, op->id, op->project_id);
    put_secret(&secret, &op->secret);
    vg_pg_put_ops(&secret, rotate_sealed, VG_COUNT(rotate_sealed), ops, count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &touch_statement, &scope);
    (void)vg_pg_add(run->pg, &end_statement, &end);
    (void)vg_pg_add(run->pg, &trim_statement, &trim);
    (void)vg_pg_add(run->pg, &secret_statement, &secret);
    size_t handle = vg_pg_add(run->pg, &one_statement, &scope);

    if (vg_db_pg_run(run) < 0)
        return -1;
    (void)read_one(vg_pg_rows(run->pg, handle), ops[0], &op->endpoint);
    return 0;
}

static const struct vg_db_kind rotate_kind = {VG_DB_WEBHOOK_ROTATE, 1, rotate_run};

void vg_webhook_rotate(struct vg_db *db, struct vg_webhook_rotate *op)
{
    vg_db_submit(db, &op->op, &rotate_kind);
}
