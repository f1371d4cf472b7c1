/* SPDX-License-Identifier: Apache-2.0 */
#include "db/delivery_rows.h"

static const struct vg_pg_field delivery_fields[] = {
    VG_PG_FIELD(TEXT, vg_delivery, id),
    VG_PG_FIELD(TEXT, vg_delivery, video_id),
    VG_PG_FIELD(I32, vg_delivery, state),
    VG_PG_FIELD(TEXT, vg_delivery, url),
    VG_PG_FIELD_BYTES(vg_delivery, secret_sealed, secret_size),
    VG_PG_FIELD_BYTES(vg_delivery, body, body_size),
    VG_PG_FIELD(I32, vg_delivery, attempts),
    VG_PG_FIELD(I64, vg_delivery, lease_seq),
    VG_PG_FIELD(TIME, vg_delivery, created_at),
    VG_PG_FIELD(I32, vg_delivery, last_status),
    VG_PG_FIELD(TEXT, vg_delivery, last_reason),
    VG_PG_FIELD(TIME, vg_delivery, next_attempt_at),
    VG_PG_FIELD(TEXT, vg_delivery, endpoint_id),
    VG_PG_FIELD(TEXT, vg_delivery, event_type),
};

void vg_delivery_row_read(const struct vg_pg_rows *rows, int row, int first_column,
                          struct vg_arena *arena, struct vg_delivery *out)
{
    vg_pg_read(rows, row, first_column, delivery_fields, VG_COUNT(delivery_fields), arena, out);
    out->round = (int32_t)(out->lease_seq >> 32); /* as db/redelivery_store.c counts them */
}

/* The latest of each, oldest first. */
static const struct vg_pg_statement log_statement = {
    "vg_delivery_log",
    "SELECT i.ord, a.ended_at, a.http_status, a.reason, a.duration_ms, coalesce(a.answer, '')"
    " FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord) CROSS JOIN LATERAL"
    " (SELECT * FROM delivery_attempts x WHERE x.delivery_id = i.id"
    "   ORDER BY x.lease_seq DESC LIMIT $2::int4) a ORDER BY i.ord, a.lease_seq"};
static const struct vg_pg_field log_fields[] = {
    VG_PG_FIELD(TIME, vg_delivery_attempt, ended_at),
    VG_PG_FIELD(I32, vg_delivery_attempt, http_status),
    VG_PG_FIELD(TEXT, vg_delivery_attempt, reason),
    VG_PG_FIELD(I64, vg_delivery_attempt, duration_ms),
    VG_PG_FIELD(TEXT, vg_delivery_attempt, answer),
};

int vg_delivery_rows_load_log(struct vg_db_run *run, struct vg_delivery *deliveries, size_t count,
                              struct vg_arena *arena)
{
    const char **ids = vg_arena_alloc(run->scratch, (count + 1) * sizeof(*ids));
    struct vg_pg_params params;

    for (size_t i = 0; i < count; i++)
        ids[i] = deliveries[i].id;
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, ids, count);
    vg_pg_put_i32(&params, VG_DELIVERY_LOG);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &log_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);
    int total = vg_pg_count(rows);
    struct vg_delivery_attempt *all =
        vg_arena_alloc(arena, ((size_t)total + 1) * sizeof(struct vg_delivery_attempt));

    for (int i = 0; i < total; i++) {
        struct vg_delivery *d = &deliveries[vg_pg_i64(rows, i, 0) - 1];

        vg_pg_read(rows, i, 1, log_fields, VG_COUNT(log_fields), arena, &all[i]);
        if (d->log_count++ == 0)
            d->log = &all[i];
    }
    return 0;
}
