/* SPDX-License-Identifier: Apache-2.0 */
/* How calls begin and end: which key and base address, what the state holds, the answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "workers/upstream/upstream_priv.h"

enum {
    MAX_BODY = 192 * 1024 * 1024, /* five pictures of 20 MiB in base64 and what stands around */
    STRETCH_AFTER_MS = 5 * 60 * 1000,
    STRETCHED_MS = 30 * 1000,
    DEFAULT_POLL_MS = 5000,
    TOP_PROGRESS = 95
};

/* --- endings over the wire --- */

void vg_call_release(struct vg_call_run *run)
{
    if (!run->ended || run->busy)
        return;
    vg_buf_fini(&run->body);
    vg_buf_fini(&run->skeleton);
    vg_elide_free(run->elide);
    vg_json_free(run->extra);
    free(run->fetch);
    free(run);
}

void vg_call_reply(struct vg_call_run *run, const ProtobufCMessage *message)
{
    struct vg_op *op = run->op;

    run->ended = true;
    run->op = NULL;
    vg_op_reply(op, message); /* the arena goes with it */
    vg_call_release(run);
}

/* Keeps from callers and logs what a provider's text may carry: our keys, and queries of addresses.
 */
static void clean(const struct vg_credentials *credentials, char *text)
{
    char *at = text;

    vg_credentials_blot(credentials, text);
    while ((at = strstr(at, "://")) != NULL) {
        char *end = at + 3 + strcspn(at + 3, " \t\r\n\"'<>)");
        char *query = memchr(at, '?', (size_t)(end - at));
        if (query)
            memmove(query, end, strlen(end) + 1);
        at += 3;
    }
    text[vg_utf8_cut(text, strlen(text))] = '\0';
}

void vg_fault_message(struct vg_call_run *run, struct vg_fault *fault,
                      Videogate__V1__ProviderError *out)
{
    const struct vg_credentials *credentials = run->upstream->credentials;

    clean(credentials, fault->message);
    clean(credentials, fault->code);
    videogate__v1__provider_error__init(out);
    out->class_ = fault->class;
    out->retryable = fault->retryable;
    out->fallback_ok = fault->fallback_ok && !fault->maybe_submitted;
    out->maybe_submitted = fault->maybe_submitted;
    out->charged = fault->charged;
    out->retry_after_ms = fault->retry_after_ms;
    out->http_status = fault->http_status;
    out->upstream_code = fault->code;
    out->upstream_message = fault->message;
    /* What is the caller's to mend is told in the provider's words. */
    if (!fault->hidden &&
        (fault->class == VG_CLASS(INVALID_REQUEST) || fault->class == VG_CLASS(CONTENT_FILTERED)))
        out->public_message = fault->message;
}

static void reply_submit_error(struct vg_call_run *run, struct vg_fault *fault)
{
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    Videogate__V1__ProviderError error;

    vg_fault_message(run, fault, &error);
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR;
    response.error = &error;
    vg_call_reply(run, &response.base);
}

static void reply_poll_error(struct vg_call_run *run, struct vg_fault *fault)
{
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    Videogate__V1__ProviderError error;

    if (fault->retryable)
        fault->fallback_ok = false; /* the job may still end well, and is paid for */
    vg_fault_message(run, fault, &error);
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR;
    response.error = &error;
    vg_call_reply(run, &response.base);
}

/* There is no error in a CancelResponse: what could not be asked is asked again by the caller. */
static void fail_cancel(struct vg_call_run *run, const struct vg_fault *fault)
{
    struct vg_err err;
    struct vg_op *op = run->op;

    if (fault->class == VG_CLASS(NOT_FOUND)) {
        vg_call_cancel_ended(&run->call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_NOT_FOUND);
        return;
    }
    (void)vg_err_set(&err, VG_ERR_OVERLOADED, "The provider could not be asked to cancel.");
    run->ended = true;
    run->op = NULL;
    vg_op_fail(op, &err);
    vg_call_release(run);
}

void vg_call_failed(struct vg_call *call, const struct vg_fault *fault)
{
    struct vg_call_run *run = vg_call_run_of(call);
    struct vg_fault mine = *fault; /* its texts are cleaned */

    switch (call->kind) {
    case VG_CALL_SUBMIT:
        reply_submit_error(run, &mine);
        break;
    case VG_CALL_POLL:
        reply_poll_error(run, &mine);
        break;
    case VG_CALL_FETCH:
        if (run->renewing)
            vg_fetch_renewed(run, &mine);
        else
            vg_fetch_fail(run, &mine);
        break;
    case VG_CALL_CANCEL:
        fail_cancel(run, &mine);
        break;
    case VG_CALL_LOOKUP:
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY);
        break;
    }
}

void vg_call_nonsense(struct vg_call *call, const struct vg_answer *answer, const char *what)
{
    struct vg_call_run *run = vg_call_run_of(call);
    struct vg_fault fault;

    vg_fault_of_class(&fault, VG_CLASS(UPSTREAM_INTERNAL));
    fault.http_status = answer ? answer->status : 0;
    (void)vg_strcpy(fault.code, sizeof(fault.code), "malformed");
    (void)vg_strcpy(fault.message, sizeof(fault.message), what);
    fault.maybe_submitted = call->kind == VG_CALL_SUBMIT && run->created;
    vg_call_failed(call, &fault);
}

void vg_call_refuse(struct vg_call *call, const char *fmt, ...)
{
    struct vg_fault fault;
    va_list args;

    vg_fault_of_class(&fault, VG_CLASS(INVALID_REQUEST));
    va_start(args, fmt);
    (void)vsnprintf(fault.message, sizeof(fault.message), fmt, args);
    va_end(args);
    (void)vg_strcpy(fault.code, sizeof(fault.code), "refused_here");
    vg_call_failed(call, &fault);
}

void vg_call_job_failed(struct vg_call *call, const char *code, const char *message)
{
    struct vg_fault fault;

    vg_fault_of_job(&fault, vg_call_run_of(call)->upstream->adapter, code, message);
    vg_call_failed(call, &fault);
}

static ProtobufCBinaryData pack_state(struct vg_call_run *run)
{
    const Videogate__Store__V1__UpstreamState *state = run->call.state;
    size_t size = videogate__store__v1__upstream_state__get_packed_size(state);
    uint8_t *data = vg_arena_alloc(run->call.arena, size + 1);

    (void)videogate__store__v1__upstream_state__pack(state, data);
    return (ProtobufCBinaryData){size, data};
}

static int64_t poll_after(const struct vg_call_run *run, int64_t wanted, int64_t usual)
{
    int64_t age = vg_wall_ms() - run->call.state->submitted_at_ms;

    if (run->upstream->config->poll_interval_ms > 0)
        return run->upstream->config->poll_interval_ms;
    if (wanted > 0)
        return wanted;
    if (usual <= 0)
        usual = DEFAULT_POLL_MS;
    return age > STRETCH_AFTER_MS && usual < STRETCHED_MS ? STRETCHED_MS : usual;
}

void vg_call_fill_accepted(struct vg_call_run *run, Videogate__V1__Accepted *out,
                           const char *upstream_id, int64_t after)
{
    videogate__v1__accepted__init(out);
    out->upstream_id = (char *)upstream_id; /* protobuf-c's messages are not const */
    out->poll_state = pack_state(run);
    out->poll_after_ms = poll_after(run, after, run->upstream->adapter->first_poll_ms);
}

void vg_call_accepted(struct vg_call *call, const char *upstream_id, int64_t poll_after_ms)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    Videogate__V1__Accepted accepted;

    run->base->calls++;
    vg_call_fill_accepted(run, &accepted, upstream_id, poll_after_ms);
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED;
    response.accepted = &accepted;
    vg_call_reply(run, &response.base);
}

/* Made up from the time gone by where the provider tells nothing, and never less than before. */
static int32_t progress_of(struct vg_call_run *run, int told)
{
    Videogate__Store__V1__UpstreamState *state = run->call.state;
    int64_t typical = run->upstream->adapter->typical_ms;
    int64_t age = vg_wall_ms() - state->submitted_at_ms;
    int64_t now = told;

    if (told < 0)
        now = typical > 0 && age > 0 ? age * 100 / typical : 0;
    if (now > (told < 0 ? TOP_PROGRESS : 99))
        now = told < 0 ? TOP_PROGRESS : 99;
    if (now > state->progress)
        state->progress = (int32_t)now;
    return state->progress;
}

void vg_call_running(struct vg_call *call, int progress, int64_t poll_after_ms)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    Videogate__V1__Running running = VIDEOGATE__V1__RUNNING__INIT;

    if (run->renewing) {
        struct vg_fault fault;
        vg_fault_of_class(&fault, VG_CLASS(UPSTREAM_INTERNAL));
        vg_fetch_renewed(run, &fault); /* a finished job runs again: ask later */
        return;
    }
    running.progress = progress_of(run, progress);
    running.poll_after_ms = poll_after(run, poll_after_ms, run->upstream->adapter->poll_ms);
    running.poll_state = pack_state(run);
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING;
    response.running = &running;
    vg_call_reply(run, &response.base);
}

void vg_call_finished(struct vg_call *call, const char *upstream_id)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__Finished finished = VIDEOGATE__V1__FINISHED__INIT;

    if (run->renewing) {
        vg_fetch_renewed(run, NULL);
        return;
    }
    finished.upstream_id = (char *)(upstream_id ? upstream_id : call->upstream_id);
    finished.mime_type = "video/mp4";
    finished.poll_state = pack_state(run);
    if (call->kind == VG_CALL_SUBMIT) {
        Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
        response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_FINISHED;
        response.finished = &finished;
        vg_call_reply(run, &response.base);
        return;
    }
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_FINISHED;
    response.finished = &finished;
    vg_call_reply(run, &response.base);
}

/* A job that had finished is gone: so is its file. */
static bool renewal_lost(struct vg_call_run *run)
{
    struct vg_fault fault;

    if (!run->renewing)
        return false;
    vg_fault_of_class(&fault, VG_CLASS(RESULT_EXPIRED));
    vg_fetch_renewed(run, &fault);
    return true;
}

void vg_call_canceled(struct vg_call *call)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    Videogate__V1__Canceled canceled = VIDEOGATE__V1__CANCELED__INIT;

    if (renewal_lost(run))
        return;
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED;
    response.canceled = &canceled;
    vg_call_reply(run, &response.base);
}

void vg_call_expired(struct vg_call *call)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    Videogate__V1__Expired expired = VIDEOGATE__V1__EXPIRED__INIT;

    if (renewal_lost(run))
        return;
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_EXPIRED;
    response.expired = &expired;
    vg_call_reply(run, &response.base);
}

void vg_call_cancel_ended(struct vg_call *call, Videogate__V1__CancelOutcome outcome)
{
    Videogate__V1__CancelResponse response = VIDEOGATE__V1__CANCEL_RESPONSE__INIT;

    response.outcome = outcome;
    vg_call_reply(vg_call_run_of(call), &response.base);
}

/* --- beginnings --- */

static struct vg_upstream_base *pick_base(struct vg_upstream *up)
{
    struct vg_upstream_base *best = NULL;
    int64_t now = vg_now_ns();

    for (size_t i = 0; i < up->base_count; i++) {
        struct vg_upstream_base *b = &up->bases[i];
        bool down = b->down_until_ns > now, best_down = best && best->down_until_ns > now;
        if (!best || (best_down && !down) || (down == best_down && b->calls < best->calls))
            best = b;
    }
    return best;
}

static void fill_state(struct vg_call_run *run)
{
    Videogate__Store__V1__UpstreamState *state = vg_arena_alloc(run->call.arena, sizeof(*state));
    const Videogate__V1__SubmitRequest *submit = run->call.submit;

    videogate__store__v1__upstream_state__init(state);
    run->call.state = state;
    state->submitted_at_ms = run->call.kind == VG_CALL_LOOKUP && run->call.lookup->submitted_at_ms
                                 ? run->call.lookup->submitted_at_ms
                                 : vg_wall_ms();
    if (!submit)
        return;
    state->model = submit->model;
    state->width = submit->width;
    state->height = submit->height;
    state->seconds = submit->seconds;
}

/* A video that is known there is known to the key that made it alone: false, when that one cannot
 * make another now. */
static bool pick_source_origin(struct vg_call_run *run)
{
    struct vg_upstream *up = run->upstream;
    const Videogate__V1__SourceVideo *source = run->call.submit->source;

    if (!source || source->poll_state.len == 0)
        return false;
    const Videogate__Store__V1__UpstreamState *state =
        vg_call_unpack_state(run, source->poll_state);
    if (!state)
        return false;
    for (size_t i = 0; i < up->base_count; i++)
        if (strcmp(up->bases[i].url, state->base_url) == 0)
            run->base = &up->bases[i];
    if (!run->base)
        return false;
    run->credential = vg_credentials_ready(up->credentials, state->credential, vg_now_ns());
    return run->credential || vg_credentials_count(up->credentials) == 0;
}

static void begin_submit(struct vg_call_run *run)
{
    struct vg_upstream *up = run->upstream;
    struct vg_fault fault;

    fill_state(run);
    if (!pick_source_origin(run)) {
        run->base = pick_base(up);
        run->credential = vg_credentials_pick(up->credentials, vg_now_ns(), &fault);
    }
    if (!run->credential && vg_credentials_count(up->credentials) > 0) {
        (void)vg_strcpy(fault.code, sizeof(fault.code), "no_key_free");
        vg_call_failed(&run->call, &fault);
        return;
    }
    if (run->credential)
        (void)vg_credential_take(run->credential, vg_now_ns()); /* picked because it had room */
    run->call.state->credential = run->credential ? run->credential->id : "";
    run->call.state->base_url = run->base->url;
    up->adapter->submit(&run->call);
}

/* Key and base address of a job that is there; the reason when they are not. */
static const char *find_origin(struct vg_call_run *run)
{
    struct vg_upstream *up = run->upstream;
    const Videogate__Store__V1__UpstreamState *state = run->call.state;

    if (!state)
        return "the job's state cannot be read";
    for (size_t i = 0; i < up->base_count; i++)
        if (strcmp(up->bases[i].url, state->base_url) == 0)
            run->base = &up->bases[i];
    if (!run->base)
        return "the base address that has the job is not configured any more";
    run->credential = vg_credentials_find(up->credentials, state->credential);
    if (!run->credential && *state->credential)
        return "the key that made the job is not configured any more";
    return NULL;
}

static void begin_follow(struct vg_call_run *run)
{
    const struct vg_adapter *adapter = run->upstream->adapter;
    const char *missing = find_origin(run);

    if (run->call.kind == VG_CALL_FETCH)
        vg_fetch_new(run);
    if (missing) {
        vg_call_nonsense(&run->call, NULL, missing);
        return;
    }
    int64_t wait = run->credential && run->call.kind == VG_CALL_POLL
                       ? vg_credential_take(run->credential, vg_now_ns())
                       : 0;
    if (wait > 0)
        vg_call_running(&run->call, run->call.state->progress, wait);
    else if (run->call.kind == VG_CALL_POLL)
        adapter->poll(&run->call);
    else if (run->call.kind == VG_CALL_FETCH)
        vg_fetch_begin(run);
    else if (adapter->cancel)
        adapter->cancel(&run->call);
    else
        vg_call_cancel_ended(&run->call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
}

void vg_call_begin(struct vg_call_run *run)
{
    vg_buf_init(&run->body, MAX_BODY);
    run->busy = true;
    if (run->upstream->stopping) {
        struct vg_err err;
        struct vg_op *op = run->op;
        (void)vg_err_set(&err, VG_ERR_OVERLOADED, "The worker is leaving.");
        run->ended = true;
        vg_op_fail(op, &err);
    } else if (run->call.kind == VG_CALL_SUBMIT) {
        begin_submit(run);
    } else if (run->call.kind == VG_CALL_LOOKUP) {
        fill_state(run);
        vg_lookup_begin(run);
    } else {
        begin_follow(run);
    }
    run->busy = false;
    vg_call_release(run);
}
