/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/http/url.h"
#include "common/str.h"
#include "workers/upstream/upstream_priv.h"

enum {
    CREATE_MS = 60 * 1000,
    POLL_MS = 25 * 1000,
    DOWN_MS = 10 * 1000, /* a base address that could not be reached is not chosen so long */
    MAX_ANSWER = 1024 * 1024,
    MAX_ELIDED = 512 * 1024 * 1024, /* of an answer whose long strings are left out */
    REPLY_MS = 1000                 /* of the deadline, kept for the answer */
};

struct vg_call_run *vg_call_run_of(struct vg_call *call)
{
    return VG_CONTAINER(call, struct vg_call_run, call);
}

/* --- requests --- */

char *vg_call_address(struct vg_call_run *run, const char *url, bool *to_base)
{
    if (url[0] == '/') {
        *to_base = true;
        return vg_arena_printf(run->call.arena, "%s%s", run->base->url, url);
    }
    const struct vg_adapter *adapter = run->upstream->adapter;
    const char *also = adapter->also_base ? adapter->also_base(run->call.config) : NULL;
    *to_base = vg_url_same_origin(run->base->url, url) || (also && vg_url_same_origin(also, url));
    return vg_arena_strdup(run->call.arena, url);
}

static enum vg_fault_phase phase_of(const struct vg_call_run *run)
{
    if (run->call.kind == VG_CALL_SUBMIT)
        return run->http.creates ? VG_PHASE_CREATE : VG_PHASE_BEFORE;
    return run->call.kind == VG_CALL_FETCH && !run->renewing ? VG_PHASE_FETCH : VG_PHASE_POLL;
}

void vg_call_count(struct vg_call_run *run, int status, int64_t duration_ms)
{
    enum vg_upstream_outcome outcome = status == 0    ? VG_UO_NO_ANSWER
                                       : status < 400 ? VG_UO_OK
                                       : status < 500 ? VG_UO_CLIENT_ERROR
                                                      : VG_UO_SERVER_ERROR;

    if (!run->upstream->metrics)
        return;
    vg_metric_add(run->upstream->metrics, VG_UM_REQUESTS, outcome, 1);
    vg_metric_observe_ns(run->upstream->metrics, VG_UM_SECONDS, 0, duration_ms * VG_NS_PER_MS);
}

static const char *const kind_names[] = {[VG_CALL_SUBMIT] = "submit",
                                         [VG_CALL_POLL] = "poll",
                                         [VG_CALL_FETCH] = "fetch",
                                         [VG_CALL_CANCEL] = "cancel",
                                         [VG_CALL_LOOKUP] = "lookup"};

/* The only place where an answer meets its handler. */
static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct vg_call_run *run = ctx;
    struct vg_json *json = NULL;

    vg_call_count(run, result->status, result->duration_ms);
    vg_crash_point("upstream", kind_names[run->call.kind], "after");
    const struct vg_adapter *adapter = run->upstream->adapter;
    if (result->status == 401 && run->to_base && adapter->unauthorized && run->credential &&
        !run->again && !run->upstream->stopping) {
        run->again = true;
        run->busy = true;
        adapter->unauthorized(&run->call, run->credential->key);
        adapter->authorize(&run->call, run->credential->key);
        run->busy = false;
        vg_call_release(run);
        return;
    }
    if (run->to_base)
        run->base->down_until_ns =
            result->status == 0 && !result->sent ? vg_now_ns() + DOWN_MS * VG_NS_PER_MS : 0;
    bool elided = run->elide && result->status >= 200 && result->status < 300;
    struct vg_view body = elided ? vg_buf_view(&run->skeleton) : result->body;
    if (!result->reason && body.len > 0 && vg_json_parse(&json, body, NULL) != 0)
        json = NULL;
    const struct vg_answer answer = {.status = result->status,
                                     .reason = result->reason,
                                     .sent = result->sent,
                                     .body = body,
                                     .json = json,
                                     .retry_after_ms = result->retry_after_ms,
                                     .http = result};
    run->busy = true;
    run->http.then(&run->call, &answer);
    run->busy = false;
    vg_json_free(json);
    vg_call_release(run);
}

static int64_t timeout_of(const struct vg_call_run *run)
{
    int64_t wanted = run->http.timeout_ms > 0           ? run->http.timeout_ms
                     : run->call.kind == VG_CALL_SUBMIT ? CREATE_MS
                                                        : POLL_MS;
    if (run->op->deadline_ns == VG_NO_DEADLINE)
        return wanted;
    int64_t left = (run->op->deadline_ns - vg_now_ns()) / VG_NS_PER_MS - REPLY_MS;
    if (left < 1)
        left = 1;
    return left < wanted ? left : wanted;
}

static bool on_elided(void *ctx, const char *data, size_t len)
{
    struct vg_call_run *run = ctx;

    return vg_elide_feed(run->elide, data, len) == 0;
}

static void prepare_elision(struct vg_call_run *run)
{
    run->elide = vg_elide_free(run->elide);
    vg_buf_fini(&run->skeleton);
    vg_buf_init(&run->skeleton, run->http.max_answer + VG_ELIDE_KEEP);
    if (run->http.elide)
        run->elide =
            vg_elide_new(&(struct vg_elide_options){.out = &run->skeleton, .keep = VG_ELIDE_KEEP});
}

/* A process that was stopped must not pay for a job that somebody else has by now. */
static bool past_deadline(const struct vg_call_run *run)
{
    return run->op->deadline_ns != VG_NO_DEADLINE && vg_now_ns() >= run->op->deadline_ns;
}

static void start_request(struct vg_call_run *run, const char *auth)
{
    struct vg_fault fault;

    if (run->http.creates && past_deadline(run)) {
        vg_fault_of_class(&fault, VG_CLASS(TIMEOUT));
        vg_call_failed(&run->call, &fault);
        return;
    }
    const struct vg_adapter *adapter = run->upstream->adapter;
    const char *headers[24];
    size_t n = 0;

    prepare_elision(run);
    for (const char *const *h = run->to_base ? adapter->headers : NULL; h && *h && n < 8; h++)
        headers[n++] = *h;
    for (const char *const *h = run->http.headers; h && *h && n < 20; h++)
        headers[n++] = *h;
    if (auth && run->to_base)
        headers[n++] = auth;
    if (run->http.body.len > 0)
        headers[n++] = vg_arena_printf(run->call.arena, "Content-Type: %s", run->http.content_type);
    headers[n++] = "Accept: application/json";
    headers[n] = NULL;
    const struct vg_http_request request = {
        .method = run->http.method,
        .url = run->url,
        .headers = headers,
        .body = run->http.body,
        .timeout_ms = timeout_of(run),
        .max_response = run->elide ? MAX_ELIDED : run->http.max_answer,
        .on_data = run->elide ? on_elided : NULL,
        .on_done = on_done,
        .ctx = run,
        .repeatable = run->http.repeatable,
    };
    run->created = run->created || run->http.creates;
    vg_crash_point("upstream", kind_names[run->call.kind], "before");
    if (!vg_http_start(run->to_base ? run->upstream->client : run->upstream->outside, &request)) {
        vg_fault_of_class(&fault, VG_CLASS(NETWORK));
        vg_call_failed(&run->call, &fault);
    }
}

const char *vg_call_auth_header(struct vg_call_run *run)
{
    return run->credential && run->upstream->adapter->auth
               ? vg_arena_printf(run->call.arena, "%s%s", run->upstream->adapter->auth,
                                 run->credential->key)
               : NULL;
}

static void send_authorized(struct vg_call *call, const char *header)
{
    start_request(vg_call_run_of(call), header);
}

void vg_call_http(struct vg_call *call, const struct vg_call_http *http)
{
    struct vg_call_run *run = vg_call_run_of(call);

    run->http = *http;
    run->again = false;
    if (run->http.max_answer == 0)
        run->http.max_answer = MAX_ANSWER;
    if (!run->http.content_type)
        run->http.content_type = "application/json";
    if (http->body.len > 0 && http->body.data != run->body.data) {
        vg_buf_clear(&run->body);
        (void)vg_buf_add(&run->body, http->body.data, http->body.len);
    }
    run->http.body = http->body.len > 0 ? vg_buf_view(&run->body) : (struct vg_view){NULL, 0};
    if (!vg_buf_ok(&run->body)) {
        vg_call_refuse(call, "The pictures are too large for this provider.");
        return;
    }
    run->url = vg_call_address(run, http->url, &run->to_base);
    run->authorized = send_authorized;
    if (run->to_base && run->credential && run->upstream->adapter->authorize)
        run->upstream->adapter->authorize(call, run->credential->key);
    else
        start_request(run, vg_call_auth_header(run));
}

const char *vg_call_key(const struct vg_call *call)
{
    const struct vg_call_run *run = VG_CONTAINER(call, const struct vg_call_run, call);

    return run->credential ? run->credential->key : "";
}

void vg_call_authorized(struct vg_call *call, const char *header)
{
    vg_call_run_of(call)->authorized(call, vg_arena_strdup(call->arena, header));
}

void vg_call_get(struct vg_call *call, const char *url, vg_call_then_f *then)
{
    vg_call_http(call, &(struct vg_call_http){.method = "GET", .url = url, .then = then});
}

struct vg_json_writer *vg_call_json(struct vg_call *call)
{
    struct vg_call_run *run = vg_call_run_of(call);

    vg_buf_clear(&run->body);
    vg_json_begin(&run->writer, &run->body);
    return &run->writer;
}

struct vg_view vg_call_body(struct vg_call *call)
{
    return vg_buf_view(&vg_call_run_of(call)->body);
}

void vg_call_post(struct vg_call *call, const char *url, bool creates, vg_call_then_f *then)
{
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = url,
                                              .body = vg_call_body(call),
                                              .creates = creates,
                                              .then = then});
}

/* --- answers --- */

static bool member_is(const struct vg_json *at, const char *wanted)
{
    int64_t number = 0;
    char text[24];
    const char *have = vg_json_string(at);

    if (!have && vg_json_int(at, &number)) {
        (void)snprintf(text, sizeof(text), "%lld", (long long)number);
        have = text;
    }
    return have && wanted && strcmp(have, wanted) == 0;
}

static bool disguised_failure(const struct vg_adapter *adapter, const struct vg_json *json)
{
    const struct vg_json *at = adapter->ok_path ? vg_json_at(json, adapter->ok_path) : NULL;

    return at && vg_json_type(at) != VG_JSON_NULL && !member_is(at, adapter->ok_value) &&
           !member_is(at, adapter->ok_value2);
}

bool vg_call_ok(struct vg_call *call, const struct vg_answer *answer)
{
    struct vg_call_run *run = vg_call_run_of(call);
    const struct vg_adapter *adapter = run->upstream->adapter;
    struct vg_fault fault;

    if (!answer->reason && answer->status >= 200 && answer->status < 300 && answer->json &&
        vg_json_type(answer->json) == VG_JSON_OBJECT && !disguised_failure(adapter, answer->json))
        return true;
    vg_fault_of_answer(&fault, adapter, answer, phase_of(run));
    if (run->credential && call->kind == VG_CALL_SUBMIT && run->to_base)
        vg_credential_report(run->credential, &fault, vg_now_ns());
    vg_call_failed(call, &fault);
    return false;
}

const char *vg_answer_header(const struct vg_answer *answer, const char *name)
{
    return answer->http ? vg_http_header(answer->http, name) : NULL;
}

static const struct vg_json *step(const struct vg_json *at, struct vg_view name)
{
    int64_t index = 0;
    char key[128];

    if (vg_json_type(at) == VG_JSON_ARRAY) {
        if (vg_parse_i64(name, 0, 10000, &index) != 0)
            return NULL;
        const struct vg_json *element = vg_json_first(at);
        while (element && index-- > 0)
            element = vg_json_next(element);
        return element;
    }
    if (name.len >= sizeof(key))
        return NULL;
    memcpy(key, name.data, name.len);
    key[name.len] = '\0';
    return vg_json_get(at, key);
}

const struct vg_json *vg_json_at(const struct vg_json *root, const char *path)
{
    const struct vg_json *at = root;

    for (const char *p = path; at && *p;) {
        size_t len = strcspn(p, ".");
        at = step(at, (struct vg_view){p, len});
        p += len + (p[len] == '.');
    }
    return at;
}

const char *vg_call_text(struct vg_call *call, const struct vg_json *root, const char *path)
{
    const struct vg_json *at = vg_json_at(root, path);
    const char *text = at ? vg_json_string(at) : NULL;
    int64_t number = 0;

    if (text)
        return *text ? vg_arena_strdup(call->arena, text) : NULL;
    if (at && vg_json_int(at, &number))
        return vg_arena_printf(call->arena, "%lld", (long long)number);
    return NULL;
}
