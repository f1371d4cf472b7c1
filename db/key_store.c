/* SPDX-License-Identifier: Apache-2.0 */
#include "db/key_store.h"

#include "db/db_priv.h"

#define KEY_COLUMNS                                                                                \
    "k.id, p.name, k.name, k.hint, k.created_at, k.revoked_at, k.expires_at, k.scopes,"            \
    " a.requests_per_minute, a.max_active, a.max_spend_micros, u.last_used_at,"                    \
    " k.pepper IS NULL"
#define KEY_TABLES                                                                                 \
    "api_keys k JOIN projects p ON p.id = k.project_id"                                            \
    " LEFT JOIN accounts a ON a.project_id = k.project_id AND a.key_id = k.id"                     \
    " LEFT JOIN key_uses u ON u.key_id = k.id"
static const struct vg_pg_field key_fields[] = {
    VG_PG_FIELD(TEXT, vg_key, id),
    VG_PG_FIELD(TEXT, vg_key, project),
    VG_PG_FIELD(TEXT, vg_key, name),
    VG_PG_FIELD(TEXT, vg_key, hint),
    VG_PG_FIELD(TIME, vg_key, created_at),
    VG_PG_FIELD(TIME, vg_key, revoked_at),
    VG_PG_FIELD(TIME, vg_key, expires_at),
    VG_PG_FIELD(TEXT, vg_key, scopes),
    VG_PG_FIELD(I32, vg_key, limits.requests_per_minute),
    VG_PG_FIELD(I32, vg_key, limits.max_active),
    VG_PG_FIELD(I64, vg_key, limits.max_spend_micros),
    VG_PG_FIELD(TIME, vg_key, last_used_at),
    VG_PG_FIELD(BOOL, vg_key, old),
};

static void read_key(const struct vg_pg_rows *rows, int row, struct vg_arena *arena,
                     struct vg_key *out)
{
    vg_pg_read(rows, row, 0, key_fields, VG_COUNT(key_fields), arena, out);
}

/* ---- lookup */

static const struct vg_pg_statement lookup_statement = {
    "vg_key_lookup",
    "SELECT i.ord, k.project_id, k.id, k.scopes, p.archived_at IS NOT NULL,"
    "  num_nonnulls(a.max_active, a.max_spend_micros, b.max_active, b.max_spend_micros) > 0,"
    "  a.requests_per_minute, b.requests_per_minute, coalesce(k.pepper, 0), k.hash"
    " FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS i(hash, id, ord)"
    " JOIN LATERAL (SELECT * FROM api_keys x WHERE x.hash = i.hash AND x.pepper IS NULL"
    "  UNION ALL SELECT * FROM api_keys y WHERE y.id = i.id AND y.pepper IS NOT NULL) k ON true"
    " JOIN projects p ON p.id = k.project_id"
    " LEFT JOIN accounts a ON a.project_id = k.project_id AND a.key_id = k.id"
    " LEFT JOIN accounts b ON b.project_id = k.project_id AND b.key_id = ''"
    " WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())"};
static const struct vg_pg_field lookup_fields[] = {VG_PG_FIELD(HASH, vg_key_lookup, hash),
                                                   VG_PG_FIELD(TEXT, vg_key_lookup, id)};
static const struct vg_pg_field found_fields[] = {
    VG_PG_FIELD(I64, vg_key_lookup, project_id),  VG_PG_FIELD(TEXT, vg_key_lookup, key_id),
    VG_PG_FIELD(TEXT, vg_key_lookup, scopes),     VG_PG_FIELD(BOOL, vg_key_lookup, archived),
    VG_PG_FIELD(BOOL, vg_key_lookup, limited),    VG_PG_FIELD(I32, vg_key_lookup, key_rpm),
    VG_PG_FIELD(I32, vg_key_lookup, project_rpm), VG_PG_FIELD(I32, vg_key_lookup, pepper),
    VG_PG_FIELD(HASH, vg_key_lookup, stored),
};

static int lookup_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    const struct vg_pg_rows *rows = vg_db_pg_ops(run, false, &lookup_statement, lookup_fields,
                                                 VG_COUNT(lookup_fields), ops, count);

    if (!rows)
        return -1;
    for (size_t i = 0; i < count; i++)
        VG_CONTAINER(ops[i], struct vg_key_lookup, op)->found = false;
    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct vg_key_lookup *op =
            VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_key_lookup, op);

        op->found = true;
        vg_pg_read(rows, i, 1, found_fields, VG_COUNT(found_fields), op->op.arena, op);
    }
    return 0;
}

static const struct vg_db_kind lookup_kind = {VG_DB_KEY_LOOKUP, VG_DB_MAX_BATCH, lookup_run};

void vg_key_lookup(struct vg_db *db, struct vg_key_lookup *op)
{
    vg_db_submit(db, &op->op, &lookup_kind);
}

/* ---- create */

static const struct vg_pg_statement project_statement = {
    "vg_key_project",
    "INSERT INTO projects (name) SELECT $1::text"
    " WHERE NOT EXISTS (SELECT FROM projects WHERE name = $1) ON CONFLICT (name) DO NOTHING"};
static const struct vg_pg_statement insert_statement = {
    "vg_key_insert",
    "INSERT INTO api_keys (id, project_id, name, hint, expires_at, scopes, pepper, hash)"
    " SELECT $2::text, p.id, $3::text, $4::text,"
    "  to_timestamp(nullif($5::int8, 0)), $6::text, nullif($7::int4, 0),"
    "  ($8::bytea[])[1]"
    " FROM projects p WHERE p.name = $1::text ON CONFLICT (id) DO NOTHING"};
static const struct vg_pg_statement limits_statement = {
    "vg_key_limits",
    "INSERT INTO accounts (project_id, key_id, requests_per_minute, max_active, max_spend_micros)"
    " SELECT k.project_id, k.id, nullif($2::int4, 0), nullif($3::int4, 0), nullif($4::int8, 0)"
    " FROM api_keys k WHERE k.id = $1::text AND ($2 > 0 OR $3 > 0 OR $4 > 0)"
    " ON CONFLICT DO NOTHING"};
static const struct vg_pg_statement one_statement = {
    "vg_key_one", "SELECT " KEY_COLUMNS " FROM " KEY_TABLES " WHERE k.id = $1::text"};
static const struct vg_pg_field create_hash[] = {VG_PG_FIELD(HASH, vg_key_create, hash)};

static int create_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_key_create *op = VG_CONTAINER(ops[0], struct vg_key_create, op);
    struct vg_pg_params project, insert, limits, one;

    vg_pg_params_init(&project, run->scratch);
    vg_pg_put_text(&project, op->project);
    vg_pg_params_init(&insert, run->scratch);
    vg_pg_put_text(&insert, op->project);
    vg_pg_put_text(&insert, op->id);
    vg_pg_put_text(&insert, op->name);
    vg_pg_put_text(&insert, op->hint);
    vg_pg_put_i64(&insert, op->expires_at);
    vg_pg_put_text(&insert, op->scopes ? op->scopes : "");
    vg_pg_put_i32(&insert, op->pepper);
    vg_pg_put_ops(&insert, create_hash, VG_COUNT(create_hash), ops, count);
    vg_pg_params_init(&limits, run->scratch);
    vg_pg_put_text(&limits, op->id);
    vg_pg_put_i32(&limits, op->limits.requests_per_minute);
    vg_pg_put_i32(&limits, op->limits.max_active);
    vg_pg_put_i64(&limits, op->limits.max_spend_micros);
    vg_pg_params_init(&one, run->scratch);
    vg_pg_put_text(&one, op->id);

    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &project_statement, &project);
    (void)vg_pg_add(run->pg, &insert_statement, &insert);
    (void)vg_pg_add(run->pg, &limits_statement, &limits);
    size_t handle = vg_pg_add(run->pg, &one_statement, &one);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    if (vg_pg_count(rows) == 0)
        vg_db_op_fail(ops[0], VG_ERR_INTERNAL, "The key was not recorded.");
    else
        read_key(rows, 0, op->op.arena, &op->key);
    return 0;
}

static const struct vg_db_kind create_kind = {VG_DB_KEY_CREATE, 1, create_run};

void vg_key_create(struct vg_db *db, struct vg_key_create *op)
{
    vg_db_submit(db, &op->op, &create_kind);
}

/* ---- list */

static const struct vg_pg_statement list_statement = {
    "vg_key_list",
    "SELECT " KEY_COLUMNS " FROM " KEY_TABLES
    " WHERE p.name = coalesce($1::text, p.name) ORDER BY k.created_at DESC, k.id DESC LIMIT 1000"};

static int list_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_key_list *op = VG_CONTAINER(ops[0], struct vg_key_list, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->project);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &list_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->count = (size_t)vg_pg_count(rows);
    op->keys = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->keys));
    for (size_t i = 0; i < op->count; i++)
        read_key(rows, (int)i, op->op.arena, &op->keys[i]);
    return 0;
}

static const struct vg_db_kind list_kind = {VG_DB_KEY_LIST, 1, list_run};

void vg_key_list(struct vg_db *db, struct vg_key_list *op)
{
    vg_db_submit(db, &op->op, &list_kind);
}

/* ---- revoke */

static const struct vg_pg_statement revoke_statement = {
    "vg_key_revoke",
    "UPDATE api_keys SET revoked_at = now() WHERE id = $1::text AND revoked_at IS NULL"};

static int revoke_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_key_revoke *op = VG_CONTAINER(ops[0], struct vg_key_revoke, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->id);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &revoke_statement, &params);
    size_t handle = vg_pg_add(run->pg, &one_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    if (vg_pg_count(rows) == 0)
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such key.");
    else
        read_key(rows, 0, op->op.arena, &op->key);
    return 0;
}

static const struct vg_db_kind revoke_kind = {VG_DB_KEY_REVOKE, 1, revoke_run};

void vg_key_revoke(struct vg_db *db, struct vg_key_revoke *op)
{
    vg_db_submit(db, &op->op, &revoke_kind);
}
