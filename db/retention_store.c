/* SPDX-License-Identifier: Apache-2.0 */
#include "db/retention_store.h"

#include <string.h>

#include "common/str.h"
#include "db/db_priv.h"

/* $1 age in seconds, $2 limit, $3 cursor. Each statement returns: rows removed, rows read, the
 * last one read. `few` bounds the work, `old` takes those that are really over. */
#define CUTOFF "now() - $1::int8 * interval '1 s'"
/* What an identifier made then begins with. */
#define STAMP "lpad(to_hex((extract(epoch FROM " CUTOFF ") * 1000)::int8), 12, '0')"
#define ANSWER(last)                                                                               \
    " SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM few), (SELECT " last " FROM few)"

/* Names of deliveries that are not a video's own sort elsewhere: those before it are few, those
 * after it are read as a whole (see next_range). */
#define VIDEOS_FROM "evt_video_"
#define VIDEOS_END "evt_video`"

static const struct vg_pg_statement deliveries_statement = {
    "vg_retention_deliveries",
    "WITH few AS MATERIALIZED (SELECT d.id FROM deliveries d WHERE d.id > $3::text AND d.id <"
    "   CASE WHEN $3::text < '" VIDEOS_END "' THEN '" VIDEOS_FROM "' || " STAMP " ELSE '~' END"
    "  ORDER BY d.id LIMIT $2::int4),"
    " old AS MATERIALIZED (SELECT d.id FROM few f JOIN deliveries d ON d.id = f.id"
    "  WHERE d.state + 0 <> 1 AND d.ended_at < " CUTOFF " FOR UPDATE OF d SKIP LOCKED),"
    " gone AS (DELETE FROM deliveries d USING old o WHERE d.id = o.id RETURNING 1)" ANSWER(
        "max(id)")};

/* The newest generation of those that ended so long ago bounds the pass: numbers rise with time. */
#define PART(n) "coalesce(nullif(split_part($3::text, '/', " n "), ''), '0')::int8"
#define OF_GENERATIONS(table, key)                                                                 \
    "WITH few AS MATERIALIZED (SELECT x.generation_id, x." key " FROM " table " x"                 \
    "  WHERE (x.generation_id, x." key ") > (" PART("1") ", " PART(                                \
        "2") ")"                                                                                   \
             "   AND x.generation_id <= (SELECT g.id FROM generations g WHERE g.state >= 5"        \
             "    AND g.ended_at < " CUTOFF " ORDER BY g.ended_at DESC LIMIT 1)"                   \
             "  ORDER BY x.generation_id, x." key " LIMIT $2::int4),"                              \
             " old AS MATERIALIZED (SELECT x.generation_id, x." key                                \
             " FROM few f JOIN generations g"                                                      \
             "   ON g.id = f.generation_id JOIN " table " x ON x.generation_id = f.generation_id"  \
             "   AND x." key " = f." key "  WHERE g.state + 0 >= 5 AND g.ended_at < " CUTOFF       \
             " FOR UPDATE OF x SKIP LOCKED),"                                                      \
             " gone AS (DELETE FROM " table                                                        \
             " x USING old o WHERE x.generation_id = o.generation_id"                              \
             "  AND x." key " = o." key                                                            \
             "  RETURNING 1)" ANSWER("(array_agg(generation_id || '/' || " key                     \
                                     " ORDER BY generation_id DESC, " key " DESC))[1]")
static const struct vg_pg_statement attempts_statement = {"vg_retention_attempts",
                                                          OF_GENERATIONS("attempts", "attempt")};
static const struct vg_pg_statement skips_statement = {"vg_retention_skips",
                                                       OF_GENERATIONS("skips", "route")};

/* Whoever gives other addresses that do not answer leaves a row for each. One that is being written
 * is locked, and left. */
static const struct vg_pg_statement receivers_statement = {
    "vg_retention_receivers",
    "WITH few AS MATERIALIZED (SELECT r.host_id FROM receivers r WHERE"
    "   r.host_id > coalesce(nullif($3::text, '')::int8, (-9223372036854775807)::int8) ORDER BY "
    "r.host_id LIMIT $2::int4),"
    " old AS MATERIALIZED (SELECT r.host_id FROM few f JOIN receivers r ON r.host_id = f.host_id"
    "  WHERE r.failed_at < " CUTOFF " AND NOT EXISTS (SELECT FROM deliveries d"
    "   WHERE d.host_id = r.host_id AND d.state = 1) FOR UPDATE OF r SKIP LOCKED),"
    " gone AS (DELETE FROM receivers r USING old o WHERE r.host_id = o.host_id"
    "  RETURNING 1)" ANSWER("max(host_id)::text")};

/* The files go through `purges`, and the rows with them (video_end_store.c). */
static const struct vg_pg_statement videos_statement = {
    "vg_retention_videos",
    "WITH few AS MATERIALIZED (SELECT v.id FROM videos v WHERE v.id > $3::text"
    "   AND v.id < 'video_' || " STAMP " ORDER BY v.id LIMIT $2::int4),"
    " old AS MATERIALIZED (SELECT v.id FROM few f JOIN videos v ON v.id = f.id"
    "  WHERE v.status >= 3 AND v.deleted_at IS NULL AND v.completed_at < " CUTOFF
    "  ORDER BY v.id FOR NO KEY UPDATE OF v SKIP LOCKED),"
    " gone AS (UPDATE videos v SET deleted_at = now() FROM old o WHERE v.id = o.id"
    "  RETURNING v.id),"
    " files AS (INSERT INTO purges (blob, video_id, due_at)"
    "  SELECT o.blob, g.id, now() FROM gone g JOIN outputs o ON o.video_id = g.id"
    "  UNION SELECT p.blob, g.id, now() FROM gone g JOIN inputs p ON p.video_id = g.id"
    "   WHERE NOT EXISTS (SELECT FROM inputs x JOIN videos y ON y.id = x.video_id"
    "    WHERE x.blob = p.blob AND x.video_id <> g.id AND y.deleted_at IS NULL)"
    "  ON CONFLICT (blob) DO NOTHING)" ANSWER("max(id)")};

static const struct vg_pg_statement *const statements[VG_RETENTION_MAX] = {
    [VG_RETENTION_DELIVERIES] = &deliveries_statement,
    [VG_RETENTION_ATTEMPTS] = &attempts_statement,
    [VG_RETENTION_SKIPS] = &skips_statement,
    [VG_RETENTION_RECEIVERS] = &receivers_statement,
    [VG_RETENTION_VIDEOS] = &videos_statement,
};

/* True when there is another range: the cursor stands before it then. */
static bool next_range(struct vg_retention_slice *op)
{
    if (op->what != VG_RETENTION_DELIVERIES || strcmp(op->cursor, VIDEOS_END) >= 0)
        return false;
    (void)vg_strcpy(op->cursor, sizeof(op->cursor), VIDEOS_END);
    return true;
}

static int slice_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_retention_slice *op = VG_CONTAINER(ops[0], struct vg_retention_slice, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->max_age_s);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_put_text(&params, op->cursor);
    vg_pg_begin(run->pg, true);
    size_t handle = vg_pg_add(run->pg, statements[op->what], &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->removed = vg_pg_i64(rows, 0, 0);
    op->ended = vg_pg_i64(rows, 0, 1) < op->limit;
    if (!vg_pg_null(rows, 0, 2))
        (void)vg_strcpy(op->cursor, sizeof(op->cursor), vg_pg_text(rows, 0, 2));
    if (op->ended && next_range(op))
        op->ended = false;
    return 0;
}

static const struct vg_db_kind slice_kind = {VG_DB_RETENTION_SLICE, 1, slice_run};

void vg_retention_slice(struct vg_db *db, struct vg_retention_slice *op)
{
    if (op->limit < 1 || op->limit > 10000 || op->max_age_s < 1 || op->what >= VG_RETENTION_MAX) {
        vg_db_refuse(&op->op, VG_ERR_INTERNAL, "A slice needs an age and 1 to 10,000 rows.");
        return;
    }
    vg_db_submit(db, &op->op, &slice_kind);
}
