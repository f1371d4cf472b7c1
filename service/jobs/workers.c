/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/workers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/jobs_priv.h"
#include "videogate/v1/worker.pb-c.h"

enum {
    PROBE_UP_MS = 10 * 1000,
    PROBE_AWAY_MS = 500,
    DESCRIBE_MS = 5000,
    SUBMIT_MS = 120 * 1000,
    MAX_SUBMIT_MS = 20 * 60 * 1000,
    MAX_WAIT_MS = 15 * 1000,
    MAX_FETCHES = 16,
    MAX_PICTURE_SUBMITS = 4,
    MAX_WORKERS = 64,
    CLOCKS_MS = 10 * 1000, /* that clocks may differ */
    MAX_FRAME = 4 * 1024 * 1024
};

struct vg_workers {
    struct vg_workers_options options;
    struct vg_worker *list; /* owned */
    size_t count;
    bool stopped;
};

/* ---- gates --------------------------------------------------------------------------------- */

void vg_gate_enter(struct vg_gate *gate, struct vg_job *job, void (*entered)(struct vg_job *job))
{
    if (gate->active < gate->max) {
        gate->active++;
        job->held = gate;
        entered(job);
        return;
    }
    job->gate = gate;
    job->gate_next = NULL;
    job->entered = entered;
    if (gate->tail) {
        gate->tail->gate_next = job;
    } else {
        gate->head = job;
    }
    gate->tail = job;
}

static struct vg_job *gate_pop(struct vg_gate *gate)
{
    struct vg_job *job = gate->head;
    gate->head = job->gate_next;
    if (!gate->head) {
        gate->tail = NULL;
    }
    job->gate = NULL;
    job->gate_next = NULL;
    return job;
}

void vg_gate_leave(struct vg_job *job)
{
    struct vg_gate *gate = job->held;
    if (!gate) {
        return;
    }
    job->held = NULL;
    gate->active--;
    if (gate->head && gate->active < gate->max) {
        struct vg_job *next = gate_pop(gate);
        gate->active++;
        next->held = gate;
        next->entered(next);
    }
}

void vg_gate_forget(struct vg_job *job)
{
    struct vg_gate *gate = job->gate;
    struct vg_job *before = NULL;
    for (struct vg_job *j = gate->head; j != job; j = j->gate_next) {
        before = j;
    }
    if (before) {
        before->gate_next = job->gate_next;
    } else {
        gate->head = job->gate_next;
    }
    if (gate->tail == job) {
        gate->tail = before;
    }
    job->gate = NULL;
    job->gate_next = NULL;
}

/* ---- presence ------------------------------------------------------------------------------ */

static void set_away(struct vg_worker *w, const char *why)
{
    w->failures++;
    if (w->away_since_ns == 0) {
        w->away_since_ns = vg_now_ns();
        vg_log(VG_LOG_WARN, "worker away", VG_S("provider", w->name), VG_S("why", why),
               VG_I("retry_ms", PROBE_AWAY_MS));
        w->workers->options.changed(w->workers->options.ctx, w);
    }
}

static int64_t submit_ms(int64_t told)
{
    if (told <= 0) {
        return SUBMIT_MS;
    }
    return told < MAX_SUBMIT_MS ? told : MAX_SUBMIT_MS;
}

static void set_there(struct vg_worker *w, const Videogate__V1__DescribeResponse *r)
{
    bool news = w->away_since_ns != 0 || w->max_concurrency != r->max_concurrency;
    if (w->away_since_ns != 0) {
        vg_log(VG_LOG_INFO, "worker there", VG_S("provider", w->name),
               VG_I("max_concurrency", r->max_concurrency), VG_I("away_ms", vg_worker_away_ms(w)));
    }
    w->described = true;
    w->supports_cancel = r->supports_cancel;
    w->supports_lookup = r->supports_lookup;
    w->supports_events = r->supports_events;
    w->max_concurrency = r->max_concurrency > 0 ? r->max_concurrency : 0;
    w->max_submit_ms = submit_ms(r->max_submit_ms);
    w->away_since_ns = 0;
    w->failures = 0;
    if (news) {
        w->workers->options.changed(w->workers->options.ctx, w);
    }
}

int64_t vg_workers_start_ms(int64_t lease_ms)
{
    return lease_ms / 2 + CLOCKS_MS;
}

/* Beyond what the time of the way can explain. */
static enum vg_worker_clock judge_clock(int64_t ahead_ms, int64_t way_ms, int64_t start_ms)
{
    int64_t sure = ahead_ms < 0 ? ahead_ms + way_ms : ahead_ms - way_ms;
    if ((sure < 0) != (ahead_ms < 0)) {
        return VG_CLOCK_RIGHT;
    }
    if (sure > start_ms) {
        return VG_CLOCK_REFUSES;
    }
    return sure > CLOCKS_MS / 2 || sure < -CLOCKS_MS / 2 ? VG_CLOCK_DIFFERS : VG_CLOCK_RIGHT;
}

static void tell_clock(const struct vg_worker *w)
{
    static const char *const nexts[] = {
        [VG_CLOCK_RIGHT] = "",
        [VG_CLOCK_DIFFERS] = "submissions are refused, or taken late, by the difference",
        [VG_CLOCK_REFUSES] = "it refuses every submission until one of the clocks is set",
    };
    bool right = w->clock == VG_CLOCK_RIGHT;
    vg_log(right ? VG_LOG_INFO : VG_LOG_WARN, right ? "worker clock right" : "worker clock differs",
           VG_S("provider", w->name), VG_I("ahead_ms", w->clock_ahead_ms),
           VG_I("allowed_ms", vg_workers_start_ms(w->workers->options.lease_ms)),
           VG_S("next", nexts[w->clock]));
}

static void hear_clock(struct vg_worker *w, int64_t clock_ms)
{
    if (clock_ms <= 0) {
        return; /* a worker of before */
    }
    int64_t way_ms = (vg_now_ns() - w->asked_ns) / VG_NS_PER_MS / 2;
    w->clock_ahead_ms = clock_ms - (w->asked_wall_ms + way_ms);
    enum vg_worker_clock found =
        judge_clock(w->clock_ahead_ms, way_ms, vg_workers_start_ms(w->workers->options.lease_ms));
    if (found != w->clock) {
        w->clock = found;
        tell_clock(w);
    }
    w->workers->options.clock(w->workers->options.ctx, w);
}

static void describe_done(struct vg_task *task)
{
    struct vg_worker *w = VG_CONTAINER(task, struct vg_worker, describe.done);
    w->describing = false;
    ProtobufCMessage *message = w->describe.response;
    w->describe.response = NULL;
    if (!w->workers->stopped) {
        if (!w->describe.ok) {
            set_away(w, vg_err_info(w->describe.err.kind)->reason);
        } else {
            const Videogate__V1__DescribeResponse *r =
                (const Videogate__V1__DescribeResponse *)(const void *)message;
            if (strcmp(r->provider, w->name) != 0) {
                set_away(w, "another provider answers at this address");
            } else {
                set_there(w, r);
                hear_clock(w, r->clock_ms);
            }
        }
        vg_timer_start(&w->probe,
                       vg_deadline_in_ms(w->away_since_ns ? PROBE_AWAY_MS : PROBE_UP_MS));
    }
    if (message) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

static void probe(struct vg_timer *timer)
{
    struct vg_worker *w = VG_CONTAINER(timer, struct vg_worker, probe);
    if (w->describing || w->workers->stopped) {
        return;
    }
    static const Videogate__V1__DescribeRequest request = VIDEOGATE__V1__DESCRIBE_REQUEST__INIT;
    w->describing = true;
    w->asked_wall_ms = vg_wall_ms();
    w->asked_ns = vg_now_ns();
    w->describe = (struct vg_rpc_unary){
        .service_method = "/videogate.v1.ProviderWorkerService/Describe",
        .request = &request.base,
        .response_type = &videogate__v1__describe_response__descriptor,
        .deadline_ns = vg_deadline_in_ms(DESCRIBE_MS),
        .alone = true,
        .executor = vg_loop_executor(w->workers->options.loop),
        .done = {.run = describe_done},
    };
    vg_rpc_unary_start(w->channel, &w->describe);
}

bool vg_worker_up(struct vg_worker *worker)
{
    return worker->described && worker->away_since_ns == 0 && worker->channel &&
           vg_rpc_channel_ready(worker->channel, true);
}

int64_t vg_worker_away_ms(const struct vg_worker *worker)
{
    return worker->away_since_ns ? (vg_now_ns() - worker->away_since_ns) / VG_NS_PER_MS : 0;
}

int64_t vg_worker_wait_ms(const struct vg_worker *worker)
{
    int64_t ms = 500 + vg_worker_away_ms(worker) / 4;
    return ms < MAX_WAIT_MS ? ms : MAX_WAIT_MS;
}

void vg_worker_report(struct vg_worker *worker, int grpc_code)
{
    if (grpc_code != VG_GRPC_UNAVAILABLE || worker->workers->stopped) {
        return;
    }
    /* A worker that is still connected only failed this call; the probe finds out. */
    if (!worker->channel || !vg_rpc_channel_ready(worker->channel, true)) {
        set_away(worker, "a call failed");
    }
    if (!worker->describing) {
        vg_timer_start(&worker->probe, vg_deadline_in_ms(PROBE_AWAY_MS / 5));
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

/* "name=host:port"; both ends trimmed. */
static int add_worker(struct vg_workers *self, struct vg_view one, struct vg_err *err)
{
    const char *eq = memchr(one.data, '=', one.len);
    if (!eq || eq == one.data || eq + 1 == one.data + one.len) {
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "workers",
                            "\"%.*s\" is not NAME=HOST:PORT", (int)(one.len < 64 ? one.len : 64),
                            one.data);
    }
    struct vg_worker *w = &self->list[self->count];
    *w = (struct vg_worker){.workers = self, .series = self->count};
    w->fetches.max = MAX_FETCHES;
    w->pictures.max = MAX_PICTURE_SUBMITS;
    w->away_since_ns = vg_now_ns();
    w->max_submit_ms = SUBMIT_MS;
    w->name = vg_xmemdup(one.data, (size_t)(eq - one.data));
    if (vg_workers_find(self, w->name)) {
        free(w->name);
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "workers", "a provider is named twice");
    }
    char *target = vg_xmemdup(eq + 1, (size_t)(one.data + one.len - eq - 1));
    const struct vg_rpc_channel_options options = {
        .target = target,
        .tls = self->options.tls,
        .use_tls = self->options.use_tls,
        .max_message = MAX_FRAME,
        .metrics = self->options.metrics,
    };
    int rc = vg_rpc_channel_new(&w->channel, &options, err);
    free(target);
    if (rc) {
        free(w->name);
        return -1;
    }
    vg_timer_init(&w->probe, self->options.loop, probe);
    self->count++;
    return 0;
}

static int add_workers(struct vg_workers *self, const char *text, struct vg_err *err)
{
    struct vg_view one;
    while (text && *text && vg_list_cut(&text, &one)) {
        if (self->count == MAX_WORKERS) {
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "workers", "more than %d workers",
                                MAX_WORKERS);
        }
        if (add_worker(self, one, err)) {
            return -1;
        }
    }
    return 0;
}

int vg_workers_new(struct vg_workers **out, const struct vg_workers_options *options,
                   struct vg_err *err)
{
    struct vg_workers *self = vg_xalloc(sizeof(*self));
    self->options = *options;
    self->list = vg_xcalloc(MAX_WORKERS, sizeof(*self->list));
    if (add_workers(self, options->text, err)) {
        vg_workers_close(self);
        vg_workers_free(self);
        return -1;
    }
    self->options.text = NULL;
    self->options.tls = (struct vg_rpc_tls){0};
    *out = self;
    return 0;
}

void vg_workers_start(struct vg_workers *workers)
{
    for (size_t i = 0; i < workers->count; i++) {
        (void)vg_rpc_channel_ready(workers->list[i].channel, true);
        probe(&workers->list[i].probe);
    }
}

void vg_workers_stop(struct vg_workers *workers)
{
    workers->stopped = true;
    for (size_t i = 0; i < workers->count; i++) {
        vg_timer_stop(&workers->list[i].probe);
    }
}

void vg_workers_close(struct vg_workers *workers)
{
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->list[i].channel) {
            workers->list[i].channel = vg_rpc_channel_free(workers->list[i].channel);
        }
    }
}

struct vg_workers *vg_workers_free(struct vg_workers *workers)
{
    if (workers) {
        for (size_t i = 0; i < workers->count; i++) {
            free(workers->list[i].name);
        }
        free(workers->list);
        free(workers);
    }
    return NULL;
}

size_t vg_workers_count(const struct vg_workers *workers)
{
    return workers->count;
}

struct vg_worker *vg_workers_at(struct vg_workers *workers, size_t i)
{
    return &workers->list[i];
}

struct vg_worker *vg_workers_find(struct vg_workers *workers, const char *provider)
{
    for (size_t i = 0; provider && i < workers->count; i++) {
        if (strcmp(workers->list[i].name, provider) == 0) {
            return &workers->list[i];
        }
    }
    return NULL;
}
