/* SPDX-License-Identifier: Apache-2.0 */
/* Which video an SDK's repeat of a create belongs to, for callers without an idempotency key.
 *
 * An SDK numbers the attempts of one call (0, 1, 2: `level`). Each attempt that reached us has left
 * a record in `idempotency` under vg_match_key: match, video, level. A repeat takes the newest
 * video that no attempt of its own level has taken, best one that an attempt of the level before
 * has: two equal calls on purpose stay two videos, also when both are repeated. Without one it gets
 * its own new id, and the record is the promise that further attempts come to this id; the video is
 * then made under it, once, however often. */
#ifndef VG_DB_VIDEO_MATCH_STORE_H
#define VG_DB_VIDEO_MATCH_STORE_H

#include "common/id.h"
#include "db/db.h"

#define VG_MATCH_SIZE 33 /* 32 hex digits and NUL */
#define VG_MATCH_KEY_SIZE 144

/* The record's key. It starts with a control character: no caller can send such a key. */
void vg_match_key(char out[VG_MATCH_KEY_SIZE], const char *match, const char *video_id,
                  int32_t level);
/* What creates that leave a record hold shared, and repeats alone, until they are committed. Never
 * 0. */
int64_t vg_match_lock(const char *match);

/* Level 0 is for a first attempt that took its time: it finds the video that its own repeat made
 * meanwhile, in another process. */
struct vg_video_match {
    struct vg_db_op op;
    int64_t project_id;
    const char *match; /* of key and parameters */
    int32_t level;     /* 0 to 99 */
    int64_t within_ms; /* older records do not count */
    const char *own_id;
    uint8_t fingerprint[32];
    const char *id; /* result: own_id, or that of the call's video, which may not be there yet */
};
void vg_video_match(struct vg_db *db, struct vg_video_match *op);

#endif
