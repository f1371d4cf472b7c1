/* SPDX-License-Identifier: Apache-2.0 */
#include "db/project_store.h"

#include "db/db_priv.h"

#define PROJECT_COLUMNS                                                                            \
    "p.name, p.created_at, p.archived_at, a.requests_per_minute, a.max_active, a.max_spend_micros"
#define PROJECT_TABLES "projects p LEFT JOIN accounts a ON a.project_id = p.id AND a.key_id = ''"
static const struct vg_pg_field project_fields[] = {
    VG_PG_FIELD(TEXT, vg_project, name),
    VG_PG_FIELD(TIME, vg_project, created_at),
    VG_PG_FIELD(TIME, vg_project, archived_at),
    VG_PG_FIELD(I32, vg_project, limits.requests_per_minute),
    VG_PG_FIELD(I32, vg_project, limits.max_active),
    VG_PG_FIELD(I64, vg_project, limits.max_spend_micros),
};

static void read_project(const struct vg_pg_rows *rows, int row, struct vg_arena *arena,
                         struct vg_project *out)
{
    vg_pg_read(rows, row, 0, project_fields, VG_COUNT(project_fields), arena, out);
}

static void put_name(struct vg_pg_params *params, struct vg_db_run *run, const char *name)
{
    vg_pg_params_init(params, run->scratch);
    vg_pg_put_text(params, name);
}

static void put_limits(struct vg_pg_params *params, const struct vg_limits *limits)
{
    vg_pg_put_i32(params, limits->requests_per_minute);
    vg_pg_put_i32(params, limits->max_active);
    vg_pg_put_i64(params, limits->max_spend_micros);
}

static const struct vg_pg_statement one_statement = {
    "vg_project_one", "SELECT " PROJECT_COLUMNS " FROM " PROJECT_TABLES " WHERE p.name = $1::text"};

/* ---- limits: what is under way is taken into the account with them */

static const struct vg_pg_statement absorb_lock_statement = {
    "vg_project_absorb_lock",
    "SELECT v.id FROM videos v WHERE v.id IN (SELECT g.video_id FROM projects p JOIN generations g"
    "  ON g.project_id = p.id WHERE p.name = $1::text AND (g.state = 1 OR g.state IN (2, 3, 4)))"
    " ORDER BY v.id FOR NO KEY UPDATE"};
/* Doing it twice is doing it once: `charged` says who is counted. */
static const struct vg_pg_statement limits_statement = {
    "vg_project_limits",
    "WITH absorbed AS (UPDATE videos v SET charged = v.charged | 2"
    "  WHERE v.status < 3 AND v.charged & 2 = 0 AND v.id IN (SELECT g.video_id FROM projects p"
    "   JOIN generations g ON g.project_id = p.id WHERE p.name = $1::text"
    "   AND (g.state = 1 OR g.state IN (2, 3, 4)))"
    "  RETURNING v.n * v.output_micros + v.input_micros AS reserved),"
    " spent AS (SELECT coalesce(sum(u.cost_micros), 0) AS micros FROM projects p"
    "  JOIN usage_days u ON u.project_id = p.id WHERE p.name = $1"
    "  AND u.day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date)"
    " INSERT INTO accounts AS a (project_id, key_id, requests_per_minute, max_active,"
    "  max_spend_micros, active, reserved_micros, spent_micros)"
    " SELECT p.id, '', nullif($2::int4, 0), nullif($3::int4, 0), nullif($4::int8, 0), s.active,"
    "  s.reserved, spent.micros FROM projects p, spent,"
    "  (SELECT count(*) AS active, coalesce(sum(reserved), 0) AS reserved FROM absorbed) s"
    " WHERE p.name = $1"
    " ON CONFLICT (project_id, key_id) DO UPDATE SET"
    "  requests_per_minute = excluded.requests_per_minute, max_active = excluded.max_active,"
    "  max_spend_micros = excluded.max_spend_micros, active = a.active + excluded.active,"
    "  reserved_micros = a.reserved_micros + excluded.reserved_micros"};

static void add_limits(struct vg_db_run *run, const char *name, const struct vg_limits *limits)
{
    struct vg_pg_params key, params;

    put_name(&key, run, name);
    put_name(&params, run, name);
    put_limits(&params, limits);
    (void)vg_pg_add(run->pg, &absorb_lock_statement, &key);
    (void)vg_pg_add(run->pg, &limits_statement, &params);
}

/* ---- create */

/* The operation's token tells its own second run from another's project. */
static const struct vg_pg_statement create_statement = {
    "vg_project_create", "INSERT INTO projects (name, token) VALUES ($1::text, $2::int8)"
                         " ON CONFLICT (name) DO NOTHING"};
static const struct vg_pg_statement created_statement = {
    "vg_project_created", "SELECT " PROJECT_COLUMNS " FROM " PROJECT_TABLES
                          " WHERE p.name = $1::text AND p.token = $2::int8"};
static const struct vg_pg_statement first_limits_statement = {
    "vg_project_first_limits",
    "INSERT INTO accounts (project_id, key_id, requests_per_minute, max_active, max_spend_micros)"
    " SELECT p.id, '', nullif($3::int4, 0), nullif($4::int4, 0), nullif($5::int8, 0)"
    " FROM projects p WHERE p.name = $1::text AND p.token = $2::int8"
    "  AND ($3 > 0 OR $4 > 0 OR $5 > 0) ON CONFLICT DO NOTHING"};

static int create_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_project_create *op = VG_CONTAINER(ops[0], struct vg_project_create, op);
    struct vg_pg_params key, limits;

    VG_ASSERT(count == 1);
    put_name(&key, run, op->name);
    vg_pg_put_i64(&key, op->op.token);
    put_name(&limits, run, op->name);
    vg_pg_put_i64(&limits, op->op.token);
    put_limits(&limits, &op->limits);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &create_statement, &key);
    (void)vg_pg_add(run->pg, &first_limits_statement, &limits);
    size_t handle = vg_pg_add(run->pg, &created_statement, &key);

    if (vg_db_pg_run(run) < 0)
        return -1;
    if (vg_pg_count(vg_pg_rows(run->pg, handle)) == 0)
        vg_db_op_fail(ops[0], VG_ERR_ALREADY_EXISTS, "There is a project of this name.");
    else
        read_project(vg_pg_rows(run->pg, handle), 0, op->op.arena, &op->project);
    return 0;
}

static const struct vg_db_kind create_kind = {VG_DB_PROJECT_CREATE, 1, create_run};

void vg_project_create(struct vg_db *db, struct vg_project_create *op)
{
    vg_db_submit(db, &op->op, &create_kind);
}

/* ---- list */

static const struct vg_pg_statement list_statement = {
    "vg_project_list",
    "SELECT " PROJECT_COLUMNS " FROM " PROJECT_TABLES " ORDER BY p.name LIMIT 1000"};

static int list_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_project_list *op = VG_CONTAINER(ops[0], struct vg_project_list, op);

    VG_ASSERT(count == 1);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &list_statement, NULL);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->count = (size_t)vg_pg_count(rows);
    op->projects = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->projects));
    for (size_t i = 0; i < op->count; i++)
        read_project(rows, (int)i, op->op.arena, &op->projects[i]);
    return 0;
}

static const struct vg_db_kind list_kind = {VG_DB_PROJECT_LIST, 1, list_run};

void vg_project_list(struct vg_db *db, struct vg_project_list *op)
{
    vg_db_submit(db, &op->op, &list_kind);
}

/* ---- update */

static const struct vg_pg_statement archive_statement = {
    "vg_project_archive",
    "UPDATE projects SET archived_at = CASE WHEN $2::int4 = 1 THEN coalesce(archived_at, now()) END"
    " WHERE name = $1::text AND (archived_at IS NOT NULL) <> ($2 = 1)"};

static int update_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_project_update *op = VG_CONTAINER(ops[0], struct vg_project_update, op);
    struct vg_pg_params one, archive;

    VG_ASSERT(count == 1);
    put_name(&one, run, op->name);
    put_name(&archive, run, op->name);
    vg_pg_put_i32(&archive, op->archived);
    vg_pg_begin(run->pg, true);
    if (op->set_limits)
        add_limits(run, op->name, &op->limits);
    if (op->archived >= 0)
        (void)vg_pg_add(run->pg, &archive_statement, &archive);
    size_t handle = vg_pg_add(run->pg, &one_statement, &one);

    if (vg_db_pg_run(run) < 0)
        return -1;
    if (vg_pg_count(vg_pg_rows(run->pg, handle)) == 0)
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such project.");
    else
        read_project(vg_pg_rows(run->pg, handle), 0, op->op.arena, &op->project);
    return 0;
}

static const struct vg_db_kind update_kind = {VG_DB_PROJECT_UPDATE, 1, update_run};

void vg_project_update(struct vg_db *db, struct vg_project_update *op)
{
    vg_db_submit(db, &op->op, &update_kind);
}
