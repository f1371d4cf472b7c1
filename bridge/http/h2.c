/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 (RFC 9113) over nghttp2. Its callbacks mark and submit; mem_recv and mem_send are called
 * in feed and produce alone. What the library of Debian 12 does not bound is bounded here and in
 * h2_limits.c: frames by kind, header fields, resets that we are made to send, streams that stand
 * still on a closed window, stream ids that are over. */
#include "bridge/http/h2_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define CONNECTION_WINDOW 1048576
/* So many times as many fields as are allowed are an attack (HPACK: one byte makes one field). */
#define FIELDS_ABUSE 5
#define MAX_RESPONSE_HEADERS 24

void vg_h2_wake(struct vg_h2 *h2)
{
    h2->base.wake(h2->base.owner);
}

/* nghttp2 fails here only without memory; the connection is then of no use. */
void vg_h2_must(struct vg_h2 *h2, int code)
{
    if (code != 0 && nghttp2_is_fatal(code))
        h2->dead = true;
}

void vg_h2_reset(struct vg_h2 *h2, struct vg_h2_stream *s, uint32_t code)
{
    if (s->reset_submitted)
        return;
    s->reset_submitted = true;
    vg_h2_must(h2, nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, s->id, code));
    vg_h2_wake(h2);
}

void vg_h2_bite(struct vg_h2 *h2, enum vg_http_limit limit)
{
    h2->base.env->bitten[limit]++;
}

void vg_h2_terminate(struct vg_h2 *h2, uint32_t code)
{
    vg_h2_must(h2, nghttp2_session_terminate_session(h2->ng, code));
    vg_h2_wake(h2);
}

/* --- what a stream asks of us --- */

static ssize_t read_data(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)ng, (void)id;
    struct vg_h2 *h2 = user;
    struct vg_h2_stream *s = source->ptr;
    if (s->base.state == VG_STREAM_RESET)
        return NGHTTP2_ERR_DEFERRED;
    size_t n = vg_stream_take(&s->base, buf, len);
    h2->notify = h2->notify || s->base.want_writable;
    if (vg_stream_pending(&s->base) == 0 && s->base.state == VG_STREAM_ENDED)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

static nghttp2_nv make_nv(struct vg_view name, struct vg_view value)
{
    return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE};
}

static void h2_respond(struct vg_stream *stream, const struct vg_response *response)
{
    struct vg_h2 *h2 = stream->session;
    struct vg_h2_stream *s = vg_h2_stream_of(stream);
    nghttp2_nv nv[MAX_RESPONSE_HEADERS + 3];
    size_t n = 0;
    char status[16], length[32];
    VG_ASSERT(response->header_count <= MAX_RESPONSE_HEADERS);
    (void)snprintf(status, sizeof(status), "%d", response->status);
    nv[n++] = make_nv(VG_VIEW(":status"), vg_view_of(status));
    nv[n++] = make_nv(VG_VIEW("date"), vg_view_of(vg_http_env_date(stream->env)));
    if (response->length >= 0 && response->status != 204 && response->status != 304) {
        (void)snprintf(length, sizeof(length), "%lld", (long long)response->length);
        nv[n++] = make_nv(VG_VIEW("content-length"), vg_view_of(length));
    }
    for (size_t i = 0; i < response->header_count; i++)
        nv[n++] = make_nv(response->headers[i].name, response->headers[i].value);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_data};
    bool body = stream->state == VG_STREAM_SENDING;
    vg_h2_must(h2, nghttp2_submit_response(h2->ng, s->id, nv, n, body ? &provider : NULL));
}

static void h2_touched(struct vg_stream *stream)
{
    struct vg_h2 *h2 = stream->session;
    struct vg_h2_stream *s = vg_h2_stream_of(stream);
    if (stream->state == VG_STREAM_RESET)
        vg_h2_reset(h2, s, NGHTTP2_INTERNAL_ERROR);
    else if (s->deferred) {
        s->deferred = false;
        vg_h2_must(h2, nghttp2_session_resume_data(h2->ng, s->id));
    }
    vg_h2_wake(h2);
}

static void h2_consumed(struct vg_stream *stream, size_t len)
{
    struct vg_h2 *h2 = stream->session;
    vg_h2_must(h2, nghttp2_session_consume(h2->ng, vg_h2_stream_of(stream)->id, len));
    vg_h2_wake(h2);
}

static const struct vg_stream_ops stream_ops = {
    .respond = h2_respond,
    .touched = h2_touched,
    .consumed = h2_consumed,
};

static struct vg_h2_stream *open_stream(struct vg_h2 *h2, int32_t id)
{
    struct vg_h2_stream *s = vg_xalloc(sizeof(*s));
    vg_stream_init(&s->base, &stream_ops, h2->base.env, h2);
    s->base.peer = h2->base.peer;
    s->id = id;
    s->base.request.version = VG_HTTP_2;
    s->next = h2->streams;
    if (s->next)
        s->next->prev = s;
    h2->streams = s;
    return s;
}

static void close_stream(struct vg_h2 *h2, struct vg_h2_stream *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        h2->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (!h2->streams)
        h2->idle_since_ns = h2->base.env->now_ns;
    h2->head_memory -= s->base.request.header_bytes;
    vg_h2_limits_ended(&h2->limits, s->id, s->reset_submitted);
    vg_stream_closed(&s->base);
    vg_stream_fini(&s->base);
    free(s);
}

/* --- nghttp2 callbacks --- */

/* HEADERS on an id that is neither open nor new: nghttp2 would drop them without a word. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    struct vg_h2 *h2 = user;
    if (hd->type != NGHTTP2_HEADERS)
        return 0;
    if (hd->stream_id > h2->last_id) {
        h2->last_id = hd->stream_id;
        return 0;
    }
    if (h2->goaway || nghttp2_session_get_stream_user_data(ng, hd->stream_id))
        return 0;
    enum vg_h2_reuse reuse = vg_h2_limits_reuse(&h2->limits, hd->stream_id);
    if (reuse == VG_H2_REUSE_RESET)
        return 0;
    vg_h2_bite(h2, VG_HTTP_LIMIT_STREAM_ID);
    h2->fatal = reuse == VG_H2_REUSE_ENDED ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR;
    return NGHTTP2_ERR_CALLBACK_FAILURE; /* feed ends the connection */
}

/* A stream that nghttp2 refuses by itself; what follows on it may have crossed the refusal. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    (void)ng, (void)code;
    struct vg_h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_HEADERS)
        vg_h2_limits_ended(&h2->limits, frame->hd.stream_id, true);
    return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct vg_h2 *h2 = user;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    h2->block_since_ns = h2->base.env->now_ns;
    struct vg_h2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (s)
        s->fields = 0; /* trailers */
    else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        vg_h2_must(h2, nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id,
                                                            open_stream(h2, frame->hd.stream_id)));
    return 0;
}

/* Pseudo-header fields; nghttp2 has checked that they are known and there once. */
static void set_pseudo(struct vg_request *req, struct vg_view name, struct vg_view value)
{
    if (vg_view_eqs(name, ":method"))
        req->method = value;
    else if (vg_view_eqs(name, ":path"))
        req->target = value;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are nghttp2's */
static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags;
    struct vg_h2 *h2 = user;
    struct vg_h2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (!s || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (++s->fields > FIELDS_ABUSE * (size_t)h2->base.env->limits.max_headers) {
        vg_h2_bite(h2, VG_HTTP_LIMIT_HEADERS);
        return NGHTTP2_ERR_CALLBACK_FAILURE; /* feed ends the connection */
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || s->refused || s->crowded)
        return 0;
    s->crowded = h2->head_memory + name_len + value_len > h2->base.env->limits.max_head_memory;
    if (s->crowded) {
        vg_h2_bite(h2, VG_HTTP_LIMIT_HEAD_MEMORY);
        return 0;
    }
    struct vg_view n = {vg_arena_memdup(s->base.arena, name, name_len), name_len};
    struct vg_view v = {vg_arena_memdup(s->base.arena, value, value_len), value_len};
    if (name_len && name[0] == ':')
        set_pseudo(&s->base.request, n, v);
    size_t before = s->base.request.header_bytes;
    s->refused = vg_stream_add_header(&s->base, n, v, NULL) != 0;
    h2->head_memory += s->base.request.header_bytes - before;
    return 0;
}

static int check_head(struct vg_h2_stream *s, struct vg_err *err)
{
    const struct vg_request *req = &s->base.request;
    if (s->crowded)
        return vg_err_set(err, VG_ERR_OVERLOADED, NULL);
    if (s->refused)
        return vg_err_set(err, VG_ERR_HEADERS_TOO_LARGE, NULL);
    if (vg_view_eqs(req->method, "CONNECT"))
        return vg_err_set(err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
    struct vg_view host = vg_request_header(req, ":authority");
    if (!host.data)
        host = vg_request_header(req, "host");
    if (!vg_http_host_valid(host))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The :authority is not valid.");
    return vg_stream_finish_head(&s->base, err);
}

/* Resets that the peer makes us send (CVE-2025-8671), heads that are too large: one too many ends
 * the connection. */
static void count_error(struct vg_h2 *h2)
{
    if (vg_h2_limits_error(&h2->limits, h2->base.env->now_ns))
        return;
    vg_h2_bite(h2, VG_HTTP_LIMIT_ERRORS);
    h2->base.hostile = true;
    vg_h2_terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void begin_request(struct vg_h2 *h2, struct vg_h2_stream *s, bool has_body)
{
    struct vg_err err;
    if (check_head(s, &err) != 0) {
        s->base.body_done = !has_body;
        vg_stream_refuse(&s->base, &err);
        if (s->refused)
            count_error(h2);
        return;
    }
    s->base.request.has_body = has_body;
    vg_stream_begin(&s->base);
    if (has_body && s->base.request.expect_continue && s->base.state == VG_STREAM_OPEN) {
        nghttp2_nv nv = make_nv(VG_VIEW(":status"), VG_VIEW("100"));
        vg_h2_must(h2,
                   nghttp2_submit_headers(h2->ng, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL) < 0
                       ? NGHTTP2_ERR_NOMEM
                       : 0);
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct vg_h2 *h2 = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct vg_h2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2->block_since_ns = 0;
    if (!s)
        return 0;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        begin_request(h2, s, !end);
    if (end)
        vg_stream_body_end(&s->base);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user)
{
    (void)flags, (void)user;
    struct vg_h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    if (s)
        vg_stream_body(&s->base, (const char *)data, len);
    else
        (void)nghttp2_session_consume(ng, id, len); /* a stream that is gone */
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    (void)code;
    struct vg_h2 *h2 = user;
    struct vg_h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    if (!s)
        return 0;
    if (s->base.unconsumed)
        (void)nghttp2_session_consume_connection(ng, s->base.unconsumed);
    close_stream(h2, s);
    return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct vg_h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
        vg_h2_limits_ended(&h2->limits, frame->hd.stream_id, true);
        count_error(h2);
    }
    if (frame->hd.type == NGHTTP2_DATA)
        vg_h2_limits_sent(&h2->limits, frame->hd.length);
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    struct vg_h2_stream *s =
        ends ? nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id) : NULL;
    if (!s)
        return 0;
    if (s->base.state == VG_STREAM_ENDED)
        vg_stream_set_state(&s->base, VG_STREAM_DONE);
    /* Answered before the body was whole: the peer need not send the rest (RFC 9113 8.1). */
    if (!s->base.body_done)
        vg_h2_reset(h2, s, NGHTTP2_NO_ERROR);
    return 0;
}

/* --- session --- */

static size_t h2_feed(struct vg_session *session, const char *data, size_t len)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    if (h2->dead || len == 0)
        return len;
    enum vg_http_limit limit =
        vg_h2_limits_feed(&h2->limits, (const uint8_t *)data, len, session->env->now_ns);
    if (limit != VG_HTTP_LIMIT_MAX) {
        vg_h2_bite(h2, limit);
        session->hostile = true;
        vg_h2_terminate(h2, h2->limits.code);
        h2->dead = true;
        return len;
    }
    ssize_t n = nghttp2_session_mem_recv(h2->ng, (const uint8_t *)data, len);
    if (n < 0) {
        uint32_t code = n == NGHTTP2_ERR_CALLBACK_FAILURE || n == NGHTTP2_ERR_FLOODED
                            ? NGHTTP2_ENHANCE_YOUR_CALM
                            : NGHTTP2_PROTOCOL_ERROR;
        vg_h2_terminate(h2, h2->fatal ? h2->fatal : code);
        session->hostile = true;
        h2->dead = true;
    }
    vg_h2_wake(h2);
    return len;
}

static void h2_produce(struct vg_session *session, struct vg_buf *out, size_t until)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    while (out->len < until) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h2->ng, &data);
        if (n < 0)
            h2->dead = true;
        if (n <= 0)
            break;
        VG_ASSERT(vg_buf_add(out, data, (size_t)n) == 0);
    }
    if (!h2->notify)
        return;
    h2->notify = false;
    for (struct vg_h2_stream *s = h2->streams; s; s = s->next)
        vg_stream_notify(&s->base);
}

static void h2_eof(struct vg_session *session)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    h2->dead = true;
    vg_h2_wake(h2);
}

static void h2_drain(struct vg_session *session)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    if (h2->drain_ns)
        return;
    h2->drain_ns = session->env->now_ns;
    vg_h2_must(h2, nghttp2_submit_shutdown_notice(h2->ng));
    vg_h2_wake(h2);
}

static bool h2_finished(struct vg_session *session)
{
    const struct vg_h2 *h2 = vg_h2_of(session);
    bool wants = nghttp2_session_want_read(h2->ng) || nghttp2_session_want_write(h2->ng);
    bool drained = h2->goaway && !h2->streams && !nghttp2_session_want_write(h2->ng);
    return h2->dead || drained || !wants;
}

static void h2_free(struct vg_session *session)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    while (h2->streams) {
        VG_ASSERT(!h2->streams->prev);
        close_stream(h2, h2->streams);
    }
    nghttp2_session_del(h2->ng);
    free(h2);
}

static const struct vg_session_ops session_ops = {
    .feed = h2_feed,
    .produce = h2_produce,
    .tick = vg_h2_tick,
    .eof = h2_eof,
    .drain = h2_drain,
    .finished = h2_finished,
    .free = h2_free,
};

static void new_ng(struct vg_h2 *h2)
{
    const struct vg_http_limits *limits = &h2->base.env->limits;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    VG_ASSERT(nghttp2_session_callbacks_new(&callbacks) == 0);
    VG_ASSERT(nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_settings(option, 32);
    /* The library's own count of resets is for those of h2_limits.c to come first. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    nghttp2_option_set_max_continuations(option, (size_t)limits->max_continuations);
    VG_ASSERT(nghttp2_session_server_new3(&h2->ng, callbacks, h2, option, vg_h2_mem()) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

struct vg_session *vg_h2_session_new(struct vg_http_env *env, void (*wake_owner)(void *owner),
                                     void *owner)
{
    struct vg_h2 *h2 = vg_xalloc(sizeof(*h2));
    h2->base =
        (struct vg_session){.ops = &session_ops, .env = env, .wake = wake_owner, .owner = owner};
    h2->idle_since_ns = env->now_ns;
    vg_h2_limits_init(&h2->limits, &env->limits, env->now_ns);
    new_ng(h2);
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)env->limits.max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)VG_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)env->limits.max_header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    vg_h2_must(h2, nghttp2_submit_settings(h2->ng, NGHTTP2_FLAG_NONE, entries, VG_COUNT(entries)));
    vg_h2_must(
        h2, nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW));
    return &h2->base;
}
