/* SPDX-License-Identifier: Apache-2.0 */
#include "db/redelivery_store.h"

#include "db/db_priv.h"
#include "db/delivery_rows.h"

/* Raising lease_seq makes the result of an attempt under way stale: the new round starts from
 * nothing. Its upper half counts rounds, so that the attempts of two are told from one another. Run
 * twice it may send once more, which receivers must bear anyway. */
#define AGAIN                                                                                      \
    "state = 1, due_at = now(), ended_at = NULL, attempts = 0, leased = false,"                    \
    " lease_seq = ((d.lease_seq >> 32) + 1) << 32"
#define NOT_DELETED                                                                                \
    "(d.endpoint_id IS NULL OR EXISTS (SELECT FROM webhook_endpoints e"                            \
    "  WHERE e.id = d.endpoint_id AND e.deleted_at IS NULL))"

static const struct vg_pg_statement one_statement = {
    "vg_redelivery",
    "UPDATE deliveries d SET " AGAIN " FROM videos v WHERE d.id = $1::text AND v.id = d.video_id"
    " AND ($2::int8 = 0 OR v.project_id = $2) AND " NOT_DELETED " RETURNING " VG_DELIVERY_COLUMNS};
/* $1 delivery, $2 project or 0. */
static const struct vg_pg_statement release_statement = {
    "vg_redelivery_release",
    "UPDATE receivers r SET held_until = now() FROM deliveries d JOIN videos v ON v.id = d.video_id"
    " WHERE d.id = $1::text AND ($2::int8 = 0 OR v.project_id = $2) AND r.host_id = d.host_id"
    "  AND r.held_until > now()"};

static int one_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_redelivery *op = VG_CONTAINER(ops[0], struct vg_redelivery, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->id);
    vg_pg_put_i64(&params, op->project_id);
    vg_pg_begin(run->pg, true);
    size_t handle = vg_pg_add(run->pg, &one_statement, &params);
    (void)vg_pg_add(run->pg, &release_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    if (vg_pg_count(rows) == 0)
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such delivery.");
    else
        vg_delivery_row_read(rows, 0, 0, op->op.arena, &op->delivery);
    run->due = true;
    return 0;
}

static const struct vg_db_kind one_kind = {VG_DB_DELIVERY_REDELIVER, 1, one_run};

void vg_redelivery(struct vg_db *db, struct vg_redelivery *op)
{
    vg_db_submit(db, &op->op, &one_kind);
}

/* ---- range */

/* $1 owner (endpoint, or project's number as text), $2 project or 0, $3 since, $4 until, $5
 * delivered too, $6 the delivery to go on behind, $7 limit. Locked rows are being recorded: they
 * have not ended. */
#define IN_RANGE                                                                                   \
    " AND d.created_at >= to_timestamp($3::int8) AND d.created_at < to_timestamp($4::int8)"        \
    " AND (d.state IN (3, 4) OR ($5::int4 <> 0 AND d.state = 2)) AND " NOT_DELETED
#define RENEW                                                                                      \
    " LIMIT $7::int4 FOR UPDATE OF d SKIP LOCKED),"                                                \
    " done AS (UPDATE deliveries d SET " AGAIN " FROM chosen c WHERE d.id = c.id"                  \
    "  RETURNING d.host_id),"                                                                      \
    " released AS (UPDATE receivers r SET held_until = now() WHERE r.held_until > now()"           \
    "  AND r.host_id IN (SELECT host_id FROM done))"                                               \
    " SELECT (SELECT count(*) FROM done),"                                                         \
    "  (SELECT id FROM chosen ORDER BY place DESC, id DESC LIMIT 1)"
static const struct vg_pg_statement endpoint_statement = {
    "vg_redelivery_endpoint",
    "WITH chosen AS MATERIALIZED (SELECT d.id, d.created_at AS place FROM webhook_endpoints o"
    "  JOIN deliveries d ON d.endpoint_id = o.id WHERE o.id = $1::text AND d.endpoint_id = $1"
    "  AND o.deleted_at IS NULL AND ($2::int8 = 0 OR o.project_id = $2)" IN_RANGE
    "  AND ($6::text IS NULL OR (d.created_at, d.id) >"
    "   (SELECT a.created_at, a.id FROM deliveries a WHERE a.id = $6))"
    " ORDER BY d.created_at, d.id" RENEW};
/* A video's id begins with the time of its create, and no job lives for a month. */
#define VIDEO_AT(seconds) "'video_' || lpad(to_hex(greatest(0, (" seconds ")) * 1000), 12, '0')"
static const struct vg_pg_statement project_statement = {
    "vg_redelivery_project",
    "WITH chosen AS MATERIALIZED (SELECT d.id, d.video_id AS place FROM videos v"
    "  JOIN deliveries d ON d.video_id = v.id WHERE v.project_id = $1::text::int8"
    "  AND ($2::int8 = 0 OR v.project_id = $2) AND v.deleted_at IS NULL"
    "  AND v.id >= " VIDEO_AT("$3::int8 - 2678400") " AND v.id < " VIDEO_AT("$4::int8 + 1") IN_RANGE
    "  AND ($6::text IS NULL OR (d.video_id, d.id) >"
    "   (SELECT a.video_id, a.id FROM deliveries a WHERE a.id = $6))"
    " ORDER BY d.video_id, d.id" RENEW};

/* $1 endpoint, $2 project or 0, $3 project's name or NULL: the owner as the others take it. */
static const struct vg_pg_statement owner_statement = {
    "vg_redelivery_owner",
    "SELECT CASE WHEN $1::text IS NOT NULL THEN (SELECT e.id FROM webhook_endpoints e"
    "  WHERE e.id = $1 AND e.deleted_at IS NULL AND ($2::int8 = 0 OR e.project_id = $2))"
    " ELSE (SELECT p.id::text FROM projects p"
    "  WHERE CASE WHEN $2 <> 0 THEN p.id = $2 ELSE p.name = $3::text END) END"};

/* Reads who owns them; NULL: nobody does, and the operation has failed. */
static int read_owner(struct vg_db_run *run, struct vg_redelivery_range *op, const char **out)
{
    struct vg_pg_params params;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->endpoint_id);
    vg_pg_put_i64(&params, op->project_id);
    vg_pg_put_text(&params, op->project);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &owner_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const char *owner = vg_pg_text(vg_pg_rows(run->pg, handle), 0, 0);

    *out = vg_arena_strdup(run->scratch, owner);
    if (!owner)
        vg_db_op_fail(&op->op, VG_ERR_NOT_FOUND, "No such %s.",
                      op->endpoint_id ? "webhook endpoint" : "project");
    return 0;
}

static int range_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_redelivery_range *op = VG_CONTAINER(ops[0], struct vg_redelivery_range, op);
    struct vg_pg_params params;
    const char *owner = NULL;

    VG_ASSERT(count == 1);
    if (read_owner(run, op, &owner) < 0)
        return -1;
    if (!owner)
        return 0;
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, owner);
    vg_pg_put_i64(&params, op->project_id);
    vg_pg_put_i64(&params, op->since);
    vg_pg_put_i64(&params, op->until);
    vg_pg_put_i32(&params, op->delivered_too);
    vg_pg_put_text(&params, op->after);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_begin(run->pg, true);
    size_t handle =
        vg_pg_add(run->pg, op->endpoint_id ? &endpoint_statement : &project_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);
    const char *last = vg_pg_text(rows, 0, 1);

    op->count = (int32_t)vg_pg_i64(rows, 0, 0);
    op->last_id = vg_arena_strdup(op->op.arena, last);
    run->due = op->count > 0;
    return 0;
}

static const struct vg_db_kind range_kind = {VG_DB_DELIVERY_RANGE, 1, range_run};

void vg_redelivery_range(struct vg_db *db, struct vg_redelivery_range *op)
{
    vg_db_submit(db, &op->op, &range_kind);
}
