/* SPDX-License-Identifier: Apache-2.0 */
#include "db/delivery_store.h"

#include "db/db_priv.h"
#include "db/delivery_rows.h"
#include "db/delivery_tally.h"
#include "db/video_rows.h"

static const char *const state_names[VG_DELIVERY_STATE_MAX] = {
    [0] = "none",
    [VG_DELIVERY_PENDING] = "pending",
    [VG_DELIVERY_DELIVERED] = "delivered",
    [VG_DELIVERY_FAILED] = "failed",
    [VG_DELIVERY_GONE] = "gone",
};

const char *vg_delivery_state_name(enum vg_delivery_state state)
{
    return (unsigned)state < VG_DELIVERY_STATE_MAX ? state_names[state] : "none";
}

/* ---- claim */

static const struct vg_pg_statement claim_lock_statement = {
    "vg_delivery_claim_lock", "SELECT pg_advisory_xact_lock(7598807760196303)"};

/* The statement keeps its own layout. */
/* clang-format off */
/* A backlog is never read, and nothing that is dead stepped over (db/delivery_tally.h). A receiver that is held back (receivers)
 * gives none; after that one at a time, until a success. Projects take turns, and so, within one, do its receivers.
 * $1 limit, $2 lease in ms, $3 per host, $4 host to go on after, $5 token, $6 per project, $7 how far ahead to look for what is
 * due next.
 *  base, since, taken   see delivery_tally.h
 *  books     what each receiver has waiting and under way, but those that sleep: a lease that ran out waits
 *  hosts     those with something waiting, and how many more each may have
 *  ready     those that may have something due, from the cursor on and then from the start
 *  cand      their oldest due rows
 *  open      in the order of turns, as many as each project may have
 *  locked    those still free under a lock; `state + 0` keeps the partial indexes out
 *  summary   when the next one that waits is due */
#define AHEAD "now() + $7::int8 * interval '1 ms'"
static const struct vg_pg_statement claim_statement = {
    "vg_delivery_claim",
    "WITH " VG_DELIVERY_TALLY ", " VG_DELIVERY_TAKEN_FLOOR ","
    " books AS MATERIALIZED (SELECT e.host_id, coalesce(max(e.project_id), e.host_id) AS project_id,"
    "   sum(e.waiting)::int8 AS waiting, sum(e.leased)::int8 AS busy,"
    "   coalesce(min(e.floor), '-infinity') AS floor FROM ("
    VG_DELIVERY_ENTRIES(" WHERE u.leased <> 0 OR u.floor <= " AHEAD
        " OR u.host_id IN (SELECT s.host_id FROM since s)")
    "   UNION ALL SELECT d.host_id, NULL, 1, -1, NULL FROM deliveries d WHERE d.state = 1"
    "    AND d.leased AND d.due_at >= (SELECT t.floor FROM taken t) AND d.due_at <= now()) e"
    "  GROUP BY e.host_id),"
    " busy AS MATERIALIZED (SELECT b.project_id, sum(b.busy)::int8 AS busy FROM books b"
    "  GROUP BY b.project_id),"
    " hosts AS MATERIALIZED (SELECT b.host_id, b.project_id, b.waiting, b.floor, r.held_until,"
    "   CASE WHEN r.held_until > now() THEN 0 WHEN r.held_until IS NOT NULL THEN 1"
    "    ELSE $3::int4 END - b.busy AS free"
    "  FROM books b LEFT JOIN receivers r ON r.host_id = b.host_id WHERE b.waiting > 0),"
    " ready AS MATERIALIZED (SELECT h.* FROM hosts h WHERE h.free > 0 AND h.floor <= now()"
    "  ORDER BY h.host_id <= $4::int8, h.host_id LIMIT 1000),"
    " cand AS MATERIALIZED (SELECT c.id, c.due_at, r.project_id,"
    "   row_number() OVER (PARTITION BY r.host_id ORDER BY c.due_at) AS turn"
    "  FROM ready r CROSS JOIN LATERAL (SELECT d.id, d.due_at FROM deliveries d"
    "   WHERE d.state = 1 AND d.host_id = r.host_id AND d.due_at >= r.floor AND d.due_at <= now()"
    "   ORDER BY d.due_at LIMIT least(r.free, $1::int4 + 1)) c),"
    " open AS MATERIALIZED (SELECT t.id, t.due_at, t.place FROM (SELECT c.id, c.due_at,"
    "   c.project_id, row_number() OVER (PARTITION BY c.project_id ORDER BY c.turn, c.due_at)"
    "    AS place FROM cand c) t JOIN busy b ON b.project_id = t.project_id"
    "  WHERE t.place <= $6::int4 - b.busy),"
    " fair AS MATERIALIZED (SELECT id FROM open ORDER BY place, due_at LIMIT $1::int4),"
    " locked AS MATERIALIZED (SELECT d.id FROM fair f JOIN deliveries d ON d.id = f.id"
    "  WHERE d.state + 0 = 1 AND d.due_at <= now() FOR UPDATE OF d SKIP LOCKED),"
    " claimed AS (UPDATE deliveries d SET lease_seq = d.lease_seq + 1, leased = true,"
    "   claim_token = $5::int8, due_at = now() + $2::int8 * interval '1 ms'"
    "  FROM locked l WHERE d.id = l.id RETURNING d.*),"
    " summary AS (SELECT CASE WHEN (SELECT count(*) FROM open) > (SELECT count(*) FROM fair)"
    "  THEN now() ELSE (SELECT min(CASE WHEN h.floor > now() THEN greatest(h.floor, h.held_until)"
    "    WHEN h.held_until > now() THEN h.held_until"
    "    WHEN h.waiting > coalesce(t.n, 0) THEN (SELECT d.due_at FROM deliveries d"
    "     WHERE d.state = 1 AND d.host_id = h.host_id AND d.due_at > now()"
    "      AND d.due_at <= " AHEAD " ORDER BY d.due_at LIMIT 1) END)"
    "   FROM hosts h LEFT JOIN (SELECT c.host_id, count(*) AS n FROM claimed c GROUP BY c.host_id) t"
    "    ON t.host_id = h.host_id) END AS next_at)"
    " SELECT (extract(epoch FROM s.next_at - now()) * 1000)::int8, d.host_id, " VG_DELIVERY_COLUMNS
    " FROM summary s LEFT JOIN claimed d ON true"};
/* clang-format on */
static const struct vg_pg_statement reclaim_statement = {
    "vg_delivery_reclaim", "SELECT 0::int8, d.host_id, " VG_DELIVERY_COLUMNS
                           " FROM deliveries d WHERE d.state = 1 AND d.leased"
                           " AND d.claim_token = $1::int8 AND d.due_at > now()"};

enum { COLUMN_NEXT, COLUMN_HOST, COLUMN_FIRST };

static void claim_read(const struct vg_pg_rows *rows, struct vg_delivery_claim *op,
                       int64_t *out_host)
{
    size_t total = (size_t)vg_pg_count(rows);

    op->count = 0;
    op->deliveries = vg_arena_alloc(op->op.arena, (total + 1) * sizeof(*op->deliveries));
    *out_host = INT64_MIN;
    for (size_t i = 0; i < total; i++) {
        if (vg_pg_null(rows, (int)i, COLUMN_FIRST))
            continue; /* nothing claimed: the summary alone */
        vg_delivery_row_read(rows, (int)i, COLUMN_FIRST, op->op.arena,
                             &op->deliveries[op->count++]);
        int64_t host = vg_pg_i64(rows, (int)i, COLUMN_HOST);

        *out_host = host > *out_host ? host : *out_host;
    }
}

/* A body that is still to be built needs its video. Read after the claim's commit: a loss costs one
 * lease. */
static int load_videos(struct vg_db_run *run, struct vg_delivery_claim *op)
{
    const char **ids = vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(*ids));
    struct vg_video **videos =
        vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(struct vg_video *));
    size_t wanted = 0;

    for (size_t i = 0; i < op->count; i++) {
        if (op->deliveries[i].body)
            continue;
        ids[wanted] = op->deliveries[i].video_id;
        videos[wanted++] = &op->deliveries[i].video;
    }
    return wanted > 0 ? vg_video_rows_load(run, ids, wanted, op->op.arena, videos) : 0;
}

/* Address and secrets as they are now: an endpoint may have changed since the video ended. */
static const struct vg_pg_statement endpoints_statement = {
    "vg_delivery_endpoints",
    "SELECT i.ord, CASE WHEN e.deleted_at IS NOT NULL THEN 2 WHEN e.disabled_at IS NOT NULL THEN 1"
    "  ELSE 0 END, e.url, s.sealed FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord)"
    " JOIN webhook_endpoints e ON e.id = i.id LEFT JOIN webhook_secrets s"
    "  ON s.endpoint_id = e.id AND (s.ends_at IS NULL OR s.ends_at > now())"
    " ORDER BY i.ord, s.ends_at DESC NULLS FIRST, s.id DESC"};
struct endpoint_row {
    int64_t ord;
    enum vg_delivery_endpoint state;
    const char *url;
    const void *sealed;
    size_t sealed_size;
};
static const struct vg_pg_field endpoint_fields[] = {
    VG_PG_FIELD(I64, endpoint_row, ord),
    VG_PG_FIELD(I32, endpoint_row, state),
    VG_PG_FIELD(TEXT, endpoint_row, url),
    VG_PG_FIELD_BYTES(endpoint_row, sealed, sealed_size),
};

static void take_endpoint(struct vg_delivery *d, const struct endpoint_row *row)
{
    d->endpoint = row->state;
    d->url = row->url;
    if (row->sealed && d->endpoint_sealed_count < VG_COUNT(d->endpoint_sealed))
        d->endpoint_sealed[d->endpoint_sealed_count++] =
            (struct vg_view){row->sealed, row->sealed_size};
}

static int load_endpoints(struct vg_db_run *run, struct vg_delivery_claim *op)
{
    const char **ids = vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(*ids));
    struct vg_delivery **rows_of =
        vg_arena_alloc(run->scratch, (op->count + 1) * sizeof(struct vg_delivery *));
    struct vg_pg_params params;
    size_t wanted = 0;

    for (size_t i = 0; i < op->count; i++) {
        if (!op->deliveries[i].endpoint_id)
            continue;
        op->deliveries[i].endpoint = VG_ENDPOINT_DELETED; /* unless a row says otherwise */
        ids[wanted] = op->deliveries[i].endpoint_id;
        rows_of[wanted++] = &op->deliveries[i];
    }
    if (wanted == 0)
        return 0;
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, ids, wanted);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &endpoints_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct endpoint_row row;

        vg_pg_read(rows, i, 0, endpoint_fields, VG_COUNT(endpoint_fields), op->op.arena, &row);
        take_endpoint(rows_of[row.ord - 1], &row);
    }
    return 0;
}

static int load(struct vg_db_run *run, struct vg_delivery_claim *op)
{
    return load_endpoints(run, op) < 0 ? -1 : load_videos(run, op);
}

static int reclaim(struct vg_db_run *run, struct vg_delivery_claim *op)
{
    struct vg_pg_params params;
    int64_t host = 0;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->op.token);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &reclaim_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    claim_read(vg_pg_rows(run->pg, handle), op, &host);
    op->next_due_ms = 0;
    return 0;
}

static int claim_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_delivery_claim *op = VG_CONTAINER(ops[0], struct vg_delivery_claim, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    op->count = 0;
    if (run->again && reclaim(run, op) < 0)
        return -1;
    if (op->count > 0)
        return load(run, op);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_put_i64(&params, op->lease_ms);
    vg_pg_put_i32(&params, op->per_host);
    vg_pg_put_i64(&params, run->cursor);
    vg_pg_put_i64(&params, op->op.token);
    vg_pg_put_i32(&params, op->per_project);
    vg_pg_put_i64(&params, op->ahead_ms > 0 ? op->ahead_ms : VG_DB_AHEAD_MAX_MS);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &claim_lock_statement, NULL);
    vg_delivery_tally_add(run->pg);
    size_t handle = vg_pg_add(run->pg, &claim_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);
    int64_t next_ms = vg_pg_i64(rows, 0, COLUMN_NEXT);

    op->next_due_ms = vg_pg_null(rows, 0, COLUMN_NEXT) ? INT64_MAX : next_ms;
    if (op->next_due_ms < 0)
        op->next_due_ms = 0;
    claim_read(rows, op, &run->cursor);
    return load(run, op);
}

static const struct vg_db_kind claim_kind = {VG_DB_DELIVERY_CLAIM, 1, claim_run};

void vg_delivery_claim(struct vg_db *db, struct vg_delivery_claim *op)
{
    if (op->limit < 1 || op->limit > 256 || op->lease_ms < 1 || op->per_host < 1 ||
        op->per_project < 1) {
        vg_db_refuse(&op->op, VG_ERR_INTERNAL, "A claim needs a lease, caps and 1 to 256 rows.");
        return;
    }
    vg_db_submit(db, &op->op, &claim_kind);
}

/* ---- renew */

static const struct vg_pg_statement renew_statement = {
    "vg_delivery_renew",
    "UPDATE deliveries d SET due_at = now() + i.lease_ms * interval '1 ms'"
    " FROM unnest($1::text[], $2::int8[], $3::int8[]) WITH ORDINALITY"
    "  AS i(id, lease_seq, lease_ms, ord)"
    " WHERE d.id = i.id AND d.lease_seq = i.lease_seq AND d.state + 0 = 1 AND d.leased"
    " RETURNING i.ord"};
static const struct vg_pg_field renew_fields[] = {
    VG_PG_FIELD(TEXT, vg_delivery_renew, id),
    VG_PG_FIELD(I64, vg_delivery_renew, lease_seq),
    VG_PG_FIELD(I64, vg_delivery_renew, lease_ms),
};

static int renew_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    const struct vg_pg_rows *rows =
        vg_db_pg_ops(run, true, &renew_statement, renew_fields, VG_COUNT(renew_fields), ops, count);

    if (!rows)
        return -1;
    for (size_t i = 0; i < count; i++)
        VG_CONTAINER(ops[i], struct vg_delivery_renew, op)->applied = false;
    for (int i = 0; i < vg_pg_count(rows); i++)
        VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_delivery_renew, op)->applied = true;
    return 0;
}

static const struct vg_db_kind renew_kind = {VG_DB_DELIVERY_RENEW, VG_DB_MAX_BATCH, renew_run};

void vg_delivery_renew(struct vg_db *db, struct vg_delivery_renew *op)
{
    vg_db_submit(db, &op->op, &renew_kind);
}

/* ---- body */

static const struct vg_pg_statement body_statement = {
    "vg_delivery_body",
    "UPDATE deliveries d SET body = i.body FROM unnest($1::text[], $2::int8[], $3::bytea[])"
    "  AS i(id, lease_seq, body)"
    " WHERE d.id = i.id AND d.lease_seq = i.lease_seq AND d.state + 0 = 1 AND d.body IS NULL"};
/* Finding the lease is enough: a second run finds the body of the first. */
static const struct vg_pg_statement body_read_statement = {
    "vg_delivery_body_read",
    "SELECT i.ord FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS i(id, lease_seq, ord)"
    " JOIN deliveries d ON d.id = i.id"
    " WHERE d.lease_seq = i.lease_seq AND d.state + 0 = 1 AND d.leased"};
static const struct vg_pg_field body_fields[] = {
    VG_PG_FIELD(TEXT, vg_delivery_body, id),
    VG_PG_FIELD(I64, vg_delivery_body, lease_seq),
    VG_PG_FIELD_BYTES(vg_delivery_body, body, body_size),
};

static int body_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params all, keys;

    vg_pg_params_init(&all, run->scratch);
    vg_pg_put_ops(&all, body_fields, VG_COUNT(body_fields), ops, count);
    vg_pg_params_init(&keys, run->scratch);
    vg_pg_put_ops(&keys, body_fields, 2, ops, count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &body_statement, &all);
    size_t handle = vg_pg_add(run->pg, &body_read_statement, &keys);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    for (size_t i = 0; i < count; i++)
        VG_CONTAINER(ops[i], struct vg_delivery_body, op)->applied = false;
    for (int i = 0; i < vg_pg_count(rows); i++)
        VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_delivery_body, op)->applied = true;
    return 0;
}

static const struct vg_db_kind body_kind = {VG_DB_DELIVERY_BODY, VG_DB_MAX_BATCH, body_run};

void vg_delivery_body(struct vg_db *db, struct vg_delivery_body *op)
{
    vg_db_submit(db, &op->op, &body_kind);
}

/* ---- list */

/* $1 the delivery to go on behind, $2 project or 0, $3 limit. */
#define LIST_PAGE                                                                                  \
    " AND ($1::text IS NULL OR (d.created_at, d.id) >"                                             \
    "  (SELECT a.created_at, a.id FROM deliveries a WHERE a.id = $1))"                             \
    " ORDER BY d.created_at, d.id LIMIT $3::int4"
static const struct vg_pg_statement list_statement = {
    "vg_delivery_list",
    "SELECT " VG_DELIVERY_COLUMNS " FROM videos v JOIN deliveries d ON d.video_id = v.id"
    " WHERE v.id = $4::text AND ($2::int8 = 0 OR v.project_id = $2)"
    "  AND ($5::text IS NULL OR d.endpoint_id = $5)" LIST_PAGE};
static const struct vg_pg_statement list_endpoint_statement = {
    "vg_delivery_list_endpoint",
    "SELECT " VG_DELIVERY_COLUMNS
    " FROM webhook_endpoints e JOIN deliveries d ON d.endpoint_id = e.id"
    " WHERE e.id = $4::text AND d.endpoint_id = $4 AND ($2::int8 = 0 OR e.project_id = "
    "$2)" LIST_PAGE};
/* $1 video or endpoint, $2 project or 0. */
static const struct vg_pg_statement list_video_statement = {
    "vg_delivery_list_video", "SELECT 1 FROM videos v WHERE v.id = $1::text"
                              " AND ($2::int8 = 0 OR v.project_id = $2)"};
static const struct vg_pg_statement list_owner_statement = {
    "vg_delivery_list_owner", "SELECT 1 FROM webhook_endpoints e WHERE e.id = $1::text"
                              " AND ($2::int8 = 0 OR e.project_id = $2)"};
static int list_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_delivery_list *op = VG_CONTAINER(ops[0], struct vg_delivery_list, op);
    const char *owner = op->video_id ? op->video_id : op->endpoint_id;
    struct vg_pg_params params, scope;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&scope, run->scratch);
    vg_pg_put_text(&scope, owner);
    vg_pg_put_i64(&scope, op->project_id);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_text(&params, op->after);
    vg_pg_put_i64(&params, op->project_id);
    vg_pg_put_i32(&params, op->limit + 1);
    vg_pg_put_text(&params, owner);
    if (op->video_id)
        vg_pg_put_text(&params, op->endpoint_id);
    vg_pg_begin(run->pg, false);
    size_t found =
        vg_pg_add(run->pg, op->video_id ? &list_video_statement : &list_owner_statement, &scope);
    size_t handle =
        vg_pg_add(run->pg, op->video_id ? &list_statement : &list_endpoint_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    if (vg_pg_count(vg_pg_rows(run->pg, found)) == 0) {
        vg_db_op_fail(ops[0], VG_ERR_NOT_FOUND, "No such %s.",
                      op->video_id ? "video" : "webhook endpoint");
        return 0;
    }
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->count = (size_t)vg_pg_count(rows);
    op->has_more = op->count > (size_t)op->limit;
    if (op->has_more)
        op->count = (size_t)op->limit;
    op->deliveries = vg_arena_alloc(op->op.arena, (op->count + 1) * sizeof(*op->deliveries));
    for (size_t i = 0; i < op->count; i++)
        vg_delivery_row_read(rows, (int)i, 0, op->op.arena, &op->deliveries[i]);
    return op->count > 0 ? vg_delivery_rows_load_log(run, op->deliveries, op->count, op->op.arena)
                         : 0;
}

static const struct vg_db_kind list_kind = {VG_DB_DELIVERY_LIST, 1, list_run};

void vg_delivery_list(struct vg_db *db, struct vg_delivery_list *op)
{
    vg_db_submit(db, &op->op, &list_kind);
}
