/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch: the file streams from the provider to the service. Redirects are followed by hand: the key
 * goes along only where the origin is the base's, everything else passes the guard. One message is
 * on its way at a time; meanwhile the transfer rests. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/http/url.h"
#include "common/str.h"
#include "workers/upstream/base64_stream.h"
#include "workers/upstream/elide.h"
#include "workers/upstream/upstream_priv.h"

enum {
    MAX_HOPS = 3,
    FETCH_MS = 25 * 60 * 1000,
    MAX_URL = 8192,
    MAX_CHUNK = 512 * 1024,
    SEND_SIZE = 192 * 1024,
    ENOUGH = 256 * 1024, /* waiting to be sent: the transfer rests */
    MAX_SKELETON = 4 * 1024 * 1024
};
#define MAX_FILE ((size_t)8 * 1024 * 1024 * 1024)

struct vg_fetch {
    struct vg_call_run *run;
    struct vg_call_stream stream;      /* texts are the arena's */
    struct vg_http_transfer *transfer; /* NULL: none under way */
    struct vg_task sent;               /* a message has left */
    bool sending;
    bool informed; /* the info message went out */
    bool wrong_type;
    bool closed; /* nothing more will come; `failed` or whole */
    bool failed;
    bool error_sent;
    bool renewed; /* the link was renewed once */
    bool again;   /* sent a second time after a 401 */
    int hops;
    struct vg_fault fault;
    struct vg_buf chunk; /* bytes of the file not sent yet */
    char mime_type[64];
    /* A file in base64 inside a JSON answer. */
    struct vg_elide *elide; /* owned */
    struct vg_buf skeleton;
    struct vg_base64_stream base64;
};

static void start_transfer(struct vg_fetch *f, const char *auth);
static void aim(struct vg_fetch *f, const char *url);

static void end_fetch(struct vg_fetch *f)
{
    struct vg_call_run *run = f->run;
    struct vg_op *op = run->op;

    f->elide = vg_elide_free(f->elide);
    vg_buf_fini(&f->skeleton);
    vg_buf_fini(&f->chunk);
    run->ended = true;
    run->op = NULL;
    vg_op_finish(op);
    vg_call_release(run);
}

/* --- messages --- */

static void send_message(struct vg_fetch *f, const Videogate__V1__FetchResponse *message)
{
    f->sending = true;
    vg_op_send(f->run->op, &message->base, vg_loop_executor(f->run->upstream->loop), &f->sent);
}

static void send_info(struct vg_fetch *f, int64_t bytes)
{
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    Videogate__V1__FetchInfo info = VIDEOGATE__V1__FETCH_INFO__INIT;

    info.mime_type = f->mime_type;
    info.bytes = bytes > 0 ? bytes : 0;
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_INFO;
    message.info = &info;
    f->informed = true;
    send_message(f, &message);
}

static void send_chunk(struct vg_fetch *f)
{
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    size_t len = f->chunk.len < SEND_SIZE ? f->chunk.len : SEND_SIZE;

    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA;
    message.data = (ProtobufCBinaryData){len, (uint8_t *)f->chunk.data};
    send_message(f, &message);
    vg_buf_consume(&f->chunk, len);
}

static void send_error(struct vg_fetch *f)
{
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    Videogate__V1__ProviderError error;

    vg_fault_message(f->run, &f->fault, &error);
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_ERROR;
    message.error = &error;
    f->error_sent = true;
    send_message(f, &message);
}

/* Whatever is next: a chunk, more of the transfer, the error, the end. */
static void go_on(struct vg_fetch *f)
{
    if (f->sending)
        return;
    if (vg_op_cancelled(f->run->op) && f->transfer) {
        vg_http_cancel(f->transfer); /* on_done comes */
        vg_http_resume(f->transfer);
    } else if (f->chunk.len > 0 && !f->failed) {
        send_chunk(f);
        if (f->transfer && f->chunk.len < ENOUGH)
            vg_http_resume(f->transfer);
    } else if (f->transfer) {
        vg_http_resume(f->transfer);
    } else if (!f->closed) {
        return; /* a link is being renewed */
    } else if (f->failed && !f->error_sent && !f->run->upstream->stopping) {
        send_error(f);
    } else {
        end_fetch(f);
    }
}

static void on_sent(struct vg_task *task)
{
    struct vg_fetch *f = VG_CONTAINER(task, struct vg_fetch, sent);

    f->sending = false;
    go_on(f);
}

void vg_fetch_fail(struct vg_call_run *run, struct vg_fault *fault)
{
    struct vg_fetch *f = run->fetch;

    f->failed = f->closed = true;
    f->fault = *fault;
    f->fault.fallback_ok = false; /* the video is made and paid for */
    go_on(f);
}

static void fail_here(struct vg_fetch *f, Videogate__V1__ErrorClass class, const char *code)
{
    struct vg_fault fault;

    vg_fault_of_class(&fault, class);
    (void)vg_strcpy(fault.code, sizeof(fault.code), code);
    vg_fetch_fail(f->run, &fault);
}

/* --- the transfer --- */

static bool take_type(struct vg_fetch *f, const char *content_type)
{
    static const char *const known[] = {"video/mp4", "video/webm", "video/quicktime"};
    static const char *const silent[] = {"application/octet-stream", "binary/octet-stream",
                                         "application/mp4", "video/*"};
    struct vg_view type = vg_view_of(f->stream.mime_type ? f->stream.mime_type : content_type);

    (void)vg_strcpy(f->mime_type, sizeof(f->mime_type), known[0]);
    if (type.len > 0)
        type.len = strcspn(type.data, "; ,");
    for (size_t i = 0; i < VG_COUNT(known); i++) {
        if (vg_view_eqs_nocase(type, known[i])) {
            (void)vg_strcpy(f->mime_type, sizeof(f->mime_type), known[i]);
            return true;
        }
    }
    for (size_t i = 0; i < VG_COUNT(silent); i++)
        if (vg_view_eqs_nocase(type, silent[i]))
            return true;
    return type.len == 0;
}

static void on_head(void *ctx, const struct vg_http_head *head)
{
    struct vg_fetch *f = ctx;

    if (f->stream.inline_key) {
        (void)take_type(f, NULL);
        send_info(f, 0);
    } else if (take_type(f, head->content_type)) {
        send_info(f, head->length);
    } else {
        f->wrong_type = true;
    }
}

static bool on_inline(void *ctx, const char *data, size_t len)
{
    struct vg_fetch *f = ctx;

    return vg_base64_stream_feed(&f->base64, data, len, &f->chunk) == 0;
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct vg_fetch *f = ctx;

    if (f->wrong_type)
        return false;
    if (f->elide ? vg_elide_feed(f->elide, data, len) != 0 : vg_buf_add(&f->chunk, data, len) != 0)
        return false;
    if (f->chunk.len > 0 && !f->sending)
        send_chunk(f);
    if (f->chunk.len >= ENOUGH)
        vg_http_pause(f->transfer);
    return true;
}

/* The end of the JSON around an inline file; the reason when it was not there. */
static const char *inline_end(struct vg_fetch *f)
{
    if (!f->elide)
        return NULL;
    if (vg_elide_end(f->elide) != 0 || !vg_elide_found(f->elide) ||
        vg_base64_stream_end(&f->base64, &f->chunk) != 0)
        return "inline_result";
    return NULL;
}

static void follow(struct vg_fetch *f, const struct vg_http_result *result)
{
    struct vg_call_run *run = f->run;
    const char *location = vg_http_header(result, "location");
    struct vg_buf next;

    vg_buf_init(&next, MAX_URL);
    if (++f->hops > MAX_HOPS) {
        fail_here(f, VG_CLASS(UPSTREAM_INTERNAL), "too_many_redirects");
    } else if (!location || !vg_url_resolve(run->url, location, &next)) {
        fail_here(f, VG_CLASS(UPSTREAM_INTERNAL), "bad_redirect");
    } else {
        f->stream.method = "GET";
        f->stream.body = (struct vg_view){NULL, 0};
        aim(f, vg_arena_strdup(run->call.arena, next.data));
    }
    vg_buf_fini(&next);
}

static bool link_refused(int status)
{
    return status == 401 || status == 403 || status == 404 || status == 410;
}

static void judge_answer(struct vg_fetch *f, const struct vg_http_result *result)
{
    struct vg_call_run *run = f->run;
    const struct vg_adapter *adapter = run->upstream->adapter;
    const struct vg_answer answer = {.status = result->status,
                                     .reason = result->reason,
                                     .sent = result->sent,
                                     .retry_after_ms = result->retry_after_ms,
                                     .http = result};
    struct vg_fault fault;

    if (result->status == 401 && run->to_base && adapter->unauthorized && run->credential &&
        !f->again) {
        f->again = true;
        adapter->unauthorized(&run->call, run->credential->key);
        aim(f, run->url);
    } else if (!result->reason && link_refused(result->status) && adapter->poll && !f->renewed) {
        f->renewed = run->renewing = true;
        adapter->poll(&run->call);
    } else {
        vg_fault_of_answer(&fault, adapter, &answer, VG_PHASE_FETCH);
        vg_fetch_fail(run, &fault);
    }
}

static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct vg_fetch *f = ctx;
    struct vg_call_run *run = f->run;
    bool ok = result->status >= 200 && result->status < 300;
    const char *missing = NULL;

    vg_call_count(run, result->status, result->duration_ms);
    vg_crash_point("upstream", "fetch", "after");
    f->transfer = NULL;
    run->busy = true;
    if (vg_op_cancelled(run->op) || run->upstream->stopping) {
        f->closed = true;
        vg_buf_clear(&f->chunk);
        go_on(f);
    } else if (f->wrong_type) {
        fail_here(f, VG_CLASS(UPSTREAM_INTERNAL), "not_a_video");
    } else if (!result->reason && result->status >= 300 && result->status < 400) {
        follow(f, result);
    } else if (result->reason || !ok) {
        judge_answer(f, result);
    } else if (!f->informed || (missing = inline_end(f)) != NULL) {
        fail_here(f, VG_CLASS(UPSTREAM_INTERNAL), missing ? missing : "empty_result");
    } else {
        f->closed = true;
        go_on(f);
    }
    run->busy = false;
    vg_call_release(run);
}

static void start_transfer(struct vg_fetch *f, const char *auth)
{
    struct vg_call_run *run = f->run;
    const struct vg_adapter *adapter = run->upstream->adapter;
    const char *headers[12];
    size_t n = 0;

    for (const char *const *h = run->to_base ? adapter->headers : NULL; h && *h && n < 8; h++)
        headers[n++] = *h;
    if (auth && run->to_base)
        headers[n++] = auth;
    if (f->stream.body.len > 0)
        headers[n++] = "Content-Type: application/json";
    headers[n] = NULL;
    const struct vg_http_request request = {
        .method = f->stream.method,
        .url = run->url,
        .headers = headers,
        .body = f->stream.body,
        .timeout_ms = FETCH_MS,
        .max_response = MAX_FILE,
        .on_data = on_data,
        .on_head = on_head,
        .on_done = on_done,
        .ctx = f,
        .repeatable = true,
    };
    vg_crash_point("upstream", "fetch", "before");
    f->transfer =
        vg_http_start(run->to_base ? run->upstream->client : run->upstream->outside, &request);
    if (!f->transfer)
        fail_here(f, VG_CLASS(NETWORK), "leaving");
}

static void authorized(struct vg_call *call, const char *header)
{
    start_transfer(vg_call_run_of(call)->fetch, header);
}

static void aim(struct vg_fetch *f, const char *url)
{
    struct vg_call_run *run = f->run;
    const struct vg_adapter *adapter = run->upstream->adapter;

    run->url = vg_call_address(run, url, &run->to_base);
    bool keyed =
        run->to_base && run->credential && (adapter->result_needs_key || f->stream.url[0] == '/');
    if (keyed && adapter->authorize) {
        run->authorized = authorized;
        adapter->authorize(&run->call, run->credential->key);
    } else {
        start_transfer(f, keyed ? vg_call_auth_header(run) : NULL);
    }
}

/* --- beginnings --- */

void vg_call_stream(struct vg_call *call, const struct vg_call_stream *stream)
{
    struct vg_call_run *run = vg_call_run_of(call);
    struct vg_fetch *f = run->fetch;

    f->stream = *stream;
    if (!f->stream.method)
        f->stream.method = "GET";
    if (stream->body.len > 0)
        f->stream.body.data = vg_arena_memdup(call->arena, stream->body.data, stream->body.len);
    f->elide = vg_elide_free(f->elide);
    if (stream->inline_key) {
        vg_buf_clear(&f->skeleton);
        f->base64 = (struct vg_base64_stream){.kept_len = 0};
        f->elide = vg_elide_new(&(struct vg_elide_options){.out = &f->skeleton,
                                                           .keep = VG_ELIDE_KEEP,
                                                           .key = stream->inline_key,
                                                           .index = (size_t)stream->inline_index,
                                                           .on_string = on_inline,
                                                           .ctx = f});
    }
    aim(f, stream->url);
}

void vg_fetch_begin(struct vg_call_run *run)
{
    const struct vg_adapter *adapter = run->upstream->adapter;

    if (adapter->fetch)
        adapter->fetch(&run->call);
    else
        vg_call_stream(&run->call, &(struct vg_call_stream){.url = run->call.state->result});
}

void vg_fetch_renewed(struct vg_call_run *run, const struct vg_fault *fault)
{
    run->renewing = false;
    if (!fault) {
        vg_fetch_begin(run);
        return;
    }
    struct vg_fault end = *fault;
    end.fallback_ok = false;
    vg_fetch_fail(run, &end);
}

void vg_fetch_new(struct vg_call_run *run)
{
    struct vg_fetch *f = vg_xalloc(sizeof(*f));

    f->run = run;
    f->sent.run = on_sent;
    vg_buf_init(&f->chunk, MAX_CHUNK);
    vg_buf_init(&f->skeleton, MAX_SKELETON);
    run->fetch = f;
}
