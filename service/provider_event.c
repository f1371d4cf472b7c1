/* SPDX-License-Identifier: Apache-2.0 */
/* ProviderEventService: a provider's webhook makes its job due for a poll, and nothing else. The
 * address says which submission it is about, the provider's worker whether the signature is right;
 * what became of the job is what the poll finds. */
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/hint_store.h"
#include "service/event_address.h"
#include "service/jobs/event_read.h"
#include "service/service_priv.h"
#include "videogate/v1/provider_event.pb-c.h"

#define MAX_BODY ((size_t)1024 * 1024)
#define MAX_HEADERS 100
#define MAX_UPSTREAM_ID 1024
#define MAX_REPLY 16384
#define MAX_AT_A_TIME 64
#define READ_MS 2000 /* some providers give up after three seconds */
#define AWAY_RETRY_MS 5000

struct take {
    struct vg_request request;
    bool per_job; /* the address names a submission: `job` */
    struct vg_event_job job;
    Videogate__V1__ReadEventRequest event; /* borrows from the message */
    struct vg_event_read read;
    const char *verdict; /* literal, for the log */
    const char *reply;   /* arena; "": nothing */
    struct vg_hint hint;
};

static const Videogate__V1__TakeEventRequest *asked(const struct take *t)
{
    return vg_request_message(&t->request);
}

static void count(const struct take *t, enum vg_event_series series)
{
    vg_metric_add(t->request.service->metrics, VG_SM_PROVIDER_EVENTS, series, 1);
}

/* One line for each event that got past its address. */
static void tell(struct take *t, enum vg_log_level level, enum vg_event_series series)
{
    count(t, series);
    if (vg_log_enabled(level))
        vg_log(level, "provider event",
               VG_S("req", vg_request_metadata(&t->request, "x-request-id")),
               VG_S("provider", asked(t)->provider), VG_S("job", t->job.video_id),
               VG_I("index", t->job.index), VG_S("verdict", t->verdict),
               VG_S("outcome", vg_event_outcomes()[series]));
}

static void answer(struct take *t)
{
    Videogate__V1__TakeEventResponse response = VIDEOGATE__V1__TAKE_EVENT_RESPONSE__INIT;

    response.reply = vg_pb_text(t->reply);
    vg_request_reply(&t->request, &response.base);
}

/* --- the poll --- */

static void hinted(struct vg_task *task)
{
    static const enum vg_event_series series[VG_HINT_RESULT_MAX] = {
        [VG_HINT_UNKNOWN] = VG_EVENTS_UNKNOWN,     [VG_HINT_ENDED] = VG_EVENTS_ENDED,
        [VG_HINT_STALE] = VG_EVENTS_STALE,         [VG_HINT_DUE] = VG_EVENTS_DUE,
        [VG_HINT_OTHER_JOB] = VG_EVENTS_OTHER_JOB,
    };
    struct take *t = VG_CONTAINER(task, struct take, hint.op.done);

    if (!t->hint.op.ok) {
        tell(t, VG_LOG_WARN, VG_EVENTS_FAILED);
        vg_request_fail(&t->request, &t->hint.op.err); /* the provider sends it again */
        return;
    }
    tell(t, t->hint.result == VG_HINT_OTHER_JOB ? VG_LOG_WARN : VG_LOG_INFO,
         series[t->hint.result]);
    answer(t);
}

static void hasten(struct take *t, const char *upstream_id)
{
    t->hint.provider = asked(t)->provider;
    t->hint.upstream_id = upstream_id;
    if (t->per_job) {
        t->hint.video_id = t->job.video_id;
        t->hint.index = t->job.index;
        t->hint.attempt = t->job.attempt;
    } else if (!upstream_id) {
        tell(t, VG_LOG_INFO, VG_EVENTS_UNKNOWN); /* about something else than a job */
        answer(t);
        return;
    }
    vg_request_op(&t->request, &t->hint.op, hinted);
    vg_hint(t->request.service->db, &t->hint);
}

/* --- the worker's verdict --- */

/* A worker's text, if it is fit to be kept; else NULL. */
static const char *take_text(struct take *t, const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    return len > 0 && len <= max && vg_utf8_valid(text, len)
               ? vg_arena_memdup(vg_request_arena(&t->request), text, len)
               : NULL;
}

static void refuse(struct take *t)
{
    tell(t, VG_LOG_WARN, VG_EVENTS_REFUSED);
    vg_request_refuse(&t->request, VG_ERR_PERMISSION_DENIED, NULL,
                      "The signature is missing or wrong.");
}

/* The worker polls, too: while it is away the job only stands ready for its return. The address
 * alone allows that much, and to let the event pass would cost the job a whole slow interval. */
static void worker_away(struct take *t)
{
    struct vg_err err;

    t->verdict = "worker away";
    if (t->per_job) {
        hasten(t, NULL);
        return;
    }
    tell(t, VG_LOG_WARN, VG_EVENTS_FAILED);
    (void)vg_err_set(&err, VG_ERR_UNAVAILABLE, NULL);
    err.retry_after_ms = AWAY_RETRY_MS;
    vg_request_fail(&t->request, &err);
}

static void judged(struct take *t, Videogate__V1__EventVerdict verdict, const char *upstream_id)
{
    bool verified = verdict == VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_VERIFIED;
    bool is_unsigned = verdict == VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_UNSIGNED;

    t->verdict = verified ? "verified" : is_unsigned ? "unsigned" : "refused";
    if (!verified && !(is_unsigned && t->per_job)) {
        refuse(t);
    } else if (t->reply[0]) { /* an address being registered: nothing has happened to the job */
        tell(t, VG_LOG_INFO, VG_EVENTS_CHALLENGE);
        answer(t);
    } else {
        hasten(t, upstream_id);
    }
}

static void read_done(struct vg_task *task)
{
    struct take *t = VG_CONTAINER(task, struct take, read.done);
    Videogate__V1__ReadEventResponse *response = t->read.response;

    (void)atomic_fetch_sub(&t->request.service->events_in_flight, 1);
    if (!response) {
        worker_away(t);
        return;
    }
    Videogate__V1__EventVerdict verdict = response->verdict;
    const char *upstream_id = take_text(t, response->upstream_id, MAX_UPSTREAM_ID);
    const char *reply = take_text(t, response->reply, MAX_REPLY);

    t->reply = reply ? reply : "";
    protobuf_c_message_free_unpacked(&response->base, NULL);
    judged(t, verdict, upstream_id);
}

static void take_run(struct vg_request *request)
{
    struct take *t = VG_CONTAINER(request, struct take, request);
    struct vg_service *s = request->service;
    const Videogate__V1__TakeEventRequest *in = asked(t);

    t->verdict = t->reply = "";
    if (in->body.len > MAX_BODY || in->n_headers > MAX_HEADERS) {
        vg_request_refuse(request, VG_ERR_TOO_LARGE, NULL, "The event is too large.");
        return;
    }
    if (atomic_fetch_add(&s->events_in_flight, 1) >= MAX_AT_A_TIME) {
        (void)atomic_fetch_sub(&s->events_in_flight, 1);
        tell(t, VG_LOG_INFO, VG_EVENTS_FAILED);
        vg_request_refuse(request, VG_ERR_OVERLOADED, NULL, "Too many events at a time.");
        return;
    }
    videogate__v1__read_event_request__init(&t->event);
    t->event.headers = in->headers;
    t->event.n_headers = in->n_headers;
    t->event.body = in->body;
    t->read = (struct vg_event_read){.provider = in->provider,
                                     .request = &t->event,
                                     .timeout_ms = READ_MS,
                                     .executor = vg_loop_executor(s->loop),
                                     .done.run = read_done};
    vg_jobs_read_event(s->jobs, &t->read);
}

/* --- the address --- */

static bool has_worker(const struct vg_service *s, const char *provider)
{
    for (size_t i = 0; i < s->base_env.provider_count; i++)
        if (strcmp(s->base_env.providers[i], provider) == 0)
            return true;
    return false;
}

/* Whatever is wrong with an address, the same work is done and the same said. */
static int judge_address(struct vg_request *request, struct vg_err *err)
{
    struct take *t = VG_CONTAINER(request, struct take, request);
    const Videogate__V1__TakeEventRequest *in = asked(t);
    const struct vg_service *s = request->service;

    bool ours = vg_event_address_read(s->event_addresses, in->provider, in->token, &t->job) == 0;
    bool known = has_worker(s, in->provider);
    t->per_job = in->token[0] != '\0';
    if (known && (ours || !t->per_job))
        return 0;
    count(t, VG_EVENTS_BAD_ADDRESS);
    return vg_err_set(err, VG_ERR_NOT_FOUND, "There is nothing at this address.");
}

static void handle_take(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_judged(ctx, call, sizeof(struct take), judge_address, take_run);
}

struct vg_rpc_service vg_provider_event_service(struct vg_service *service)
{
    static const struct vg_rpc_method methods[] = {{"TakeEvent", handle_take, false}};

    return (struct vg_rpc_service){.descriptor = &videogate__v1__provider_event_service__descriptor,
                                   .methods = methods,
                                   .method_count = VG_COUNT(methods),
                                   .ctx = service};
}
