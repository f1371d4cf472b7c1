/* SPDX-License-Identifier: Apache-2.0 */
/* The claim loop: one claim at a time, when something may be due: woken, a place came free, or the
 * time has come. */
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"
#include "service/jobs/jobs_priv.h"

enum {
    CLAIM_DEADLINE_MS = 10 * 1000,
    MAX_SLEEP_MS = 1000, /* polling is the truth, waking only hurries it */
    GAP_MS = 5,          /* between claims that leave nothing behind, however often we are woken */
    SPIN_MIN_MS = 20,    /* rows are due but have no place: look again, ever less often */
    SPIN_MAX_MS = 500,
    RETRY_MIN_MS = 100, /* the database did not answer */
    RETRY_MAX_MS = 5000,
    UNREADY_AFTER = 3,   /* failed claims in a row */
    DEFAULT_PLACES = 256 /* at a provider that names no limit */
};

static void claim_done(struct vg_task *task);

static int32_t places_of(struct vg_jobs *jobs, struct vg_worker *worker)
{
    if (!vg_worker_up(worker) && vg_worker_away_ms(worker) < jobs->policy.away_fallback_ms) {
        return 0; /* it may be back in a moment: its jobs wait where they are */
    }
    return worker->max_concurrency > 0 ? worker->max_concurrency : DEFAULT_PLACES;
}

static void fill_places(struct vg_jobs *jobs, struct vg_generation_claim *claim)
{
    size_t n = vg_workers_count(jobs->workers);
    struct vg_provider_places *places = vg_arena_alloc(claim->op.arena, (n + 1) * sizeof(*places));
    for (size_t i = 0; i < n; i++) {
        struct vg_worker *worker = vg_workers_at(jobs->workers, i);
        places[i].provider = worker->name;
        places[i].places = places_of(jobs, worker);
    }
    claim->providers = places;
    claim->provider_count = n;
}

static int32_t free_places(const struct vg_jobs *jobs)
{
    int32_t room = VG_JOBS_MAX - jobs->job_count;
    return room < VG_JOBS_CLAIM ? room : VG_JOBS_CLAIM;
}

static void claim_now(struct vg_jobs *jobs)
{
    struct vg_dispatcher *d = &jobs->dispatcher;
    d->claiming = true;
    d->again = false;
    d->next_ns = vg_deadline_in_ms(GAP_MS);
    vg_timer_stop(&d->timer);
    d->claim = (struct vg_generation_claim){
        .op = {.executor = jobs->executor,
               .done = {.run = claim_done},
               .deadline_ns = vg_deadline_in_ms(CLAIM_DEADLINE_MS),
               .arena = vg_arena_new()},
        .owner = jobs->owner,
        .limit = free_places(jobs),
        .lease_ms = jobs->options.lease_ms,
        .project_concurrency = jobs->options.project_concurrency,
        .ahead_ms = MAX_SLEEP_MS,
    };
    fill_places(jobs, &d->claim);
    vg_generation_claim(jobs->db, &d->claim);
}

static void claim_by(struct vg_dispatcher *d, int64_t at_ns)
{
    if (!vg_timer_armed(&d->timer) || at_ns < d->timer.at_ns) {
        vg_timer_start(&d->timer, at_ns);
    }
}

void vg_dispatcher_kick(struct vg_jobs *jobs)
{
    struct vg_dispatcher *d = &jobs->dispatcher;
    if (!jobs->started || jobs->draining) {
        return;
    }
    d->again = true;
    /* Full: the next job that ends kicks again. Failing: the timer decides. */
    if (!d->claiming && free_places(jobs) > 0 && d->failures == 0) {
        claim_by(d, d->next_ns);
    }
}

void vg_dispatcher_due_in(struct vg_jobs *jobs, int64_t ms)
{
    struct vg_dispatcher *d = &jobs->dispatcher;
    if (!jobs->started || jobs->draining || d->claiming || d->failures > 0) {
        return; /* the claim under way, or the next one, tells when */
    }
    claim_by(d, vg_deadline_in_ms(ms > 0 ? ms : 0));
}

static void time_to_claim(struct vg_timer *timer)
{
    struct vg_dispatcher *d = VG_CONTAINER(timer, struct vg_dispatcher, timer);
    struct vg_jobs *jobs = VG_CONTAINER(d, struct vg_jobs, dispatcher);
    if (jobs->draining || d->claiming) {
        return;
    }
    if (free_places(jobs) <= 0) {
        d->again = true;
        vg_timer_start(&d->timer, vg_deadline_in_ms(MAX_SLEEP_MS));
        return;
    }
    claim_now(jobs);
}

static void after_failure(struct vg_jobs *jobs, const struct vg_err *err)
{
    struct vg_dispatcher *d = &jobs->dispatcher;
    d->failures++;
    if (d->failures == UNREADY_AFTER) {
        atomic_store(&jobs->claims_ok, false);
    }
    int64_t ms = vg_backoff_ms(RETRY_MIN_MS, RETRY_MAX_MS, d->failures, vg_random_unit());
    if (d->failures == 1 || d->failures % 20 == 0) {
        vg_log(VG_LOG_WARN, "claim failed", VG_S("error", vg_err_info(err->kind)->reason),
               VG_I("in_a_row", d->failures), VG_I("retry_ms", ms));
    }
    vg_metric_add(jobs->metrics, VG_JM_CLAIMS, VG_CLAIM_FAILED, 1);
    vg_timer_start(&d->timer, vg_deadline_in_ms(ms));
}

static int64_t sleep_ms(struct vg_dispatcher *d, const struct vg_generation_claim *claim)
{
    if (claim->next_due_ms > 0) {
        d->idle_spins = 0;
        return claim->next_due_ms < MAX_SLEEP_MS ? claim->next_due_ms : MAX_SLEEP_MS;
    }
    d->idle_spins = claim->count > 0 ? 0 : d->idle_spins + 1;
    return vg_backoff_ms(SPIN_MIN_MS, SPIN_MAX_MS, d->idle_spins, vg_random_unit());
}

static void after_claim(struct vg_jobs *jobs, const struct vg_generation_claim *claim)
{
    struct vg_dispatcher *d = &jobs->dispatcher;
    d->failures = 0;
    atomic_store(&jobs->claims_ok, true);
    vg_metric_add(jobs->metrics, VG_JM_CLAIMS, VG_CLAIM_OK, 1);
    bool more = claim->count > 0 && (int32_t)claim->count == claim->limit;
    if (more && free_places(jobs) > 0) {
        claim_now(jobs);
        return;
    }
    vg_timer_start(&d->timer, vg_deadline_in_ms(sleep_ms(d, claim)));
    if (d->again && free_places(jobs) > 0) {
        claim_by(d, d->next_ns);
    }
}

static void claim_done(struct vg_task *task)
{
    struct vg_dispatcher *d = VG_CONTAINER(task, struct vg_dispatcher, claim.op.done);
    struct vg_jobs *jobs = VG_CONTAINER(d, struct vg_jobs, dispatcher);
    struct vg_generation_claim claim = d->claim;
    vg_jobs_busy(jobs,
                 1); /* until the rows are in memory, the drain must not think that all is done */
    int64_t claimed_ns = claim.op.deadline_ns - (int64_t)CLAIM_DEADLINE_MS * VG_NS_PER_MS;
    if (claim.op.ok && !jobs->dying) {
        for (size_t i = 0; i < claim.count; i++) {
            vg_job_start(jobs, &claim.generations[i], claimed_ns);
        }
    }
    d->claiming = false;
    if (!jobs->draining) {
        if (claim.op.ok) {
            after_claim(jobs, &claim);
        } else {
            after_failure(jobs, &claim.op.err);
        }
    }
    vg_arena_free(claim.op.arena);
    vg_jobs_busy(jobs, -1);
}

void vg_dispatcher_init(struct vg_jobs *jobs)
{
    vg_timer_init(&jobs->dispatcher.timer, jobs->loop, time_to_claim);
}

void vg_dispatcher_stop(struct vg_jobs *jobs)
{
    vg_timer_stop(&jobs->dispatcher.timer);
}
