/* SPDX-License-Identifier: Apache-2.0 */
/* What is true of the database as a whole. */
#ifndef VG_DB_META_STORE_H
#define VG_DB_META_STORE_H

#include "db/db.h"

/* The text made up when the database was migrated first; a dump and its restored copy share it. */
struct vg_meta_identity {
    struct vg_db_op op;
    const char *identity; /* result; a UUID */
};
void vg_meta_identity(struct vg_db *db, struct vg_meta_identity *op);

#endif
