/* SPDX-License-Identifier: Apache-2.0 */
/* All sealed callback secrets that may still be needed, table by table, for sealing them anew.
 * Videos go before deliveries: the end of a video copies its secret into its delivery. */
#ifndef VG_DB_SEALED_STORE_H
#define VG_DB_SEALED_STORE_H

#include "db/db.h"

enum vg_sealed_table {
    VG_SEALED_VIDEOS, /* those that have not ended */
    VG_SEALED_DELIVERIES,
    VG_SEALED_SECRETS, /* of webhook endpoints */
    VG_SEALED_TABLE_MAX
};

struct vg_sealed_row {
    const char *id;
    const char *aad;    /* it was sealed with */
    const void *sealed; /* NULL: there is none here */
    size_t size;
};

/* In the order of their ids. */
struct vg_sealed_page {
    struct vg_db_op op;
    enum vg_sealed_table table;
    const char *after; /* id; "": from the first */
    int32_t limit;
    struct vg_sealed_row *rows; /* result */
    size_t count;
};
void vg_sealed_page(struct vg_db *db, struct vg_sealed_page *op);

/* Only where the old text still stands. */
struct vg_sealed_put {
    struct vg_db_op op;
    enum vg_sealed_table table;
    size_t count;
    const char *const *ids;
    const char *const *olds, *const *news; /* base64 */
    int32_t changed;                       /* result */
};
void vg_sealed_put(struct vg_db *db, struct vg_sealed_put *op);

#endif
