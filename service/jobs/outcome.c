/* SPDX-License-Identifier: Apache-2.0 */
/* What the ends of attempts say about providers: told to the breaker that holds submissions back,
 * and to the figures that order the routes of new jobs. Each process knows what it saw itself. */
#include "common/clock.h"
#include "common/log.h"
#include "service/jobs/error_class.h"
#include "service/jobs/jobs_priv.h"

enum { WATCH_MS = 1000, FULL_MS = 5000, MAX_FULL_MS = 5 * 60 * 1000 };

static enum vg_error_blame blame_of(const struct vg_fsm_event *event)
{
    return vg_error_class(event->error.class)->blame;
}

/* ---- telling ------------------------------------------------------------------------------- */

static const char *model_of(const struct vg_job *job)
{
    return job->spec.message->routes[job->row.route]->model;
}

/* Creates put a provider last that cannot take their jobs now. */
static void tell_down(struct vg_jobs *jobs, struct vg_worker *w)
{
    bool down = !vg_breaker_admits(&w->breaker, vg_now_ns()) ||
                vg_worker_away_ms(w) >= jobs->policy.away_fallback_ms;
    if (down != w->down) {
        w->down = down;
        if (jobs->options.health) {
            vg_health_set_down(jobs->options.health, w->name, down);
        }
    }
}

static void breaker_moved(const struct vg_job *job, enum vg_breaker_state before)
{
    struct vg_jobs *jobs = job->jobs;
    struct vg_worker *w = job->worker;
    if (w->breaker.state == before) {
        return;
    }
    int64_t wait_ms = vg_breaker_wait_ms(&w->breaker, vg_now_ns(), &jobs->options.breaker);
    vg_log(w->breaker.state == VG_BREAKER_OPEN ? VG_LOG_WARN : VG_LOG_INFO, "breaker",
           VG_S("provider", w->name), VG_S("from", vg_breaker_state_name(before)),
           VG_S("to", vg_breaker_state_name(w->breaker.state)), VG_S("video", job->row.video_id),
           VG_I("generation", job->row.id), VG_S("because", job->because_class),
           VG_I("wait_ms", wait_ms));
    vg_metric_store(jobs->metrics, VG_JM_BREAKER, w->series, w->breaker.state);
    tell_down(jobs, w);
    if (w->breaker.state == VG_BREAKER_CLOSED) {
        vg_dispatcher_kick(jobs);
    }
}

static void submit_accepted(struct vg_job *job)
{
    enum vg_breaker_state before = job->worker->breaker.state;
    vg_breaker_succeeded(&job->worker->breaker, vg_now_ns(), job->probe);
    job->probe = false;
    breaker_moved(job, before);
}

static void submit_failed(struct vg_job *job)
{
    enum vg_breaker_state before = job->worker->breaker.state;
    vg_breaker_failed(&job->worker->breaker, vg_now_ns(), job->probe, &job->jobs->options.breaker);
    job->probe = false;
    breaker_moved(job, before);
}

static void job_spoiled(struct vg_job *job)
{
    enum vg_breaker_state before = job->worker->breaker.state;
    vg_breaker_spoiled(&job->worker->breaker, vg_now_ns(), &job->jobs->options.breaker);
    breaker_moved(job, before);
}

static void figures_made(struct vg_job *job)
{
    int64_t ms = job->row.submitted_at_ms > 0 ? vg_wall_ms() - job->row.submitted_at_ms : 0;
    if (job->jobs->options.health) {
        vg_health_made(job->jobs->options.health, job->worker->name, model_of(job), ms,
                       vg_now_ns());
    }
}

static void figures_failed(struct vg_job *job)
{
    if (job->jobs->options.health) {
        vg_health_failed(job->jobs->options.health, job->worker->name, model_of(job), vg_now_ns());
    }
}

/* The provider has room again in a while; until then nothing more is submitted. */
static void provider_full(struct vg_job *job, int64_t wish_ms)
{
    int64_t ms = wish_ms > 0 ? wish_ms : FULL_MS;
    ms = ms < MAX_FULL_MS ? ms : MAX_FULL_MS;
    job->worker->full_until_ns = vg_deadline_in_ms(ms);
    vg_log(VG_LOG_WARN, "provider full", VG_S("provider", job->worker->name),
           VG_S("video", job->row.video_id), VG_I("generation", job->row.id), VG_I("wait_ms", ms));
}

/* ---- events -------------------------------------------------------------------------------- */

static void note_submit(struct vg_job *job, const struct vg_fsm_event *event)
{
    switch (event->kind) {
    case VG_EV_FINISHED:
        figures_made(job);
        submit_accepted(job);
        break;
    case VG_EV_ACCEPTED:
        submit_accepted(job);
        break;
    case VG_EV_LOST:
        if (job->timed_out) {
            figures_failed(job);
            submit_failed(job);
        }
        break;
    case VG_EV_ERROR:
        if (event->error.class == VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONCURRENCY_FULL) {
            provider_full(job, event->wait_ms);
        }
        if (blame_of(event) != VG_BLAME_NOBODY) {
            figures_failed(job);
        }
        if (blame_of(event) == VG_BLAME_PROVIDER) {
            submit_failed(job);
        }
        break;
    default:
        break;
    }
    vg_outcome_forget(job); /* what says nothing leaves the probe to another */
}

/* An accepted job ended, unless it was canceled or goes on. */
static void note_end(struct vg_job *job, const struct vg_fsm_event *event)
{
    const struct vg_fsm_decision *d = &job->decision;
    bool ended = d->commit && (d->to == VG_GEN_FAILED || d->to == VG_GEN_EXPIRED ||
                               (d->to == VG_GEN_PENDING && job->row.state == VG_GEN_RUNNING));
    enum vg_error_blame blame = event->kind == VG_EV_ERROR ? blame_of(event) : VG_BLAME_PROVIDER;
    if (event->kind == VG_EV_FINISHED && d->to == VG_GEN_FETCHING) {
        figures_made(job);
    } else if (ended && blame != VG_BLAME_NOBODY) {
        figures_failed(job);
    }
    if (ended && blame == VG_BLAME_PROVIDER && job->row.state == VG_GEN_RUNNING) {
        job_spoiled(job);
    }
}

void vg_outcome_note(struct vg_job *job, const struct vg_fsm_event *event)
{
    if (!job->worker || event->leaving) {
        return;
    }
    if (job->row.state == VG_GEN_SUBMITTING && job->step == VG_STEP_SUBMIT) {
        note_submit(job, event);
    } else if (job->row.state == VG_GEN_RUNNING || job->row.state == VG_GEN_FETCHING) {
        note_end(job, event);
    }
}

void vg_outcome_forget(struct vg_job *job)
{
    if (job->probe) {
        job->probe = false;
        vg_breaker_withdrawn(&job->worker->breaker);
    }
}

/* ---- holding back -------------------------------------------------------------------------- */

static bool full(const struct vg_worker *w)
{
    return w->full_until_ns > vg_now_ns();
}

bool vg_outcome_route_ready(struct vg_job *job, int32_t route)
{
    struct vg_worker *w =
        job->spec_ok && route >= 0 && (size_t)route < job->spec.route_count
            ? vg_workers_find(job->jobs->workers, job->spec.routes[route].provider)
            : NULL;
    return w && vg_worker_up(w) && vg_breaker_admits(&w->breaker, vg_now_ns()) && !full(w);
}

bool vg_outcome_holds_back(struct vg_job *job)
{
    struct vg_worker *w = job->worker;
    enum vg_breaker_state before = w->breaker.state;
    if (job->probe) {
        return false;
    }
    bool is_full = full(w);
    if (!is_full && vg_breaker_enter(&w->breaker, vg_now_ns(), &job->probe)) {
        breaker_moved(job, before);
        return false;
    }
    int64_t wait_ms =
        is_full ? (w->full_until_ns - vg_now_ns()) / VG_NS_PER_MS + 1
                : vg_breaker_wait_ms(&w->breaker, vg_now_ns(), &job->jobs->options.breaker);
    struct vg_fsm_event event = {
        .kind = VG_EV_NOT_SENT,
        .held_back = true,
        .wait_ms = wait_ms,
        .next_ready = vg_outcome_route_ready(job, job->row.route + 1),
        .reason = is_full ? "provider full" : "breaker open",
    };
    vg_metric_add(job->jobs->metrics, VG_JM_HELD_BACK, w->series, 1);
    vg_job_event(job, &event);
    return true;
}

/* ---- watching ------------------------------------------------------------------------------ */

static void store_success(struct vg_jobs *jobs, const struct vg_worker *w)
{
    double success = vg_health_of(jobs->options.health, w->name, VG_HEALTH_ALL).success;
    vg_metric_store(jobs->metrics, VG_JM_SUCCESS, w->series, (int64_t)(success * 1000));
}

static void watch(struct vg_timer *timer)
{
    struct vg_jobs *jobs = VG_CONTAINER(timer, struct vg_jobs, watch);
    if (jobs->draining) {
        return;
    }
    vg_health_refresh(jobs->options.health, vg_now_ns());
    for (size_t i = 0; i < vg_workers_count(jobs->workers); i++) {
        tell_down(jobs, vg_workers_at(jobs->workers, i));
        store_success(jobs, vg_workers_at(jobs->workers, i));
    }
    vg_timer_start(&jobs->watch, vg_deadline_in_ms(WATCH_MS));
}

void vg_outcome_init(struct vg_jobs *jobs)
{
    vg_timer_init(&jobs->watch, jobs->loop, watch);
}

void vg_outcome_watch(struct vg_jobs *jobs)
{
    watch(&jobs->watch);
}

void vg_outcome_stop(struct vg_jobs *jobs)
{
    vg_timer_stop(&jobs->watch);
}
