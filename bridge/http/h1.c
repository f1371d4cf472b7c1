/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 (RFC 9112) over llhttp. A head is parsed in one piece, once it is whole; bodies go
 * through as they come. One request at a time: while its response is under way nothing more is
 * taken (pipelined bytes wait with the owner). */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/http/h1_head.h"
#include "bridge/http/session.h"
#include "common/clock.h"

/* Chunk sizes, extensions and trailers may cost so much beyond the body itself. */
#define MAX_CHUNK_OVERHEAD ((size_t)64 * 1024)
#define OVERHEAD_PER_BYTE 8
/* An answered request's body of at most this size is read to its end to keep the connection. */
#define MAX_DISCARD INT64_C(65536)

enum h1_state {
    H1_IDLE,   /* between requests -> HEAD, CLOSED */
    H1_HEAD,   /* part of a head is here -> BODY, WAIT, CLOSED */
    H1_BODY,   /* head handed over, body arriving -> WAIT, CLOSED */
    H1_WAIT,   /* request whole, response under way -> IDLE, CLOSED */
    H1_CLOSED, /* nothing more is read; the connection closes after what is queued */
    H1_STATE_MAX
};

struct vg_h1 {
    struct vg_session base;
    enum h1_state state;
    struct vg_stream *stream; /* owned; the request under way */
    llhttp_t parser;
    struct vg_h1_scan scan;
    int64_t since_ns; /* start of IDLE or HEAD */
    bool draining;
    bool keep_alive;
    bool chunked_out;
    bool discard;      /* answered early; the rest of the body is dropped */
    bool continue_due; /* 100 Continue is to be sent */
    size_t overhead;   /* bytes of chunk framing so far */
    /* While llhttp runs over a head. */
    char *head; /* borrowed from the stream's arena */
    struct vg_view name, value;
    bool have_name;
    struct vg_err *err;
};

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

/* --- llhttp callbacks: their pointers are into the head's copy in the stream's arena --- */

static void extend(struct vg_view *view, const char *at, size_t len)
{
    if (view->len == 0)
        view->data = at;
    view->len += len;
}

static int push_header(struct vg_h1 *h1)
{
    if (!h1->have_name)
        return 0;
    h1->have_name = false;
    if (h1->name.len == 0)
        return vg_err_set(h1->err, VG_ERR_INVALID_REQUEST, "A header has no name.");
    char *name = h1->head + (h1->name.data - h1->head);
    for (size_t i = 0; i < h1->name.len; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] | 0x20);
    struct vg_view value = vg_view_trim(h1->value);
    if (!value.data)
        value = VG_VIEW("");
    return vg_stream_add_header(h1->stream, h1->name, value, h1->err);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    extend(&h1->stream->request.target, at, len);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    if (h1->state == H1_BODY)
        return 0; /* trailers are dropped */
    if (h1->have_name && h1->name.data + h1->name.len == at && !h1->value.data) {
        h1->name.len += len;
        return 0;
    }
    if (push_header(h1) != 0)
        return HPE_USER;
    h1->name = (struct vg_view){at, len};
    h1->value = (struct vg_view){NULL, 0};
    h1->have_name = true;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    if (h1->state == H1_BODY)
        return 0;
    extend(&h1->value, at, len);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct vg_h1 *h1 = parser->data;
    parser->upgrade = 0; /* an Upgrade is ignored (RFC 9110 7.8) */
    return push_header(h1) == 0 ? 0 : HPE_USER;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    vg_stream_body(h1->stream, at, len);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED; /* stop right behind the message */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

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
    h1->stream->request.version = VG_HTTP_1_1; /* until the head says otherwise */
    h1->keep_alive = h1->discard = h1->continue_due = h1->chunked_out = false;
    h1->overhead = 0;
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

/* One space on each side of the target and HTTP/1.0 or 1.1 behind it: llhttp is more generous. */
static int check_request_line(struct vg_h1 *h1, struct vg_err *err)
{
    struct vg_request *req = &h1->stream->request;
    const char *method = llhttp_method_name((llhttp_method_t)h1->parser.method);
    req->method = vg_view_of(method);
    if (h1->parser.method == HTTP_CONNECT)
        return vg_err_set(err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
    const char *version = req->target.data + req->target.len;
    if (memcmp(h1->head, method, req->method.len) != 0 || !req->target.data ||
        req->target.data != h1->head + req->method.len + 1 || memcmp(version, " HTTP/1.", 8) != 0 ||
        (version[8] != '0' && version[8] != '1') || version[9] != '\r')
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The request line is not valid.");
    req->version = version[8] == '1' ? VG_HTTP_1_1 : VG_HTTP_1_0;
    return 0;
}

/* Host exactly once (RFC 9112 3.2); a transfer coding is "chunked" alone. */
static int check_framing(struct vg_h1 *h1, struct vg_err *err)
{
    const struct vg_request *req = &h1->stream->request;
    int hosts = 0, codings = 0;
    bool close = false, keep = false;
    for (size_t i = 0; i < req->header_count; i++) {
        const struct vg_header *h = &req->headers[i];
        if (vg_view_eqs(h->name, "host")) {
            hosts++;
            if (!vg_http_host_valid(h->value))
                return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Host header is not valid.");
        } else if (vg_view_eqs(h->name, "transfer-encoding")) {
            codings++;
            if (!vg_view_eqs_nocase(h->value, "chunked"))
                return vg_err_set(err, VG_ERR_UNIMPLEMENTED,
                                  "This transfer encoding is not supported; send chunked.");
        } else if (vg_view_eqs(h->name, "connection")) {
            close = close || vg_http_has_token(h->value, "close");
            keep = keep || vg_http_has_token(h->value, "keep-alive");
        }
    }
    bool old = req->version == VG_HTTP_1_0;
    if (hosts > 1 || (hosts == 0 && !old))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "Exactly one Host header is needed.");
    if (codings > 1 || (codings && old))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Transfer-Encoding is not valid.");
    h1->keep_alive = !close && (!old || keep);
    return 0;
}

static int parse_error(int code, struct vg_err *err)
{
    if (code == HPE_INVALID_METHOD)
        return vg_err_set(err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
    if (code == HPE_INVALID_VERSION)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "This HTTP version is not supported.");
    if (code == HPE_INVALID_CONTENT_LENGTH || code == HPE_UNEXPECTED_CONTENT_LENGTH)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Content-Length is not valid.");
    if (code == HPE_INVALID_TRANSFER_ENCODING)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Transfer-Encoding is not valid.");
    return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The HTTP request is not valid.");
}

static int parse_head(struct vg_h1 *h1, const char *data, size_t len, struct vg_err *err)
{
    h1->head = vg_arena_memdup(h1->stream->arena, data, len);
    llhttp_init(&h1->parser, HTTP_REQUEST, &settings);
    h1->parser.data = h1;
    h1->have_name = false;
    struct vg_err own = {.kind = VG_ERR_MAX};
    h1->err = &own;
    int code = (int)llhttp_execute(&h1->parser, h1->head, len);
    h1->err = NULL;
    if (own.kind != VG_ERR_MAX) {
        *err = own;
        return -1;
    }
    if (code != HPE_OK && code != HPE_PAUSED && code != HPE_PAUSED_UPGRADE)
        return parse_error(code, err);
    if (check_request_line(h1, err) != 0 || check_framing(h1, err) != 0 ||
        vg_stream_finish_head(h1->stream, err) != 0)
        return -1;
    h1->stream->request.has_body = code == HPE_OK;
    return 0;
}

static void begin_request(struct vg_h1 *h1, const char *data, size_t len)
{
    struct vg_err err;
    open_stream(h1);
    if (parse_head(h1, data, len, &err) != 0) {
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

static size_t feed_body(struct vg_h1 *h1, const char *data, size_t len)
{
    struct vg_stream *stream = h1->stream;
    size_t room = VG_STREAM_WINDOW -
                  (stream->unconsumed < VG_STREAM_WINDOW ? stream->unconsumed : VG_STREAM_WINDOW);
    size_t n = len < room ? len : room;
    if (n == 0)
        return 0;
    uint64_t before = stream->bytes_in;
    int code = (int)llhttp_execute(&h1->parser, data, n);
    if (code == HPE_PAUSED)
        n = (size_t)(llhttp_get_error_pos(&h1->parser) - data);
    if (code != HPE_OK && code != HPE_PAUSED) {
        fail_body(h1, VG_ERR_INVALID_REQUEST, "The chunked body is not valid.");
        return len;
    }
    h1->overhead += n - (size_t)(stream->bytes_in - before);
    if (code == HPE_PAUSED) {
        set_state(h1, H1_WAIT);
        vg_stream_body_end(stream);
        h1->base.wake(h1->base.owner);
    } else if (h1->overhead > MAX_CHUNK_OVERHEAD + OVERHEAD_PER_BYTE * stream->bytes_in) {
        h1->base.env->bitten[VG_HTTP_LIMIT_FRAMING]++;
        fail_body(h1, VG_ERR_INVALID_REQUEST, "The chunked body has too much framing.");
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
    h1->base = (struct vg_session){&session_ops, env, wake, owner};
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
