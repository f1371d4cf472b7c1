/* SPDX-License-Identifier: Apache-2.0 */
/* Reading videos: replay, get, list, versions. */
#include "db/db_priv.h"
#include "db/video_rows.h"
#include "db/video_store.h"

/* ---- replay */

static const struct vg_pg_statement replay_statement = {
    "vg_video_replay",
    "SELECT i.ord, k.fingerprint = i.fingerprint, v.id IS NULL, " VG_VIDEO_COLUMNS
    " FROM unnest($1::int8[], $2::text[], $3::bytea[]) WITH ORDINALITY"
    "  AS i(project_id, ikey, fingerprint, ord)"
    " JOIN idempotency k ON k.project_id = i.project_id AND k.key = i.ikey"
    " LEFT JOIN videos v ON v.id = k.video_id AND v.deleted_at IS NULL ORDER BY i.ord"};
static const struct vg_pg_statement replay_outputs_statement = {
    "vg_video_replay_outputs",
    "SELECT i.ord, " VG_OUTPUT_COLUMNS " FROM unnest($1::int8[], $2::text[])"
    "  WITH ORDINALITY AS i(project_id, ikey, ord)"
    " JOIN idempotency k ON k.project_id = i.project_id AND k.key = i.ikey"
    " JOIN outputs o ON o.video_id = k.video_id ORDER BY i.ord, o.idx"};
static const struct vg_pg_field replay_fields[] = {
    VG_PG_FIELD(I64, vg_video_replay, project_id),
    VG_PG_FIELD(TEXT, vg_video_replay, idempotency_key),
    VG_PG_FIELD(HASH, vg_video_replay, fingerprint),
};

static void fill_replay(struct vg_video_replay *op, const struct vg_pg_rows *rows, int row)
{
    if (vg_pg_i64(rows, row, 1) == 0) {
        op->outcome = VG_CREATE_MISMATCH;
    } else if (vg_pg_i64(rows, row, 2) != 0) {
        vg_db_op_fail(&op->op, VG_ERR_GONE,
                      "The video made with this idempotency key was deleted.");
    } else {
        op->outcome = VG_CREATE_REPLAYED;
        vg_video_row_read(rows, row, 3, op->op.arena, &op->video);
    }
}

static int replay_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params all, keys;
    int row = 0, output = 0;

    vg_pg_params_init(&all, run->scratch);
    vg_pg_put_ops(&all, replay_fields, VG_COUNT(replay_fields), ops, count);
    vg_pg_params_init(&keys, run->scratch);
    vg_pg_put_ops(&keys, replay_fields, VG_COUNT(replay_fields) - 1, ops, count);
    vg_pg_vouch(run->pg, true); /* the COMMIT that made it may have been cut off */
    vg_pg_begin(run->pg, false);
    size_t videos = vg_pg_add(run->pg, &replay_statement, &all);
    size_t outputs = vg_pg_add(run->pg, &replay_outputs_statement, &keys);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, videos);
    const struct vg_pg_rows *output_rows = vg_pg_rows(run->pg, outputs);

    for (size_t i = 0; i < count; i++) {
        struct vg_video_replay *op = VG_CONTAINER(ops[i], struct vg_video_replay, op);
        int64_t ord = (int64_t)i + 1;
        struct vg_video hidden = {0};

        op->outcome = VG_CREATE_NEW;
        if (row < vg_pg_count(rows) && vg_pg_i64(rows, row, 0) == ord)
            fill_replay(op, rows, row++);
        bool shown = op->outcome == VG_CREATE_REPLAYED;
        vg_video_rows_outputs(output_rows, &output, ord, shown ? op->op.arena : run->scratch,
                              shown ? &op->video : &hidden);
    }
    return 0;
}

static const struct vg_db_kind replay_kind = {VG_DB_VIDEO_REPLAY, VG_DB_MAX_BATCH, replay_run};

void vg_video_replay(struct vg_db *db, struct vg_video_replay *op)
{
    vg_db_submit(db, &op->op, &replay_kind);
}

/* ---- get */

static const struct vg_pg_statement get_statement = {
    "vg_video_get", "SELECT i.ord, " VG_VIDEO_COLUMNS
                    " FROM unnest($1::text[], $2::int8[], $3::bool[]) WITH ORDINALITY"
                    "  AS i(id, project_id, any_project, ord)"
                    " JOIN videos v ON v.id = i.id"
                    " WHERE (v.project_id = i.project_id OR i.any_project)"
                    " AND v.deleted_at IS NULL ORDER BY i.ord"};
/* Comes after the videos, so it may see an output more than they tell of, never one less. */
static const struct vg_pg_statement get_outputs_statement = {
    "vg_video_get_outputs",
    "SELECT i.ord, " VG_OUTPUT_COLUMNS " FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord)"
    " JOIN outputs o ON o.video_id = i.id ORDER BY i.ord, o.idx"};
static const struct vg_pg_field get_fields[] = {
    VG_PG_FIELD(TEXT, vg_video_get, id),
    VG_PG_FIELD(I64, vg_video_get, project_id),
    VG_PG_FIELD(BOOL, vg_video_get, any_project),
};

static int get_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params params, ids;
    int row = 0, output = 0;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, get_fields, VG_COUNT(get_fields), ops, count);
    vg_pg_params_init(&ids, run->scratch);
    vg_pg_put_ops(&ids, get_fields, 1, ops, count);
    vg_pg_begin(run->pg, false);
    size_t videos = vg_pg_add(run->pg, &get_statement, &params);
    size_t outputs = vg_pg_add(run->pg, &get_outputs_statement, &ids);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, videos);
    const struct vg_pg_rows *output_rows = vg_pg_rows(run->pg, outputs);

    for (size_t i = 0; i < count; i++) {
        struct vg_video_get *op = VG_CONTAINER(ops[i], struct vg_video_get, op);
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
    return 0;
}

static const struct vg_db_kind get_kind = {VG_DB_VIDEO_GET, VG_DB_MAX_BATCH, get_run};

void vg_video_get(struct vg_db *db, struct vg_video_get *op)
{
    vg_db_submit(db, &op->op, &get_kind);
}

/* ---- list: keyset pages by id, which sorts by time. An id whose video was deleted, its row too,
 * is still a good place to go on from. */

#define LIST_WHERE " FROM videos v WHERE v.project_id = $1::int8 AND v.deleted_at IS NULL AND v.id "
/* [ascending] */
static const struct vg_pg_statement page_statements[2] = {
    {"vg_video_page_desc", "SELECT " VG_VIDEO_COLUMNS LIST_WHERE
                           "< coalesce($2::text, '~') ORDER BY v.id DESC LIMIT $3::int4"},
    {"vg_video_page_asc",
     "SELECT " VG_VIDEO_COLUMNS LIST_WHERE "> coalesce($2::text, '') ORDER BY v.id LIMIT $3::int4"},
};
enum { LIST_BATCH = 16 };

static size_t list_add(struct vg_db_run *run, const struct vg_video_list *op)
{
    struct vg_pg_params page;

    vg_pg_params_init(&page, run->scratch);
    vg_pg_put_i64(&page, op->project_id);
    vg_pg_put_text(&page, op->after);
    vg_pg_put_i32(&page, op->limit + 1);
    return vg_pg_add(run->pg, &page_statements[op->ascending], &page);
}

/* The outputs of the page as read: by id, because the list may have moved since. */
static int list_outputs(struct vg_db_run *run, struct vg_video_list *op)
{
    const char **ids = vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(*ids));
    struct vg_video **videos =
        vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(struct vg_video *));
    size_t count = 0;

    for (size_t i = 0; i < op->count; i++) {
        if (op->videos[i].status != VG_VIDEO_COMPLETED)
            continue;
        ids[count] = op->videos[i].id;
        videos[count++] = &op->videos[i];
    }
    return count > 0 ? vg_video_rows_load(run, ids, count, op->op.arena, videos) : 0;
}

static void list_read(struct vg_db_run *run, struct vg_video_list *op, size_t handle)
{
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);
    int found = vg_pg_count(rows);

    op->has_more = found > op->limit;
    op->count = (size_t)(op->has_more ? op->limit : found);
    op->videos = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->videos));
    for (size_t i = 0; i < op->count; i++)
        vg_video_row_read(rows, (int)i, 0, op->op.arena, &op->videos[i]);
}

static int list_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    size_t handles[LIST_BATCH];

    vg_pg_begin(run->pg, false);
    for (size_t i = 0; i < count; i++)
        handles[i] = list_add(run, VG_CONTAINER(ops[i], struct vg_video_list, op));
    if (vg_db_pg_run(run) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        list_read(run, VG_CONTAINER(ops[i], struct vg_video_list, op), handles[i]);
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->ok && list_outputs(run, VG_CONTAINER(ops[i], struct vg_video_list, op)) < 0)
            return -1;
    }
    return 0;
}

static const struct vg_db_kind list_kind = {VG_DB_VIDEO_LIST, LIST_BATCH, list_run};

void vg_video_list(struct vg_db *db, struct vg_video_list *op)
{
    if (op->limit < 1 || op->limit > 100) {
        vg_db_refuse(&op->op, VG_ERR_INVALID_REQUEST, "limit must be from 1 to 100.");
        return;
    }
    vg_db_submit(db, &op->op, &list_kind);
}

/* ---- versions */

static const struct vg_pg_statement versions_statement = {
    "vg_video_versions", "SELECT i.ord, v.version"
                         " FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord)"
                         " JOIN videos v ON v.id = i.id WHERE v.deleted_at IS NULL"};

static int versions_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_video_versions *op = VG_CONTAINER(ops[0], struct vg_video_versions, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, op->ids, op->count);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &versions_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->versions = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->versions));
    for (int i = 0; i < vg_pg_count(rows); i++)
        op->versions[vg_pg_i64(rows, i, 0) - 1] = vg_pg_i64(rows, i, 1);
    return 0;
}

static const struct vg_db_kind versions_kind = {VG_DB_VIDEO_VERSIONS, 1, versions_run};

void vg_video_versions(struct vg_db *db, struct vg_video_versions *op)
{
    vg_db_submit(db, &op->op, &versions_kind);
}
