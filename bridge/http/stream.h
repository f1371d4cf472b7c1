/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request and its response, the same over HTTP/1.1 and HTTP/2. Everything belongs to one
 * loop thread.
 *
 * A session (h1.c, h2.c) owns its streams. The handler gets a pointer in `request` or `refuse` and
 * may use it until `closed`, which comes exactly once for each stream, never inside a vg_stream_*
 * call. Events are called from the session's feed, produce, tick and free; the handler may call any
 * vg_stream_* function inside them. */
#ifndef VG_BRIDGE_HTTP_STREAM_H
#define VG_BRIDGE_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/http/limits.h"
#include "bridge/http/request.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"

struct vg_stream;

struct vg_header {
    struct vg_view name; /* lower case */
    struct vg_view value;
};

/* Below so many queued bytes `writable` is called. */
#define VG_STREAM_LOW_WATER ((size_t)128 * 1024)
/* Request body bytes that a peer may send before the handler has consumed them. */
#define VG_STREAM_WINDOW ((size_t)256 * 1024)

/* --- handler, limits and time, one per loop, shared by its sessions --- */

/* Who answers. All functions get `ctx` of the handler. */
struct vg_http_handler {
    void *ctx;
    /* A valid head is here. With `request.has_body` the body follows by events. */
    void (*request)(void *ctx, struct vg_stream *stream);
    /* The head was bad (method and path may be empty): answer with `err`; there will be no body. */
    void (*refuse)(void *ctx, struct vg_stream *stream, const struct vg_err *err);
};

struct vg_http_env {
    const struct vg_http_handler *handler; /* borrowed */
    struct vg_http_limits limits;
    int64_t now_ns; /* monotonic; set by the owner before each feed, produce, tick */
    int64_t wall_s; /* Unix seconds, for Date */
    int64_t date_s; /* second that `date` holds */
    char date[VG_HTTP_DATE_SIZE];
    int64_t bitten[VG_HTTP_LIMIT_MAX]; /* how often each limit bit; the owner takes it from here */
};
/* The Date header of now. */
const char *vg_http_env_date(struct vg_http_env *env);

/* --- the request --- */

enum vg_http_version { VG_HTTP_1_0, VG_HTTP_1_1, VG_HTTP_2, VG_HTTP_VERSION_MAX };
const char *vg_http_version_name(enum vg_http_version version);

struct vg_request {
    enum vg_http_version version;
    struct vg_view method;
    struct vg_view target;
    struct vg_view path; /* still percent-encoded */
    struct vg_view query;
    struct vg_header *headers; /* in the stream's arena */
    size_t header_count;
    size_t header_bytes;    /* as counted against the limit */
    int64_t content_length; /* -1: none given */
    bool has_body;
    bool expect_continue;
};
/* The value of the first field of this name (lower case); an empty view with NULL data when absent.
 */
struct vg_view vg_request_header(const struct vg_request *request, const char *name);

/* --- events, set by the handler --- */

struct vg_stream_events {
    /* Body bytes; give the credit back with vg_stream_consume once they are dealt with. */
    void (*body)(struct vg_stream *stream, const char *data, size_t len);
    /* The body (also an empty one) is complete. Not called after a `request` without has_body. */
    void (*body_end)(struct vg_stream *stream);
    /* The rest of the body will not come: answer with `err` unless an answer is under way. */
    void (*fail)(struct vg_stream *stream, const struct vg_err *err);
    /* Fewer than VG_STREAM_LOW_WATER bytes are queued again. May be NULL. */
    void (*writable)(struct vg_stream *stream);
    /* Response sent or peer gone; the pointer is dead after this. */
    void (*closed)(struct vg_stream *stream);
};

/* Response side of a stream; only forward. */
enum vg_stream_state {
    VG_STREAM_OPEN,    /* no answer yet -> SENDING, RESET */
    VG_STREAM_SENDING, /* head queued, body may follow -> ENDED, RESET */
    VG_STREAM_ENDED,   /* end queued -> DONE, RESET */
    VG_STREAM_DONE,    /* handed to the connection */
    VG_STREAM_RESET,   /* broken off on purpose */
    VG_STREAM_STATE_MAX
};

struct vg_response {
    int status;
    const struct vg_header *headers; /* without content-length, date and framing; copied */
    size_t header_count;
    int64_t length; /* of the body; -1: unknown */
};

/* What a session does for its streams. */
struct vg_stream_ops {
    /* Queues the head; state is SENDING or, without a body, ENDED. */
    void (*respond)(struct vg_stream *stream, const struct vg_response *response);
    /* Before `len` bytes are queued (chunk framing); NULL: nothing to do. */
    void (*before_data)(struct vg_stream *stream, size_t len);
    void (*after_data)(struct vg_stream *stream);
    /* Something changed: bytes queued, ended, reset. */
    void (*touched)(struct vg_stream *stream);
    void (*consumed)(struct vg_stream *stream, size_t len);
};

struct vg_stream {
    const struct vg_stream_ops *ops;
    struct vg_http_env *env; /* borrowed */
    void *session;           /* borrowed; the session's own business */
    const char *peer;        /* borrowed; the other end's address, NULL or "": unknown */
    struct vg_arena
        *arena; /* owned; memory of the request. The handler may take it in `closed` (set NULL) */
    struct vg_request request;
    const struct vg_stream_events *events; /* borrowed; NULL until the handler sets it */
    void *user;                            /* the handler's */
    enum vg_stream_state state;
    bool head_only; /* HEAD, 204, 304: body bytes are dropped */
    bool body_done; /* the request is complete */
    bool failed;    /* `fail` was called */
    bool want_writable;
    bool want_drained;   /* `writable` only once nothing is queued */
    bool ends_with_peer; /* set by the handler: an answer without an end goes on only as long as the
                            peer's own side is open */
    size_t unconsumed;   /* request body bytes without credit */
    struct vg_buf out;   /* response bytes not yet taken by the session */
    size_t out_off;
    uint64_t bytes_in;    /* body */
    uint64_t bytes_out;   /* body, as queued */
    int64_t progress_ns;  /* when enough bytes last came or went */
    uint64_t progress_in; /* bytes_in at progress_ns */
    size_t moved_out;     /* bytes taken since progress_ns */
};

const char *vg_http_reason(int status);

/* --- for the handler --- */

/* Once, in state OPEN. Ends the stream when there is no body to come (HEAD, 204, 304, length 0). */
void vg_stream_respond(struct vg_stream *stream, const struct vg_response *response);
/* Queues body bytes (copied). Always accepted; a well-behaved handler waits for `writable` when
 * vg_stream_pending is over VG_STREAM_LOW_WATER. */
void vg_stream_write(struct vg_stream *stream, const void *data, size_t len);
/* True when little is queued; false promises a call of `writable` later. */
bool vg_stream_ready(struct vg_stream *stream);
/* True when nothing is queued; false promises a call of `writable` once that is so. */
bool vg_stream_drained(struct vg_stream *stream);
size_t vg_stream_pending(const struct vg_stream *stream);
void vg_stream_end(struct vg_stream *stream);
/* Breaks off: RST_STREAM or a closed connection, so that the peer sees the answer is not whole. */
void vg_stream_reset(struct vg_stream *stream);
/* Gives credit for body bytes. */
void vg_stream_consume(struct vg_stream *stream, size_t len);

/* --- for sessions --- */

/* `stream` is zeroed. */
void vg_stream_init(struct vg_stream *stream, const struct vg_stream_ops *ops,
                    struct vg_http_env *env, void *session);
void vg_stream_fini(struct vg_stream *stream);
void vg_stream_set_state(struct vg_stream *stream, enum vg_stream_state state);
/* Adds a header (views into memory that lives as long as the stream). Over a limit: -1 and
 * VG_ERR_HEADERS_TOO_LARGE. */
VG_MUSTCHECK int vg_stream_add_header(struct vg_stream *stream, struct vg_view name,
                                      struct vg_view value, struct vg_err *err);
/* Checks what both versions share: target, Content-Length, Expect. */
VG_MUSTCHECK int vg_stream_finish_head(struct vg_stream *stream, struct vg_err *err);
/* Hands the head to the handler, good or bad. */
void vg_stream_begin(struct vg_stream *stream);
void vg_stream_refuse(struct vg_stream *stream, const struct vg_err *err);
/* Deliver events, each dropped when the handler does not listen any more. */
void vg_stream_body(struct vg_stream *stream, const char *data, size_t len);
void vg_stream_body_end(struct vg_stream *stream);
void vg_stream_fail(struct vg_stream *stream, const struct vg_err *err);
void vg_stream_closed(struct vg_stream *stream);
/* Takes up to `len` queued bytes. */
size_t vg_stream_take(struct vg_stream *stream, void *dst, size_t len);
/* Calls `writable` when it was promised and is due. */
void vg_stream_notify(struct vg_stream *stream);
/* True when the peer owes body bytes and sent too few in limits.body_ms. Moves the mark when it did
 * send. */
bool vg_stream_body_late(struct vg_stream *stream);

#endif
