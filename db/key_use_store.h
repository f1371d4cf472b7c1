/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in use: when each was used last, and which of those with open streams are good no more. */
#ifndef VG_DB_KEY_USE_STORE_H
#define VG_DB_KEY_USE_STORE_H

#include "db/db.h"

/* Notes that these keys are used now. Doing it twice is doing it once. */
struct vg_key_used {
    struct vg_db_op op;
    const char *const *ids;
    size_t count;
};
void vg_key_used(struct vg_db *db, struct vg_key_used *op);

/* Which of these keys are revoked, expired, or of an archived project. */
struct vg_keys_gone {
    struct vg_db_op op;
    const char *const *ids;
    size_t count;
    /* results */
    const char **gone;
    size_t gone_count;
};
void vg_keys_gone(struct vg_db *db, struct vg_keys_gone *op);

#endif
