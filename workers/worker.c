/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/worker.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/providers.h"

enum method { DESCRIBE, SUBMIT, POLL, FETCH, CANCEL, LOOKUP, READ_EVENT, METHOD_MAX };
enum outcome { OUTCOME_OK, OUTCOME_PROVIDER_ERROR, OUTCOME_RPC_ERROR };

static const char *const method_names[] = {"describe", "submit", "poll",       "fetch",
                                           "cancel",   "lookup", "read_event", NULL};
static const char *const outcome_names[] = {"ok", "provider_error", "rpc_error", NULL};

#define CALLS(name, what)                                                                          \
    {                                                                                              \
        "videogate_worker_" name "_total", VG_METRIC_COUNTER, what " calls by outcome.",           \
            "outcome", outcome_names                                                               \
    }
enum { METRIC_SECONDS = METHOD_MAX };
static const struct vg_metric_desc metric_table[] = {
    [DESCRIBE] = CALLS("describe", "Describe"),
    [SUBMIT] = CALLS("submit", "Submit"),
    [POLL] = CALLS("poll", "Poll"),
    [FETCH] = CALLS("fetch", "Fetch"),
    [CANCEL] = CALLS("cancel", "Cancel"),
    [LOOKUP] = CALLS("lookup", "Lookup"),
    [READ_EVENT] = CALLS("read_event", "ReadEvent"),
    [METRIC_SECONDS] = {"videogate_worker_call_seconds", VG_METRIC_HISTOGRAM,
                        "Time from a call's arrival to its end.", "method", method_names},
};

struct vg_worker {
    const struct vg_provider *provider; /* borrowed */
    void *self;                         /* borrowed: the provider's */
    struct vg_metric_set *metrics;      /* the registry's */
    struct vg_rpc_service service;
};

/* An operation over gRPC; in the call's arena. */
struct rpc_op {
    struct vg_op op;
    struct vg_worker *worker;
    struct vg_rpc_call *call;
    enum method method;
    bool provider_error; /* a stream carried one */
    int64_t started_ns;
};

static struct rpc_op *rpc_op_of(const struct vg_op *op)
{
    return VG_CONTAINER(op, struct rpc_op, op);
}

static void count(const struct rpc_op *self, enum outcome outcome)
{
    vg_metric_add(self->worker->metrics, self->method, outcome, 1);
    vg_metric_observe_ns(self->worker->metrics, METRIC_SECONDS, self->method,
                         vg_now_ns() - self->started_ns);
}

/* The provider's error in an answer; NULL: none. */
static const Videogate__V1__ProviderError *error_in(const ProtobufCMessage *message)
{
    if (message->descriptor == &videogate__v1__submit_response__descriptor) {
        const Videogate__V1__SubmitResponse *r = (const void *)message;
        bool is = r->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR;
        return is ? r->error : NULL;
    }
    if (message->descriptor == &videogate__v1__poll_response__descriptor) {
        const Videogate__V1__PollResponse *r = (const void *)message;
        return r->state_case == VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR ? r->error : NULL;
    }
    if (message->descriptor == &videogate__v1__fetch_response__descriptor) {
        const Videogate__V1__FetchResponse *r = (const void *)message;
        return r->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_ERROR ? r->error : NULL;
    }
    return NULL;
}

static void log_error(const struct rpc_op *self, const Videogate__V1__ProviderError *error)
{
    vg_log(VG_LOG_INFO, "provider error",
           VG_S("provider", vg_provider_name(self->worker->provider)),
           VG_S("method", method_names[self->method]), VG_S("job", self->op.job),
           VG_I("class", error->class_), VG_S("code", error->upstream_code),
           VG_I("http_status", error->http_status), VG_I("retryable", error->retryable));
}

static void reply(struct vg_op *op, const ProtobufCMessage *response)
{
    const struct rpc_op *self = rpc_op_of(op);
    const Videogate__V1__ProviderError *error = error_in(response);
    if (error)
        log_error(self, error);
    count(self, error ? OUTCOME_PROVIDER_ERROR : OUTCOME_OK);
    vg_rpc_call_reply(self->call, response);
}

static void fail(struct vg_op *op, const struct vg_err *err)
{
    const struct rpc_op *self = rpc_op_of(op);
    vg_log(VG_LOG_WARN, "call failed", VG_S("provider", vg_provider_name(self->worker->provider)),
           VG_S("method", method_names[self->method]), VG_S("job", self->op.job),
           VG_S("reason", vg_err_info(err->kind)->reason), VG_S("error", vg_err_text(err)));
    count(self, OUTCOME_RPC_ERROR);
    vg_rpc_call_fail(self->call, err);
}

static void send(struct vg_op *op, const ProtobufCMessage *message, struct vg_executor *executor,
                 struct vg_task *task)
{
    struct rpc_op *self = rpc_op_of(op);
    const Videogate__V1__ProviderError *error = error_in(message);
    if (error) {
        self->provider_error = true;
        log_error(self, error);
    }
    vg_rpc_call_send(self->call, message, executor, task);
}

static void finish(struct vg_op *op)
{
    const struct rpc_op *self = rpc_op_of(op);
    count(self, self->provider_error ? OUTCOME_PROVIDER_ERROR : OUTCOME_OK);
    vg_rpc_call_finish(self->call);
}

static bool cancelled(const struct vg_op *op)
{
    return vg_rpc_call_cancelled(rpc_op_of(op)->call);
}

static const struct vg_op_sink rpc_sink = {reply, fail, send, finish, cancelled};

static struct vg_op *new_op(struct vg_worker *worker, struct vg_rpc_call *call, enum method method)
{
    struct vg_arena *arena = vg_rpc_call_arena(call);
    struct rpc_op *self = vg_arena_alloc(arena, sizeof(*self));
    self->op.sink = &rpc_sink;
    self->op.arena = arena;
    self->op.deadline_ns = vg_rpc_call_deadline(call);
    self->worker = worker;
    self->call = call;
    self->method = method;
    self->started_ns = vg_now_ns();
    return &self->op;
}

static void on_describe(void *ctx, struct vg_rpc_call *call)
{
    struct vg_worker *worker = ctx;
    Videogate__V1__DescribeResponse response = VIDEOGATE__V1__DESCRIBE_RESPONSE__INIT;
    worker->provider->describe(worker->self, &response);
    response.clock_ms = vg_wall_ms();
    vg_op_reply(new_op(worker, call, DESCRIBE), &response.base);
}

#define HANDLER(verb, METHOD, Request, id)                                                         \
    static void on_##verb(void *ctx, struct vg_rpc_call *call)                                     \
    {                                                                                              \
        struct vg_worker *worker = ctx;                                                            \
        const Videogate__V1__##Request *request = (const void *)vg_rpc_call_request(call);         \
        struct vg_op *op = new_op(worker, call, METHOD);                                           \
        op->job = request->id;                                                                     \
        worker->provider->verb(worker->self, request, op);                                         \
    }
HANDLER(poll, POLL, PollRequest, upstream_id)
HANDLER(fetch, FETCH, FetchRequest, upstream_id)
HANDLER(cancel, CANCEL, CancelRequest, upstream_id)
HANDLER(lookup, LOOKUP, LookupRequest, token)

/* A call that waited too long, in a stopped process or a network: its sender's lease is over. */
static bool too_late(const Videogate__V1__SubmitRequest *request)
{
    return request->start_by_ms > 0 && vg_wall_ms() > request->start_by_ms;
}

static void on_submit(void *ctx, struct vg_rpc_call *call)
{
    struct vg_worker *worker = ctx;
    const Videogate__V1__SubmitRequest *request = (const void *)vg_rpc_call_request(call);
    struct vg_op *op = new_op(worker, call, SUBMIT);
    struct vg_err err;

    op->job = request->token;
    if (too_late(request)) {
        vg_err_set(&err, VG_ERR_NOT_READY, "The submission came %lld ms after its time.",
                   (long long)(vg_wall_ms() - request->start_by_ms));
        vg_op_fail(op, &err);
        return;
    }
    worker->provider->submit(worker->self, request, op);
}

static void on_read_event(void *ctx, struct vg_rpc_call *call)
{
    struct vg_worker *worker = ctx;
    const Videogate__V1__ReadEventRequest *request = (const void *)vg_rpc_call_request(call);
    struct vg_op *op = new_op(worker, call, READ_EVENT);
    if (worker->provider->read_event) {
        worker->provider->read_event(worker->self, request, op);
        return;
    }
    Videogate__V1__ReadEventResponse response = VIDEOGATE__V1__READ_EVENT_RESPONSE__INIT;
    response.verdict = VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_REFUSED;
    vg_op_reply(op, &response.base);
}

static const struct vg_rpc_method methods[] = {
    {"Describe", on_describe, false},    {"Submit", on_submit, false}, {"Poll", on_poll, false},
    {"Fetch", on_fetch, true},           {"Cancel", on_cancel, false}, {"Lookup", on_lookup, false},
    {"ReadEvent", on_read_event, false},
};

struct vg_worker *vg_worker_new(const struct vg_provider *provider, void *provider_self,
                                struct vg_metrics *metrics)
{
    struct vg_worker *self = vg_xalloc(sizeof(*self));
    self->provider = provider;
    self->self = provider_self;
    self->metrics = vg_metrics_register(metrics, metric_table, VG_COUNT(metric_table));
    self->service = (struct vg_rpc_service){
        .descriptor = &videogate__v1__provider_worker_service__descriptor,
        .methods = methods,
        .method_count = VG_COUNT(methods),
        .ctx = self,
    };
    return self;
}

struct vg_worker *vg_worker_free(struct vg_worker *worker)
{
    free(worker);
    return NULL;
}

const struct vg_rpc_service *vg_worker_service(const struct vg_worker *worker)
{
    return &worker->service;
}
