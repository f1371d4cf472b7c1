/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/respond.h"

#include <stdio.h>
#include <string.h>

#include "bridge/api/cors.h"
#include "bridge/api/exchange.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/json_writer.h"
#include "common/log.h"

#define MAX_ENVELOPE ((size_t)16 * 1024)
#define MAX_EXTRA 12
#define DEFAULT_RETRY_MS 1000
/* Clients ignore longer waits (openai 7), or do not retry at all (Python). */
#define MAX_RETRY_MS 60000

void vg_envelope_write(const struct vg_err *err, struct vg_buf *out)
{
    const struct vg_err_info *info = vg_err_info(err->kind);
    struct vg_json_writer w;
    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    vg_json_put_key(&w, "error");
    vg_json_object_open(&w);
    vg_json_put_key(&w, "message");
    vg_json_put_text(&w, vg_err_text(err));
    vg_json_put_key(&w, "type");
    vg_json_put_text(&w, info->type);
    vg_json_put_key(&w, "param");
    vg_json_put_text(&w, err->param[0] ? err->param : NULL);
    vg_json_put_key(&w, "code");
    vg_json_put_text(&w, info->code && info->code[0] ? info->code : NULL);
    vg_json_object_close(&w);
    vg_json_object_close(&w);
}

int64_t vg_retry_after_ms(const struct vg_err *err)
{
    int http = vg_err_info(err->kind)->http;
    if (err->retry_after_ms > 0)
        return err->retry_after_ms < MAX_RETRY_MS ? err->retry_after_ms : MAX_RETRY_MS;
    return http == 429 || http == 503 ? DEFAULT_RETRY_MS : 0;
}

/* What the service says of the caller's rate, under the same names. */
static size_t rate_headers(const struct vg_exchange *ex, struct vg_header out[VG_RPC_TRAILING_MAX])
{
    size_t n = 0;
    for (size_t i = 0; ex->trailing && i < ex->trailing->count; i++) {
        const struct vg_rpc_trailing_pair *pair = &ex->trailing->pairs[i];
        if (strncmp(pair->key, "x-ratelimit-", 12) == 0 || strncmp(pair->key, "ratelimit", 9) == 0)
            out[n++] = (struct vg_header){vg_view_of(pair->key), vg_view_of(pair->value)};
    }
    return n;
}

bool vg_respond_head(struct vg_exchange *ex, int status, const char *content_type, int64_t length,
                     const struct vg_header *extra, size_t extra_count)
{
    struct vg_header headers[MAX_EXTRA + 2 + VG_RPC_TRAILING_MAX + VG_CORS_ANSWER];
    const struct vg_cors *cors = ex->at->api->cors;
    size_t n = 0;
    if (!ex->stream || ex->stream->state != VG_STREAM_OPEN)
        return false;
    VG_ASSERT(extra_count <= MAX_EXTRA);
    headers[n++] = (struct vg_header){VG_VIEW("x-request-id"), vg_view_of(ex->request_id)};
    if (content_type)
        headers[n++] = (struct vg_header){VG_VIEW("content-type"), vg_view_of(content_type)};
    for (size_t i = 0; i < extra_count; i++)
        headers[n++] = extra[i];
    n += rate_headers(ex, headers + n);
    if (cors && vg_cors_covers(ex->stream->request.path))
        n += vg_cors_answer(cors, vg_exchange_header(ex, "origin"), headers + n);
    const struct vg_response response = {status, headers, n, length};
    ex->status = status;
    vg_crash_point("answer", "http", "before");
    vg_stream_respond(ex->stream, &response);
    return true;
}

void vg_respond_body(struct vg_exchange *ex, int status, const char *content_type,
                     const struct vg_buf *body, const struct vg_header *extra, size_t extra_count)
{
    if (!vg_respond_head(ex, status, content_type, (int64_t)body->len, extra, extra_count))
        return;
    vg_stream_write(ex->stream, body->data, body->len);
    vg_stream_end(ex->stream);
}

size_t vg_cache_headers(struct vg_exchange *ex, const char *etag,
                        struct vg_header out[VG_CACHE_HEADERS])
{
    out[0] = (struct vg_header){VG_VIEW("etag"),
                                vg_view_of(vg_arena_printf(ex->arena, "W/\"%s\"", etag))};
    out[1] = (struct vg_header){VG_VIEW("cache-control"), VG_VIEW("no-cache, private")};
    return VG_CACHE_HEADERS;
}

bool vg_respond_unchanged(struct vg_exchange *ex, const char *etag, const struct vg_header *extra,
                          size_t extra_count)
{
    struct vg_header headers[MAX_EXTRA];
    struct vg_view known = vg_exchange_header(ex, "if-none-match");
    size_t n = 0;
    if (!known.data || !vg_http_etag_match(known, vg_view_of(etag)))
        return false;
    VG_ASSERT(extra_count + VG_CACHE_HEADERS <= MAX_EXTRA);
    for (; n < extra_count; n++)
        headers[n] = extra[n];
    n += vg_cache_headers(ex, etag, headers + n);
    (void)vg_respond_head(ex, 304, NULL, 0, headers, n);
    return true;
}

/* SDKs retry by status alone; this header tells them when that is of no use (openai-api.md 1.5). */
static bool sdk_retries(int status)
{
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

/* The service was asked to make a video and nobody knows whether it did. */
static bool maybe_created(const struct vg_exchange *ex, enum vg_err_kind kind)
{
    return ex->unary.service_method && vg_route_creates(ex->route) &&
           (kind == VG_ERR_UNAVAILABLE || kind == VG_ERR_DEADLINE || kind == VG_ERR_BAD_GATEWAY ||
            kind == VG_ERR_INTERNAL || kind == VG_ERR_CANCELLED);
}

/* A repeat after an unknown end is safe with a key, or for an SDK that counts its attempts. The
 * second of two calls with one key is told to leave it: the first one's caller has the video; but
 * an SDK that repeats itself is the first caller. */
static bool should_retry(const struct vg_exchange *ex, const struct vg_err *err)
{
    struct vg_view attempt = vg_exchange_header(ex, "x-stainless-retry-count");

    if (err->kind == VG_ERR_CONFLICT)
        return attempt.len > 0 && !vg_view_eqs(attempt, "0");
    if (!vg_err_info(err->kind)->retryable)
        return false;
    return !maybe_created(ex, err->kind) || attempt.len > 0 ||
           vg_exchange_header(ex, "idempotency-key").len > 0;
}

void vg_respond_error_with(struct vg_exchange *ex, const struct vg_err *err,
                           const struct vg_header *extra, size_t extra_count)
{
    const struct vg_err_info *info = vg_err_info(err->kind);
    struct vg_header headers[MAX_EXTRA];
    char seconds[24], millis[24];
    size_t n = 0;
    VG_ASSERT(extra_count + 3 <= MAX_EXTRA);
    for (size_t i = 0; i < extra_count; i++)
        headers[n++] = extra[i];
    if (!ex->stream)
        return;
    int64_t wait = vg_retry_after_ms(err);
    if (wait > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)((wait + 999) / 1000));
        (void)snprintf(millis, sizeof(millis), "%lld", (long long)wait);
        headers[n++] = (struct vg_header){VG_VIEW("retry-after"), vg_view_of(seconds)};
        headers[n++] = (struct vg_header){VG_VIEW("retry-after-ms"), vg_view_of(millis)};
    }
    if (sdk_retries(info->http))
        headers[n++] = (struct vg_header){
            VG_VIEW("x-should-retry"), should_retry(ex, err) ? VG_VIEW("true") : VG_VIEW("false")};
    struct vg_buf body;
    vg_buf_init(&body, MAX_ENVELOPE);
    vg_envelope_write(err, &body);
    vg_respond_body(ex, info->http, "application/json", &body, headers, n);
    vg_buf_fini(&body);
}

void vg_respond_error(struct vg_exchange *ex, const struct vg_err *err)
{
    vg_respond_error_with(ex, err, NULL, 0);
}

void vg_respond_kind(struct vg_exchange *ex, enum vg_err_kind kind)
{
    struct vg_err err;
    (void)vg_err_set(&err, kind, NULL);
    vg_respond_error(ex, &err);
}

/* One line a second and loop: with the service away every request comes here. */
static void log_call_error(struct vg_exchange *ex, const struct vg_err *err)
{
    int64_t now = vg_now_ns();
    if (now - ex->at->warned_ns < VG_NS_PER_S)
        return;
    ex->at->warned_ns = now;
    vg_log(VG_LOG_WARN, "call to the service failed", VG_S("req", ex->request_id),
           VG_S("reason", vg_err_info(err->kind)->reason), VG_S("detail", vg_err_text(err)));
}

void vg_respond_call_error(struct vg_exchange *ex, const struct vg_err *err)
{
    struct vg_err shown = *err;
    if (vg_err_info(err->kind)->http >= 500) {
        log_call_error(ex, err);
        shown.detail[0] = '\0';
    }
    vg_respond_error(ex, &shown);
}
