/* SPDX-License-Identifier: Apache-2.0 */
/* Ending videos: cancel, delete, and the janitor's work on files and old rows.
 *
 * Everything that changes a video and its generations locks the videos first, in order of id. */
#include <string.h>

#include "db/db_priv.h"
#include "db/video_rows.h"
#include "db/video_store.h"

static const struct vg_pg_statement lock_statement = {
    "vg_video_lock", "SELECT v.id FROM videos v WHERE v.id = ANY ($1::text[]) ORDER BY v.id"
                     " FOR NO KEY UPDATE"};

/* ---- cancel */

/* Held generations wait for their holder, who learns of the cancel with its next change or renewal.
 */
static const struct vg_pg_statement cancel_statement = {
    "vg_video_cancel",
    "WITH marked AS (UPDATE videos v SET cancel_requested_at = now()"
    "  FROM unnest($1::text[], $2::int8[]) AS i(id, project_id)"
    "  WHERE v.id = i.id AND v.project_id = i.project_id AND v.deleted_at IS NULL"
    "   AND v.status < 3 AND v.cancel_requested_at IS NULL RETURNING v.id)"
    " UPDATE generations g SET cancel_requested = true,"
    "  wake_at = CASE WHEN g.lease_until > now() THEN g.lease_until ELSE now() END"
    " FROM marked m WHERE g.video_id = m.id AND g.state + 0 < 5"};
static const struct vg_pg_statement cancel_read_statement = {
    "vg_video_cancel_read",
    "SELECT i.ord, " VG_VIDEO_COLUMNS
    " FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS i(id, project_id, ord)"
    " JOIN videos v ON v.id = i.id"
    " WHERE v.project_id = i.project_id AND v.deleted_at IS NULL ORDER BY i.ord"};
static const struct vg_pg_statement cancel_outputs_statement = {
    "vg_video_cancel_outputs",
    "SELECT i.ord, " VG_OUTPUT_COLUMNS
    " FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS i(id, project_id, ord)"
    " JOIN outputs o ON o.video_id = i.id ORDER BY i.ord, o.idx"};
static const struct vg_pg_field cancel_fields[] = {
    VG_PG_FIELD(TEXT, vg_video_cancel, id),
    VG_PG_FIELD(I64, vg_video_cancel, project_id),
};

static int cancel_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params ids, params;
    int row = 0, output = 0;

    vg_pg_params_init(&ids, run->scratch);
    vg_pg_put_ops(&ids, cancel_fields, 1, ops, count);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, cancel_fields, VG_COUNT(cancel_fields), ops, count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &lock_statement, &ids);
    (void)vg_pg_add(run->pg, &cancel_statement, &params);
    size_t videos = vg_pg_add(run->pg, &cancel_read_statement, &params);
    size_t outputs = vg_pg_add(run->pg, &cancel_outputs_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, videos);
    const struct vg_pg_rows *output_rows = vg_pg_rows(run->pg, outputs);

    for (size_t i = 0; i < count; i++) {
        struct vg_video_cancel *op = VG_CONTAINER(ops[i], struct vg_video_cancel, op);
        int64_t ord = (int64_t)i + 1;
        struct vg_video hidden = {0};
        bool found = row < vg_pg_count(rows) && vg_pg_i64(rows, row, 0) == ord;

        if (found)
            vg_video_row_read(rows, row++, 1, op->op.arena, &op->video);
        else
            vg_db_op_fail(ops[i], VG_ERR_NOT_FOUND, "No such video.");
        vg_video_rows_outputs(output_rows, &output, ord, found ? op->op.arena : run->scratch,
                              found ? &op->video : &hidden);
    }
    run->due = true;
    return 0;
}

static const struct vg_db_kind cancel_kind = {VG_DB_VIDEO_CANCEL, VG_DB_MAX_BATCH, cancel_run};

void vg_video_cancel(struct vg_db *db, struct vg_video_cancel *op)
{
    vg_db_submit(db, &op->op, &cancel_kind);
}

/* ---- delete */

/* A picture that another video still shows stays. The caller removes the files at once; the janitor
 * a minute later. */
static const struct vg_pg_statement delete_statement = {
    "vg_video_delete",
    "WITH gone AS (UPDATE videos v SET deleted_at = now(), delete_token = i.token"
    "  FROM unnest($1::text[], $2::int8[], $3::int8[]) AS i(id, project_id, token)"
    "  WHERE v.id = i.id AND v.project_id = i.project_id AND v.deleted_at IS NULL"
    "   AND v.status >= 3 RETURNING v.id)"
    " INSERT INTO purges (blob, video_id, due_at)"
    " SELECT o.blob, g.id, now() + interval '1 minute' FROM gone g"
    "  JOIN outputs o ON o.video_id = g.id"
    " UNION SELECT p.blob, g.id, now() + interval '1 minute' FROM gone g"
    "  JOIN inputs p ON p.video_id = g.id WHERE NOT EXISTS (SELECT FROM inputs x"
    "   JOIN videos y ON y.id = x.video_id WHERE x.blob = p.blob AND x.video_id <> g.id"
    "   AND y.deleted_at IS NULL)"
    " ON CONFLICT (blob) DO NOTHING"};
/* Also says whether it was this operation that deleted: its COMMIT answer may have been lost. */
static const struct vg_pg_statement delete_read_statement = {
    "vg_video_delete_read",
    "SELECT i.ord, v.status::int4, v.deleted_at IS NOT NULL, coalesce(v.delete_token = i.token,"
    "  false), p.blob"
    " FROM unnest($1::text[], $2::int8[], $3::int8[]) WITH ORDINALITY"
    "  AS i(id, project_id, token, ord)"
    " JOIN videos v ON v.id = i.id LEFT JOIN purges p ON p.video_id = v.id"
    " WHERE v.project_id = i.project_id ORDER BY i.ord"};
static const struct vg_pg_field delete_fields[] = {
    VG_PG_FIELD(TEXT, vg_video_delete, id),
    VG_PG_FIELD(I64, vg_video_delete, project_id),
    VG_PG_FIELD(I64, vg_video_delete, op.token),
};

/* Reads the rows of one operation, from *row on. */
static void delete_read(const struct vg_pg_rows *rows, int *row, int64_t ord,
                        struct vg_video_delete *op)
{
    int first = *row;

    while (*row < vg_pg_count(rows) && vg_pg_i64(rows, *row, 0) == ord)
        (*row)++;
    bool there = *row > first;
    bool deleted = there && vg_pg_i64(rows, first, 2) != 0;
    bool ours = deleted && vg_pg_i64(rows, first, 3) != 0;

    if (!there || (deleted && !ours)) {
        vg_db_op_fail(&op->op, VG_ERR_NOT_FOUND, "No such video.");
        return;
    }
    if (!deleted) {
        vg_db_op_fail(&op->op, VG_ERR_NOT_READY, "The video is still being made. Cancel it first.");
        return;
    }
    op->blob_count = 0;
    op->blobs = vg_arena_alloc(op->op.arena, (size_t)(*row - first) * sizeof(*op->blobs));
    for (int i = first; i < *row; i++) {
        if (!vg_pg_null(rows, i, 4))
            op->blobs[op->blob_count++] = vg_arena_strdup(op->op.arena, vg_pg_text(rows, i, 4));
    }
}

static int delete_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params ids, params;
    int row = 0;

    vg_pg_params_init(&ids, run->scratch);
    vg_pg_put_ops(&ids, delete_fields, 1, ops, count);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, delete_fields, VG_COUNT(delete_fields), ops, count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &lock_statement, &ids);
    (void)vg_pg_add(run->pg, &delete_statement, &params);
    size_t handle = vg_pg_add(run->pg, &delete_read_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        delete_read(vg_pg_rows(run->pg, handle), &row, (int64_t)i + 1,
                    VG_CONTAINER(ops[i], struct vg_video_delete, op));
    return 0;
}

static const struct vg_db_kind delete_kind = {VG_DB_VIDEO_DELETE, VG_DB_MAX_BATCH, delete_run};

void vg_video_delete(struct vg_db *db, struct vg_video_delete *op)
{
    vg_db_submit(db, &op->op, &delete_kind);
}

/* ---- purge: files to remove, by video */

static const struct vg_pg_statement expire_statement = {
    "vg_video_expire",
    "WITH old AS (SELECT id FROM videos WHERE expires_at IS NOT NULL AND NOT files_expired"
    "  AND expires_at <= now() AND status >= 3 AND deleted_at IS NULL ORDER BY expires_at"
    "  LIMIT $1::int4 FOR NO KEY UPDATE SKIP LOCKED),"
    " marked AS (UPDATE videos v SET files_expired = true, version = version + 1 FROM old"
    "  WHERE v.id = old.id RETURNING v.id),"
    " dropped AS (DELETE FROM outputs o USING marked m WHERE o.video_id = m.id"
    "  RETURNING o.blob, o.video_id)"
    " INSERT INTO purges (blob, video_id, due_at)"
    " SELECT blob, video_id, now() FROM dropped"
    " UNION SELECT p.blob, m.id, now() FROM marked m JOIN inputs p ON p.video_id = m.id"
    "  WHERE NOT EXISTS (SELECT FROM inputs x JOIN videos y ON y.id = x.video_id"
    "   WHERE x.blob = p.blob AND x.video_id <> m.id AND y.deleted_at IS NULL)"
    " ON CONFLICT (blob) DO NOTHING"};
static const struct vg_pg_statement purge_statement = {
    "vg_video_purge",
    "WITH few AS (SELECT DISTINCT video_id FROM (SELECT video_id FROM purges"
    "  WHERE due_at <= now() ORDER BY due_at LIMIT $1::int4) d),"
    " locked AS (SELECT p.blob FROM few s JOIN purges p ON p.video_id = s.video_id"
    "  WHERE p.due_at <= now() FOR UPDATE OF p SKIP LOCKED),"
    " taken AS (UPDATE purges p SET due_at = now() + interval '5 minutes' FROM locked l"
    "  WHERE p.blob = l.blob RETURNING p.video_id, p.blob)"
    " SELECT video_id, blob FROM taken ORDER BY video_id"};

static void purge_read(const struct vg_pg_rows *rows, struct vg_video_purge *op)
{
    struct vg_arena *arena = op->op.arena;
    size_t total = (size_t)vg_pg_count(rows);
    const char **blobs = vg_arena_alloc(arena, (total + 1) * sizeof(*blobs));
    const char *last = "";

    op->count = 0;
    op->purges = vg_arena_alloc(arena, (total + 1) * sizeof(*op->purges));
    for (size_t i = 0; i < total; i++) {
        const char *video_id = vg_pg_text(rows, (int)i, 0);

        if (strcmp(video_id, last) != 0) {
            op->purges[op->count++] =
                (struct vg_purge){.video_id = vg_arena_strdup(arena, video_id), .blobs = &blobs[i]};
            last = video_id;
        }
        blobs[i] = vg_arena_strdup(arena, vg_pg_text(rows, (int)i, 1));
        op->purges[op->count - 1].blob_count++;
    }
}

static int purge_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_video_purge *op = VG_CONTAINER(ops[0], struct vg_video_purge, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &expire_statement, &params);
    size_t handle = vg_pg_add(run->pg, &purge_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    purge_read(vg_pg_rows(run->pg, handle), op);
    return 0;
}

static const struct vg_db_kind purge_kind = {VG_DB_VIDEO_PURGE, 1, purge_run};

void vg_video_purge(struct vg_db *db, struct vg_video_purge *op)
{
    if (op->limit < 1 || op->limit > 256) {
        vg_db_refuse(&op->op, VG_ERR_INVALID_REQUEST, "limit must be from 1 to 256.");
        return;
    }
    vg_db_submit(db, &op->op, &purge_kind);
}

/* ---- purged, and rows that nothing needs any more */

static const struct vg_pg_statement purged_statement = {
    "vg_video_purged", "DELETE FROM purges WHERE video_id = ANY ($1::text[])"};
#define UNNEEDED                                                                                   \
    " v.deleted_at IS NOT NULL"                                                                    \
    " AND NOT EXISTS (SELECT FROM purges p WHERE p.video_id = v.id)"                               \
    " AND NOT EXISTS (SELECT FROM deliveries d WHERE d.video_id = v.id AND d.state + 0 = 1)"
#define AND_GENERATIONS                                                                            \
    " RETURNING v.id) DELETE FROM generations g USING gone WHERE g.video_id = gone.id"
static const struct vg_pg_statement drop_statement = {
    "vg_video_drop", "WITH gone AS (DELETE FROM videos v WHERE v.id = ANY ($1::text[]) AND" UNNEEDED
                         AND_GENERATIONS};
static const struct vg_pg_statement drop_some_statement = {
    "vg_video_drop_some",
    "WITH gone AS (DELETE FROM videos v WHERE v.id IN (SELECT v.id FROM videos v WHERE" UNNEEDED
    " AND v.deleted_at < now() - interval '2 minutes' ORDER BY v.deleted_at LIMIT $1::int4"
    " FOR UPDATE SKIP LOCKED) RETURNING v.id),"
    " theirs AS (DELETE FROM generations g USING gone WHERE g.video_id = gone.id)"
    " SELECT count(*) FROM gone"};
static const struct vg_pg_statement sweep_statement = {
    "vg_idempotency_sweep",
    "WITH old AS (SELECT project_id, key FROM idempotency WHERE created_at <"
    "  now() - greatest($1::int8, 86400) * interval '1 s' ORDER BY created_at LIMIT $2::int4"
    "  FOR UPDATE SKIP LOCKED),"
    " gone AS (DELETE FROM idempotency i USING old o"
    "  WHERE i.project_id = o.project_id AND i.key = o.key RETURNING 1)"
    " SELECT count(*) FROM gone"};

static int purged_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_video_purged *op = VG_CONTAINER(ops[0], struct vg_video_purged, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, op->ids, op->count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &lock_statement, &params);
    (void)vg_pg_add(run->pg, &purged_statement, &params);
    (void)vg_pg_add(run->pg, &drop_statement, &params);
    return vg_db_pg_run(run);
}

static const struct vg_db_kind purged_kind = {VG_DB_VIDEO_PURGED, 1, purged_run};

void vg_video_purged(struct vg_db *db, struct vg_video_purged *op)
{
    vg_db_submit(db, &op->op, &purged_kind);
}

static int sweep_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_idempotency_sweep *op = VG_CONTAINER(ops[0], struct vg_idempotency_sweep, op);
    struct vg_pg_params params, limit;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->max_age_s);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_params_init(&limit, run->scratch);
    vg_pg_put_i32(&limit, op->limit);
    vg_pg_begin(run->pg, true);
    size_t handle = vg_pg_add(run->pg, &sweep_statement, &params);
    size_t dropped = vg_pg_add(run->pg, &drop_some_statement, &limit);

    if (vg_db_pg_run(run) < 0)
        return -1;
    op->removed = vg_pg_i64(vg_pg_rows(run->pg, handle), 0, 0);
    op->more =
        op->removed == op->limit || vg_pg_i64(vg_pg_rows(run->pg, dropped), 0, 0) == op->limit;
    return 0;
}

static const struct vg_db_kind sweep_kind = {VG_DB_IDEMPOTENCY_SWEEP, 1, sweep_run};

void vg_idempotency_sweep(struct vg_db *db, struct vg_idempotency_sweep *op)
{
    if (op->limit < 1 || op->limit > 10000) {
        vg_db_refuse(&op->op, VG_ERR_INVALID_REQUEST, "limit must be from 1 to 10,000.");
        return;
    }
    vg_db_submit(db, &op->op, &sweep_kind);
}
