/* SPDX-License-Identifier: Apache-2.0 */
/* The decision of a job as a change of its row: committed, kept until the database takes it, and
 * gone on from. */
#include "common/clock.h"
#include "common/crash_point.h"
#include "common/log.h"
#include "common/mem.h"
#include "service/jobs/jobs_priv.h"

enum {
    CHANGE_DEADLINE_MS = 10 * 1000,
    CHANGE_RETRY_MS = 300,
    CHANGE_GIVE_UP_LEASES =
        20 /* a change that the database does not take is dropped after so long */
};

static void change_done(struct vg_task *task);

/* The decision outlives the event that it borrowed from. */
static void own_decision(struct vg_job *job, const struct vg_fsm_event *event)
{
    struct vg_fsm_decision *d = &job->decision;
    d->error_code = vg_arena_strdup(job->arena, d->error_code);
    d->error_message = vg_arena_strdup(job->arena, d->error_message);
    d->reason = vg_arena_strdup(job->arena, d->reason);
    job->up_id = job->row.upstream_id;
    job->up_state = job->row.poll_state;
    job->up_state_size = job->row.poll_state_size;
    if (d->upstream == VG_UPSTREAM_DROP) {
        job->up_id = NULL;
        job->up_state = NULL;
        job->up_state_size = 0;
    } else if (d->upstream == VG_UPSTREAM_TAKE) {
        if (event->upstream_id && event->upstream_id[0]) {
            job->up_id = vg_arena_strdup(job->arena, event->upstream_id);
        }
        if (event->poll_state_size > 0) {
            job->up_state = vg_arena_memdup(job->arena, event->poll_state, event->poll_state_size);
            job->up_state_size = event->poll_state_size;
        }
    }
}

const char *vg_job_provider(const struct vg_job *job, int32_t route)
{
    if (job->spec_ok && route >= 0 && (size_t)route < job->spec.route_count) {
        return job->spec.routes[route].provider;
    }
    return job->row.provider;
}

static bool stealth_route(const struct vg_job *job, int32_t route)
{
    return job->spec_ok && route >= 0 && (size_t)route < job->spec.route_count &&
           job->spec.message->routes[route]->stealth;
}

bool vg_job_stealth(const struct vg_job *job)
{
    return stealth_route(job, job->row.route);
}

/* The route is left before anything was submitted on it. */
static bool passed_over(const struct vg_job *job)
{
    return job->row.state == VG_GEN_PENDING && job->decision.to == VG_GEN_PENDING &&
           job->decision.route != job->row.route;
}

static void fill_change(struct vg_job *job)
{
    const struct vg_fsm_decision *d = &job->decision;
    struct vg_generation_change *c = &job->change;
    struct vg_output output = c->output; /* filled by the fetch */
    *c = (struct vg_generation_change){
        .op = {.executor = job->jobs->executor,
               .done = {.run = change_done},
               .deadline_ns = vg_deadline_in_ms(CHANGE_DEADLINE_MS),
               .arena = job->arena},
        .id = job->row.id,
        .lease_seq = job->row.lease_seq,
        .from = job->row.state,
        .to = d->to,
        .lease_ms = d->keep ? job->jobs->options.lease_ms : 0,
        .due_ms = d->keep ? 0 : d->due_ms,
        .route = d->route,
        .stealth = stealth_route(job, d->route),
        .left_provider = passed_over(job) ? vg_job_provider(job, job->row.route) : NULL,
        .route_attempts = d->route_attempts,
        .attempts = d->attempts,
        .fetch_attempts = d->fetch_attempts,
        .poll_errors = d->poll_errors,
        .provider = vg_job_provider(job, d->route),
        .upstream_id = job->up_id,
        .poll_state = job->up_state,
        .poll_state_size = job->up_state_size,
        .progress = d->progress,
        .error_code = d->error_code,
        .error_message = d->error_message,
        .reason = d->reason,
        .output = output,
        .retention_s = job->jobs->options.retention_s,
    };
}

void vg_job_commit_now(struct vg_job *job)
{
    job->commit_waits = false;
    if (job->jobs->dying || job->ended) {
        vg_job_end(job);
        return;
    }
    fill_change(job);
    job->changing = true;
    job->lease_until_ns = vg_deadline_in_ms(job->jobs->options.lease_ms);
    vg_crash_point("state", vg_generation_state_name(job->change.to), "before");
    vg_generation_change(job->jobs->db, &job->change);
}

/* Never beside a renewal of the row (heartbeat.c). */
static void commit(struct vg_job *job)
{
    if (job->renewing) {
        job->commit_waits = true;
    } else {
        vg_job_commit_now(job);
    }
}

static void change_retry(struct vg_timer *timer)
{
    commit(VG_CONTAINER(timer, struct vg_job, retry));
}

static void log_change(const struct vg_job *job)
{
    const struct vg_generation_change *c = &job->change;
    /* A poll that found nothing new is no news; a store without room is. */
    bool no_room = job->because == VG_EV_STORE_FAILED;
    bool quiet = c->from == c->to && !no_room;
    vg_log(quiet ? VG_LOG_DEBUG : VG_LOG_INFO, "generation", VG_I("generation", job->row.id),
           VG_S("video", job->row.video_id), VG_I("index", job->row.index),
           VG_S("provider", c->provider), VG_S("from", vg_generation_state_name(c->from)),
           VG_S("to", vg_generation_state_name(c->to)), VG_I("attempt", c->attempts),
           VG_S("because", vg_fsm_event_name(job->because)), VG_S("class", job->because_class),
           VG_S("reason", no_room || job->because == VG_EV_NOT_SENT ? c->reason : ""),
           VG_S("code", c->error_code), VG_I("due_ms", c->due_ms),
           VG_S("rescued", job->row.rescued ? "yes" : "no"));
}

static void take_row(struct vg_job *job)
{
    const struct vg_generation_change *c = &job->change;
    struct vg_generation *row = &job->row;
    row->state = c->to;
    row->route = c->route;
    row->route_attempts = c->route_attempts;
    row->attempts = c->attempts;
    row->fetch_attempts = c->fetch_attempts;
    row->poll_errors = c->poll_errors;
    row->provider = c->provider;
    row->upstream_id = c->upstream_id;
    row->poll_state = c->poll_state;
    row->poll_state_size = c->poll_state_size;
    row->progress = c->progress;
    row->submitted_at_ms = c->submitted_at_ms;
    row->cancel_requested = row->cancel_requested || c->cancel_requested;
}

static void change_applied(struct vg_job *job)
{
    struct vg_jobs *jobs = job->jobs;
    const struct vg_generation_change *c = &job->change;
    vg_crash_point("state", vg_generation_state_name(c->to), "after");
    if (c->from != c->to) {
        vg_metric_add(jobs->metrics, VG_JM_TRANSITIONS, c->to, 1);
    }
    log_change(job);
    take_row(job);
    if (jobs->options.changed) {
        jobs->options.changed(jobs->options.ctx, job->row.video_id);
    }
    if (c->delivery_created) {
        vg_deliveries_kick(jobs);
    }
    if (job->decision.keep && !job->lost) {
        vg_job_run_step(job, job->decision.next);
        return;
    }
    job->released = true;
    if (job->decision.stop_upstream && !jobs->draining) {
        vg_step_stop_upstream(job);
        return;
    }
    if (!vg_generation_state_terminal(c->to)) {
        vg_dispatcher_due_in(jobs, job->row.cancel_requested ? 0 : c->due_ms);
    }
    vg_job_end(job);
}

/* The result of a step is kept until the database takes it or somebody else took the row. */
static void change_failed(struct vg_job *job)
{
    const struct vg_err *err = &job->change.op.err;
    bool hopeless = !vg_err_info(err->kind)->retryable ||
                    vg_now_ns() - job->step_ns >
                        CHANGE_GIVE_UP_LEASES * job->jobs->options.lease_ms * VG_NS_PER_MS;
    if (hopeless || job->jobs->dying) {
        vg_log(VG_LOG_ERROR, "change not recorded", VG_I("generation", job->row.id),
               VG_S("video", job->row.video_id),
               VG_S("from", vg_generation_state_name(job->change.from)),
               VG_S("to", vg_generation_state_name(job->change.to)),
               VG_S("error", vg_err_info(err->kind)->reason), VG_S("detail", vg_err_text(err)),
               VG_S("next", "rescued when its lease has run out"));
        vg_job_end(job);
        return;
    }
    vg_timer_start(&job->retry, vg_deadline_in_ms(CHANGE_RETRY_MS));
}

static void change_done(struct vg_task *task)
{
    struct vg_job *job = VG_CONTAINER(task, struct vg_job, change.op.done);
    job->changing = false;
    if (job->ended) {
        vg_job_settle(job);
    } else if (!job->change.op.ok) {
        change_failed(job);
    } else if (!job->change.applied) {
        vg_metric_add(job->jobs->metrics, VG_JM_LEASE_LOST, 0, 1);
        vg_log(VG_LOG_WARN, "lease lost", VG_I("generation", job->row.id),
               VG_S("video", job->row.video_id),
               VG_S("from", vg_generation_state_name(job->change.from)),
               VG_S("to", vg_generation_state_name(job->change.to)));
        vg_job_end(job);
    } else {
        change_applied(job);
    }
}

void vg_job_record(struct vg_job *job, const struct vg_fsm_event *event)
{
    own_decision(job, event);
    commit(job);
}

void vg_job_record_init(struct vg_job *job)
{
    vg_timer_init(&job->retry, job->jobs->loop, change_retry);
}
