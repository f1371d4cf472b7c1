/* SPDX-License-Identifier: Apache-2.0 */
/* Locks, in this order: deliveries, receivers by host, endpoints by id. Receivers and endpoints
 * that are well are not locked, so a success costs two index look-ups beside its own row. */
#include "db/delivery_store.h"

#include <string.h>

#include "db/db_priv.h"

/* $12 failures, $13 wait, $14 disable after, in ms. The statement keeps its own layout. */
/* clang-format off */
#define AGO(part) "now() - $14::int8 * interval '1 ms' " part
static const struct vg_pg_statement result_statement = {
    "vg_delivery_result",
    "WITH moved AS (UPDATE deliveries d SET state = i.state, leased = false, last_change = i.token,"
    "   attempts = d.attempts + CASE WHEN i.not_made THEN 0 ELSE 1 END,"
    "   last_status = CASE WHEN i.not_made THEN d.last_status ELSE i.http_status END,"
    "   last_reason = CASE WHEN i.not_made AND i.state = 1 THEN d.last_reason"
    "    ELSE coalesce(i.reason, '') END,"
    "   due_at = now() + i.due_ms * interval '1 ms',"
    "   ended_at = CASE WHEN i.state <> 1 THEN now() END"
    "  FROM unnest($1::text[], $2::int8[], $3::int4[], $4::int8[], $5::int4[], $6::text[],"
    "   $7::int8[], $8::bool[], $9::int8[], $10::int4[], $11::int8[], $15::text[])"
    "   WITH ORDINALITY AS i(id, lease_seq, state, due_ms, http_status, reason, duration_ms,"
    "    not_made, token, sign, hold_ms, answer, ord)"
    "  WHERE d.id = i.id AND d.lease_seq = i.lease_seq AND d.state + 0 = 1 AND d.leased"
    "   AND d.last_change IS DISTINCT FROM i.token"
    "  RETURNING d.id, d.endpoint_id, d.host_id, d.state, d.lease_seq, i.http_status, i.reason,"
    "   i.duration_ms, i.not_made, i.sign, i.hold_ms, i.answer, i.ord),"
    " logged AS (INSERT INTO delivery_attempts (delivery_id, lease_seq, http_status, reason,"
    "   duration_ms, answer) SELECT id, lease_seq, http_status, coalesce(reason, ''), duration_ms,"
    "   answer FROM moved WHERE NOT not_made ON CONFLICT DO NOTHING),"
    " heard AS MATERIALIZED (SELECT host_id, bool_or(sign = 1) AS good,"
    "   count(*) FILTER (WHERE sign IN (3, 4))::int4 AS bad,"
    "   max(hold_ms) FILTER (WHERE sign = 4) AS hold_ms"
    "  FROM moved WHERE NOT not_made GROUP BY host_id),"
    " known AS MATERIALIZED (SELECT r.* FROM heard h JOIN receivers r ON r.host_id = h.host_id"
    "  WHERE h.good OR h.bad > 0 ORDER BY r.host_id FOR UPDATE OF r),"
    " healed AS (DELETE FROM receivers r USING heard h, known k WHERE k.host_id = r.host_id"
    "  AND h.host_id = r.host_id AND h.good AND h.hold_ms IS NULL),"
    " ill AS (SELECT h.host_id, coalesce(k.failures, 0) + h.bad AS failures, h.hold_ms,"
    "   coalesce(k.holds, 0) AS holds, k.held_until, coalesce(k.held_until <= now(), true) AS free"
    "  FROM heard h LEFT JOIN known k ON k.host_id = h.host_id"
    "  WHERE h.bad > 0 AND (NOT h.good OR h.hold_ms IS NOT NULL)),"
    " held AS (INSERT INTO receivers AS r (host_id, failures, holds, held_until)"
    "  SELECT host_id, failures, least(100, holds + CASE WHEN free AND (hold_ms IS NOT NULL"
    "    OR ($12::int4 > 0 AND failures >= $12)) THEN 1 ELSE 0 END),"
    "   CASE WHEN hold_ms > 0 THEN greatest(held_until, now() + hold_ms * interval '1 ms')"
    "    WHEN NOT free THEN held_until"
    "    WHEN hold_ms = 0 THEN now() + interval '1 s' * 2 ^ least(holds, 5)"
    "    WHEN $12 > 0 AND failures >= $12"
    "     THEN now() + $13::int8 * interval '1 ms' * 2 ^ least(holds, 4) ELSE held_until END"
    "  FROM ill ORDER BY host_id ON CONFLICT (host_id) DO UPDATE SET failed_at = now(),"
    "   failures = greatest(r.failures, excluded.failures),"
    "   holds = greatest(r.holds, excluded.holds),"
    "   held_until = greatest(r.held_until, excluded.held_until)),"
    " spoke AS MATERIALIZED (SELECT endpoint_id, bool_or(sign = 1) AS good,"
    "   bool_or(state = 4 AND http_status = 410) AS gone FROM moved"
    "  WHERE endpoint_id IS NOT NULL AND NOT not_made AND sign > 0 GROUP BY endpoint_id),"
    " ailing AS MATERIALIZED (SELECT e.id, s.good, s.gone,"
    "   CASE WHEN s.good OR e.failed_at < " AGO("* 2") " THEN NULL"
    "    ELSE coalesce(e.failing_since, CASE WHEN e.failed_at > " AGO("/ 5")
    "     THEN e.failed_at END) END AS since"
    "  FROM spoke s JOIN webhook_endpoints e ON e.id = s.endpoint_id"
    "  WHERE e.deleted_at IS NULL AND e.disabled_at IS NULL AND (s.gone OR CASE WHEN s.good"
    "   THEN e.failed_at IS NOT NULL ELSE coalesce(e.failed_at < " AGO("/ 1000") ", true) END)"
    "  ORDER BY e.id FOR NO KEY UPDATE OF e),"
    " judged AS (SELECT a.*, CASE WHEN a.gone THEN 'gone'"
    "   WHEN $14 > 0 AND a.since <= " AGO("") " THEN 'failing' END AS verdict FROM ailing a),"
    " turned AS (UPDATE webhook_endpoints e SET failing_since = j.since,"
    "   failed_at = CASE WHEN NOT j.good THEN now() END, disabled_reason = j.verdict,"
    "   disabled_at = CASE WHEN j.verdict IS NOT NULL THEN now() END"
    "  FROM judged j WHERE e.id = j.id RETURNING e.id, j.verdict)"
    " SELECT min(m.ord), t.verdict FROM turned t JOIN moved m ON m.endpoint_id = t.id"
    "  WHERE t.verdict IS NOT NULL GROUP BY t.id, t.verdict"};
/* clang-format on */
static const struct vg_pg_statement read_statement = {
    "vg_delivery_result_read",
    "SELECT i.ord FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS i(id, token, ord)"
    " JOIN deliveries d ON d.id = i.id WHERE d.last_change = i.token"};
static const struct vg_pg_field fields[] = {
    VG_PG_FIELD(TEXT, vg_delivery_result, id),
    VG_PG_FIELD(I64, vg_delivery_result, lease_seq),
    VG_PG_FIELD(I32, vg_delivery_result, state),
    VG_PG_FIELD(I64, vg_delivery_result, due_ms),
    VG_PG_FIELD(I32, vg_delivery_result, http_status),
    VG_PG_FIELD(TEXT, vg_delivery_result, reason),
    VG_PG_FIELD(I64, vg_delivery_result, duration_ms),
    VG_PG_FIELD(BOOL, vg_delivery_result, not_made),
    VG_PG_FIELD(I64, vg_delivery_result, op.token),
    VG_PG_FIELD(I32, vg_delivery_result, sign),
    VG_PG_FIELD(I64, vg_delivery_result, hold_ms),
};
static const struct vg_pg_field answers[] = {VG_PG_FIELD(TEXT, vg_delivery_result, answer)};
static const struct vg_pg_field keys[] = {
    VG_PG_FIELD(TEXT, vg_delivery_result, id),
    VG_PG_FIELD(I64, vg_delivery_result, op.token),
};

static void put_all(struct vg_pg_params *params, struct vg_db_op *const *ops, size_t count)
{
    static const struct vg_receiver_policy none = {.failures = 0};
    const struct vg_delivery_result *first = VG_CONTAINER(ops[0], struct vg_delivery_result, op);
    const struct vg_receiver_policy *policy = first->policy ? first->policy : &none;

    vg_pg_put_ops(params, fields, VG_COUNT(fields), ops, count);
    vg_pg_put_i32(params, policy->failures);
    vg_pg_put_i64(params, policy->wait_ms);
    vg_pg_put_i64(params, policy->disable_ms);
    vg_pg_put_ops(params, answers, VG_COUNT(answers), ops, count);
}

/* The words the statement may answer with, as literals. */
static const char *verdict_of(const char *text)
{
    return strcmp(text, "gone") == 0 ? "gone" : "failing";
}

static int result_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params all, ids;

    vg_pg_params_init(&all, run->scratch);
    put_all(&all, ops, count);
    vg_pg_params_init(&ids, run->scratch);
    vg_pg_put_ops(&ids, keys, VG_COUNT(keys), ops, count);
    vg_pg_begin(run->pg, true);
    size_t ends = vg_pg_add(run->pg, &result_statement, &all);
    size_t handle = vg_pg_add(run->pg, &read_statement, &ids);

    if (vg_db_pg_run(run) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct vg_delivery_result *op = VG_CONTAINER(ops[i], struct vg_delivery_result, op);

        op->applied = false;
        op->disabled = NULL;
    }
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    for (int i = 0; i < vg_pg_count(rows); i++)
        VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_delivery_result, op)->applied = true;
    rows = vg_pg_rows(run->pg, ends);
    for (int i = 0; i < vg_pg_count(rows); i++)
        VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_delivery_result, op)->disabled =
            verdict_of(vg_pg_text(rows, i, 1));
    return 0;
}

static const struct vg_db_kind result_kind = {VG_DB_DELIVERY_RESULT, VG_DB_MAX_BATCH, result_run};

void vg_delivery_result(struct vg_db *db, struct vg_delivery_result *op)
{
    vg_db_submit(db, &op->op, &result_kind);
}
