/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures given by callers: what the bytes are, and fetching those given as addresses.
 *
 * Fetching runs on a loop through the SSRF guard, bounded in bytes, time and number; nothing is
 * followed. */
#ifndef VG_SERVICE_MEDIA_H
#define VG_SERVICE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/http/client.h"
#include "common/http/guard.h"
#include "common/loop.h"
#include "common/task.h"

#define VG_PICTURE_MAX_BYTES (20 << 20)
#define VG_PICTURE_MAX_SIDE 16384
#define VG_PICTURE_MAX_PIXELS (64 << 20)

struct vg_media_info {
    const char *mime_type; /* "image/png", "image/jpeg", "image/webp", "image/gif"; a literal */
    int32_t width, height;
};

/* Reads type and dimensions out of the first bytes; false when it is none of the four kinds or is
 * cut short. Pure. */
bool vg_media_sniff(const uint8_t *data, size_t len, struct vg_media_info *out);
/* As above, whole to its end (media_whole.h) and within the limits of size and dimensions;
 * VG_ERR_INVALID_REQUEST names `param`. */
VG_MUSTCHECK int vg_media_judge(struct vg_view bytes, const char *param, struct vg_media_info *out,
                                struct vg_err *err);

/* One picture on its way in. */
struct vg_picture {
    const char *param;         /* field it came in, for messages; a literal */
    const char *url;           /* NULL: `bytes` is given */
    struct vg_view bytes;      /* borrowed from the request or from `fetched` */
    struct vg_buf fetched;     /* owned */
    struct vg_media_info info; /* result */
};
void vg_picture_fini(struct vg_picture *picture);

struct vg_media;

struct vg_media_options {
    struct vg_loop *loop;
    const struct vg_http_guard *guard; /* borrowed */
    size_t max_transfers;              /* at a time; beyond it VG_ERR_OVERLOADED; 0: 32 */
    int64_t timeout_ms;                /* each; 0: 20,000 */
};
/* new and free on the loop's thread, or while the loop does not run. Free ends what is under way.
 */
VG_MUSTCHECK int vg_media_new(struct vg_media **out, const struct vg_media_options *options,
                              struct vg_err *err);
struct vg_media *vg_media_free(struct vg_media *media);

/* A few pictures fetched together. Belongs to the module from start until `done` is posted. */
struct vg_media_group {
    struct vg_picture *pictures; /* those with a url are fetched; all are judged */
    size_t count;
    struct vg_executor *executor;
    struct vg_task done;
    /* results */
    bool ok;
    struct vg_err err;

    struct vg_media *media;
    struct vg_task start;
    size_t left;
};
/* Any thread. */
void vg_media_group_start(struct vg_media *media, struct vg_media_group *group);

#endif
