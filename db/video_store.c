/* SPDX-License-Identifier: Apache-2.0 */
/* Creating videos. Reading them is in video_read_store.c, ending them in video_end_store.c. */
#include "db/video_store.h"

#include <stdlib.h>
#include <string.h>

#include "db/db_priv.h"
#include "db/video_rows.h"

#define RETRY_FULL_MS 5000

/* Keys are taken in sorted order: two batches with the same keys wait for each other without a
 * deadlock. A key that is taken leaves its video out; `resolve` then says whose it is. Nothing is
 * joined: `fresh` carries what `spread` needs. */
/* The statement keeps its own layout. */
/* clang-format off */
#define INPUT_SQL                                                                       \
    "WITH input AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::int8[], $3::text[],"         \
    " $4::text[], $5::text[], $6::int4[], $7::int4[], $8::int4[], $9::int4[], $10::bool[],"        \
    " $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[], $16::int8[], $17::text[],"\
    " $18::bytea[], $19::int8[], $20::int8[], $21::text[]) AS t(id, project_id, key_id, model,"    \
    " prompt, width, height, seconds, n, audio, provider, remixed_from, callback_url, secret,"     \
    " spec, deadline_s, ikey, fingerprint, output_micros, input_micros, inputs)),"
#define KEPT_SQL                                                                                   \
    " kept AS (INSERT INTO idempotency (project_id, key, video_id, fingerprint)"                   \
    "  SELECT project_id, ikey, id, fingerprint FROM input WHERE ikey IS NOT NULL"                 \
    "  ORDER BY project_id, ikey ON CONFLICT (project_id, key) DO NOTHING RETURNING video_id),"
#define FRESH_SQL(from, charged, conflict)                                                         \
    " fresh AS (INSERT INTO videos (id, project_id, key_id, model, prompt, width, height, seconds,"\
    "   n, audio, provider, remixed_from, callback_url, secret_sealed, spec, deadline_at,"         \
    "   output_micros, input_micros, charged)"                                                     \
    "  SELECT id, project_id, key_id, model, prompt, width, height, seconds, n, audio, provider,"  \
    "   remixed_from, callback_url, secret, spec, now() + deadline_s * interval '1 s',"            \
    "   output_micros, input_micros, " charged " FROM input " from                                 \
    conflict                                                                                       \
    "  RETURNING id, project_id, n, provider, created_at, deadline_at),"                           \
    " spread AS (INSERT INTO generations (video_id, project_id, idx, provider, due_at, wake_at,"   \
    "   deadline_at)"                                                                              \
    "  SELECT f.id, f.project_id, s.idx, f.provider, now(), f.deadline_at, f.deadline_at"          \
    "  FROM fresh f CROSS JOIN LATERAL generate_series(0, f.n - 1) AS s(idx)),"                    \
    " pictures AS (INSERT INTO inputs (video_id, blob)"                                            \
    "  SELECT i.id, b.blob FROM input i"                                                           \
    "  CROSS JOIN LATERAL string_to_table(i.inputs, E'\\n') AS b(blob)"                            \
    "  WHERE i.inputs IS NOT NULL AND i.id = ANY (ARRAY(SELECT id FROM fresh))"                    \
    "  ON CONFLICT DO NOTHING)"
#define INSERT_SQL(conflict)                                                                       \
    INPUT_SQL KEPT_SQL                                                                             \
    FRESH_SQL("WHERE ikey IS NULL OR id = ANY (ARRAY(SELECT video_id FROM kept))", "0", conflict)  \
    " SELECT id, created_at FROM fresh"
/* clang-format on */
static const struct vg_pg_statement insert_statement = {"vg_video_insert", INSERT_SQL("")};
/* For operations that ran before: their rows may stand already. To allow for that takes a third
 * more time. */
static const struct vg_pg_statement insert_again_statement = {
    "vg_video_insert_again", INSERT_SQL("  ON CONFLICT (id) DO NOTHING")};

/* For creates of keys or projects with limits: account_admit (migrations/0006_account.sql) decides,
 * reserves and takes the idempotency keys; what it admits is inserted. It knows work of an earlier
 * run. */
static const struct vg_pg_statement admit_statement = {
    "vg_video_admit", INPUT_SQL
    " verdicts AS MATERIALIZED (SELECT * FROM account_admit($1::text[], $2::int8[], $3::text[],"
    "  ARRAY(SELECT n * output_micros + input_micros FROM input), $17::text[], $18::bytea[])"
    "  AS a(id, verdict, charged))," FRESH_SQL("JOIN verdicts USING (id) WHERE verdict = 1",
                                               "charged",
                                               "") " SELECT v.id, v.verdict::int4, f.created_at "
                                                   "FROM verdicts v LEFT JOIN fresh f USING (id)"};

/* For creates that inserted nothing: the video of the key, or the operation's own when it runs
 * again. */
static const struct vg_pg_statement resolve_statement = {
    "vg_video_resolve",
    "SELECT i.ord, coalesce(k.fingerprint = i.fingerprint, true), v.deleted_at IS NOT NULL"
    "  OR v.id IS NULL, " VG_VIDEO_COLUMNS
    " FROM unnest($1::text[], $2::int8[], $3::text[], $4::bytea[]) WITH ORDINALITY"
    "  AS i(id, project_id, ikey, fingerprint, ord)"
    " LEFT JOIN idempotency k ON k.project_id = i.project_id AND k.key = i.ikey"
    " LEFT JOIN videos v ON v.id = coalesce(k.video_id, i.id) AND v.project_id = i.project_id"
    " ORDER BY i.ord"};
static const struct vg_pg_statement resolve_outputs_statement = {
    "vg_video_resolve_outputs",
    "SELECT i.ord, " VG_OUTPUT_COLUMNS " FROM unnest($1::text[], $2::int8[], $3::text[])"
    "  WITH ORDINALITY AS i(id, project_id, ikey, ord)"
    " LEFT JOIN idempotency k ON k.project_id = i.project_id AND k.key = i.ikey"
    " JOIN outputs o ON o.video_id = coalesce(k.video_id, i.id) ORDER BY i.ord, o.idx"};

static const struct vg_pg_field create_fields[] = {
    VG_PG_FIELD(TEXT, vg_video_create, id),
    VG_PG_FIELD(I64, vg_video_create, project_id),
    VG_PG_FIELD(TEXT, vg_video_create, key_id),
    VG_PG_FIELD(TEXT, vg_video_create, model),
    VG_PG_FIELD(TEXT, vg_video_create, prompt),
    VG_PG_FIELD(I32, vg_video_create, width),
    VG_PG_FIELD(I32, vg_video_create, height),
    VG_PG_FIELD(I32, vg_video_create, seconds),
    VG_PG_FIELD(I32, vg_video_create, n),
    VG_PG_FIELD(BOOL, vg_video_create, audio),
    VG_PG_FIELD(TEXT, vg_video_create, provider),
    VG_PG_FIELD(TEXT, vg_video_create, remixed_from),
    VG_PG_FIELD(TEXT, vg_video_create, callback_url),
    VG_PG_FIELD_BYTES(vg_video_create, secret_sealed, secret_size),
    VG_PG_FIELD_BYTES(vg_video_create, spec, spec_size),
    VG_PG_FIELD(I64, vg_video_create, deadline_s),
    VG_PG_FIELD(TEXT, vg_video_create, idempotency_key),
    VG_PG_FIELD(HASH, vg_video_create, fingerprint),
    VG_PG_FIELD(I64, vg_video_create, output_micros),
    VG_PG_FIELD(I64, vg_video_create, input_micros),
};
static const struct vg_pg_field resolve_fields[] = {
    VG_PG_FIELD(TEXT, vg_video_create, id),
    VG_PG_FIELD(I64, vg_video_create, project_id),
    VG_PG_FIELD(TEXT, vg_video_create, idempotency_key),
    VG_PG_FIELD(HASH, vg_video_create, fingerprint),
};

/* Held until the commit, so that a repeat in another process (video_match_store.h) sees the record.
 * For batches with callers that have one. */
static const struct vg_pg_statement lock_statement = {
    "vg_video_create_lock",
    "SELECT pg_advisory_xact_lock_shared(k) FROM (SELECT DISTINCT k FROM unnest($1::int8[]) AS k"
    "  WHERE k <> 0 ORDER BY k) AS sorted"};
static const struct vg_pg_field lock_fields[] = {VG_PG_FIELD(I64, vg_video_create, match_lock)};

static struct vg_video_create *create_of(struct vg_db_op *op)
{
    return VG_CONTAINER(op, struct vg_video_create, op);
}

/* The input pictures of each operation as one text, keys by line; NULL: none. */
static void put_inputs(struct vg_pg_params *params, struct vg_db_op *const *ops, size_t count)
{
    const char **lines = vg_arena_alloc(params->arena, count * sizeof(*lines));

    for (size_t i = 0; i < count; i++) {
        const struct vg_video_create *op = create_of(ops[i]);

        for (size_t k = 0; k < op->input_count; k++)
            lines[i] = lines[i] ? vg_arena_printf(params->arena, "%s\n%s", lines[i], op->inputs[k])
                                : op->inputs[k];
    }
    vg_pg_put_texts(params, lines, count);
}

static void fill_new(struct vg_video_create *op, int64_t created_at)
{
    op->outcome = VG_CREATE_NEW;
    op->video = (struct vg_video){.id = op->id,
                                  .project_id = op->project_id,
                                  .model = op->model,
                                  .status = VG_VIDEO_QUEUED,
                                  .created_at = created_at,
                                  .prompt = op->prompt,
                                  .width = op->width,
                                  .height = op->height,
                                  .seconds = op->seconds,
                                  .audio = op->audio,
                                  .n = op->n,
                                  .remixed_from = op->remixed_from,
                                  .version = 1,
                                  .spec = op->spec,
                                  .spec_size = op->spec_size};
}

static void fill_found(struct vg_video_create *op, const struct vg_pg_rows *rows, int row)
{
    bool same = vg_pg_i64(rows, row, 1) != 0;

    if (!same) {
        op->outcome = VG_CREATE_MISMATCH;
        return;
    }
    if (vg_pg_i64(rows, row, 2) != 0) {
        vg_db_op_fail(&op->op, VG_ERR_GONE,
                      "The video made with this idempotency key was deleted.");
        return;
    }
    vg_video_row_read(rows, row, 3, op->op.arena, &op->video);
    op->outcome = strcmp(op->video.id, op->id) == 0 ? VG_CREATE_NEW : VG_CREATE_REPLAYED;
}

/* Runs after the commit, so that it sees whose key won. */
static int resolve(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_pg_params all, keys;
    int output = 0;

    vg_pg_params_init(&all, run->scratch);
    vg_pg_put_ops(&all, resolve_fields, VG_COUNT(resolve_fields), ops, count);
    vg_pg_params_init(&keys, run->scratch);
    vg_pg_put_ops(&keys, resolve_fields, VG_COUNT(resolve_fields) - 1, ops, count);
    vg_pg_vouch(run->pg, true); /* the winner's COMMIT may have been cut off */
    vg_pg_begin(run->pg, false);
    size_t videos = vg_pg_add(run->pg, &resolve_statement, &all);
    size_t outputs = vg_pg_add(run->pg, &resolve_outputs_statement, &keys);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, videos);
    const struct vg_pg_rows *output_rows = vg_pg_rows(run->pg, outputs);

    for (int i = 0; i < vg_pg_count(rows); i++) {
        struct vg_video_create *op = create_of(ops[i]);
        struct vg_video unused = {0};

        fill_found(op, rows, i);
        vg_video_rows_outputs(output_rows, &output, i + 1, op->op.arena,
                              op->op.ok && op->outcome != VG_CREATE_MISMATCH ? &op->video
                                                                             : &unused);
    }
    return 0;
}

static int insert(struct vg_db_run *run, const struct vg_pg_statement *statement,
                  const struct vg_pg_params *params, const struct vg_pg_params *locks,
                  const struct vg_pg_rows **out_rows)
{
    vg_pg_begin(run->pg, true);
    if (locks)
        (void)vg_pg_add(run->pg, &lock_statement, locks);
    size_t handle = vg_pg_add(run->pg, statement, params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    *out_rows = vg_pg_rows(run->pg, handle);
    return 0;
}

/* NULL: nothing to lock. */
static const struct vg_pg_params *put_locks(struct vg_db_run *run, struct vg_pg_params *keys,
                                            struct vg_db_op *const *ops, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++)
        any = any || create_of(ops[i])->match_lock != 0;
    if (!any)
        return NULL;
    vg_pg_params_init(keys, run->scratch);
    vg_pg_put_ops(keys, lock_fields, VG_COUNT(lock_fields), ops, count);
    return keys;
}

static int create_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_db_op *rest[VG_DB_MAX_BATCH];
    const struct vg_pg_rows *rows = NULL;
    struct vg_pg_params params, keys;
    size_t left = 0;
    int row = 0;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, create_fields, VG_COUNT(create_fields), ops, count);
    put_inputs(&params, ops, count);
    const struct vg_pg_params *locks = put_locks(run, &keys, ops, count);
    int status = run->again ? -1 : insert(run, &insert_statement, &params, locks, &rows);

    if (run->again || (status < 0 && run->err.kind == VG_ERR_CONFLICT))
        status = insert(run, &insert_again_statement, &params, locks, &rows);
    if (status < 0)
        return -1;

    /* Rows come back in the order of the input, with gaps. */
    for (size_t i = 0; i < count; i++) {
        struct vg_video_create *op = create_of(ops[i]);

        if (row < vg_pg_count(rows) && strcmp(vg_pg_text(rows, row, 0), op->id) == 0) {
            fill_new(op, vg_pg_time(rows, row, 1));
            row++;
        } else {
            rest[left++] = ops[i];
        }
    }
    run->due = vg_pg_count(rows) > 0 || run->again;
    return left > 0 ? resolve(run, rest, left) : 0;
}

/* Idempotency keys are taken in this order. */
static int by_key(const void *a, const void *b)
{
    const struct vg_video_create *x = create_of(*(struct vg_db_op *const *)a);
    const struct vg_video_create *y = create_of(*(struct vg_db_op *const *)b);

    if (x->project_id != y->project_id)
        return x->project_id < y->project_id ? -1 : 1;
    if (!x->idempotency_key || !y->idempotency_key)
        return (x->idempotency_key != NULL) - (y->idempotency_key != NULL);
    return strcmp(x->idempotency_key, y->idempotency_key);
}

enum { ADMIT_STANDS, ADMIT_ADMITTED, ADMIT_FULL, ADMIT_SPENT };

/* False: another video, or this one's earlier run, has to be read. */
static bool take_verdict(const struct vg_pg_rows *rows, struct vg_video_create *op)
{
    int row = 0;

    while (row < vg_pg_count(rows) && strcmp(vg_pg_text(rows, row, 0), op->id) != 0)
        row++;
    VG_ASSERT(row < vg_pg_count(rows));
    switch (vg_pg_i64(rows, row, 1)) {
    case ADMIT_ADMITTED:
        fill_new(op, vg_pg_time(rows, row, 2));
        return true;
    case ADMIT_FULL:
        vg_db_op_fail(&op->op, VG_ERR_CONCURRENCY_LIMITED, NULL);
        op->op.err.retry_after_ms = RETRY_FULL_MS;
        return true;
    case ADMIT_SPENT:
        vg_db_op_fail(&op->op, VG_ERR_BILLING, NULL);
        return true;
    default:
        return false;
    }
}

static int limited_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_db_op *sorted[VG_DB_MAX_BATCH];
    struct vg_db_op *rest[VG_DB_MAX_BATCH];
    struct vg_pg_params params, keys;
    size_t left = 0;

    memcpy(sorted, ops, count * sizeof(struct vg_db_op *));
    qsort(sorted, count, sizeof(struct vg_db_op *), by_key);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_ops(&params, create_fields, VG_COUNT(create_fields), sorted, count);
    put_inputs(&params, sorted, count);
    const struct vg_pg_params *locks = put_locks(run, &keys, sorted, count);
    const struct vg_pg_rows *rows = NULL;

    if (insert(run, &admit_statement, &params, locks, &rows) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!take_verdict(rows, create_of(sorted[i])))
            rest[left++] = sorted[i];
    run->due = true;
    return left > 0 ? resolve(run, rest, left) : 0;
}

static const struct vg_db_kind create_kind = {VG_DB_VIDEO_CREATE, VG_DB_MAX_BATCH, create_run};
static const struct vg_db_kind limited_kind = {VG_DB_VIDEO_CREATE_LIMITED, VG_DB_MAX_BATCH,
                                               limited_run};

void vg_video_create(struct vg_db *db, struct vg_video_create *op)
{
    vg_db_submit(db, &op->op, op->limited ? &limited_kind : &create_kind);
}
