/* SPDX-License-Identifier: Apache-2.0 */
/* The API keys that this process sees in use: writes down when each was used, and finds open
 * streams whose key is good no more.
 *
 * A request is judged by service/auth.h when it begins; a stream outlives that judgement. So all
 * keys with open streams are asked for twice a second, in one statement, and the streams of those
 * that are revoked, expired or archived are marked. While PostgreSQL is away nothing is marked. */
#ifndef VG_SERVICE_KEY_USE_H
#define VG_SERVICE_KEY_USE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

struct vg_db;
struct vg_loop;
struct vg_key_use;

struct vg_key_use_options {
    struct vg_db *db;     /* borrowed */
    struct vg_loop *loop; /* borrowed */
    int64_t check_ms;     /* 0: 400 */
    int64_t write_ms;     /* 0: 10,000 */
    /* These keys are good no more, and their streams have been marked; on the loop. */
    void (*gone)(void *ctx, const char *const *key_ids, size_t count);
    void *ctx;
};

struct vg_key_use *vg_key_use_new(const struct vg_key_use_options *options);
/* Any thread. */
void vg_key_use_start(struct vg_key_use *use);
/* The key is in use now; cheap. Of more than 4,096 keys between two writes some are left out. Any
 * thread. */
void vg_key_use_note(struct vg_key_use *use, const char *key_id);

/* One open stream. Zeroed before open. */
struct vg_key_stream {
    atomic_bool gone; /* its key is good no more: end it */
    char key_id[VG_ID_SIZE];
    struct vg_key_stream *next, **at; /* at NULL: not open */
};
/* Any thread, as the next. A stream without a key is never marked. */
void vg_key_stream_open(struct vg_key_use *use, struct vg_key_stream *stream, const char *key_id);
/* Fine when it is not open. */
void vg_key_stream_close(struct vg_key_use *use, struct vg_key_stream *stream);

/* Asks and writes no more. Any thread, returns at once. */
void vg_key_use_close(struct vg_key_use *use);
/* Nothing is under way any more and nothing will be. Any thread. */
bool vg_key_use_idle(const struct vg_key_use *use);
/* NULL is fine. */
struct vg_key_use *vg_key_use_free(struct vg_key_use *use);

#endif
