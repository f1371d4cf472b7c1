/* SPDX-License-Identifier: Apache-2.0 */
/* Every HTTP provider's adapter against answers of any bytes. The first line says who is asked
 * what: "PROVIDER submit|poll|cancel|lookup FLAGS MODEL [JOB]"; then answers, each after a line
 * "HTTP STATUS" (0: none came). Each call ends once and soon, makes one job at most, never denies
 * one that may be there, and no key goes to another host. Transfers are the test's own
 * (tests/CMakeLists.txt wraps vg_http_start). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http/url.h"
#include "common/log.h"
#include "common/str.h"
#include "workers/providers.h"
#include "workers/upstream/upstream_priv.h"

#define KEY "key-that-nobody-else-sees"
#define BASE "https://api.provider.example/v1"
enum { MAX_ANSWERS = 16, MAX_REQUESTS = MAX_ANSWERS + 16, LINE_SIZE = 256, PIECE = 7 };
enum flags { FIRST = 1, LAST = 2, REFERENCES = 4, SOUND = 8, EXTRA = 16, EVENTS = 32, WIDE = 64 };

/* --- transfers --- */

struct script {
    struct vg_view rest;            /* answers not given yet */
    struct vg_http_request request; /* under way when `asked` */
    char url[4096];
    bool asked;
    int requests, creating;
    bool lost; /* the answer to the creating request was */
};

static struct script script;

struct vg_http_transfer *__wrap_vg_http_start(struct vg_http_client *client,
                                              const struct vg_http_request *request);
const char *__wrap_vg_http_header(const struct vg_http_result *result, const char *name);

struct vg_http_transfer *__wrap_vg_http_start(struct vg_http_client *client,
                                              const struct vg_http_request *request)
{
    const struct vg_call_run *run = request->ctx;

    VG_ASSERT(!script.asked && ++script.requests <= MAX_REQUESTS);
    const struct vg_adapter *adapter = run->upstream->adapter;
    const char *also = adapter->also_base ? adapter->also_base(run->call.config) : BASE;
    bool ours = vg_url_same_origin(BASE, request->url) || vg_url_same_origin(also, request->url);
    for (const char *const *h = request->headers; *h; h++)
        VG_ASSERT(!strstr(*h, KEY) || (client == run->upstream->client && ours));
    script.request = *request;
    (void)vg_strcpy(script.url, sizeof(script.url), request->url);
    script.asked = true;
    script.creating += run->http.creates;
    VG_ASSERT(script.creating <= 1);
    return (struct vg_http_transfer *)&script;
}

const char *__wrap_vg_http_header(const struct vg_http_result *result, const char *name)
{
    (void)result, (void)name;
    return NULL;
}

/* Up to the next line "HTTP ..."; the line itself is left out. */
static struct vg_view cut_answer(struct vg_view *rest)
{
    const char *end = memmem(rest->data, rest->len, "\nHTTP ", 6);
    struct vg_view out = {rest->data, end ? (size_t)(end - rest->data) : rest->len};

    rest->data += out.len + (end ? 1 : 0);
    rest->len -= out.len + (end ? 1 : 0);
    return out;
}

static int take_status(struct vg_view *answer)
{
    const char *line = memchr(answer->data, '\n', answer->len);
    size_t len = line ? (size_t)(line - answer->data) : answer->len;
    int64_t status = 0;

    if (len > 5)
        (void)vg_parse_i64((struct vg_view){answer->data + 5, len - 5}, 0, 599, &status);
    answer->data += len + (line ? 1 : 0);
    answer->len -= len + (line ? 1 : 0);
    return status >= 200 ? (int)status : 0;
}

static void give_answer(void)
{
    const struct vg_call_run *run = script.request.ctx;
    const struct vg_http_request request = script.request;
    struct vg_view body = script.rest.len > 0 ? cut_answer(&script.rest) : (struct vg_view){"", 0};
    struct vg_http_result result = {.sent = true};

    result.status = take_status(&body);
    if (body.len > request.max_response)
        body.len = request.max_response;
    if (result.status == 0)
        result.reason = "reset";
    else if (!request.on_data || result.status >= 300)
        result.body = body;
    for (size_t at = 0; request.on_data && result.status / 100 == 2 && at < body.len; at += PIECE)
        if (!request.on_data(request.ctx, body.data + at,
                             body.len - at < PIECE ? body.len - at : PIECE))
            result.reason = "cancelled";
    script.lost = script.lost || (run->http.creates && result.status == 0);
    script.asked = false;
    request.on_done(request.ctx, &result);
}

/* --- ends --- */

struct end {
    struct vg_op op; /* first */
    enum vg_call_kind kind;
    int ends;
};

static void judge_error(const struct end *end, const Videogate__V1__ProviderError *error)
{
    VG_ASSERT(error->retry_after_ms >= 0);
    VG_ASSERT(!error->maybe_submitted || (end->kind == VG_CALL_SUBMIT && script.creating == 1));
    VG_ASSERT(!error->maybe_submitted || !error->fallback_ok);
    VG_ASSERT(!(script.lost && end->kind == VG_CALL_SUBMIT) || error->maybe_submitted);
}

static void judge_accepted(const Videogate__V1__Accepted *accepted)
{
    VG_ASSERT(*accepted->upstream_id && accepted->poll_after_ms >= 0);
    VG_ASSERT(accepted->poll_state.len <= 64 * 1024);
}

static void on_reply(struct vg_op *op, const ProtobufCMessage *message)
{
    struct end *end = (struct end *)op;
    const Videogate__V1__SubmitResponse *submit = (const void *)message;
    const Videogate__V1__PollResponse *poll = (const void *)message;
    const Videogate__V1__LookupResponse *lookup = (const void *)message;

    end->ends++;
    if (end->kind == VG_CALL_SUBMIT) {
        if (submit->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR)
            judge_error(end, submit->error);
        else if (submit->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED)
            judge_accepted(submit->accepted);
        VG_ASSERT(submit->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR ||
                  (script.creating == 1 && !script.lost));
    } else if (end->kind == VG_CALL_POLL) {
        if (poll->state_case == VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR)
            judge_error(end, poll->error);
        if (poll->state_case == VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING)
            VG_ASSERT(poll->running->progress >= 0 && poll->running->progress <= 99);
    } else if (end->kind == VG_CALL_LOOKUP) {
        bool found = lookup->outcome == VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND;
        VG_ASSERT(found == (lookup->accepted != NULL));
        if (found)
            judge_accepted(lookup->accepted);
    }
}

static void on_fail(struct vg_op *op, const struct vg_err *err)
{
    struct end *end = (struct end *)op;

    (void)err;
    VG_ASSERT(end->kind == VG_CALL_CANCEL); /* the others say it in their answer */
    end->ends++;
}

static bool is_cancelled(const struct vg_op *op)
{
    (void)op;
    return false;
}

/* --- calls --- */

static Videogate__V1__MediaBlob picture = {
    .base = PROTOBUF_C_MESSAGE_INIT(&videogate__v1__media_blob__descriptor),
    .data = {4, (uint8_t *)"\x89PNG"},
    .mime_type = (char *)"image/png"};

static void fill_submit(Videogate__V1__SubmitRequest *out, unsigned flags, char *model)
{
    static Videogate__V1__MediaBlob *references[] = {&picture, &picture};

    videogate__v1__submit_request__init(out);
    out->token = (char *)"gen_00000000000000000000000000000001-1";
    out->model = model;
    out->prompt = (char *)"a boat";
    out->width = flags & WIDE ? 1920 : 1280;
    out->height = flags & WIDE ? 1080 : 720;
    out->seconds = flags & WIDE ? 8 : 5;
    out->audio = flags & SOUND;
    out->first_frame = flags & FIRST ? &picture : NULL;
    out->last_frame = flags & LAST ? &picture : NULL;
    out->reference_images = references;
    out->n_reference_images = flags & REFERENCES ? 2 : 0;
    out->extra = (char *)(flags & EXTRA ? "{\"seed\":7,\"note\":[{\"a\":null}]}" : "");
    out->event_url = (char *)(flags & EVENTS ? "https://us.example/e?x=1" : "");
}

static void fill_state(Videogate__Store__V1__UpstreamState *out, struct vg_upstream *upstream,
                       unsigned flags, char *model)
{
    videogate__store__v1__upstream_state__init(out);
    out->credential = vg_credentials_at(upstream->credentials, 0)->id;
    out->base_url = (char *)BASE;
    out->submitted_at_ms = vg_wall_ms() - 1000;
    out->model = model;
    out->width = 1280;
    out->height = 720;
    out->seconds = 5;
    out->operation = (char *)"operations/job-1";
    out->status_url = (char *)"/status/job-1";
    out->response_url = (char *)"/response/job-1";
    out->cancel_url = (char *)"/cancel/job-1";
    out->stage = (int32_t)(flags & 7);
    out->stage_id = (char *)"step-1";
    out->result = (char *)"https://files.example/1.mp4";
}

static void run_call(struct vg_upstream *upstream, enum vg_call_kind kind, unsigned flags,
                     char *model, const char *job)
{
    static const struct vg_op_sink sink = {
        .reply = on_reply, .fail = on_fail, .cancelled = is_cancelled};
    Videogate__V1__LookupRequest lookup = VIDEOGATE__V1__LOOKUP_REQUEST__INIT;
    Videogate__V1__SubmitRequest submit;
    Videogate__Store__V1__UpstreamState state;
    struct end end = {.op = {.sink = &sink, .arena = vg_arena_new(), .deadline_ns = VG_NO_DEADLINE},
                      .kind = kind};
    struct vg_call_run *run = vg_xalloc(sizeof(*run));

    fill_submit(&submit, flags, model);
    fill_state(&state, upstream, flags, model);
    lookup.submit = &submit;
    lookup.token = submit.token;
    lookup.submitted_at_ms = vg_wall_ms() - (flags & WIDE ? 100000 : 1000);
    run->upstream = upstream;
    run->op = &end.op;
    run->call.kind = kind;
    run->call.arena = end.op.arena;
    run->call.config = upstream->adapter_config;
    run->call.submit = kind == VG_CALL_SUBMIT || kind == VG_CALL_LOOKUP ? &submit : NULL;
    run->call.lookup = kind == VG_CALL_LOOKUP ? &lookup : NULL;
    run->call.upstream_id = job;
    run->call.own = upstream->own;
    run->call.state = &state;
    vg_call_begin(run);
    while (end.ends == 0) {
        VG_ASSERT(script.asked);
        give_answer();
    }
    VG_ASSERT(end.ends == 1 && !script.asked);
    vg_arena_free(end.op.arena);
}

static void run_provider(const struct vg_provider *provider, enum vg_call_kind kind, unsigned flags,
                         char *model, const char *job)
{
    static const struct vg_upstream_config config;
    static int inside, outside;
    char *no_flags[] = {NULL}, *no_variables[] = {NULL};
    struct vg_upstream *upstream = vg_xalloc(sizeof(*upstream));
    void *own = vg_xalloc(provider->config_size);

    const struct vg_config table = {
        .keys = provider->keys, .count = provider->key_count, .target = own};

    VG_ASSERT(vg_config_load(&table, 0, no_flags, no_variables, NULL) == 0); /* the defaults */
    upstream->adapter = provider->adapter;
    upstream->config = &config;
    upstream->adapter_config = own;
    upstream->client = (struct vg_http_client *)&inside;
    upstream->outside = (struct vg_http_client *)&outside;
    upstream->bases[0].url = (char *)BASE;
    upstream->base_count = 1;
    VG_ASSERT(vg_credentials_new(&upstream->credentials, KEY, NULL, 0, NULL) == 0);
    VG_ASSERT(!provider->adapter->open ||
              provider->adapter->open(upstream, own, &upstream->own, NULL) == 0);
    run_call(upstream, kind, flags, model, job);
    if (provider->adapter->close)
        provider->adapter->close(upstream->own);
    vg_credentials_free(upstream->credentials);
    vg_config_fini(&table);
    free(own);
    free(upstream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {[VG_CALL_SUBMIT] = "submit",
                                        [VG_CALL_POLL] = "poll",
                                        [VG_CALL_FETCH] = "",
                                        [VG_CALL_CANCEL] = "cancel",
                                        [VG_CALL_LOOKUP] = "lookup"};
    char line[LINE_SIZE], name[32], kind[16], model[128], job[128] = "job-1";
    const char *end = memchr(data, '\n', size);
    size_t len = end ? (size_t)(end - (const char *)data) : size;
    unsigned flags = 0;

    vg_log_setup("fuzz", VG_LOG_ERROR, false);
    if (len >= sizeof(line) || memchr(data, '\0', len))
        return 0;
    memcpy(line, data, len);
    line[len] = '\0';
    if (sscanf(line, "%31s %15s %3u %127s %127s", name, kind, &flags, model, job) < 4)
        return 0;
    const struct vg_provider *provider = vg_provider_find(name);
    if (!provider || !provider->adapter)
        return 0;
    for (size_t i = 0; i < VG_COUNT(kinds); i++) {
        if (strcmp(kind, kinds[i]) != 0)
            continue;
        len += len < size ? 1 : 0;
        script = (struct script){.rest = {(const char *)data + len, size - len}};
        run_provider(provider, (enum vg_call_kind)i, flags, model, job);
    }
    return 0;
}
