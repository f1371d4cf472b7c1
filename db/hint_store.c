/* SPDX-License-Identifier: Apache-2.0 */
#include "db/hint_store.h"

#include "db/db_priv.h"
#include "db/generation_sql.h"
#include "db/generation_tally.h"

#define HELD "g.lease_owner IS NOT NULL"
/* Whether one is the other, or its last path segment. */
#define SAME                                                                                       \
    "(i.upstream_id = g.upstream_id"                                                               \
    " OR right(g.upstream_id, length(i.upstream_id) + 1) = '/' || i.upstream_id"                   \
    " OR right(i.upstream_id, length(g.upstream_id) + 1) = '/' || g.upstream_id)"

/* A row that is due by then anyway is left alone, and not even locked: a flood of hints writes once
 * a second, and the claim, which skips locked rows, gets through. Those to be written are locked in
 * order, and what is written is computed from what they hold then. */
#define NEEDED                                                                                     \
    "CASE WHEN " HELD " THEN NOT g.hinted ELSE g.wake_at > " VG_GENERATION_HINT_NEXT " END"
#define HASTEN                                                                                     \
    " wanted AS MATERIALIZED (SELECT g.id FROM generations g"                                      \
    "  WHERE g.id IN (SELECT f.id FROM found f WHERE f.result = 4 AND f.needed)"                   \
    "  ORDER BY g.id FOR NO KEY UPDATE),"                                                          \
    " hastened AS (UPDATE generations g SET hinted = " HELD ","                                    \
    "   hint_at = CASE WHEN " HELD " THEN g.hint_at ELSE " VG_GENERATION_HINT_NEXT " END,"         \
    "   due_at = CASE WHEN " HELD " THEN g.due_at ELSE " VG_GENERATION_HINT_NEXT " END,"           \
    "   wake_at = CASE WHEN " HELD " THEN g.wake_at ELSE " VG_GENERATION_HINT_NEXT " END"          \
    "  FROM wanted w WHERE g.id = w.id AND g.state IN (2, 3) AND " NEEDED ")"                      \
    " SELECT f.ord, f.result, f.result = 4 AND f.needed FROM found f"

static const struct vg_pg_statement job_statement = {
    "vg_hint_job",
    "WITH found AS MATERIALIZED (SELECT i.ord, g.id, CASE WHEN g.id IS NULL THEN 0"
    "   WHEN g.state >= 4 THEN 1"
    "   WHEN g.state = 1 OR g.attempts <> i.attempt OR g.provider <> i.provider THEN 2"
    "   WHEN NOT " SAME " THEN 3 ELSE 4 END AS result,"
    "   " NEEDED " AS needed"
    "  FROM unnest($1::text[], $2::int4[], $3::int4[], $4::text[], $5::text[]) WITH ORDINALITY"
    "   AS i(video_id, idx, attempt, provider, upstream_id, ord)"
    "  LEFT JOIN generations g ON g.video_id = i.video_id AND g.idx = i.idx)," HASTEN};

/* Those under way are read through: an index by upstream id would cost every poll of every job a
 * write. They are due soon: a poll waits a minute at most, and where a lease is set to last for
 * longer than five, a hint that comes meanwhile is lost, as hints may be. */
static const struct vg_pg_statement upstream_statement = {
    "vg_hint_upstream",
    "WITH " VG_GENERATION_TALLY ", " VG_GENERATION_FLOORS ","
    " under_way AS MATERIALIZED (SELECT g.id, g.state, g.provider, g.upstream_id,"
    "   " NEEDED " AS needed FROM generations g WHERE g.state < 5"
    "   AND g.wake_at >= coalesce((SELECT f.wake FROM floors f), '-infinity')"
    "   AND g.wake_at <= now() + interval '5 minutes' AND g.provider = ANY ($1::text[])),"
    " found AS MATERIALIZED (SELECT i.ord, g.id, CASE WHEN g.id IS NULL THEN 0"
    "   WHEN g.state = 4 THEN 1 WHEN g.state = 3 THEN 4 ELSE 2 END AS result, g.needed"
    "  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(provider, upstream_id, ord)"
    "  LEFT JOIN under_way g ON g.provider = i.provider AND g.upstream_id = "
    "i.upstream_id)," HASTEN};

static const struct vg_pg_field job_fields[] = {
    VG_PG_FIELD(TEXT, vg_hint, video_id),    VG_PG_FIELD(I32, vg_hint, index),
    VG_PG_FIELD(I32, vg_hint, attempt),      VG_PG_FIELD(TEXT, vg_hint, provider),
    VG_PG_FIELD(TEXT, vg_hint, upstream_id),
};
static const struct vg_pg_field upstream_fields[] = {
    VG_PG_FIELD(TEXT, vg_hint, provider),
    VG_PG_FIELD(TEXT, vg_hint, upstream_id),
};

static int run_statement(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count,
                         const struct vg_pg_statement *statement, const struct vg_pg_field *fields,
                         size_t field_count)
{
    const struct vg_pg_rows *rows =
        vg_db_pg_ops(run, true, statement, fields, field_count, ops, count);

    if (!rows)
        return -1;
    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct vg_hint *op = VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_hint, op);

        op->result = (enum vg_hint_result)vg_pg_i64(rows, i, 1);
        /* Also when another run was faster: the claim may have found the row locked by this one. */
        run->due = run->due || run->again || vg_pg_i64(rows, i, 2) != 0;
    }
    return 0;
}

static int job_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    return run_statement(run, ops, count, &job_statement, job_fields, VG_COUNT(job_fields));
}

static int upstream_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    return run_statement(run, ops, count, &upstream_statement, upstream_fields,
                         VG_COUNT(upstream_fields));
}

static const struct vg_db_kind job_kind = {VG_DB_HINT_JOB, VG_DB_MAX_BATCH, job_run};
static const struct vg_db_kind upstream_kind = {VG_DB_HINT_UPSTREAM, VG_DB_MAX_BATCH, upstream_run};

void vg_hint(struct vg_db *db, struct vg_hint *op)
{
    vg_db_submit(db, &op->op, op->video_id ? &job_kind : &upstream_kind);
}
