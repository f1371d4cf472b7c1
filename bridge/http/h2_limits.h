/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what comes over one HTTP/2 connection, frame by frame, before nghttp2 sees it: the library
 * of Debian 12 has no limits for most of it and drops HEADERS on old stream ids without a word. A
 * state machine over bytes: may be fed in pieces of any size. */
#ifndef VG_BRIDGE_HTTP_H2_LIMITS_H
#define VG_BRIDGE_HTTP_H2_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/http/limits.h"

#define VG_H2_FRAME_HEAD 9
/* So many streams that ended last are remembered. */
#define VG_H2_ENDED 64

/* Tokens: so many are left, as of then. */
struct vg_h2_bucket {
    int64_t left;
    int64_t at_ns;
};

struct vg_h2_limits {
    const struct vg_http_limits *limits; /* borrowed */
    struct vg_h2_bucket resets, errors, control, updates, small;
    int continuations; /* of the header block being received */
    size_t block;      /* bytes of that block */
    size_t preface;    /* its bytes seen */
    size_t have;       /* bytes of `head` */
    size_t payload;    /* bytes of this frame still to come */
    uint32_t code;     /* for GOAWAY, once a limit was passed */
    uint8_t head[VG_H2_FRAME_HEAD];
    size_t ended_count;         /* since the start */
    int32_t ended[VG_H2_ENDED]; /* a ring; negative: by a reset */
};

void vg_h2_limits_init(struct vg_h2_limits *l, const struct vg_http_limits *limits, int64_t now_ns);
/* Looks at bytes from the peer. The limit that they pass, and `code`, or VG_HTTP_LIMIT_MAX. */
enum vg_http_limit vg_h2_limits_feed(struct vg_h2_limits *l, const uint8_t *data, size_t len,
                                     int64_t now_ns);
/* DATA of `len` bytes was sent: so many more WINDOW_UPDATE are in order. */
void vg_h2_limits_sent(struct vg_h2_limits *l, size_t len);
/* A RST_STREAM with an error was sent; false: one too many. */
bool vg_h2_limits_error(struct vg_h2_limits *l, int64_t now_ns);
void vg_h2_limits_ended(struct vg_h2_limits *l, int32_t id, bool reset);

/* What HEADERS on a stream that is not open, and not new, means (RFC 9113 5.1, 5.1.1). */
enum vg_h2_reuse {
    VG_H2_REUSE_RESET,  /* crossed our RST_STREAM: to be ignored */
    VG_H2_REUSE_ENDED,  /* a connection error, STREAM_CLOSED */
    VG_H2_REUSE_UNKNOWN /* a connection error, PROTOCOL_ERROR */
};
enum vg_h2_reuse vg_h2_limits_reuse(const struct vg_h2_limits *l, int32_t id);

#endif
