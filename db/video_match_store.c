/* SPDX-License-Identifier: Apache-2.0 */
#include "db/video_match_store.h"

#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "db/db_priv.h"

void vg_match_key(char out[VG_MATCH_KEY_SIZE], const char *match, const char *video_id,
                  int32_t level)
{
    (void)snprintf(out, VG_MATCH_KEY_SIZE, "\x7f%s:%s:%d:", match, video_id, (int)level);
}

int64_t vg_match_lock(const char *match)
{
    return (int64_t)(vg_fnv1a(vg_view_of(match), 0) | 1); /* `match` is random enough */
}

static const struct vg_pg_statement lock_statement = {"vg_video_match_lock",
                                                      "SELECT pg_advisory_xact_lock($1::int8)"};
/* Video ids sort by time, so the newest thousand records are those that count. A second run of this
 * operation knows its record by the id behind the last colon. */
static const struct vg_pg_statement match_statement = {
    "vg_video_match",
    "WITH seen AS MATERIALIZED (SELECT key, video_id, created_at,"
    "   split_part(key, ':', 3)::int4 AS level FROM idempotency"
    "  WHERE project_id = $1::int8 AND key > E'\\x7f' || $2::text || ':'"
    "   AND key < E'\\x7f' || $2::text || ';' ORDER BY key DESC LIMIT 1000),"
    " mine AS (SELECT video_id FROM seen WHERE split_part(key, ':', 4) = $5::text LIMIT 1),"
    " found AS (SELECT video_id FROM (SELECT video_id, bool_or(level = $3::int4) AS taken,"
    "    bool_or(level = $3::int4 - 1) AS expected, min(created_at) AS made,"
    "    max(created_at) AS touched FROM seen GROUP BY video_id) v"
    "  WHERE NOT taken AND CASE WHEN $3::int4 = 0 THEN made ELSE touched END >="
    "   now() - $4::int8 * interval '1 ms'"
    "  ORDER BY expected DESC, made DESC, video_id DESC LIMIT 1),"
    " pick AS MATERIALIZED (SELECT coalesce((SELECT video_id FROM mine),"
    "  (SELECT video_id FROM found), $5::text) AS video_id),"
    " kept AS (INSERT INTO idempotency (project_id, key, video_id, fingerprint)"
    "  SELECT $1::int8, E'\\x7f' || $2::text || ':' || video_id || ':' || $3::int4 || ':' ||"
    "   $5::text, video_id, $6::bytea FROM pick ON CONFLICT DO NOTHING)"
    " SELECT video_id FROM pick"};

static int match_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_video_match *op = VG_CONTAINER(ops[0], struct vg_video_match, op);
    struct vg_pg_params lock, params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&lock, run->scratch);
    vg_pg_put_i64(&lock, vg_match_lock(op->match));
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->project_id);
    vg_pg_put_text(&params, op->match);
    vg_pg_put_i32(&params, op->level);
    vg_pg_put_i64(&params, op->within_ms);
    vg_pg_put_text(&params, op->own_id);
    vg_pg_put_bytes(&params, op->fingerprint, sizeof(op->fingerprint));
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &lock_statement, &lock);
    size_t handle = vg_pg_add(run->pg, &match_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const char *id = vg_pg_text(vg_pg_rows(run->pg, handle), 0, 0);
    op->id = vg_arena_memdup(op->op.arena, id, strlen(id));
    return 0;
}

static const struct vg_db_kind match_kind = {VG_DB_VIDEO_MATCH, 1, match_run};

void vg_video_match(struct vg_db *db, struct vg_video_match *op)
{
    vg_db_submit(db, &op->op, &match_kind);
}
