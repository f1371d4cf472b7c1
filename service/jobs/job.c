/* SPDX-License-Identifier: Apache-2.0 */
/* One generation from claim to release: event -> decision -> commit (job_change.c) -> step ->
 * event. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"
#include "service/jobs/error_class.h"
#include "service/jobs/jobs_priv.h"

enum {
    PUT_OFF_MS = 400, /* no place in memory */
    NO_WORKER_MS = 15 * 1000
};

/* ---- life ---------------------------------------------------------------------------------- */

static void link_job(struct vg_job *job)
{
    struct vg_jobs *jobs = job->jobs;
    job->next = jobs->jobs;
    if (job->next) {
        job->next->prev = job;
    }
    jobs->jobs = job;
    jobs->job_count++;
    vg_jobs_busy(jobs, 1);
}

static void unlink_job(struct vg_job *job)
{
    struct vg_jobs *jobs = job->jobs;
    if (job->prev) {
        job->prev->next = job->next;
    } else {
        jobs->jobs = job->next;
    }
    if (job->next) {
        job->next->prev = job->prev;
    }
    jobs->job_count--;
}

static void count_in(struct vg_job *job)
{
    if (job->worker && !job->counted) {
        job->counted = true;
        job->worker->in_flight++;
        vg_metric_add(job->jobs->metrics, VG_JM_IN_FLIGHT, job->worker->series, 1);
    }
}

static void count_out(struct vg_job *job)
{
    if (job->counted) {
        job->counted = false;
        job->worker->in_flight--;
        vg_metric_add(job->jobs->metrics, VG_JM_IN_FLIGHT, job->worker->series, -1);
    }
}

static bool in_flight(const struct vg_job *job)
{
    return job->calling || job->changing || job->renewing || job->fetch || job->inputs ||
           job->lookup;
}

void vg_job_settle(struct vg_job *job)
{
    if (!job->ended || in_flight(job)) {
        return;
    }
    struct vg_jobs *jobs = job->jobs;
    count_out(job);
    vg_outcome_forget(job);
    unlink_job(job);
    vg_gate_leave(job);
    vg_spec_close(&job->spec);
    vg_arena_free(job->arena);
    free(job);
    vg_jobs_busy(jobs, -1);
    if (!jobs->draining) {
        vg_dispatcher_kick(jobs);
    }
}

/* Asks what is in flight to come back sooner; it always comes back by itself, later. */
static void hurry(struct vg_job *job)
{
    if (job->calling) {
        vg_rpc_unary_cancel(&job->call);
    } else if (job->fetch) {
        vg_fetch_cut_short(job);
    }
}

void vg_job_end(struct vg_job *job)
{
    if (!job->ended) {
        job->ended = true;
        vg_heartbeat_stop(job);
        vg_timer_stop(&job->retry);
        if (job->gate) {
            vg_gate_forget(job);
        }
        hurry(job);
    }
    vg_job_settle(job);
}

void vg_job_cut_short(struct vg_job *job)
{
    if (job->gate && (job->lost || job->jobs->hurried)) {
        vg_gate_forget(job);
        vg_job_simple(job, VG_EV_PUT_OFF, 0);
    } else if (in_flight(job)) {
        hurry(job);
    } else if (job->lost) {
        vg_job_end(job);
    }
}

/* ---- deciding ------------------------------------------------------------------------------ */

static struct vg_fsm_row fsm_row(const struct vg_job *job)
{
    const struct vg_generation *row = &job->row;
    return (struct vg_fsm_row){
        .state = row->state,
        .route = row->route,
        .route_attempts = row->route_attempts,
        .attempts = row->attempts,
        .fetch_attempts = row->fetch_attempts,
        .poll_errors = row->poll_errors,
        .progress = row->progress,
        .deadline_left_ms = (job->deadline_ns - vg_now_ns()) / VG_NS_PER_MS,
        .cancel_requested = row->cancel_requested,
        .rescued = row->rescued,
        .supports_cancel = job->worker && job->worker->supports_cancel,
        .routes = job->spec.routes,
        .route_count = job->spec.route_count,
    };
}

void vg_job_event(struct vg_job *job, struct vg_fsm_event *event)
{
    if (job->lost || job->ended || job->jobs->dying) {
        vg_job_end(job);
        return;
    }
    event->jitter = vg_random_unit();
    event->leaving = job->jobs->draining;
    if (event->kind == VG_EV_ERROR && event->reason && job->spec_ok) {
        event->reason = vg_scrub_reason(job->arena, event->reason, job->spec.message->prompt);
    }
    const struct vg_fsm_row row = fsm_row(job);
    job->because = event->kind;
    job->because_class = event->kind == VG_EV_ERROR ? vg_error_class(event->error.class)->word : "";
    vg_fsm_decide(&row, event, &job->jobs->policy, &job->decision);
    vg_outcome_note(job, event);
    if (job->decision.commit) {
        vg_job_record(job, event);
    } else {
        vg_job_run_step(job, job->decision.next);
    }
}

void vg_job_simple(struct vg_job *job, enum vg_fsm_event_kind kind, int64_t wait_ms)
{
    struct vg_fsm_event event = {.kind = kind, .wait_ms = wait_ms};
    vg_job_event(job, &event);
}

/* ---- steps --------------------------------------------------------------------------------- */

static const struct {
    void (*run)(struct vg_job *job);
    enum vg_fsm_event_kind away; /* what it means that the worker cannot be asked */
} steps[VG_STEP_MAX] = {
    [VG_STEP_SUBMIT] = {vg_step_submit, VG_EV_NOT_SENT},
    [VG_STEP_LOOKUP] = {vg_step_lookup, VG_EV_LOOKUP_RETRY},
    [VG_STEP_POLL] = {vg_step_poll, VG_EV_NOT_SENT},
    [VG_STEP_FETCH] = {vg_step_fetch, VG_EV_NOT_SENT},
    [VG_STEP_CANCEL] = {vg_step_cancel, VG_EV_CANCEL_LOST},
};

static void worker_away(struct vg_job *job, enum vg_fsm_event_kind kind)
{
    struct vg_fsm_event event = {
        .kind = kind,
        .away_ms = job->worker ? vg_worker_away_ms(job->worker) : INT64_MAX,
        .wait_ms = job->worker ? vg_worker_wait_ms(job->worker) : NO_WORKER_MS,
        .next_ready = vg_outcome_route_ready(job, job->row.route + 1),
        .reason = "worker away",
    };
    vg_job_event(job, &event);
}

void vg_job_run_step(struct vg_job *job, enum vg_step step)
{
    VG_ASSERT(step > VG_STEP_END && step < VG_STEP_MAX);
    job->step = step;
    job->step_ns = vg_now_ns();
    if (job->lost || job->ended || job->jobs->dying) {
        vg_job_end(job);
    } else if (job->jobs->draining) {
        vg_job_simple(job, step == VG_STEP_SUBMIT ? VG_EV_NOT_SENT : VG_EV_PUT_OFF, 0);
    } else if (!job->worker || !vg_worker_up(job->worker)) {
        worker_away(job, steps[step].away);
    } else if (vg_heartbeat_fresh(job, step) &&
               (step != VG_STEP_SUBMIT || !vg_outcome_holds_back(job))) {
        steps[step].run(job);
    }
}

static void call_done(struct vg_task *task)
{
    struct vg_job *job = VG_CONTAINER(task, struct vg_job, call.done);
    struct vg_rpc_unary call = job->call; /* the next step may use job->call */
    job->calling = false;
    vg_crash_point("call", call.service_method, "after");
    vg_metric_observe_ns(job->jobs->metrics, VG_JM_STEP_SECONDS, job->step,
                         vg_now_ns() - job->step_ns);
    vg_worker_report(job->worker, call.grpc_code);
    vg_gate_leave(job);
    if (job->lost || job->ended || job->jobs->dying) {
        vg_job_end(job);
    } else {
        job->answered(job, &call);
    }
    if (call.response) {
        protobuf_c_message_free_unpacked(call.response, NULL);
    }
}

void vg_job_call(struct vg_job *job, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response, int64_t timeout_ms,
                 void (*answered)(struct vg_job *job, const struct vg_rpc_unary *call))
{
    job->calling = true;
    job->answered = answered;
    job->call = (struct vg_rpc_unary){
        .service_method = method,
        .request = request,
        .response_type = response,
        .deadline_ns = vg_deadline_in_ms(timeout_ms),
        .alone = true,
        .executor = job->jobs->executor,
        .done = {.run = call_done},
    };
    vg_crash_point("call", method, "before");
    vg_rpc_unary_start(job->worker->channel, &job->call);
}

/* ---- the beginning ------------------------------------------------------------------------- */

static void copy_row(struct vg_job *job, const struct vg_generation *row)
{
    job->row = *row;
    job->row.video_id = vg_arena_strdup(job->arena, row->video_id);
    job->row.provider = vg_arena_strdup(job->arena, row->provider);
    job->row.upstream_id = vg_arena_strdup(job->arena, row->upstream_id);
    if (row->poll_state_size > 0) {
        job->row.poll_state = vg_arena_memdup(job->arena, row->poll_state, row->poll_state_size);
    }
    job->row.spec = NULL;
    job->row.spec_size = 0;
}

/* A row whose specification cannot be read will never do better. */
static void fail_damaged(struct vg_job *job)
{
    job->because = VG_EV_CLAIMED;
    job->because_class = "damaged_spec";
    job->decision = (struct vg_fsm_decision){
        .commit = true,
        .to = VG_GEN_FAILED,
        .route = job->row.route,
        .route_attempts = job->row.route_attempts,
        .attempts = job->row.attempts,
        .fetch_attempts = job->row.fetch_attempts,
        .poll_errors = job->row.poll_errors,
        .progress = job->row.progress,
        .error_code = "internal_error",
        .error_message = "The stored request cannot be read.",
        .reason = "the stored specification is damaged",
    };
    vg_job_record(job, NULL);
}

/* One provider never fills the memory alone. */
static bool no_place(const struct vg_job *job)
{
    size_t workers = vg_workers_count(job->jobs->workers);
    int32_t most = workers > 1 ? VG_JOBS_MAX / 2 : VG_JOBS_MAX;
    return job->worker && job->worker->in_flight >= most;
}

static void set_out(struct vg_job *job)
{
    if (!job->spec_ok) {
        fail_damaged(job);
        return;
    }
    job->worker = vg_workers_find(job->jobs->workers, vg_job_provider(job, job->row.route));
    if (job->jobs->draining) {
        vg_job_simple(job, VG_EV_PUT_OFF, 0);
        return;
    }
    if (no_place(job)) {
        vg_job_simple(job, VG_EV_PUT_OFF, PUT_OFF_MS);
        return;
    }
    count_in(job);
    if (job->row.state == VG_GEN_PENDING && (!job->worker || !vg_worker_up(job->worker))) {
        worker_away(job, VG_EV_NOT_SENT);
        return;
    }
    if (job->row.state == VG_GEN_PENDING && vg_outcome_holds_back(job)) {
        return;
    }
    vg_job_simple(job, VG_EV_CLAIMED, 0);
}

void vg_job_start(struct vg_jobs *jobs, const struct vg_generation *row, int64_t claimed_ns)
{
    struct vg_job *job = vg_xalloc(sizeof(*job));
    job->jobs = jobs;
    job->arena = vg_arena_new();
    copy_row(job, row);
    job->spec_ok = vg_spec_open(&job->spec, row->spec, row->spec_size, job->arena, NULL) == 0;
    job->step_ns = vg_now_ns();
    job->deadline_ns = job->step_ns + row->deadline_left_ms * VG_NS_PER_MS;
    job->lease_until_ns = claimed_ns + jobs->options.lease_ms * VG_NS_PER_MS;
    vg_job_record_init(job);
    link_job(job);
    vg_heartbeat_start(job);
    set_out(job);
}
