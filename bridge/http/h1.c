/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 (RFC 9112) over llhttp. A head is parsed in one piece, once it is whole; bodies go
 * through as they come. One request at a time: while its response is under way nothing more is
 * taken (pipelined bytes wait with the owner). */
#include "bridge/http/h1_priv.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* Chunk sizes, extensions and trailers may cost so much beyond the body itself. */
#define MAX_CHUNK_OVERHEAD ((size_t)64 * 1024)
#define OVERHEAD_PER_BYTE 8
/* An answered request's body of at most this size is read to its end to keep the connection. */
#define MAX_DISCARD INT64_C(65536)

static struct vg_h1 *h1_of(struct vg_session *session)
{
    return VG_CONTAINER(session, struct vg_h1, base);
}

static void set_state(struct vg_h1 *h1, enum h1_state state)
{
    static const unsigned char next[H1_STATE_MAX] = {
        [H1_IDLE] = 1 << H1_HEAD | 1 << H1_CLOSED,
        [H1_HEAD] = 1 << H1_BODY | 1 << H1_WAIT | 1 << H1_CLOSED,
        [H1_BODY] = 1 << H1_WAIT | 1 << H1_CLOSED,
        [H1_WAIT] = 1 << H1_IDLE | 1 << H1_CLOSED,
    };
    VG_ASSERT(next[h1->state] & (1 << state));
    h1->state = state;
    h1->since_ns = h1->base.env->now_ns;
}

/* --- the response --- */

static void h1_touched(struct vg_stream *stream)
{
    struct vg_h1 *h1 = stream->session;
    h1->base.wake(h1->base.owner);
}

static void h1_consumed(struct vg_stream *stream, size_t len)
{
    (void)len; /* feed looks at stream->unconsumed */
    h1_touched(stream);
}

/* Decides, as the response begins, whether the connection lives on. */
static void decide_keep_alive(struct vg_h1 *h1, const struct vg_response *response)
{
    struct vg_stream *stream = h1->stream;
    const struct vg_request *req = &stream->request;
    if (h1->state == H1_BODY && !stream->body_done) {
        /* A client that waits for 100 Continue may or may not send the body after a final answer.
         */
        int64_t left = req->content_length - (int64_t)stream->bytes_in;
        h1->discard = !req->expect_continue && req->content_length >= 0 && left <= MAX_DISCARD;
        h1->keep_alive = h1->keep_alive && h1->discard;
    }
    h1->chunked_out = response->length < 0 && !stream->head_only && req->version == VG_HTTP_1_1;
    if (response->length < 0 && !stream->head_only && !h1->chunked_out)
        h1->keep_alive = false; /* the end of the connection ends the body */
    if (h1->draining || h1->state == H1_CLOSED)
        h1->keep_alive = false;
    h1->continue_due = false;
}

static void put_line(struct vg_buf *out, struct vg_view name, struct vg_view value)
{
    (void)vg_buf_add(out, name.data, name.len); /* the buffer's maximum is out of reach */
    (void)vg_buf_add(out, ": ", 2);
    (void)vg_buf_add(out, value.data, value.len);
    (void)vg_buf_add(out, "\r\n", 2);
}

static void h1_respond(struct vg_stream *stream, const struct vg_response *response)
{
    struct vg_h1 *h1 = stream->session;
    struct vg_buf *out = &stream->out;
    decide_keep_alive(h1, response);
    (void)vg_buf_addf(out, "HTTP/1.1 %d %s\r\n", response->status,
                      vg_http_reason(response->status));
    put_line(out, VG_VIEW("date"), vg_view_of(vg_http_env_date(stream->env)));
    for (size_t i = 0; i < response->header_count; i++)
        put_line(out, response->headers[i].name, response->headers[i].value);
    if (response->length >= 0 && response->status != 204 && response->status != 304)
        (void)vg_buf_addf(out, "content-length: %lld\r\n", (long long)response->length);
    if (h1->chunked_out)
        put_line(out, VG_VIEW("transfer-encoding"), VG_VIEW("chunked"));
    if (!h1->keep_alive)
        put_line(out, VG_VIEW("connection"), VG_VIEW("close"));
    else if (stream->request.version == VG_HTTP_1_0)
        put_line(out, VG_VIEW("connection"), VG_VIEW("keep-alive"));
    (void)vg_buf_add(out, "\r\n", 2);
}

static void h1_before_data(struct vg_stream *stream, size_t len)
{
    const struct vg_h1 *h1 = stream->session;
    if (h1->chunked_out)
        (void)vg_buf_addf(&stream->out, "%zx\r\n", len);
}

static void h1_after_data(struct vg_stream *stream)
{
    const struct vg_h1 *h1 = stream->session;
    if (h1->chunked_out)
        (void)vg_buf_add(&stream->out, "\r\n", 2);
}

static const struct vg_stream_ops stream_ops = {
    .respond = h1_respond,
    .before_data = h1_before_data,
    .after_data = h1_after_data,
    .touched = h1_touched,
    .consumed = h1_consumed,
};

static void open_stream(struct vg_h1 *h1)
{
    VG_ASSERT(!h1->stream);
    h1->stream = vg_xalloc(sizeof(*h1->stream));
    vg_stream_init(h1->stream, &stream_ops, h1->base.env, h1);
    h1->stream->peer = h1->base.peer;
    h1->stream->request.version = VG_HTTP_1_1; /* until the head says otherwise */
    h1->keep_alive = h1->discard = h1->continue_due = h1->chunked_out = false;
    h1->overhead = 0;
    h1->chunks = (struct vg_h1_chunks){0};
}

static void close_stream(struct vg_h1 *h1)
{
    vg_stream_closed(h1->stream);
    vg_stream_fini(h1->stream);
    free(h1->stream);
    h1->stream = NULL;
}

/* --- requests --- */

static void refuse(struct vg_h1 *h1, const struct vg_err *err)
{
    if (!h1->stream)
        open_stream(h1);
    h1->keep_alive = false;
    set_state(h1, H1_CLOSED);
    vg_stream_refuse(h1->stream, err);
    h1->base.wake(h1->base.owner);
}

static void begin_request(struct vg_h1 *h1, const char *data, size_t len)
{
    struct vg_err err;
    open_stream(h1);
    if (vg_h1_parse_head(h1, data, len, &err) != 0) {
        h1->base.hostile = err.kind == VG_ERR_HEADERS_TOO_LARGE;
        refuse(h1, &err);
        return;
    }
    struct vg_stream *stream = h1->stream;
    set_state(h1, stream->request.has_body ? H1_BODY : H1_WAIT);
    vg_stream_begin(stream);
    h1->continue_due = stream->request.has_body && stream->request.expect_continue &&
                       stream->state == VG_STREAM_OPEN;
    h1->base.wake(h1->base.owner);
}

static size_t feed_head(struct vg_h1 *h1, const char *data, size_t len)
{
    struct vg_err err;
    switch (vg_h1_scan(&h1->scan, data, len)) {
    case VG_H1_MORE:
        return 0;
    case VG_H1_HEAD:
        begin_request(h1, data + h1->scan.blank, h1->scan.seen - h1->scan.blank);
        return h1->scan.seen;
    case VG_H1_TOO_LONG:
        h1->base.env->bitten[VG_HTTP_LIMIT_HEADERS]++;
        h1->base.hostile = true;
        (void)vg_err_set(&err, h1->scan.first_long ? VG_ERR_URI_TOO_LONG : VG_ERR_HEADERS_TOO_LARGE,
                         NULL);
        refuse(h1, &err);
        return len;
    case VG_H1_BAD:
        break;
    }
    (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The HTTP request is not valid.");
    refuse(h1, &err);
    return len;
}

/* The rest of the body will not come; what is queued still goes out. */
static void fail_body(struct vg_h1 *h1, enum vg_err_kind kind, const char *detail)
{
    struct vg_err err;
    (void)vg_err_set(&err, kind, "%s", detail);
    h1->keep_alive = false;
    h1->discard = false;
    set_state(h1, H1_CLOSED);
    vg_stream_fail(h1->stream, &err);
    h1->base.wake(h1->base.owner);
}

/* Hands body bytes to llhttp; what it and h1_chunks.c do not see alike is refused. Says how many
 * were taken and whether the body is over; -1: it is broken. */
static int parse_body(struct vg_h1 *h1, const char *data, size_t *len)
{
    bool chunked = h1->stream->request.content_length < 0;
    if (chunked) {
        *len = vg_h1_chunks_scan(&h1->chunks, data, *len);
        if (h1->chunks.state == VG_H1_CHUNK_BAD)
            return -1;
    }
    int code = (int)llhttp_execute(&h1->parser, data, *len);
    size_t used = *len;
    if (code == HPE_PAUSED)
        used = (size_t)(llhttp_get_error_pos(&h1->parser) - data);
    else if (code != HPE_OK)
        return -1;
    bool over = code == HPE_PAUSED;
    if (chunked && (over != (h1->chunks.state == VG_H1_CHUNK_DONE) || used != *len))
        return -1;
    *len = used;
    return over;
}

static size_t feed_body(struct vg_h1 *h1, const char *data, size_t len)
{
    struct vg_stream *stream = h1->stream;
    size_t room = VG_STREAM_WINDOW -
                  (stream->unconsumed < VG_STREAM_WINDOW ? stream->unconsumed : VG_STREAM_WINDOW);
    size_t n = len < room ? len : room;
    if (n == 0)
        return 0;
    uint64_t before = stream->bytes_in;
    int over = parse_body(h1, data, &n);
    if (over < 0) {
        fail_body(h1, VG_ERR_INVALID_REQUEST, "The request body is not valid.");
        return len;
    }
    h1->overhead += n - (size_t)(stream->bytes_in - before);
    if (h1->overhead > MAX_CHUNK_OVERHEAD + OVERHEAD_PER_BYTE * stream->bytes_in) {
        h1->base.env->bitten[VG_HTTP_LIMIT_FRAMING]++;
        h1->base.hostile = true;
        fail_body(h1, VG_ERR_INVALID_REQUEST, "The chunked body has too much framing.");
        return len;
    }
    if (over) {
        set_state(h1, H1_WAIT);
        vg_stream_body_end(stream);
        h1->base.wake(h1->base.owner);
    }
    return n;
}

static size_t h1_feed(struct vg_session *session, const char *data, size_t len)
{
    struct vg_h1 *h1 = h1_of(session);
    size_t used = 0;
    for (;;) {
        size_t n = 0;
        if (h1->state == H1_IDLE && used < len) {
            set_state(h1, H1_HEAD);
            h1->scan = (struct vg_h1_scan){0};
        }
        if (h1->state == H1_HEAD)
            n = feed_head(h1, data + used, len - used);
        else if (h1->state == H1_BODY)
            n = feed_body(h1, data + used, len - used);
        else if (h1->state == H1_CLOSED)
            n = len - used;
        if (n == 0)
            return used;
        used += n;
    }
}

/* The response is out: what becomes of the connection? */
static void finish_response(struct vg_h1 *h1, struct vg_buf *out)
{
    if (h1->chunked_out)
        (void)vg_buf_adds(out, "0\r\n\r\n");
    vg_stream_set_state(h1->stream, VG_STREAM_DONE);
    bool keep = h1->keep_alive && !h1->draining;
    close_stream(h1);
    if (h1->state == H1_WAIT && keep)
        set_state(h1, H1_IDLE);
    else if (h1->state != H1_CLOSED)
        set_state(h1, H1_CLOSED);
}

static void h1_produce(struct vg_session *session, struct vg_buf *out, size_t until)
{
    struct vg_h1 *h1 = h1_of(session);
    if (h1->continue_due)
        (void)vg_buf_adds(out, "HTTP/1.1 100 Continue\r\n\r\n");
    h1->continue_due = false;
    struct vg_stream *stream = h1->stream;
    if (!stream)
        return;
    if (stream->state == VG_STREAM_RESET) {
        close_stream(h1);
        if (h1->state != H1_CLOSED)
            set_state(h1, H1_CLOSED);
        return;
    }
    size_t room = out->len < until ? until - out->len : 0;
    size_t pending = vg_stream_pending(stream);
    size_t n = pending < room ? pending : room;
    if (n) {
        char *to = vg_buf_reserve(out, n);
        VG_ASSERT(to);
        vg_buf_commit(out, vg_stream_take(stream, to, n));
    }
    bool body_over = h1->state != H1_BODY || !h1->discard;
    if (vg_stream_pending(stream) == 0 && stream->state == VG_STREAM_ENDED && body_over)
        finish_response(h1, out);
    else
        vg_stream_notify(stream);
}

static void h1_tick(struct vg_session *session)
{
    struct vg_h1 *h1 = h1_of(session);
    const struct vg_http_limits *limits = &session->env->limits;
    int64_t waited = session->env->now_ns - h1->since_ns;
    bool blank = h1->scan.blank == h1->scan.seen;
    struct vg_err err;
    if ((h1->state == H1_IDLE && waited > limits->idle_ms * VG_NS_PER_MS) ||
        (h1->state == H1_HEAD && blank && waited > limits->header_ms * VG_NS_PER_MS)) {
        set_state(h1, H1_CLOSED);
        session->wake(session->owner);
    } else if (h1->state == H1_HEAD && waited > limits->header_ms * VG_NS_PER_MS) {
        session->env->bitten[VG_HTTP_LIMIT_HEAD_TIME]++;
        (void)vg_err_set(&err, VG_ERR_REQUEST_TIMEOUT, NULL);
        refuse(h1, &err);
    } else if (h1->state == H1_BODY && vg_stream_body_late(h1->stream)) {
        session->env->bitten[VG_HTTP_LIMIT_BODY_TIME]++;
        fail_body(h1, VG_ERR_REQUEST_TIMEOUT, "The request body did not arrive in time.");
    }
}

static void h1_eof(struct vg_session *session)
{
    struct vg_h1 *h1 = h1_of(session);
    if (h1->state == H1_IDLE || h1->state == H1_HEAD) {
        set_state(h1, H1_CLOSED);
        session->wake(session->owner);
    } else if (h1->state == H1_BODY) {
        fail_body(h1, VG_ERR_INVALID_REQUEST, "The request body ended early.");
    } else if (h1->state == H1_WAIT && h1->stream->ends_with_peer &&
               h1->stream->state == VG_STREAM_SENDING) {
        vg_stream_reset(h1->stream);
    }
}

static void h1_drain(struct vg_session *session)
{
    struct vg_h1 *h1 = h1_of(session);
    h1->draining = true;
    if (h1->state == H1_IDLE || (h1->state == H1_HEAD && h1->scan.blank == h1->scan.seen))
        h1_eof(session);
}

static bool h1_finished(struct vg_session *session)
{
    const struct vg_h1 *h1 = h1_of(session);
    return h1->state == H1_CLOSED && !h1->stream;
}

static void h1_free(struct vg_session *session)
{
    struct vg_h1 *h1 = h1_of(session);
    if (h1->stream)
        close_stream(h1);
    free(h1);
}

static const struct vg_session_ops session_ops = {
    .feed = h1_feed,
    .produce = h1_produce,
    .tick = h1_tick,
    .eof = h1_eof,
    .drain = h1_drain,
    .finished = h1_finished,
    .free = h1_free,
};

struct vg_session *vg_h1_session_new(struct vg_http_env *env, void (*wake)(void *owner),
                                     void *owner)
{
    struct vg_h1 *h1 = vg_xalloc(sizeof(*h1));
    h1->base = (struct vg_session){.ops = &session_ops, .env = env, .wake = wake, .owner = owner};
    h1->since_ns = env->now_ns;
    return &h1->base;
}

enum vg_http_sniff vg_http_sniff(const char *data, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t n = len < sizeof(preface) - 1 ? len : sizeof(preface) - 1;
    if (memcmp(data, preface, n) != 0)
        return VG_SNIFF_H1;
    return n == sizeof(preface) - 1 ? VG_SNIFF_H2 : VG_SNIFF_MORE;
}
