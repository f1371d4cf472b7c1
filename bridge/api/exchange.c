/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/exchange.h"

#include <string.h>

#include "bridge/api/caller.h"
#include "bridge/api/cors.h"
#include "bridge/api/respond.h"
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"

#define MAX_DROPPED_BODY INT64_C(65536)
#define MAX_CREDENTIAL 1024
#define MAX_ATTEMPT_TEXT 4
#define ALL_METHODS "GET, HEAD, POST, DELETE, OPTIONS"

enum api_metric {
    API_REQUESTS,
    API_CLIENT_ERRORS,
    API_SERVER_ERRORS,
    API_SECONDS,
    API_IN_FLIGHT,
    API_BODY_BYTES,
    API_METRIC_MAX
};

struct vg_metric_set *vg_api_register(struct vg_metrics *metrics)
{
    /* The registry borrows the table for ever, and the labels are not constant expressions. */
    static struct vg_metric_desc table[API_METRIC_MAX] = {
        [API_REQUESTS] = {"videogate_bridge_requests_total", VG_METRIC_COUNTER,
                          "Requests ended, by route.", "route", NULL},
        [API_CLIENT_ERRORS] = {"videogate_bridge_client_errors_total", VG_METRIC_COUNTER,
                               "Requests answered with 4xx, by route.", "route", NULL},
        [API_SERVER_ERRORS] = {"videogate_bridge_server_errors_total", VG_METRIC_COUNTER,
                               "Requests answered with 5xx, by route.", "route", NULL},
        [API_SECONDS] = {"videogate_bridge_request_seconds", VG_METRIC_HISTOGRAM,
                         "Time from head to end, by route.", "route", NULL},
        [API_IN_FLIGHT] = {"videogate_bridge_requests_in_flight", VG_METRIC_GAUGE,
                           "Requests under way.", NULL, NULL},
        [API_BODY_BYTES] = {"videogate_bridge_response_body_bytes_total", VG_METRIC_COUNTER,
                            "Response body bytes, by route.", "route", NULL},
    };
    for (size_t i = 0; i < API_METRIC_MAX; i++)
        if (table[i].label)
            table[i].values = vg_route_labels();
    return vg_metrics_register(metrics, table, API_METRIC_MAX);
}

/* --- life --- */

bool vg_exchange_admit(struct vg_exchange *ex)
{
    struct vg_api *api = ex->at->api;
    ex->creating = atomic_fetch_add(&api->creates, 1) < api->max_creates;
    if (!ex->creating)
        atomic_fetch_sub(&api->creates, 1);
    return ex->creating;
}

static void leave(struct vg_exchange *ex)
{
    if (ex->creating)
        atomic_fetch_sub(&ex->at->api->creates, 1);
    ex->creating = false;
}

static void free_if_unused(struct vg_exchange *ex)
{
    if (ex->stream || ex->holds)
        return;
    leave(ex);
    vg_exchange_drop_body(ex);
    struct vg_arena *arena = ex->arena; /* the exchange itself is in it */
    vg_arena_free_secret(arena);
}

void vg_exchange_hold(struct vg_exchange *ex)
{
    ex->holds++;
}

void vg_exchange_release(struct vg_exchange *ex)
{
    VG_ASSERT(ex->holds > 0);
    ex->holds--;
    free_if_unused(ex);
}

void vg_exchange_take_body(struct vg_exchange *ex, struct vg_body *out)
{
    *out = (struct vg_body){ex->body, ex->at->api, ex->body_charged};
    ex->body_charged = 0;
    vg_buf_init(&ex->body, 0);
}

void vg_body_drop(struct vg_body *body)
{
    atomic_fetch_sub(&body->api->body_held, body->charged);
    body->charged = 0;
    vg_buf_fini(&body->bytes);
}

void vg_exchange_drop_body(struct vg_exchange *ex)
{
    struct vg_body body;
    vg_exchange_take_body(ex, &body);
    vg_body_drop(&body);
}

struct vg_view vg_exchange_header(const struct vg_exchange *ex, const char *name)
{
    return vg_request_header(&ex->stream->request, name);
}

static void log_access(const struct vg_exchange *ex, int64_t ns)
{
    const struct vg_stream *s = ex->stream;
    if (!ex->at->api->access_log || !vg_log_enabled(VG_LOG_INFO))
        return;
    char method[16];
    size_t len = s->request.method.len < sizeof(method) - 1 ? s->request.method.len : 0;
    if (len)
        memcpy(method, s->request.method.data, len);
    method[len] = '\0';
    vg_log(VG_LOG_INFO, "request", VG_S("req", ex->request_id), VG_S("method", method),
           VG_S("route", ex->route ? ex->route->pattern : "none"), VG_I("status", ex->status),
           VG_I("ms", ns / VG_NS_PER_MS), VG_I("bytes_in", s->bytes_in),
           VG_I("bytes_out", s->bytes_out),
           VG_S("proto", vg_http_version_name(s->request.version)));
}

static void on_closed(struct vg_stream *stream)
{
    struct vg_exchange *ex = stream->user;
    struct vg_metric_set *set = ex->at->api->metrics;
    size_t route = vg_route_index(ex->route);
    int64_t ns = vg_now_ns() - ex->started_ns;
    vg_crash_point("answer", "http", "after");
    if (ex->status == 0 || stream->state != VG_STREAM_DONE)
        ex->status = ex->status ? ex->status : 499; /* went away before an answer */
    log_access(ex, ns);
    vg_metric_add(set, API_REQUESTS, route, 1);
    if (ex->status >= 400)
        vg_metric_add(set, ex->status >= 500 ? API_SERVER_ERRORS : API_CLIENT_ERRORS, route, 1);
    vg_metric_observe_ns(set, API_SECONDS, route, ns);
    vg_metric_add(set, API_BODY_BYTES, route, (int64_t)stream->bytes_out);
    vg_metric_add(set, API_IN_FLIGHT, 0, -1);
    ex->arena = stream->arena;
    stream->arena = NULL;
    ex->stream = NULL;
    vg_exchange_hold(ex);
    if (ex->op_closed)
        ex->op_closed(ex);
    vg_exchange_release(ex);
}

/* --- body --- */

static int64_t body_limit(const struct vg_exchange *ex)
{
    bool kept = ex->route && ex->route->body != VG_BODY_DROP;
    int64_t max = ex->at->api->max_body;
    if (!kept)
        return MAX_DROPPED_BODY;
    return vg_route_keyless(ex->route) && max > VG_MAX_EVENT_BODY ? VG_MAX_EVENT_BODY : max;
}

static void refuse_body(struct vg_exchange *ex, enum vg_err_kind kind)
{
    struct vg_err err;
    (void)vg_err_set(&err, kind, NULL);
    vg_exchange_drop_body(ex);
    vg_respond_error(ex, &err);
}

static void on_body(struct vg_stream *stream, const char *data, size_t len)
{
    struct vg_exchange *ex = stream->user;
    struct vg_api *api = ex->at->api;
    vg_stream_consume(stream, len);
    if ((int64_t)stream->bytes_in > body_limit(ex)) {
        refuse_body(ex, VG_ERR_TOO_LARGE);
        return;
    }
    if (ex->route->body == VG_BODY_DROP)
        return;
    ex->body_charged += (int64_t)len;
    if (atomic_fetch_add(&api->body_held, (long long)len) + (long long)len > api->body_memory)
        refuse_body(ex, VG_ERR_OVERLOADED);
    else if (vg_buf_add(&ex->body, data, len) != 0)
        refuse_body(ex, VG_ERR_TOO_LARGE);
}

static void on_body_end(struct vg_stream *stream)
{
    struct vg_exchange *ex = stream->user;
    ex->route->handle(ex);
}

static void on_fail(struct vg_stream *stream, const struct vg_err *err)
{
    struct vg_exchange *ex = stream->user;
    vg_exchange_drop_body(ex);
    vg_respond_error(ex, err);
}

static void on_writable(struct vg_stream *stream)
{
    struct vg_exchange *ex = stream->user;
    if (ex->op_writable)
        ex->op_writable(ex);
}

static const struct vg_stream_events events = {
    .body = on_body,
    .body_end = on_body_end,
    .fail = on_fail,
    .writable = on_writable,
    .closed = on_closed,
};

/* --- heads --- */

/* The caller's id when it is fit for a header and a log line, else one of ours. */
static void set_request_id(struct vg_exchange *ex)
{
    struct vg_view given = vg_exchange_header(ex, "x-request-id");
    if (vg_http_visible(given, 1, VG_REQUEST_ID_SIZE - 1)) {
        memcpy(ex->request_id, given.data, given.len);
        ex->request_id[given.len] = '\0';
        return;
    }
    char id[VG_ID_SIZE];
    vg_id_new(id, "req");
    (void)vg_strcpy(ex->request_id, sizeof(ex->request_id), id);
}

static struct vg_exchange *new_exchange(struct vg_api_loop *at, struct vg_stream *stream)
{
    struct vg_exchange *ex = vg_arena_alloc(stream->arena, sizeof(*ex));
    ex->at = at;
    ex->stream = stream;
    ex->arena = stream->arena;
    ex->started_ns = vg_now_ns();
    vg_buf_init(&ex->body, (size_t)at->api->max_body);
    stream->user = ex;
    stream->events = &events;
    set_request_id(ex);
    vg_metric_add(at->api->metrics, API_IN_FLIGHT, 0, 1);
    return ex;
}

static void answer_options(struct vg_exchange *ex, const char *allow)
{
    const struct vg_header header = {VG_VIEW("allow"), vg_view_of(allow)};
    (void)vg_respond_head(ex, 204, NULL, 0, &header, 1);
}

/* A browser's question before a cross-origin request; also where nothing is served, so that it goes
 * on to read our 404. */
static bool answer_preflight(struct vg_exchange *ex, const char *allow)
{
    struct vg_header headers[VG_CORS_PREFLIGHT];
    char names[VG_CORS_NAMES];
    struct vg_view requested = vg_exchange_header(ex, "access-control-request-headers");
    struct vg_view methods = allow[0] ? vg_view_of(allow) : VG_VIEW(ALL_METHODS);
    if (!ex->at->api->cors || !vg_cors_covers(ex->stream->request.path) ||
        !vg_exchange_header(ex, "origin").len ||
        !vg_exchange_header(ex, "access-control-request-method").len)
        return false;
    size_t n = vg_cors_preflight(requested, methods, names, headers);
    (void)vg_respond_head(ex, 204, NULL, 0, headers, n);
    return true;
}

static int check_body_head(const struct vg_exchange *ex, struct vg_err *err)
{
    const struct vg_request *req = &ex->stream->request;
    struct vg_api *api = ex->at->api;
    /* Whoever would only wait is told so before the body costs anything. */
    if (vg_route_creates(ex->route) && atomic_load(&api->creates) >= api->max_creates)
        return vg_err_set(err, VG_ERR_OVERLOADED, NULL);
    if (req->content_length > body_limit(ex))
        return vg_err_set(err, VG_ERR_TOO_LARGE, NULL);
    if (ex->route->body == VG_BODY_DROP)
        return 0;
    struct vg_view type = vg_request_header(req, "content-type");
    struct vg_view coding = vg_request_header(req, "content-encoding");
    bool form = ex->route->body == VG_BODY_JSON_OR_FORM;
    if (!vg_route_keyless(ex->route) && !vg_http_media_type(type, "application/json") &&
        !(form && vg_http_media_type(type, "multipart/form-data")))
        return vg_err_set(err, VG_ERR_UNSUPPORTED_MEDIA_TYPE,
                          "The Content-Type must be application/json%s.",
                          form ? " or multipart/form-data" : "");
    if (coding.len && !vg_view_eqs_nocase(coding, "identity"))
        return vg_err_set(err, VG_ERR_UNSUPPORTED_MEDIA_TYPE,
                          "Compressed request bodies are not supported.");
    return 0;
}

static void on_request(void *ctx, struct vg_stream *stream)
{
    struct vg_exchange *ex = new_exchange(ctx, stream);
    const struct vg_request *req = &stream->request;
    char allow[VG_ALLOW_SIZE];
    struct vg_err err;
    bool options = vg_view_eqs(req->method, "OPTIONS");
    if (options && vg_view_eqs(req->path, "*")) {
        answer_options(ex, ALL_METHODS);
        return;
    }
    enum vg_route_result found =
        vg_route_find(req->method, req->path, &ex->route, ex->param, allow);
    if (options && answer_preflight(ex, allow))
        return;
    if (found == VG_ROUTE_NO_PATH) {
        (void)vg_err_set(&err, VG_ERR_NOT_FOUND, "There is nothing at this address.");
        vg_respond_error(ex, &err);
    } else if (found == VG_ROUTE_NO_METHOD && options) {
        answer_options(ex, allow);
    } else if (found == VG_ROUTE_NO_METHOD) {
        const struct vg_header header = {VG_VIEW("allow"), vg_view_of(allow)};
        (void)vg_err_set(&err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
        vg_respond_error_with(ex, &err, &header, 1);
    } else if (check_body_head(ex, &err) != 0) {
        vg_respond_error(ex, &err);
    } else if (!req->has_body) {
        ex->route->handle(ex);
    }
}

static void on_refuse(void *ctx, struct vg_stream *stream, const struct vg_err *err)
{
    struct vg_exchange *ex = new_exchange(ctx, stream);
    const struct vg_header allow = {VG_VIEW("allow"), VG_VIEW(ALL_METHODS)};
    vg_respond_error_with(ex, err, &allow, err->kind == VG_ERR_METHOD_NOT_ALLOWED ? 1 : 0);
}

void vg_api_loop_init(struct vg_api_loop *at, struct vg_api *api, struct vg_loop *loop)
{
    at->api = api;
    at->loop = loop;
    at->handler = (struct vg_http_handler){at, on_request, on_refuse};
}

/* --- calls --- */

/* A credential that could not travel as metadata cannot be a key either. */
static bool credential_ok(struct vg_view text)
{
    if (text.len == 0 || text.len > MAX_CREDENTIAL)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

int vg_exchange_metadata(struct vg_exchange *ex, struct vg_rpc_metadata out[VG_EXCHANGE_METADATA],
                         size_t *out_count, struct vg_err *err)
{
    struct vg_view bearer = vg_exchange_header(ex, "authorization");
    struct vg_view key = vg_exchange_header(ex, "x-api-key");
    size_t n = 0;
    out[n++] = (struct vg_rpc_metadata){"x-request-id", ex->request_id};
    if (vg_route_keyless(ex->route)) {
        *out_count = n;
        return 0;
    }
    if ((bearer.data && !credential_ok(bearer)) ||
        (!bearer.data && key.data && !credential_ok(key)))
        return vg_err_set(err, VG_ERR_UNAUTHENTICATED, NULL);
    if (bearer.data)
        out[n++] = (struct vg_rpc_metadata){"authorization",
                                            vg_arena_memdup(ex->arena, bearer.data, bearer.len)};
    else if (key.data)
        out[n++] = (struct vg_rpc_metadata){
            "authorization", vg_arena_printf(ex->arena, "Bearer %.*s", (int)key.len, key.data)};
    char client[VG_PEER_SIZE];
    vg_caller_address(ex->stream, ex->at->api->trusted_proxies, client);
    if (client[0])
        out[n++] =
            (struct vg_rpc_metadata){"x-videogate-client", vg_arena_strdup(ex->arena, client)};
    struct vg_view attempt = vg_exchange_header(ex, "x-stainless-retry-count");
    if (vg_route_creates(ex->route) && vg_http_visible(attempt, 1, MAX_ATTEMPT_TEXT))
        out[n++] = (struct vg_rpc_metadata){"x-stainless-retry-count",
                                            vg_arena_memdup(ex->arena, attempt.data, attempt.len)};
    *out_count = n;
    return 0;
}

static void on_done(struct vg_task *task)
{
    struct vg_exchange *ex = VG_CONTAINER(task, struct vg_exchange, unary.done);
    struct vg_rpc_unary *call = &ex->unary;
    vg_crash_point("forward", "call", "after");
    leave(ex);
    if (ex->stream && call->ok)
        ex->reply(ex, call->response);
    else if (ex->stream)
        vg_respond_call_error(ex, &call->err);
    if (call->response)
        protobuf_c_message_free_unpacked(call->response, NULL);
    call->response = NULL;
    vg_exchange_release(ex);
}

int vg_exchange_prepare(struct vg_exchange *ex, const char *method,
                        const ProtobufCMessageDescriptor *response_type, vg_reply_f *reply,
                        struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA], struct vg_err *err)
{
    size_t count;
    if (vg_exchange_metadata(ex, metadata, &count, err) != 0)
        return -1;
    ex->reply = reply;
    ex->trailing = vg_arena_alloc(ex->arena, sizeof(*ex->trailing));
    ex->unary = (struct vg_rpc_unary){
        .trailing = ex->trailing,
        .service_method = method,
        .response_type = response_type,
        .metadata = metadata,
        .metadata_count = count,
        .deadline_ns = vg_deadline_in_ms(ex->at->api->rpc_ms),
        .executor = vg_loop_executor(ex->at->loop),
        .done.run = on_done,
    };
    return 0;
}

void vg_exchange_start(struct vg_exchange *ex)
{
    vg_crash_point("forward", "call", "before");
    vg_rpc_unary_start(ex->at->api->channel, &ex->unary);
}

void vg_exchange_call(struct vg_exchange *ex, const char *method, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *response_type, vg_reply_f *reply)
{
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    struct vg_err err;
    if (vg_exchange_prepare(ex, method, response_type, reply, metadata, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    ex->unary.request = request;
    vg_exchange_hold(ex);
    vg_exchange_start(ex);
}
