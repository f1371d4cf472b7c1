/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may ask of one connection, and which of it bit. Limits are values of the
 * configuration; how often each bit is counted in the loop's env, from where net.c takes it to the
 * metrics and the log. */
#ifndef VG_BRIDGE_HTTP_LIMITS_H
#define VG_BRIDGE_HTTP_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum vg_http_limit {
    VG_HTTP_LIMIT_HEADERS,       /* fields or bytes of one head */
    VG_HTTP_LIMIT_HEAD_MEMORY,   /* bytes of all heads of one connection */
    VG_HTTP_LIMIT_HEAD_TIME,     /* a head that does not end */
    VG_HTTP_LIMIT_BODY_TIME,     /* a body that does not come */
    VG_HTTP_LIMIT_STALL,         /* an answer that nobody takes */
    VG_HTTP_LIMIT_STALLED,       /* too much of such answers on one connection */
    VG_HTTP_LIMIT_FRAMING,       /* chunk sizes, extensions, trailers */
    VG_HTTP_LIMIT_CONTINUATIONS, /* frames of one header block */
    VG_HTTP_LIMIT_RESETS,        /* RST_STREAM that the peer sends */
    VG_HTTP_LIMIT_ERRORS,        /* RST_STREAM that it makes us send */
    VG_HTTP_LIMIT_CONTROL,       /* SETTINGS, PING, PRIORITY, unknown frames */
    VG_HTTP_LIMIT_UPDATES,       /* WINDOW_UPDATE beyond what was sent */
    VG_HTTP_LIMIT_SMALL,         /* frames that carry nothing, or next to nothing */
    VG_HTTP_LIMIT_FRAME,         /* a frame that nghttp2 would let pass, against RFC 9113 */
    VG_HTTP_LIMIT_STREAM_ID,     /* HEADERS or DATA on an id that is over */
    VG_HTTP_LIMIT_MAX
};

/* Labels of metrics, NULL-terminated: "headers", "head_memory", ... */
const char *const *vg_http_limit_labels(void);

struct vg_http_limits {
    int max_headers;         /* fields of one head */
    size_t max_header_bytes; /* of one head: names, values and 32 for each field */
    size_t max_head_memory;  /* of all heads of one h2 connection, counted alike */
    size_t max_stalled;      /* bytes of answers that stand still on one h2 connection */
    int max_streams;         /* concurrent streams of one h2 connection */
    int max_continuations;   /* CONTINUATION frames of one header block */
    int frame_rate;  /* h2 frames a second that are no request's: of each kind; burst: 10 s of it */
    int reset_rate;  /* RST_STREAM a second from the peer; burst: 15 s of it */
    int error_rate;  /* RST_STREAM a second that it makes us send; burst: 10 s of it */
    int64_t idle_ms; /* a connection without a request */
    int64_t header_ms; /* from the first byte of a head to its end */
    int64_t body_ms;   /* in this time 1 KiB of an unfinished body must come */
    int64_t stall_ms;  /* in this time 1 KiB of the queued bytes must go */
};

#endif
