/* SPDX-License-Identifier: Apache-2.0 */
#include "db/trace_store.h"

#include "db/db_priv.h"
#include "db/video_rows.h"

#define MS(column) "(extract(epoch FROM " column ") * 1000)::int8"

/* ---- trace */

static const struct vg_pg_statement video_statement = {
    "vg_trace_video", "SELECT " VG_VIDEO_COLUMNS " FROM videos v WHERE v.id = $1::text"};
static const struct vg_pg_statement generations_statement = {
    "vg_trace_generations",
    "SELECT g.id, g.idx::int4, g.state::int4, g.route, g.attempts, g.fetch_attempts, g.poll_errors,"
    " g.progress::int4, g.provider, g.upstream_id, CASE WHEN g.state < 5 THEN " MS(
        "g.due_at") " END,"
                    " " MS(
                        "g.ended_at") ", g.lease_owner, g.error_code, g.error_message, g.poll_state"
                                      " FROM generations g WHERE g.video_id = $1::text ORDER BY "
                                      "g.idx"};
/* Of one generation in order of time; a route passed over stands where it was left. */
static const struct vg_pg_statement tries_statement = {
    "vg_trace_tries",
    "SELECT t.* FROM generations g CROSS JOIN LATERAL ("
    "  SELECT a.generation_id, a.attempt, a.route, a.provider, a.upstream_id,"
    "   " MS("a.started_at") " AS started, " MS(
        "a.ended_at") ", a.outcome::int4, a.reason"
                      "  FROM attempts a WHERE a.generation_id = g.id"
                      "  UNION ALL SELECT s.generation_id, 0, s.route, s.provider, NULL, " MS(
                          "s.left_at") ","
                                       "   " MS("s.left_at") ", 1, s.reason FROM skips s WHERE "
                                                             "s.generation_id = g.id) t"
                                                             " WHERE g.video_id = $1::text ORDER "
                                                             "BY g.idx, t.started, t.route, "
                                                             "t.attempt LIMIT 1000"};

static const struct vg_pg_field generation_fields[] = {
    VG_PG_FIELD(I64, vg_trace_generation, id),
    VG_PG_FIELD(I32, vg_trace_generation, index),
    VG_PG_FIELD(I32, vg_trace_generation, state),
    VG_PG_FIELD(I32, vg_trace_generation, route),
    VG_PG_FIELD(I32, vg_trace_generation, attempts),
    VG_PG_FIELD(I32, vg_trace_generation, fetch_attempts),
    VG_PG_FIELD(I32, vg_trace_generation, poll_errors),
    VG_PG_FIELD(I32, vg_trace_generation, progress),
    VG_PG_FIELD(TEXT, vg_trace_generation, provider),
    VG_PG_FIELD(TEXT, vg_trace_generation, upstream_id),
    VG_PG_FIELD(I64, vg_trace_generation, due_ms),
    VG_PG_FIELD(I64, vg_trace_generation, ended_ms),
    VG_PG_FIELD(TEXT, vg_trace_generation, owner),
    VG_PG_FIELD(TEXT, vg_trace_generation, error_code),
    VG_PG_FIELD(TEXT, vg_trace_generation, error_message),
    VG_PG_FIELD_BYTES(vg_trace_generation, poll_state, poll_state_size),
};
static const struct vg_pg_field try_fields[] = {
    VG_PG_FIELD(I64, vg_trace_attempt, generation_id),
    VG_PG_FIELD(I32, vg_trace_attempt, number),
    VG_PG_FIELD(I32, vg_trace_attempt, route),
    VG_PG_FIELD(TEXT, vg_trace_attempt, provider),
    VG_PG_FIELD(TEXT, vg_trace_attempt, upstream_id),
    VG_PG_FIELD(I64, vg_trace_attempt, started_ms),
    VG_PG_FIELD(I64, vg_trace_attempt, ended_ms),
    VG_PG_FIELD(I32, vg_trace_attempt, outcome),
    VG_PG_FIELD(TEXT, vg_trace_attempt, reason),
};

/* Both come ordered by generation. */
static void attach_tries(const struct vg_pg_rows *rows, struct vg_video_trace *op)
{
    size_t total = (size_t)vg_pg_count(rows), next = 0;
    struct vg_trace_attempt *tries = vg_arena_alloc(op->op.arena, (total + 1) * sizeof(*tries));

    for (size_t i = 0; i < total; i++)
        vg_pg_read(rows, (int)i, 0, try_fields, VG_COUNT(try_fields), op->op.arena, &tries[i]);
    for (size_t g = 0; g < op->generation_count; g++) {
        struct vg_trace_generation *generation = &op->generations[g];

        generation->tries = &tries[next];
        while (next < total && tries[next].generation_id == generation->id)
            next++;
        generation->try_count = (size_t)(&tries[next] - generation->tries);
    }
}

static int trace_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_video_trace *op = VG_CONTAINER(ops[0], struct vg_video_trace, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->id);
    vg_pg_begin(run->pg, false);
    size_t video = vg_pg_add(run->pg, &video_statement, &params);
    size_t generations = vg_pg_add(run->pg, &generations_statement, &params);
    size_t tries = vg_pg_add(run->pg, &tries_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    if (vg_pg_count(vg_pg_rows(run->pg, video)) == 0) {
        vg_db_op_fail(&op->op, VG_ERR_NOT_FOUND, "No such video.");
        return 0;
    }
    vg_video_row_read(vg_pg_rows(run->pg, video), 0, 0, op->op.arena, &op->video);
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, generations);

    op->generation_count = (size_t)vg_pg_count(rows);
    op->generations =
        vg_arena_alloc(op->op.arena, (op->generation_count + 1) * sizeof(*op->generations));
    for (size_t i = 0; i < op->generation_count; i++)
        vg_pg_read(rows, (int)i, 0, generation_fields, VG_COUNT(generation_fields), op->op.arena,
                   &op->generations[i]);
    attach_tries(vg_pg_rows(run->pg, tries), op);
    return 0;
}

static const struct vg_db_kind trace_kind = {VG_DB_VIDEO_TRACE, 1, trace_run};

void vg_video_trace(struct vg_db *db, struct vg_video_trace *op)
{
    vg_db_submit(db, &op->op, &trace_kind);
}

/* ---- near */

/* $1 provider, $2 Unix ms from when on, $3 generation, $4 limit. */
static const struct vg_pg_statement near_statement = {
    "vg_submissions_near",
    "SELECT a.upstream_id FROM attempts a WHERE a.provider = $1::text"
    " AND a.upstream_id IS NOT NULL AND a.started_at >= to_timestamp($2::int8 / 1000.0)"
    " AND a.generation_id <> $3::int8 ORDER BY a.started_at DESC LIMIT $4::int4"};
/* $1 provider, $2 generation. Of two that are both only looked up (poll_errors > 0) the younger
 * waits for the older, so that one of them goes on. */
static const struct vg_pg_statement open_statement = {
    "vg_submissions_open",
    "SELECT EXISTS (SELECT FROM generations me JOIN videos mine ON mine.id = me.video_id"
    "  JOIN generations g ON g.state = 2 AND g.provider = $1::text AND g.id <> me.id"
    "   AND (g.poll_errors = 0 OR g.id < me.id)"
    "  JOIN videos v ON v.id = g.video_id AND v.prompt = mine.prompt WHERE me.id = $2::int8),"
    " EXISTS (SELECT FROM generations g WHERE g.state = 2 AND g.provider = $1::text"
    "  AND g.id <> $2::int8)"};

static void near_read(const struct vg_pg_rows *rows, struct vg_submissions_near *op)
{
    size_t total = (size_t)vg_pg_count(rows);

    op->more = total > VG_NEAR_MAX;
    op->count = op->more ? VG_NEAR_MAX : total;
    op->ids = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->ids));
    for (size_t i = 0; i < op->count; i++)
        op->ids[i] = vg_arena_strdup(op->op.arena, vg_pg_text(rows, (int)i, 0));
}

static int near_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_submissions_near *op = VG_CONTAINER(ops[0], struct vg_submissions_near, op);
    struct vg_pg_params near, open;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&near, run->scratch);
    vg_pg_put_text(&near, op->provider);
    vg_pg_put_i64(&near, op->submitted_at_ms - op->before_ms);
    vg_pg_put_i64(&near, op->generation_id);
    vg_pg_put_i32(&near, VG_NEAR_MAX + 1);
    vg_pg_params_init(&open, run->scratch);
    vg_pg_put_text(&open, op->provider);
    vg_pg_put_i64(&open, op->generation_id);
    vg_pg_begin(run->pg, false);
    size_t ids = vg_pg_add(run->pg, &near_statement, &near);
    size_t others = vg_pg_add(run->pg, &open_statement, &open);

    if (vg_db_pg_run(run) < 0)
        return -1;
    near_read(vg_pg_rows(run->pg, ids), op);
    op->open = vg_pg_i64(vg_pg_rows(run->pg, others), 0, 0) != 0;
    op->busy = vg_pg_i64(vg_pg_rows(run->pg, others), 0, 1) != 0;
    return 0;
}

static const struct vg_db_kind near_kind = {VG_DB_SUBMISSIONS_NEAR, 1, near_run};

void vg_submissions_near(struct vg_db *db, struct vg_submissions_near *op)
{
    vg_db_submit(db, &op->op, &near_kind);
}
