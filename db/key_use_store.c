/* SPDX-License-Identifier: Apache-2.0 */
#include "db/key_use_store.h"

#include "db/db_priv.h"

/* In one order, so that two replicas never wait for each other; a row that another replica has just
 * written stays as it is. */
static const struct vg_pg_statement used_statement = {
    "vg_key_used",
    "INSERT INTO key_uses (key_id, last_used_at)"
    " SELECT k.id, now() FROM unnest($1::text[]) AS i(id) JOIN api_keys k ON k.id = i.id"
    " ORDER BY k.id ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at"
    " WHERE key_uses.last_used_at < excluded.last_used_at - interval '5 s'"};

static int used_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_key_used *op = VG_CONTAINER(ops[0], struct vg_key_used, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, op->ids, op->count);
    vg_pg_begin(run->pg, true);
    (void)vg_pg_add(run->pg, &used_statement, &params);
    return vg_db_pg_run(run);
}

static const struct vg_db_kind used_kind = {VG_DB_KEY_USED, 1, used_run};

void vg_key_used(struct vg_db *db, struct vg_key_used *op)
{
    vg_db_submit(db, &op->op, &used_kind);
}

static const struct vg_pg_statement gone_statement = {
    "vg_keys_gone",
    "SELECT k.id FROM unnest($1::text[]) AS i(id) JOIN api_keys k ON k.id = i.id"
    " JOIN projects p ON p.id = k.project_id"
    " WHERE k.revoked_at IS NOT NULL OR k.expires_at <= now() OR p.archived_at IS NOT NULL"};

static int gone_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_keys_gone *op = VG_CONTAINER(ops[0], struct vg_keys_gone, op);
    struct vg_pg_params params;

    VG_ASSERT(count == 1);
    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, op->ids, op->count);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &gone_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    op->gone_count = (size_t)vg_pg_count(rows);
    op->gone = vg_arena_alloc(op->op.arena, (op->gone_count + 1) * sizeof(*op->gone));
    for (size_t i = 0; i < op->gone_count; i++)
        op->gone[i] = vg_arena_strdup(op->op.arena, vg_pg_text(rows, (int)i, 0));
    return 0;
}

static const struct vg_db_kind gone_kind = {VG_DB_KEYS_GONE, 1, gone_run};

void vg_keys_gone(struct vg_db *db, struct vg_keys_gone *op)
{
    vg_db_submit(db, &op->op, &gone_kind);
}
