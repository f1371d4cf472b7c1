/* SPDX-License-Identifier: Apache-2.0 */
/* The state table, claiming, renewing, counting. Changes are in generation_change_store.c. */
#include "db/generation_store.h"

#include "db/db_priv.h"
#include "db/generation_sql.h"
#include "db/generation_tally.h"

/* ---- states */

#define TO(state) (1u << (state))
#define ENDS (TO(VG_GEN_FAILED) | TO(VG_GEN_CANCELED))
static const struct {
    const char *name;
    unsigned successors;
} states[VG_GEN_STATE_MAX] = {
    [0] = {"none", 0},
    [VG_GEN_PENDING] = {"pending", TO(VG_GEN_PENDING) | TO(VG_GEN_SUBMITTING) | ENDS},
    [VG_GEN_SUBMITTING] = {"submitting", TO(VG_GEN_SUBMITTING) | TO(VG_GEN_RUNNING) |
                                             TO(VG_GEN_FETCHING) | TO(VG_GEN_PENDING) |
                                             TO(VG_GEN_UNKNOWN) | TO(VG_GEN_EXPIRED) | ENDS},
    [VG_GEN_RUNNING] = {"running", TO(VG_GEN_RUNNING) | TO(VG_GEN_FETCHING) | TO(VG_GEN_PENDING) |
                                       TO(VG_GEN_EXPIRED) | ENDS},
    [VG_GEN_FETCHING] = {"fetching", TO(VG_GEN_FETCHING) | TO(VG_GEN_STORED) | ENDS},
    [VG_GEN_STORED] = {"stored", 0},
    [VG_GEN_FAILED] = {"failed", 0},
    [VG_GEN_CANCELED] = {"canceled", 0},
    [VG_GEN_EXPIRED] = {"expired", 0},
    [VG_GEN_UNKNOWN] = {"unknown", 0},
};

const char *vg_generation_state_name(enum vg_generation_state state)
{
    return (unsigned)state < VG_GEN_STATE_MAX ? states[state].name : "none";
}

bool vg_generation_state_terminal(enum vg_generation_state state)
{
    return state >= VG_GEN_STORED && state < VG_GEN_STATE_MAX;
}

bool vg_generation_may(enum vg_generation_state from, enum vg_generation_state to)
{
    return (unsigned)from < VG_GEN_STATE_MAX && (unsigned)to < VG_GEN_STATE_MAX &&
           (states[from].successors & TO(to)) != 0;
}

/* ---- claim */

/* One claimer at a time over all processes: the free places are counted and taken under it. */
static const struct vg_pg_statement claim_lock_statement = {
    "vg_generation_claim_lock", "SELECT pg_advisory_xact_lock(7598807760196302)"};

/* The statement keeps its own layout. */
/* clang-format off */
#define FREE_LEASE "(g.lease_until IS NULL OR g.lease_until <= now())"
#define WAKE_FLOOR "(SELECT f.wake FROM floors f)"
#define AHEAD "now() + $9::int8 * interval '1 ms'"

/* $1 limit, $2 lease in ms, $3 owner, $4 project concurrency, $5 providers, $6 places, $7 project to go on after,
 * $8 token, $9 how far ahead to look for what is due next.
 *  base, since, floors   see generation_tally.h
 *  urgent    due whatever the places: work under way, cancel, deadline
 *  books     what each (project, provider) has pending and under way: rows held, but the pending ones whose lease ran out
 *  room      free places by provider
 *  pairs     those with pending rows, from the cursor on and then from the start
 *  eligible  pairs with room, with what their project has under way
 *  cand      the oldest due rows of each pair, more than its fair part but not all
 *  turn      a row's place in its project's line, counting what the project has under way: fair between projects
 *  fair      the first of all lines within places and limit
 *  taken     those still free under a lock; `state + 0` keeps the partial indexes out, and `IS FALSE` that of wake_at: they look
 *            tempting to a planner whose statistics are of another moment, and would be read whole */
static const struct vg_pg_statement claim_statement = {
    "vg_generation_claim",
    "WITH " VG_GENERATION_TALLY ", " VG_GENERATION_FLOORS ","
    " urgent AS MATERIALIZED ("
    "  SELECT g.id, g.lease_until IS NOT NULL AND g.state <> 1 AS rescued FROM generations g"
    "  WHERE g.state < 5 AND g.wake_at >= " WAKE_FLOOR " AND g.wake_at <= now() AND " FREE_LEASE
    "  ORDER BY g.wake_at LIMIT $1::int4 FOR UPDATE SKIP LOCKED),"
    " books AS MATERIALIZED (SELECT e.project_id, e.provider, sum(e.pending)::int8 AS pending,"
    "   sum(e.held)::int8 AS busy, min(e.floor) AS floor FROM (" VG_GENERATION_ENTRIES
    "   UNION ALL SELECT g.project_id, g.provider, 0, -1, NULL FROM generations g WHERE g.state = 1"
    "    AND g.lease_owner IS NOT NULL AND g.due_at >= (SELECT f.taken FROM floors f)"
    "    AND g.due_at <= now() AND g.lease_until <= now()) e GROUP BY e.project_id, e.provider),"
    " used AS MATERIALIZED (SELECT b.provider, sum(b.busy)::int8 AS n FROM books b"
    "  GROUP BY b.provider),"
    " room AS MATERIALIZED (SELECT p.provider, p.places - coalesce(u.n, 0) AS free"
    "  FROM unnest($5::text[], $6::int4[]) AS p(provider, places)"
    "  LEFT JOIN used u ON u.provider = p.provider WHERE p.places > coalesce(u.n, 0)),"
    " pairs AS (SELECT b.*, sum(b.busy) OVER (PARTITION BY b.project_id)::int8 AS project_busy"
    "  FROM books b),"
    " ordered AS (SELECT p.* FROM pairs p WHERE p.pending > 0"
    "  ORDER BY (p.project_id, p.provider) <= ($7::int8, '~'), p.project_id, p.provider"
    "  LIMIT 1000),"
    " eligible AS MATERIALIZED (SELECT p.project_id, p.provider, r.free, p.project_busy AS busy,"
    "   coalesce(p.floor, '-infinity') AS floor,"
    "   least($1::int4, greatest(8, 2 * $1::int4 / count(*) OVER ()), r.free,"
    "    $4::int4 - p.project_busy) AS cut"
    "  FROM ordered p JOIN room r ON r.provider = p.provider WHERE p.project_busy < $4::int4),"
    " cand AS MATERIALIZED (SELECT c.id, c.due_at, e.project_id, e.provider, e.free, e.busy, e.cut"
    "  FROM eligible e CROSS JOIN LATERAL (SELECT g.id, g.due_at FROM generations g"
    "   WHERE g.state = 1 AND g.project_id = e.project_id AND g.provider = e.provider"
    "    AND g.due_at >= e.floor AND g.due_at <= now() AND (g.wake_at <= now()) IS FALSE"
    "    AND " FREE_LEASE
    "   ORDER BY g.due_at LIMIT e.cut) c),"
    " lined AS (SELECT id, due_at, provider, free, busy +"
    "   row_number() OVER (PARTITION BY project_id ORDER BY due_at, id) AS turn FROM cand),"
    " placed AS MATERIALIZED (SELECT id, turn, due_at, free,"
    "   row_number() OVER (PARTITION BY provider ORDER BY turn, due_at, id) AS place"
    "  FROM lined WHERE turn <= $4::int4),"
    " fair AS MATERIALIZED (SELECT id FROM placed WHERE place <= free ORDER BY turn, due_at, id"
    "  LIMIT greatest(0, $1::int4 - (SELECT count(*) FROM urgent))),"
    " taken AS MATERIALIZED (SELECT g.id FROM fair f JOIN generations g ON g.id = f.id"
    "  WHERE g.state + 0 = 1 AND g.due_at <= now() AND " FREE_LEASE
    "  FOR UPDATE OF g SKIP LOCKED),"
    " picked AS (SELECT id, rescued FROM urgent UNION ALL SELECT id, false FROM taken),"
    " claimed AS (UPDATE generations g SET lease_seq = g.lease_seq + 1, claim_token = $8::int8,"
    "   lease_owner = $3::text, lease_until = now() + $2::int8 * interval '1 ms',"
    "   due_at = now() + $2::int8 * interval '1 ms', cancel_told = g.cancel_requested,"
    "   sent_by = CASE WHEN g.state = 2 THEN coalesce(g.sent_by, g.lease_until, now()) END,"
    "   wake_at = CASE WHEN g.state = 1 AND NOT g.cancel_requested AND g.deadline_at > now()"
    "    THEN g.deadline_at ELSE now() + $2::int8 * interval '1 ms' END"
    "  FROM picked p WHERE g.id = p.id RETURNING g.*, p.rescued),"
    " summary AS (SELECT CASE WHEN (SELECT count(*) FROM urgent) >= $1::int4"
    "   OR (SELECT count(*) FROM placed WHERE place <= free) > (SELECT count(*) FROM fair)"
    "   OR EXISTS (SELECT FROM cand GROUP BY project_id, provider, cut HAVING count(*) >= cut)"
    "  THEN now() ELSE least("
    "   (SELECT g.wake_at FROM generations g WHERE g.state < 5 AND g.wake_at > now()"
    "    AND g.wake_at <= " AHEAD " ORDER BY g.wake_at LIMIT 1),"
    "   (SELECT min(g.lease_until) FROM generations g WHERE g.state < 5"
    "    AND g.wake_at >= " WAKE_FLOOR " AND g.wake_at <= now() AND g.lease_until > now()),"
    "   (SELECT min(d.due_at) FROM eligible e CROSS JOIN LATERAL (SELECT g.due_at"
    "     FROM generations g WHERE g.state = 1 AND g.project_id = e.project_id"
    "     AND g.provider = e.provider AND g.due_at > now() AND g.due_at <= " AHEAD
    "     ORDER BY g.due_at LIMIT 1) d)) END"
    "  AS next_at)"
    " SELECT (extract(epoch FROM s.next_at - now()) * 1000)::int8, c.rescued,"
    "  " VG_GENERATION_COLUMNS ", v.spec"
    " FROM summary s LEFT JOIN (claimed c JOIN videos v ON v.id = c.video_id) ON true"};
/* clang-format on */

/* The rows of a claim whose COMMIT answer was lost. */
static const struct vg_pg_statement reclaim_statement = {
    "vg_generation_reclaim",
    "SELECT 0::int8, c.state IN (2, 3, 4), " VG_GENERATION_COLUMNS ", v.spec"
    " FROM (SELECT g.* FROM generations g WHERE (" VG_GENERATION_HELD ")"
    "  AND g.claim_token = $1::int8 AND g.lease_until > now()) c"
    " JOIN videos v ON v.id = c.video_id"};

enum { COLUMN_NEXT, COLUMN_RESCUED, COLUMN_FIRST };

static const struct vg_pg_field generation_fields[] = {
    VG_PG_FIELD(I64, vg_generation, id),
    VG_PG_FIELD(TEXT, vg_generation, video_id),
    VG_PG_FIELD(I64, vg_generation, project_id),
    VG_PG_FIELD(I32, vg_generation, index),
    VG_PG_FIELD(I32, vg_generation, state),
    VG_PG_FIELD(I64, vg_generation, lease_seq),
    VG_PG_FIELD(I32, vg_generation, route),
    VG_PG_FIELD(I32, vg_generation, route_attempts),
    VG_PG_FIELD(I32, vg_generation, attempts),
    VG_PG_FIELD(I32, vg_generation, fetch_attempts),
    VG_PG_FIELD(I32, vg_generation, poll_errors),
    VG_PG_FIELD(TEXT, vg_generation, provider),
    VG_PG_FIELD(TEXT, vg_generation, upstream_id),
    VG_PG_FIELD_BYTES(vg_generation, poll_state, poll_state_size),
    VG_PG_FIELD(I32, vg_generation, progress),
    VG_PG_FIELD(I64, vg_generation, age_ms),
    VG_PG_FIELD(I64, vg_generation, deadline_left_ms),
    VG_PG_FIELD(BOOL, vg_generation, cancel_requested),
    VG_PG_FIELD(I64, vg_generation, submitted_at_ms),
    VG_PG_FIELD(I64, vg_generation, sent_by_ms),
    VG_PG_FIELD_BYTES(vg_generation, spec, spec_size),
};

/* Returns the largest project id among newly claimed pending rows, -1 when there are none. */
static int64_t claim_read(const struct vg_pg_rows *rows, struct vg_generation_claim *op)
{
    size_t total = (size_t)vg_pg_count(rows);
    int64_t last = -1;

    op->count = 0;
    op->generations = vg_arena_alloc(op->op.arena, (total + 1) * sizeof(*op->generations));
    for (size_t i = 0; i < total; i++) {
        struct vg_generation *generation = &op->generations[op->count];

        if (vg_pg_null(rows, (int)i, COLUMN_FIRST))
            continue; /* nothing claimed: the summary alone */
        vg_pg_read(rows, (int)i, COLUMN_FIRST, generation_fields, VG_COUNT(generation_fields),
                   op->op.arena, generation);
        generation->rescued = vg_pg_i64(rows, (int)i, COLUMN_RESCUED) != 0;
        if (generation->state == VG_GEN_PENDING && generation->project_id > last)
            last = generation->project_id;
        op->count++;
    }
    return last;
}

static void put_places(struct vg_pg_params *params, const struct vg_generation_claim *op)
{
    const char **names = vg_arena_alloc(params->arena, (op->provider_count + 1) * sizeof(*names));
    int32_t *places = vg_arena_alloc(params->arena, (op->provider_count + 1) * sizeof(*places));

    for (size_t i = 0; i < op->provider_count; i++) {
        names[i] = op->providers[i].provider;
        places[i] = op->providers[i].places;
    }
    vg_pg_put_texts(params, names, op->provider_count);
    vg_pg_put_i32s(params, places, op->provider_count);
}

/* Looks whether the first try went through; *out_found then. */
static int reclaim(struct vg_db_run *run, struct vg_generation_claim *op, bool *out_found)
{
    struct vg_pg_params params;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i64(&params, op->op.token);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &reclaim_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    (void)claim_read(vg_pg_rows(run->pg, handle), op);
    op->next_due_ms = 0;
    *out_found = op->count > 0;
    return 0;
}

static int claim_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_generation_claim *op = VG_CONTAINER(ops[0], struct vg_generation_claim, op);
    struct vg_pg_params params;
    bool found = false;

    VG_ASSERT(count == 1);
    if (run->again && reclaim(run, op, &found) < 0)
        return -1;
    if (found)
        return 0;
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_i32(&params, op->limit);
    vg_pg_put_i64(&params, op->lease_ms);
    vg_pg_put_text(&params, op->owner);
    vg_pg_put_i32(&params, op->project_concurrency);
    put_places(&params, op);
    vg_pg_put_i64(&params, run->cursor);
    vg_pg_put_i64(&params, op->op.token);
    vg_pg_put_i64(&params, op->ahead_ms > 0 ? op->ahead_ms : VG_DB_AHEAD_MAX_MS);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &claim_lock_statement, NULL);
    vg_generation_tally_add(run->pg);
    size_t handle = vg_pg_add(run->pg, &claim_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->next_due_ms =
        vg_pg_null(rows, 0, COLUMN_NEXT) ? INT64_MAX : vg_pg_i64(rows, 0, COLUMN_NEXT);
    if (op->next_due_ms < 0)
        op->next_due_ms = 0;
    int64_t last = claim_read(rows, op);

    run->cursor = last >= 0 ? last : 0;
    return 0;
}

static const struct vg_db_kind claim_kind = {VG_DB_GENERATION_CLAIM, 1, claim_run};

void vg_generation_claim(struct vg_db *db, struct vg_generation_claim *op)
{
    if (op->limit < 1 || op->limit > 256 || op->lease_ms < 1 || !op->owner) {
        vg_db_refuse(&op->op, VG_ERR_INTERNAL,
                     "A claim needs an owner, a lease and 1 to 256 rows.");
        return;
    }
    vg_db_submit(db, &op->op, &claim_kind);
}

/* ---- renew */

static const struct vg_pg_statement renew_statement = {
    "vg_generation_renew",
    "UPDATE generations g SET lease_until = now() + i.lease_ms * interval '1 ms',"
    "  cancel_told = g.cancel_requested"
    " FROM unnest($1::int8[], $2::int8[], $3::int8[]) WITH ORDINALITY"
    "  AS i(id, lease_seq, lease_ms, ord)"
    " WHERE g.id = i.id AND g.lease_seq = i.lease_seq AND g.lease_owner IS NOT NULL"
    " RETURNING i.ord, g.cancel_requested"};
static const struct vg_pg_field renew_fields[] = {
    VG_PG_FIELD(I64, vg_generation_renew, id),
    VG_PG_FIELD(I64, vg_generation_renew, lease_seq),
    VG_PG_FIELD(I64, vg_generation_renew, lease_ms),
};

static int renew_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    const struct vg_pg_rows *rows =
        vg_db_pg_ops(run, true, &renew_statement, renew_fields, VG_COUNT(renew_fields), ops, count);

    if (!rows)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct vg_generation_renew *op = VG_CONTAINER(ops[i], struct vg_generation_renew, op);

        op->applied = op->cancel_requested = false;
    }
    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct vg_generation_renew *op =
            VG_CONTAINER(ops[vg_pg_i64(rows, i, 0) - 1], struct vg_generation_renew, op);

        op->applied = true;
        op->cancel_requested = vg_pg_i64(rows, i, 1) != 0;
    }
    return 0;
}

static const struct vg_db_kind renew_kind = {VG_DB_GENERATION_RENEW, VG_DB_MAX_BATCH, renew_run};

void vg_generation_renew(struct vg_db *db, struct vg_generation_renew *op)
{
    vg_db_submit(db, &op->op, &renew_kind);
}

/* ---- stats */

static const struct vg_pg_statement stats_statement = {
    "vg_generation_stats",
    "SELECT g.state::int4, count(*) FROM generations g WHERE g.state < 5 GROUP BY g.state"
    " UNION ALL SELECT g.state::int4, count(*) FROM generations g WHERE g.state >= 5"
    "  AND g.ended_at > now() - interval '1 day' GROUP BY g.state"};

static int stats_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_generation_stats *op = VG_CONTAINER(ops[0], struct vg_generation_stats, op);

    VG_ASSERT(count == 1);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &stats_statement, NULL);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    for (size_t i = 0; i < VG_GEN_STATE_MAX; i++)
        op->counts[i] = 0;
    for (int i = 0; i < vg_pg_count(rows); i++)
        op->counts[vg_pg_i64(rows, i, 0)] = vg_pg_i64(rows, i, 1);
    return 0;
}

static const struct vg_db_kind stats_kind = {VG_DB_GENERATION_STATS, 1, stats_run};

void vg_generation_stats(struct vg_db *db, struct vg_generation_stats *op)
{
    vg_db_submit(db, &op->op, &stats_kind);
}
