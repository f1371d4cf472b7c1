/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/stream.h"

#include <string.h>

#include "common/clock.h"
#include "common/str.h"

#define HEADER_OVERHEAD 32 /* RFC 9113 6.5.2 counts so many bytes for each field */
#define MIN_PROGRESS 1024  /* of a body, either way */
/* Our own handlers bound what they queue; this is where a bug would be stopped. */
#define MAX_QUEUED (SIZE_MAX / 4)

const char *vg_http_env_date(struct vg_http_env *env)
{
    if (env->date_s != env->wall_s || env->date[0] == '\0') {
        vg_http_date(env->date, env->wall_s);
        env->date_s = env->wall_s;
    }
    return env->date;
}

const char *vg_http_version_name(enum vg_http_version version)
{
    static const char *const names[VG_HTTP_VERSION_MAX] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
    return names[version];
}

const char *vg_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < VG_COUNT(table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "";
}

struct vg_view vg_request_header(const struct vg_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (vg_view_eqs(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct vg_view){NULL, 0};
}

void vg_stream_init(struct vg_stream *stream, const struct vg_stream_ops *ops,
                    struct vg_http_env *env, void *session)
{
    stream->ops = ops;
    stream->env = env;
    stream->session = session;
    stream->arena = vg_arena_new();
    stream->request.content_length = -1;
    stream->progress_ns = env->now_ns;
    vg_buf_init(&stream->out, MAX_QUEUED);
}

void vg_stream_fini(struct vg_stream *stream)
{
    vg_buf_fini(&stream->out);
    stream->arena = vg_arena_free_secret(stream->arena);
}

void vg_stream_set_state(struct vg_stream *stream, enum vg_stream_state state)
{
    VG_ASSERT(stream->state < VG_STREAM_DONE && state > stream->state);
    stream->state = state;
}

/* --- request --- */

int vg_stream_add_header(struct vg_stream *stream, struct vg_view name, struct vg_view value,
                         struct vg_err *err)
{
    struct vg_request *req = &stream->request;
    const struct vg_http_limits *limits = &stream->env->limits;
    req->header_bytes += name.len + value.len + HEADER_OVERHEAD;
    if (req->header_count >= (size_t)limits->max_headers ||
        req->header_bytes > limits->max_header_bytes) {
        stream->env->bitten[VG_HTTP_LIMIT_HEADERS]++;
        return vg_err_set(err, VG_ERR_HEADERS_TOO_LARGE, NULL);
    }
    /* The array grows by doubling inside the arena; the old halves stay until the stream goes. */
    size_t n = req->header_count;
    if (n == 0 || (n >= 16 && (n & (n - 1)) == 0)) {
        struct vg_header *more =
            vg_arena_alloc(stream->arena, (n ? 2 * n : 16) * sizeof(struct vg_header));
        if (n)
            memcpy(more, req->headers, n * sizeof(struct vg_header));
        req->headers = more;
    }
    req->headers[req->header_count++] = (struct vg_header){name, value};
    return 0;
}

int vg_stream_finish_head(struct vg_stream *stream, struct vg_err *err)
{
    struct vg_request *req = &stream->request;
    if (vg_http_target(req->target, req->method, &req->path, &req->query, err) != 0)
        return -1;
    struct vg_view length = vg_request_header(req, "content-length");
    if (length.data) {
        int64_t n;
        if (!vg_http_visible(length, 1, 19) || length.data[0] == '-' ||
            vg_parse_i64(length, 0, INT64_MAX, &n) != 0)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Content-Length is not valid.");
        req->content_length = n;
    }
    struct vg_view expect = vg_request_header(req, "expect");
    req->expect_continue =
        req->version != VG_HTTP_1_0 && vg_view_eqs_nocase(expect, "100-continue");
    return 0;
}

void vg_stream_begin(struct vg_stream *stream)
{
    stream->body_done = !stream->request.has_body;
    stream->env->handler->request(stream->env->handler->ctx, stream);
}

void vg_stream_refuse(struct vg_stream *stream, const struct vg_err *err)
{
    stream->failed = true;
    stream->env->handler->refuse(stream->env->handler->ctx, stream, err);
}

void vg_stream_body(struct vg_stream *stream, const char *data, size_t len)
{
    stream->bytes_in += len;
    stream->unconsumed += len;
    if (stream->events && !stream->failed && stream->state == VG_STREAM_OPEN)
        stream->events->body(stream, data, len);
    else
        vg_stream_consume(stream, len);
}

void vg_stream_body_end(struct vg_stream *stream)
{
    if (stream->body_done)
        return;
    stream->body_done = true;
    if (stream->events && !stream->failed && stream->state == VG_STREAM_OPEN)
        stream->events->body_end(stream);
}

void vg_stream_fail(struct vg_stream *stream, const struct vg_err *err)
{
    if (stream->failed)
        return;
    stream->failed = true;
    if (stream->events && stream->state == VG_STREAM_OPEN)
        stream->events->fail(stream, err);
}

void vg_stream_closed(struct vg_stream *stream)
{
    const struct vg_stream_events *events = stream->events;
    stream->events = NULL;
    if (events)
        events->closed(stream);
}

void vg_stream_consume(struct vg_stream *stream, size_t len)
{
    VG_ASSERT(len <= stream->unconsumed);
    stream->unconsumed -= len;
    stream->ops->consumed(stream, len);
}

bool vg_stream_body_late(struct vg_stream *stream)
{
    if (stream->body_done || stream->unconsumed >= VG_STREAM_WINDOW / 2)
        return false;
    int64_t now = stream->env->now_ns;
    if (stream->bytes_in - stream->progress_in >= MIN_PROGRESS) {
        stream->progress_in = stream->bytes_in;
        stream->progress_ns = now;
    }
    return now - stream->progress_ns > stream->env->limits.body_ms * VG_NS_PER_MS;
}

/* --- response --- */

void vg_stream_respond(struct vg_stream *stream, const struct vg_response *response)
{
    VG_ASSERT(stream->state == VG_STREAM_OPEN);
    stream->head_only = vg_view_eqs(stream->request.method, "HEAD") || response->status == 204 ||
                        response->status == 304;
    bool ended = stream->head_only || response->length == 0;
    vg_stream_set_state(stream, ended ? VG_STREAM_ENDED : VG_STREAM_SENDING);
    stream->progress_ns = stream->env->now_ns;
    stream->progress_in = stream->bytes_in;
    stream->ops->respond(stream, response);
    stream->ops->touched(stream);
}

void vg_stream_write(struct vg_stream *stream, const void *data, size_t len)
{
    if (stream->state != VG_STREAM_SENDING || len == 0)
        return;
    if (vg_stream_pending(stream) == 0)
        stream->progress_ns = stream->env->now_ns;
    if (stream->ops->before_data)
        stream->ops->before_data(stream, len);
    VG_ASSERT(vg_buf_add(&stream->out, data, len) == 0);
    if (stream->ops->after_data)
        stream->ops->after_data(stream);
    stream->bytes_out += len;
    stream->ops->touched(stream);
}

bool vg_stream_drained(struct vg_stream *stream)
{
    if (vg_stream_pending(stream) == 0)
        return true;
    stream->want_writable = stream->want_drained = true;
    return false;
}

size_t vg_stream_pending(const struct vg_stream *stream)
{
    return stream->out.len - stream->out_off;
}

bool vg_stream_ready(struct vg_stream *stream)
{
    if (vg_stream_pending(stream) < VG_STREAM_LOW_WATER)
        return true;
    stream->want_writable = true;
    return false;
}

void vg_stream_end(struct vg_stream *stream)
{
    if (stream->state != VG_STREAM_SENDING)
        return;
    vg_stream_set_state(stream, VG_STREAM_ENDED);
    stream->ops->touched(stream);
}

void vg_stream_reset(struct vg_stream *stream)
{
    if (stream->state >= VG_STREAM_DONE)
        return;
    vg_stream_set_state(stream, VG_STREAM_RESET);
    stream->ops->touched(stream);
}

size_t vg_stream_take(struct vg_stream *stream, void *dst, size_t len)
{
    size_t n = vg_stream_pending(stream);
    n = n < len ? n : len;
    if (n == 0)
        return 0;
    memcpy(dst, stream->out.data + stream->out_off, n);
    stream->out_off += n;
    stream->moved_out += n;
    if (stream->moved_out >= MIN_PROGRESS || stream->out_off == stream->out.len) {
        stream->progress_ns = stream->env->now_ns;
        stream->moved_out = 0;
    }
    if (stream->out_off == stream->out.len) {
        vg_buf_clear(&stream->out);
        stream->out_off = 0;
    } else if (stream->out_off >= VG_STREAM_LOW_WATER && stream->out_off >= stream->out.len / 2) {
        vg_buf_consume(&stream->out, stream->out_off);
        stream->out_off = 0;
    }
    return n;
}

void vg_stream_notify(struct vg_stream *stream)
{
    size_t below = stream->want_drained ? 1 : VG_STREAM_LOW_WATER;
    if (!stream->want_writable || vg_stream_pending(stream) >= below)
        return;
    stream->want_writable = stream->want_drained = false;
    if (stream->events && stream->events->writable && stream->state == VG_STREAM_SENDING)
        stream->events->writable(stream);
}
