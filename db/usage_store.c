/* SPDX-License-Identifier: Apache-2.0 */
#include "db/usage_store.h"

#include "db/db_priv.h"

#define FIRST_DAY "(to_timestamp($1::int8) AT TIME ZONE 'UTC')::date"
#define LAST_DAY "(to_timestamp($2::int8 - 1) AT TIME ZONE 'UTC')::date"
#define REPORT_SQL(whose)                                                                          \
    "SELECT u.day::text, p.name, u.key_id, u.model, sum(u.videos)::int8, sum(u.completed)::int8,"  \
    " sum(u.seconds)::int8, sum(u.cost_micros)::int8"                                              \
    " FROM usage_days u JOIN projects p ON p.id = u.project_id"                                    \
    " WHERE u.day BETWEEN " FIRST_DAY " AND " LAST_DAY whose                                       \
    " GROUP BY u.day, p.name, u.key_id, u.model"                                                   \
    " ORDER BY u.day, p.name, u.key_id, u.model LIMIT 10001"
static const struct vg_pg_statement report_all_statement = {"vg_usage_all", REPORT_SQL("")};
static const struct vg_pg_statement report_name_statement = {"vg_usage_name",
                                                             REPORT_SQL(" AND p.name = $3::text")};
static const struct vg_pg_statement report_id_statement = {
    "vg_usage_id", REPORT_SQL(" AND u.project_id = $3::int8")};

static const struct vg_pg_field usage_fields[] = {
    VG_PG_FIELD(TEXT, vg_usage, day),    VG_PG_FIELD(TEXT, vg_usage, project),
    VG_PG_FIELD(TEXT, vg_usage, key_id), VG_PG_FIELD(TEXT, vg_usage, model),
    VG_PG_FIELD(I64, vg_usage, videos),  VG_PG_FIELD(I64, vg_usage, completed),
    VG_PG_FIELD(I64, vg_usage, seconds), VG_PG_FIELD(I64, vg_usage, cost_micros),
};

static int report_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_usage_report *op = VG_CONTAINER(ops[0], struct vg_usage_report, op);
    const struct vg_pg_statement *statement = &report_all_statement;
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->start_time);
    vg_pg_put_i64(&params, op->end_time);
    if (op->project) {
        vg_pg_put_text(&params, op->project);
        statement = &report_name_statement;
    } else if (op->project_id) {
        vg_pg_put_i64(&params, op->project_id);
        statement = &report_id_statement;
    }
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);
    size_t found = (size_t)vg_pg_count(rows);

    op->truncated = found > VG_USAGE_MAX_ROWS;
    op->count = op->truncated ? VG_USAGE_MAX_ROWS : found;
    op->rows = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->rows));
    for (size_t i = 0; i < op->count; i++)
        vg_pg_read(rows, (int)i, 0, usage_fields, VG_COUNT(usage_fields), op->op.arena,
                   &op->rows[i]);
    return 0;
}

static const struct vg_db_kind report_kind = {VG_DB_USAGE_REPORT, 1, report_run};

void vg_usage_report(struct vg_db *db, struct vg_usage_report *op)
{
    vg_db_submit(db, &op->op, &report_kind);
}
