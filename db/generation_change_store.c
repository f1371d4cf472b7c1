/* SPDX-License-Identifier: Apache-2.0 */
/* The one writer of generation states. A batch is one transaction of four statements:
 *   1. lock the videos, in order of id (as every writer of videos does);
 *   2. compare-and-set the generations; record attempts and outputs;
 *   3. roll the videos up from all their generations; put callbacks into the outbox; count what
 *      ended as usage, and settle it with the accounts that it was reserved from;
 *   4. read what became of each change.
 * 3 computes from rows alone and changes only what differs, so running a batch twice changes
 * nothing. 2 leaves the operation's token in the row, so that a second run after a lost COMMIT
 * answer knows its own work. */
#include "db/generation_store.h"

#include <stdlib.h>
#include <string.h>

#include "db/db_priv.h"
#include "db/delivery_sql.h"
#include "db/generation_sql.h"

static const struct vg_pg_statement lock_statement = {
    "vg_change_lock", "SELECT v.id FROM videos v WHERE v.id IN (SELECT g.video_id"
                      " FROM generations g WHERE g.id = ANY ($1::int8[]))"
                      " ORDER BY v.id FOR NO KEY UPDATE"};

#define LEASE_END "now() + i.lease_ms * interval '1 ms'"
/* A token that may have been sent before was first sent then: only an absent one is used again
 * with its budget gone. */
#define SINCE                                                                                      \
    "CASE WHEN i.route_attempts > 1 THEN coalesce((SELECT a.started_at FROM attempts a"            \
    "  WHERE a.generation_id = g.id AND a.attempt = i.attempts), now()) ELSE now() END"
#define KEPT "(i.to_state < 5 AND i.lease_ms > 0)"
/* NULL: no hint came meanwhile. */
#define HINT "CASE WHEN g.hinted AND i.to_state IN (2, 3) THEN " VG_GENERATION_HINT_NEXT " END"
/* A cancel that the holder does not know of makes the row due at once; a release never sleeps over
 * the deadline, nor over a hint. */
#define DUE                                                                                        \
    "CASE WHEN " KEPT " THEN " LEASE_END                                                           \
    " WHEN g.cancel_requested AND NOT g.cancel_told THEN now()"                                    \
    " WHEN g.deadline_at > now() THEN"                                                             \
    "  least(now() + i.due_ms * interval '1 ms', g.deadline_at, " HINT ")"                         \
    " ELSE least(now() + i.due_ms * interval '1 ms', " HINT ") END"

static const struct vg_pg_statement move_statement = {
    "vg_change_move",
    "WITH input AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::int8[], $3::int4[],"
    " $4::int4[], $5::int8[], $6::int8[], $7::int4[], $8::int4[], $9::int4[], $10::int4[],"
    " $11::int4[], $12::text[], $13::text[], $14::bytea[], $15::int4[], $16::text[], $17::text[],"
    " $18::text[], $19::text[], $20::text[], $21::int8[], $22::text[], $23::int8[], $24::int8[],"
    " $25::int4[], $26::int4[], $27::int8[], $28::bool[], $29::text[], $30::bool[], $31::text[])"
    " AS t(id, lease_seq, from_state, to_state, lease_ms, due_ms, route, route_attempts, attempts,"
    " fetch_attempts, poll_errors, provider, upstream_id, poll_state, progress, error_code,"
    " error_message, reason, blob, mime_type, bytes, sha256, retention_s, token,"
    " width, height, duration_ms, has_audio, codec, stealth,"
    " left_provider)),"
    " moved AS (UPDATE generations g SET state = i.to_state, last_change = i.token,"
    "  route = i.route, route_attempts = i.route_attempts, attempts = i.attempts,"
    "  fetch_attempts = i.fetch_attempts, poll_errors = i.poll_errors,"
    "  provider = coalesce(i.provider, g.provider), upstream_id = i.upstream_id,"
    "  poll_state = i.poll_state, error_code = i.error_code, error_message = i.error_message,"
    "  stealth = i.stealth, submitted_at = CASE WHEN i.from_state <> 1 OR i.to_state <> 2"
    "   THEN g.submitted_at ELSE " SINCE " END,"
    "  sent_by = CASE WHEN i.from_state = 2 AND i.to_state = 2 THEN coalesce(g.sent_by, now()) END,"
    "  progress = CASE i.to_state WHEN 5 THEN 100 ELSE least(greatest(i.progress, 0), 100) END,"
    "  lease_owner = CASE WHEN " KEPT " THEN g.lease_owner END,"
    "  lease_until = CASE WHEN " KEPT " THEN " LEASE_END " END,"
    "  cancel_told = CASE WHEN " KEPT " THEN g.cancel_requested ELSE g.cancel_told END,"
    "  hinted = " KEPT " AND g.hinted,"
    "  hint_at = CASE WHEN " KEPT " THEN g.hint_at ELSE coalesce(" HINT ", g.hint_at) END,"
    "  due_at = " DUE ","
    "  wake_at = CASE WHEN i.to_state <> 1 THEN " DUE
    "   WHEN NOT g.cancel_requested THEN g.deadline_at"
    "   WHEN " KEPT " THEN " LEASE_END " ELSE now() END,"
    "  ended_at = CASE WHEN i.to_state >= 5 THEN now() END"
    "  FROM input i WHERE g.id = i.id AND g.lease_seq = i.lease_seq AND g.state = i.from_state"
    "   AND g.lease_owner IS NOT NULL AND g.last_change IS DISTINCT FROM i.token"
    "  RETURNING g.video_id, g.idx, g.provider AS now_with, g.submitted_at, i.*),"
    " opened AS (INSERT INTO attempts AS a (generation_id, attempt, route, provider,"
    "  started_at) SELECT m.id, m.attempts, m.route, m.now_with, m.submitted_at FROM moved m"
    "  WHERE m.to_state = 2 AND m.from_state <> 2"
    "  ON CONFLICT (generation_id, attempt) DO UPDATE SET route = excluded.route,"
    "   provider = excluded.provider, started_at = excluded.started_at, ended_at = NULL, outcome = "
    "NULL,"
    "   reason = NULL),"
    " closed AS (UPDATE attempts a SET upstream_id = coalesce(m.upstream_id, a.upstream_id),"
    "   ended_at = CASE WHEN m.to_state <> 3 THEN now() END,"
    "   outcome = CASE WHEN m.to_state <> 3 THEN m.to_state END,"
    "   reason = CASE WHEN m.to_state <> 3 THEN m.reason END"
    "  FROM moved m WHERE a.generation_id = m.id AND a.ended_at IS NULL"
    "   AND m.from_state IN (2, 3) AND m.to_state <> 2 AND (m.from_state <> 3 OR m.to_state <> 3)),"
    " skipped AS (INSERT INTO skips (generation_id, route, provider, reason)"
    "  SELECT m.id, m.route - 1, m.left_provider, m.reason FROM moved m"
    "  WHERE m.left_provider IS NOT NULL ON CONFLICT DO NOTHING),"
    " stored AS (INSERT INTO outputs (video_id, idx, blob, mime_type, bytes, sha256, retention_s,"
    "   width, height, duration_ms, has_audio, codec)"
    "  SELECT m.video_id, m.idx, m.blob, m.mime_type, m.bytes, m.sha256, m.retention_s,"
    "   nullif(m.width, 0), nullif(m.height, 0), CASE WHEN m.width > 0 THEN m.duration_ms END,"
    "   CASE WHEN m.width > 0 THEN m.has_audio END, m.codec"
    "  FROM moved m WHERE m.to_state = 5 ON CONFLICT DO NOTHING)"
    " SELECT count(*) FROM moved"};

/* A session adds to rows of its own; and to a new one when that had 2,000 videos: under a held
 * snapshot every update leaves a dead row, and each later one would step over all of them. */
#define SLOTS_FROM "pg_backend_pid() % 8 * 4096"
#define USAGE_SLOT                                                                                 \
    "coalesce((SELECT least(u.slot + (u.videos >= 2000)::int, " SLOTS_FROM " + 4095)"              \
    "  FROM usage_days u WHERE u.project_id = r.project_id"                                        \
    "   AND u.day = (now() AT TIME ZONE 'UTC')::date AND u.key_id = r.key_id"                      \
    "   AND u.model = r.model AND u.slot BETWEEN " SLOTS_FROM " AND " SLOTS_FROM " + 4095"         \
    "  ORDER BY u.slot DESC LIMIT 1), " SLOTS_FROM ")"
#define MONTH "date_trunc('month', now() AT TIME ZONE 'UTC')::date"

/* A subscription to video.failed gets every end but completed; one that also names the very end
 * gets it under that name.
 *
 * A video is in progress once any of its generations was handed to a provider, and ends with its
 * last one. Progress never falls. `failed` rows are all that ended without an output but the
 * canceled. */
static const struct vg_pg_statement roll_statement = {
    "vg_change_roll",
    "WITH sums AS MATERIALIZED (SELECT g.video_id, count(*) AS n,"
    "   count(*) FILTER (WHERE g.state >= 5) AS ended,"
    "   count(*) FILTER (WHERE g.state = 5) AS stored,"
    "   count(*) FILTER (WHERE g.state = 7) AS canceled,"
    "   count(*) FILTER (WHERE g.state = 8) AS expired,"
    "   bool_or(g.state BETWEEN 2 AND 5 OR g.attempts > 0) AS begun,"
    "   sum(g.attempts) AS attempts, (array_agg(CASE WHEN NOT g.stealth THEN g.provider END"
    "     ORDER BY g.state = 5 DESC, g.idx) FILTER (WHERE g.attempts > 0))[1] AS made_by,"
    "   sum(g.progress) / count(*) AS progress,"
    "   (array_agg(coalesce(g.error_code, CASE g.state WHEN 8 THEN 'expired'"
    "     WHEN 9 THEN 'submission_unknown' ELSE 'failed' END) ORDER BY g.idx)"
    "     FILTER (WHERE g.state IN (6, 8, 9)))[1] AS code,"
    "   (array_agg(coalesce(g.error_message, CASE g.state"
    "     WHEN 8 THEN 'The job was given up by age.'"
    "     WHEN 9 THEN 'It is not known whether the provider accepted the job.'"
    "     ELSE 'The video could not be made.' END) ORDER BY g.idx)"
    "     FILTER (WHERE g.state IN (6, 8, 9)))[1] AS message"
    "  FROM generations g WHERE g.video_id IN"
    "   (SELECT x.video_id FROM generations x WHERE x.id = ANY ($1::int8[])) GROUP BY g.video_id),"
    " judged AS MATERIALIZED (SELECT *, CASE WHEN ended < n THEN CASE WHEN begun THEN 2 ELSE 1 END"
    "   WHEN stored > 0 THEN 3 WHEN canceled = n THEN 5 WHEN expired = n THEN 6 ELSE 4 END"
    "   AS status FROM sums),"
    " rolled AS (UPDATE videos v SET version = v.version + 1,"
    "  status = greatest(v.status, j.status),"
    "  progress = CASE WHEN j.status = 3 THEN 100 ELSE greatest(v.progress, least(j.progress, 99))"
    "   END,"
    "  completed_at = CASE WHEN j.status >= 3 THEN now() END,"
    "  expires_at = CASE WHEN j.status = 3 THEN now() + (SELECT max(o.retention_s) FROM outputs o"
    "   WHERE o.video_id = v.id AND o.retention_s > 0) * interval '1 s' END,"
    "  made = CASE WHEN j.status = 3 THEN j.stored ELSE 0 END,"
    "  attempts = greatest(v.attempts, j.attempts), made_by = j.made_by,"
    "  error_code = CASE WHEN j.status = 3 AND j.stored < j.n THEN 'partial_failure'"
    "   WHEN j.status IN (4, 6) THEN coalesce(j.code, 'failed') END,"
    "  error_message = CASE WHEN j.status = 3 AND j.stored < j.n THEN (j.n - j.stored)::text"
    "    || ' of ' || j.n::text || ' outputs failed: ' || coalesce(j.message, 'canceled.')"
    "   WHEN j.status IN (4, 6) THEN coalesce(j.message, 'The video could not be made.') END"
    "  FROM judged j WHERE v.id = j.video_id AND v.status < 3"
    "   AND (j.status >= 3 OR j.status > v.status OR least(j.progress, 99) > v.progress"
    "    OR j.attempts > v.attempts)"
    "  RETURNING v.id, v.project_id, v.status, v.callback_url, v.secret_sealed, v.model,"
    "   coalesce(v.key_id, '') AS key_id, v.made, v.made * v.seconds::int8 AS seconds, v.charged,"
    "   v.n * v.output_micros + v.input_micros AS reserved,"
    "   CASE WHEN v.made > 0 THEN v.made * v.output_micros + v.input_micros ELSE 0 END AS cost),"
    " used AS (INSERT INTO usage_days AS u (project_id, day, key_id, model, slot, videos, "
    "completed,"
    "   seconds, cost_micros)"
    "  SELECT r.project_id, (now() AT TIME ZONE 'UTC')::date, r.key_id, r.model,"
    "   " USAGE_SLOT ", count(*), count(*) FILTER (WHERE r.status = 3), sum(r.seconds),"
    "   sum(r.cost) FROM rolled r WHERE r.status >= 3 GROUP BY r.project_id, r.key_id, r.model"
    "  ORDER BY r.project_id, r.key_id, r.model"
    "  ON CONFLICT (project_id, day, key_id, model, slot) DO UPDATE SET"
    "   videos = u.videos + excluded.videos, completed = u.completed + excluded.completed,"
    "   seconds = u.seconds + excluded.seconds, cost_micros = u.cost_micros + "
    "excluded.cost_micros),"
    " settling AS MATERIALIZED (SELECT r.project_id, b.key_id,"
    "   count(*) FILTER (WHERE r.charged & b.bit > 0) AS active,"
    "   coalesce(sum(r.reserved) FILTER (WHERE r.charged & b.bit > 0), 0) AS reserved,"
    "   sum(r.cost) AS cost"
    "  FROM rolled r CROSS JOIN LATERAL (VALUES ('', 2), (r.key_id, 1)) AS b(key_id, bit)"
    "  WHERE r.status >= 3 GROUP BY r.project_id, b.key_id),"
    " held AS MATERIALIZED (SELECT a.project_id, a.key_id, s.active, s.reserved, s.cost"
    "  FROM settling s JOIN accounts a ON a.project_id = s.project_id AND a.key_id = s.key_id"
    "  ORDER BY a.project_id, a.key_id FOR UPDATE OF a),"
    " settled AS (UPDATE accounts a SET active = a.active - h.active,"
    "  reserved_micros = a.reserved_micros - h.reserved, month = greatest(a.month, " MONTH "),"
    "  spent_micros = CASE WHEN a.month < " MONTH " THEN 0 ELSE a.spent_micros END + h.cost"
    "  FROM held h WHERE a.project_id = h.project_id AND a.key_id = h.key_id),"
    " ended AS (SELECT r.*, CASE r.status WHEN 3 THEN 'video.completed' WHEN 4 THEN 'video.failed'"
    "   WHEN 5 THEN 'video.canceled' ELSE 'video.expired' END AS type,"
    "   CASE r.status WHEN 3 THEN 'video.completed' ELSE 'video.failed' END AS plain_type"
    "  FROM rolled r WHERE r.status >= 3),"
    " targets AS (SELECT 'evt_' || r.id AS id, r.id AS video_id, NULL::text AS endpoint_id,"
    "   r.plain_type AS type, r.callback_url AS url, r.secret_sealed, r.project_id"
    "  FROM ended r WHERE r.callback_url IS NOT NULL"
    "  UNION ALL SELECT 'evt_' || r.id || '_' || right(e.id, 16), r.id, e.id,"
    "   CASE WHEN r.type = ANY (e.event_types) THEN r.type ELSE r.plain_type END, e.url, NULL,"
    "   r.project_id FROM ended r JOIN webhook_endpoints e ON e.project_id = r.project_id"
    "  WHERE e.deleted_at IS NULL AND e.disabled_at IS NULL"
    "   AND e.event_types && ARRAY[r.type, r.plain_type])"
    " INSERT INTO deliveries (id, video_id, endpoint_id, event_type, host_id, url, secret_sealed)"
    " SELECT t.id, t.video_id, t.endpoint_id, t.type, " VG_DELIVERY_HOST(
        "t.url",
        "t.project_id") ", t.url,"
                        "  t.secret_sealed FROM targets t ON CONFLICT (id) DO NOTHING RETURNING 1"};

/* A lost COMMIT is recognised by its token; a lease that somebody has claimed since is gone. */
static const struct vg_pg_statement result_statement = {
    "vg_change_result",
    "SELECT i.ord, g.last_change = i.token AND g.state = i.to_state"
    "   AND (i.lease_ms = 0 OR g.lease_seq = i.lease_seq), g.cancel_requested,"
    "  v.status >= 3 AND i.to_state >= 5, (extract(epoch FROM g.submitted_at) * 1000)::int8"
    " FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::int8[], $5::int8[])"
    "  WITH ORDINALITY AS i(id, token, to_state, lease_seq, lease_ms, ord)"
    " JOIN generations g ON g.id = i.id JOIN videos v ON v.id = g.video_id"};

/* The first is all that statements 1 and 3 take. */
static const struct vg_pg_field change_fields[] = {
    VG_PG_FIELD(I64, vg_generation_change, id),
    VG_PG_FIELD(I64, vg_generation_change, lease_seq),
    VG_PG_FIELD(I32, vg_generation_change, from),
    VG_PG_FIELD(I32, vg_generation_change, to),
    VG_PG_FIELD(I64, vg_generation_change, lease_ms),
    VG_PG_FIELD(I64, vg_generation_change, due_ms),
    VG_PG_FIELD(I32, vg_generation_change, route),
    VG_PG_FIELD(I32, vg_generation_change, route_attempts),
    VG_PG_FIELD(I32, vg_generation_change, attempts),
    VG_PG_FIELD(I32, vg_generation_change, fetch_attempts),
    VG_PG_FIELD(I32, vg_generation_change, poll_errors),
    VG_PG_FIELD(TEXT, vg_generation_change, provider),
    VG_PG_FIELD(TEXT, vg_generation_change, upstream_id),
    VG_PG_FIELD_BYTES(vg_generation_change, poll_state, poll_state_size),
    VG_PG_FIELD(I32, vg_generation_change, progress),
    VG_PG_FIELD(TEXT, vg_generation_change, error_code),
    VG_PG_FIELD(TEXT, vg_generation_change, error_message),
    VG_PG_FIELD(TEXT, vg_generation_change, reason),
    VG_PG_FIELD(TEXT, vg_generation_change, output.blob),
    VG_PG_FIELD(TEXT, vg_generation_change, output.mime_type),
    VG_PG_FIELD(I64, vg_generation_change, output.bytes),
    VG_PG_FIELD(TEXT, vg_generation_change, output.sha256),
    VG_PG_FIELD(I64, vg_generation_change, retention_s),
    VG_PG_FIELD(I64, vg_generation_change, op.token),
    VG_PG_FIELD(I32, vg_generation_change, output.width),
    VG_PG_FIELD(I32, vg_generation_change, output.height),
    VG_PG_FIELD(I64, vg_generation_change, output.duration_ms),
    VG_PG_FIELD(BOOL, vg_generation_change, output.has_audio),
    VG_PG_FIELD(TEXT, vg_generation_change, output.codec),
    VG_PG_FIELD(BOOL, vg_generation_change, stealth),
    VG_PG_FIELD(TEXT, vg_generation_change, left_provider),
};
static const struct vg_pg_field result_fields[] = {
    VG_PG_FIELD(I64, vg_generation_change, id),
    VG_PG_FIELD(I64, vg_generation_change, op.token),
    VG_PG_FIELD(I32, vg_generation_change, to),
    VG_PG_FIELD(I64, vg_generation_change, lease_seq),
    VG_PG_FIELD(I64, vg_generation_change, lease_ms),
};

static struct vg_generation_change *change_of(struct vg_db_op *op)
{
    return VG_CONTAINER(op, struct vg_generation_change, op);
}

static int by_id(const void *a, const void *b)
{
    const struct vg_generation_change *x = change_of(*(struct vg_db_op *const *)a);
    const struct vg_generation_change *y = change_of(*(struct vg_db_op *const *)b);

    return (x->id > y->id) - (x->id < y->id);
}

/* A video that ended with this batch is told by its last change alone, so that it is counted once.
 */
static void read_results(const struct vg_pg_rows *rows, struct vg_db_op *const *ops, size_t count,
                         bool deliveries)
{
    for (size_t i = 0; i < count; i++) {
        struct vg_generation_change *op = change_of(ops[i]);

        op->applied = op->cancel_requested = op->video_terminal = op->delivery_created = false;
    }
    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct vg_generation_change *op = change_of(ops[vg_pg_i64(rows, i, 0) - 1]);

        op->applied = vg_pg_i64(rows, i, 1) != 0;
        op->cancel_requested = op->applied && vg_pg_i64(rows, i, 2) != 0;
        op->video_terminal = op->applied && vg_pg_i64(rows, i, 3) != 0;
        op->submitted_at_ms = vg_pg_i64(rows, i, 4);
        op->delivery_created = op->video_terminal && deliveries;
    }
}

/* One transaction; no generation twice. */
static int change_some(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params ids, all, result;

    vg_pg_params_init(&ids, run->scratch);
    vg_pg_put_ops(&ids, change_fields, 1, ops, count);
    vg_pg_params_init(&all, run->scratch);
    vg_pg_put_ops(&all, change_fields, VG_COUNT(change_fields), ops, count);
    vg_pg_params_init(&result, run->scratch);
    vg_pg_put_ops(&result, result_fields, VG_COUNT(result_fields), ops, count);

    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &lock_statement, &ids);
    (void)vg_pg_add(run->pg, &move_statement, &all);
    size_t outbox = vg_pg_add(run->pg, &roll_statement, &ids);
    size_t handle = vg_pg_add(run->pg, &result_statement, &result);

    if (vg_db_pg_run(run) < 0)
        return -1;
    bool deliveries = run->again || vg_pg_count(vg_pg_rows(run->pg, outbox)) > 0;

    read_results(vg_pg_rows(run->pg, handle), ops, count, deliveries);
    run->due = run->due || deliveries;
    return 0;
}

/* Sorted by generation, so that two batches lock rows in one order; a generation that stands in the
 * batch twice is done in a second transaction, because one UPDATE applies only one change to a row.
 */
static int change_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_db_op *left[VG_DB_MAX_BATCH];
    struct vg_db_op *once[VG_DB_MAX_BATCH];

    memcpy(left, ops, count * sizeof(struct vg_db_op *));
    qsort(left, count, sizeof(struct vg_db_op *), by_id);
    while (count > 0) {
        size_t taken = 0, kept = 0;

        for (size_t i = 0; i < count; i++) {
            if (taken > 0 && change_of(once[taken - 1])->id == change_of(left[i])->id)
                left[kept++] = left[i];
            else
                once[taken++] = left[i];
        }
        if (change_some(run, once, taken) < 0)
            return -1;
        count = kept;
    }
    return 0;
}

static const struct vg_db_kind change_kind = {VG_DB_GENERATION_CHANGE, VG_DB_MAX_BATCH, change_run};

void vg_generation_change(struct vg_db *db, struct vg_generation_change *op)
{
    if (!vg_generation_may(op->from, op->to)) {
        vg_db_refuse(&op->op, VG_ERR_INTERNAL, "A generation cannot go from %s to %s.",
                     vg_generation_state_name(op->from), vg_generation_state_name(op->to));
        return;
    }
    vg_db_submit(db, &op->op, &change_kind);
}
