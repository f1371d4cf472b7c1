/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that nothing needs any more: removed by batches, oldest first, never table-wide.
 *
 * Identifiers begin with their time and generations are numbered in order, so primary keys alone
 * find what is old: no index on a column that changes, and none that only a sweep would use. A call
 * reads at most `limit` rows, whatever it may remove of them; what is locked is left to the next
 * pass. Usage is never removed. */
#ifndef VG_DB_RETENTION_STORE_H
#define VG_DB_RETENTION_STORE_H

#include "db/db.h"

enum vg_retention {
    VG_RETENTION_DELIVERIES, /* that ended, with their attempts */
    VG_RETENTION_ATTEMPTS,   /* submissions of generations that ended */
    VG_RETENTION_SKIPS,      /* routes that such generations left without one */
    VG_RETENTION_RECEIVERS,  /* that fail, when nothing waits for them any more */
    VG_RETENTION_VIDEOS,     /* ended videos: as if their callers had deleted them */
    VG_RETENTION_MAX
};

/* One slice of a pass. The cursor is empty at the begin of a pass; each call moves it on, until
 * `ended`. Doing a slice twice is doing it once. */
struct vg_retention_slice {
    struct vg_db_op op;
    enum vg_retention what;
    int64_t max_age_s; /* since it ended */
    int32_t limit;     /* rows read, 1 to 10,000 */
    char cursor[96];   /* in and out */
    /* results */
    int64_t removed;
    bool ended; /* nothing older is left behind the cursor */
};
void vg_retention_slice(struct vg_db *db, struct vg_retention_slice *op);

#endif
