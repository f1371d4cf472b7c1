/* SPDX-License-Identifier: Apache-2.0 */
/* Hints that a provider's job has got on: its generation becomes due for a poll. */
#ifndef VG_DB_HINT_STORE_H
#define VG_DB_HINT_STORE_H

#include "db/db.h"

enum vg_hint_result {
    VG_HINT_UNKNOWN,   /* there is no such generation */
    VG_HINT_ENDED,     /* it has ended, or its result is being fetched */
    VG_HINT_STALE,     /* it is at another attempt or provider by now */
    VG_HINT_OTHER_JOB, /* it is another upstream job's */
    VG_HINT_DUE,       /* a poll that begins after this hint follows within about a second */
    VG_HINT_RESULT_MAX
};

/* A hint for one submission (`video_id`, `index`, `attempt`), or, with `video_id` NULL, for what
 * runs at the provider under `upstream_id`. Hints make at most one poll a second of a generation; a
 * hint that comes while it is polled, or being submitted, counts from the end of that. Batched;
 * doing it twice is doing it once. */
struct vg_hint {
    struct vg_db_op op;
    const char *video_id;
    int32_t index, attempt;
    const char *provider;
    const char
        *upstream_id; /* NULL with a video id: not told. A last path segment is enough there */
    /* results */
    enum vg_hint_result result;
};
void vg_hint(struct vg_db *db, struct vg_hint *op);

#endif
