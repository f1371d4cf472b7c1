/* SPDX-License-Identifier: Apache-2.0 */
#include "db/sealed_store.h"

#include "db/db_priv.h"

/* $1 behind which, $2 limit. The id of a secret is its endpoint's, a slash and its own. */
static const struct vg_pg_statement page_statements[VG_SEALED_TABLE_MAX] = {
    [VG_SEALED_VIDEOS] = {"vg_sealed_videos",
                          "SELECT v.id, v.id, CASE WHEN v.status < 3 THEN v.secret_sealed END"
                          " FROM videos v WHERE v.id > $1::text ORDER BY v.id LIMIT $2::int4"},
    [VG_SEALED_DELIVERIES] = {"vg_sealed_deliveries",
                              "SELECT d.id, d.video_id, d.secret_sealed FROM deliveries d"
                              " WHERE d.id > $1::text ORDER BY d.id LIMIT $2::int4"},
    [VG_SEALED_SECRETS] = {"vg_sealed_secrets",
                           "SELECT s.endpoint_id || '/' || s.id, s.endpoint_id, s.sealed"
                           " FROM webhook_secrets s WHERE (s.endpoint_id, s.id) >"
                           "  (split_part($1::text, '/', 1), split_part($1, '/', 2))"
                           " ORDER BY s.endpoint_id, s.id LIMIT $2::int4"},
};
#define GIVEN                                                                                      \
    " FROM (SELECT u.id, decode(u.old, 'base64') AS old, decode(u.fresh, 'base64') AS fresh"       \
    "  FROM unnest($1::text[], $2::text[], $3::text[]) AS u(id, old, fresh) ORDER BY u.id) i"
static const struct vg_pg_statement put_statements[VG_SEALED_TABLE_MAX] = {
    [VG_SEALED_VIDEOS] = {"vg_sealed_put_videos",
                          "WITH put AS (UPDATE videos v SET secret_sealed = i.fresh" GIVEN
                          " WHERE v.id = i.id AND v.secret_sealed = i.old RETURNING 1)"
                          " SELECT count(*) FROM put"},
    [VG_SEALED_DELIVERIES] = {"vg_sealed_put_deliveries",
                              "WITH put AS (UPDATE deliveries d SET secret_sealed = i.fresh" GIVEN
                              " WHERE d.id = i.id AND d.secret_sealed = i.old RETURNING 1)"
                              " SELECT count(*) FROM put"},
    [VG_SEALED_SECRETS] = {"vg_sealed_put_secrets",
                           "WITH put AS (UPDATE webhook_secrets s SET sealed = i.fresh" GIVEN
                           " WHERE s.endpoint_id = split_part(i.id, '/', 1)"
                           "  AND s.id = split_part(i.id, '/', 2) AND s.sealed = i.old RETURNING 1)"
                           " SELECT count(*) FROM put"},
};
static const struct vg_pg_field row_fields[] = {
    VG_PG_FIELD(TEXT, vg_sealed_row, id),
    VG_PG_FIELD(TEXT, vg_sealed_row, aad),
    VG_PG_FIELD_BYTES(vg_sealed_row, sealed, size),
};

static int page_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_sealed_page *op = VG_CONTAINER(ops[0], struct vg_sealed_page, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->after);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &page_statements[op->table], &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->count = (size_t)vg_pg_count(rows);
    op->rows = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->rows));
    for (size_t i = 0; i < op->count; i++)
        vg_pg_read(rows, (int)i, 0, row_fields, VG_COUNT(row_fields), op->op.arena, &op->rows[i]);
    return 0;
}

static const struct vg_db_kind page_kind = {VG_DB_SEALED_PAGE, 1, page_run};

void vg_sealed_page(struct vg_db *db, struct vg_sealed_page *op)
{
    vg_db_submit(db, &op->op, &page_kind);
}

static int put_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_sealed_put *op = VG_CONTAINER(ops[0], struct vg_sealed_put, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, op->ids, op->count);
    vg_pg_put_texts(&params, op->olds, op->count);
    vg_pg_put_texts(&params, op->news, op->count);
    vg_pg_begin(run->pg, true);
    size_t handle = vg_pg_add(run->pg, &put_statements[op->table], &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    op->changed = (int32_t)vg_pg_i64(vg_pg_rows(run->pg, handle), 0, 0);
    return 0;
}

static const struct vg_db_kind put_kind = {VG_DB_SEALED_PUT, 1, put_run};

void vg_sealed_put(struct vg_db *db, struct vg_sealed_put *op)
{
    vg_db_submit(db, &op->op, &put_kind);
}
