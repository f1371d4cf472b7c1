/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/jobs_priv.h"

enum {
    DEFAULT_LEASE_MS = 30 * 1000,
    MIN_LEASE_MS = 1000,
    DEFAULT_PROJECT_CONCURRENCY = 64,
    DEFAULT_RECEIVER_CONCURRENCY = 8,
    DEFAULT_BLOB_THREADS = 4,
    HURRY_MS = 2000 /* what the second stage of a drain gets of the time */
};

/* ---- calls onto the loop ------------------------------------------------------------------- */

struct on_loop {
    struct vg_task task;
    struct vg_jobs *jobs;
    void (*run)(struct vg_jobs *jobs);
    bool done; /* under the jobs' lock */
};

static void run_on_loop(struct vg_task *task)
{
    struct on_loop *call = VG_CONTAINER(task, struct on_loop, task);
    struct vg_jobs *jobs = call->jobs;
    call->run(jobs);
    pthread_mutex_lock(&jobs->lock);
    call->done = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

static void do_on_loop(struct vg_jobs *jobs, void (*run)(struct vg_jobs *jobs))
{
    struct on_loop call = {.task = {.run = run_on_loop}, .jobs = jobs, .run = run};
    vg_post(jobs->executor, &call.task);
    pthread_mutex_lock(&jobs->lock);
    while (!call.done) {
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}

void vg_jobs_busy(struct vg_jobs *jobs, int32_t delta)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->busy += delta;
    if (jobs->busy == 0) {
        pthread_cond_broadcast(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
}

/* Whether nothing is in memory any more; waits at most until the deadline. */
static bool wait_idle(struct vg_jobs *jobs, int64_t deadline_ns)
{
    struct timespec at = {(time_t)(deadline_ns / VG_NS_PER_S), (long)(deadline_ns % VG_NS_PER_S)};
    pthread_mutex_lock(&jobs->lock);
    int rc = 0;
    while (jobs->busy > 0 && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&jobs->changed, &jobs->lock, &at);
    }
    bool idle = jobs->busy == 0;
    pthread_mutex_unlock(&jobs->lock);
    return idle;
}

/* ---- waking -------------------------------------------------------------------------------- */

static void wake_up(struct vg_jobs *jobs)
{
    vg_dispatcher_kick(jobs);
    vg_deliveries_kick(jobs);
}

static void wake_run(struct vg_task *task)
{
    wake_up(VG_CONTAINER(task, struct vg_jobs, wake));
}

static void poke_run(struct vg_task *task)
{
    struct vg_jobs *jobs = VG_CONTAINER(task, struct vg_jobs, poke);
    atomic_store(&jobs->poked, false);
    wake_up(jobs);
}

struct vg_task *vg_jobs_wake(struct vg_jobs *jobs)
{
    return &jobs->wake;
}

struct vg_executor *vg_jobs_executor(struct vg_jobs *jobs)
{
    return jobs->executor;
}

void vg_jobs_poke(struct vg_jobs *jobs)
{
    if (!atomic_exchange(&jobs->poked, true)) {
        vg_post(jobs->executor, &jobs->poke);
    }
}

static void worker_changed(void *ctx, struct vg_worker *worker)
{
    struct vg_jobs *jobs = ctx;
    vg_metric_store(jobs->metrics, VG_JM_WORKER_UP, worker->series, worker->away_since_ns == 0);
    vg_dispatcher_kick(jobs);
}

static void worker_told_clock(void *ctx, struct vg_worker *worker)
{
    struct vg_jobs *jobs = ctx;
    vg_metric_store(jobs->metrics, VG_JM_WORKER_CLOCK, worker->series, worker->clock_ahead_ms);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void set_options(struct vg_jobs *jobs, const struct vg_jobs_options *o)
{
    jobs->options = *o;
    jobs->owner = vg_xstrdup(o->owner ? o->owner : "?");
    jobs->options.owner = jobs->owner;
    jobs->options.lease_ms = o->lease_ms > 0 ? o->lease_ms : DEFAULT_LEASE_MS;
    if (jobs->options.lease_ms < MIN_LEASE_MS) {
        jobs->options.lease_ms = MIN_LEASE_MS;
    }
    if (o->project_concurrency <= 0) {
        jobs->options.project_concurrency = DEFAULT_PROJECT_CONCURRENCY;
    }
    if (o->receiver_concurrency <= 0) {
        jobs->options.receiver_concurrency = DEFAULT_RECEIVER_CONCURRENCY;
    }
    jobs->policy = vg_fsm_policy_default();
    jobs->policy.retry_unknown_submit = o->retry_unknown_submit;
    if (o->retry_base_ms > 0) {
        jobs->policy.retry_base_ms = o->retry_base_ms;
    }
    if (o->poll_retry_base_ms > 0) {
        jobs->policy.poll_retry_base_ms = o->poll_retry_base_ms;
    }
}

static void init_locks(struct vg_jobs *jobs)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static int open_parts(struct vg_jobs *jobs, const struct vg_jobs_options *o, struct vg_err *err)
{
    const char *schedule = o->webhook_schedule ? o->webhook_schedule : VG_DELIVERY_DEFAULT_SCHEDULE;
    if (vg_delivery_schedule_parse(&jobs->schedule, schedule, err)) {
        return -1;
    }
    const struct vg_workers_options workers = {
        .text = o->workers,
        .tls = o->tls,
        .use_tls = o->use_tls,
        .metrics = o->metrics,
        .loop = jobs->loop,
        .changed = worker_changed,
        .clock = worker_told_clock,
        .lease_ms = jobs->options.lease_ms,
        .ctx = jobs,
    };
    if (vg_workers_new(&jobs->workers, &workers, err) ||
        vg_deliveries_new(&jobs->deliveries, jobs, o, err)) {
        return -1;
    }
    vg_jobs_metrics_register(jobs, o->metrics);
    int threads = o->blob_threads > 0 ? o->blob_threads : DEFAULT_BLOB_THREADS;
    if (vg_work_pool_start(&jobs->pool, "vg-jobs-disk", threads, err)) {
        return -1;
    }
    jobs->disk = vg_work_pool_executor(jobs->pool);
    return vg_loop_start(jobs->loop, "vg-jobs", err);
}

static void free_parts(struct vg_jobs *jobs)
{
    if (jobs->pool) {
        jobs->pool = vg_work_pool_stop(jobs->pool);
    }
    jobs->deliveries = vg_deliveries_free(jobs->deliveries);
    jobs->workers = vg_workers_free(jobs->workers);
    jobs->loop = vg_loop_free(jobs->loop);
    free(jobs->provider_names);
    free(jobs->owner);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

int vg_jobs_new(struct vg_jobs **out, const struct vg_jobs_options *options, struct vg_err *err)
{
    struct vg_jobs *jobs = vg_xalloc(sizeof(*jobs));
    init_locks(jobs);
    jobs->loop = vg_loop_new();
    jobs->executor = vg_loop_executor(jobs->loop);
    jobs->wake.run = wake_run;
    jobs->poke.run = poke_run;
    atomic_init(&jobs->poked, false);
    atomic_init(&jobs->claims_ok, true);
    atomic_init(&jobs->running, false);
    set_options(jobs, options);
    vg_dispatcher_init(jobs);
    vg_outcome_init(jobs);
    if (open_parts(jobs, options, err)) {
        if (jobs->workers) {
            vg_workers_close(jobs->workers);
        }
        if (jobs->deliveries) {
            vg_deliveries_close(jobs->deliveries);
        }
        free_parts(jobs);
        return -1;
    }
    jobs->options.workers = jobs->options.webhook = jobs->options.webhook_schedule = NULL;
    jobs->options.tls = (struct vg_rpc_tls){0};
    *out = jobs;
    return 0;
}

static void start_on_loop(struct vg_jobs *jobs)
{
    jobs->started = true;
    vg_workers_start(jobs->workers);
    vg_outcome_watch(jobs);
    wake_up(jobs);
}

void vg_jobs_start(struct vg_jobs *jobs, struct vg_db *db)
{
    jobs->db = db;
    do_on_loop(jobs, start_on_loop);
    atomic_store(&jobs->running, true);
}

bool vg_jobs_ready(const struct vg_jobs *jobs, char *why, size_t why_size)
{
    if (!atomic_load(&jobs->running)) {
        (void)vg_strcpy(why, why_size, "the dispatcher is not running");
        return false;
    }
    if (!atomic_load(&jobs->claims_ok)) {
        (void)vg_strcpy(why, why_size, "the dispatcher cannot claim work");
        return false;
    }
    return true;
}

/* ---- the end ------------------------------------------------------------------------------- */

static void each_job(struct vg_jobs *jobs, void (*visit)(struct vg_job *job))
{
    for (struct vg_job *job = jobs->jobs, *next; job; job = next) {
        next = job->next;
        visit(job);
    }
}

static void drain_on_loop(struct vg_jobs *jobs)
{
    jobs->draining = true;
    vg_dispatcher_stop(jobs);
    vg_deliveries_stop(jobs);
    vg_outcome_stop(jobs);
    each_job(jobs, vg_fetch_cut_short);
}

static void hurry_on_loop(struct vg_jobs *jobs)
{
    jobs->hurried = true;
    each_job(jobs, vg_job_cut_short);
    vg_deliveries_cut_short(jobs);
    vg_probes_cut_short(jobs);
}

static void die_on_loop(struct vg_jobs *jobs)
{
    jobs->dying = true;
    vg_workers_stop(jobs->workers);
    each_job(jobs, vg_job_end);
    vg_deliveries_cut_short(jobs);
    vg_probes_cut_short(jobs);
}

/* What was posted before has run when this returns. */
static void barrier(struct vg_jobs *jobs)
{
    (void)jobs;
}

static void let_go(struct vg_jobs *jobs, int64_t deadline_ns)
{
    do_on_loop(jobs, hurry_on_loop);
    if (!wait_idle(jobs, deadline_ns)) {
        vg_log(VG_LOG_WARN, "jobs let go", VG_S("next", "their leases run out"));
    }
}

void vg_jobs_drain(struct vg_jobs *jobs, int64_t deadline_ns)
{
    atomic_store(&jobs->running, false);
    do_on_loop(jobs, drain_on_loop);
    if (!wait_idle(jobs, deadline_ns - (int64_t)HURRY_MS * VG_NS_PER_MS)) {
        let_go(jobs, deadline_ns);
    }
    do_on_loop(jobs, die_on_loop);
}

struct vg_jobs *vg_jobs_free(struct vg_jobs *jobs)
{
    if (!jobs) {
        return NULL;
    }
    if (!jobs->dying) {
        vg_jobs_drain(jobs, vg_now_ns());
    }
    vg_workers_close(jobs->workers);
    vg_deliveries_close(jobs->deliveries);
    /* Every RPC and database operation has been posted by now; disk work ends by itself. */
    (void)wait_idle(jobs, VG_NO_DEADLINE);
    do_on_loop(jobs, barrier);
    vg_loop_join(jobs->loop);
    free_parts(jobs);
    return NULL;
}
