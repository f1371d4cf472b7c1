/* SPDX-License-Identifier: Apache-2.0 */
#include "db/meta_store.h"

#include "db/db_priv.h"

static const struct vg_pg_statement identity_statement = {
    "vg_meta_identity", "SELECT value FROM meta WHERE name = 'identity'"};

static int identity_run(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count)
{
    struct vg_meta_identity *op = VG_CONTAINER(ops[0], struct vg_meta_identity, op);

    VG_ASSERT(count == 1);
    vg_pg_begin(run->pg, false);
    size_t handle = vg_pg_add(run->pg, &identity_statement, NULL);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, handle);

    if (vg_pg_count(rows) == 0)
        vg_db_op_fail(ops[0], VG_ERR_INTERNAL, "The database has no identity.");
    else
        op->identity = vg_arena_strdup(op->op.arena, vg_pg_text(rows, 0, 0));
    return 0;
}

static const struct vg_db_kind identity_kind = {VG_DB_META_IDENTITY, 1, identity_run};

void vg_meta_identity(struct vg_db *db, struct vg_meta_identity *op)
{
    vg_db_submit(db, &op->op, &identity_kind);
}
