/* SPDX-License-Identifier: Apache-2.0 */
/* Claims callback deliveries, as many as there are places for; delivery.c carries each out. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "service/jobs/backoff.h"
#include "service/jobs/delivery.h"
#include "service/jobs/delivery_lease.h"

enum {
    CLAIM_DEADLINE_MS = 10 * 1000,
    GAP_MS = 5,       /* between claims that leave nothing behind, however often we are woken */
    MAX_YIELDS = 100, /* of claims, VG_DELIVERY_RECORD_RETRY_MS each */
    MAX_SLEEP_MS = 1000,
    MAX_CLAIM = 256,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 5000,
    SENDER_AWAY_MS = 250, /* look again */
    MAX_FRAME = 4 * 1024 * 1024
};

struct vg_deliveries {
    struct vg_delivering_list list; /* its channel is owned here; NULL: no sender configured */
    struct vg_timer timer;
    struct vg_delivery_claim claim;
    bool claiming, again;
    int64_t asked_ns; /* before the claim under way was */
    int64_t next_ns;  /* no claim for a mere wake-up before */
    int32_t yields;
    int32_t failures;
};

static int64_t sleep_ms(struct vg_deliveries *all, const struct vg_delivery_claim *claim)
{
    if (!claim->op.ok) {
        all->failures++;
        return vg_backoff_ms(RETRY_MIN_MS, RETRY_MAX_MS, all->failures, vg_random_unit());
    }
    all->failures = all->yields = 0;
    if (claim->next_due_ms <= 0) {
        return RETRY_MIN_MS; /* due, but its receiver has all it may have at once */
    }
    return claim->next_due_ms < MAX_SLEEP_MS ? claim->next_due_ms : MAX_SLEEP_MS;
}

static void claim_done(struct vg_task *task)
{
    struct vg_deliveries *all = VG_CONTAINER(task, struct vg_deliveries, claim.op.done);
    struct vg_jobs *jobs = all->list.jobs;
    struct vg_delivery_claim claim = all->claim;
    vg_jobs_busy(jobs, 1);
    if (claim.op.ok && !jobs->dying) {
        for (size_t i = 0; i < claim.count; i++) {
            vg_delivering_start(&all->list, &claim.deliveries[i], all->asked_ns);
        }
    }
    all->claiming = false;
    if (!jobs->draining) {
        vg_timer_start(&all->timer, vg_deadline_in_ms(sleep_ms(all, &claim)));
        bool more = claim.op.ok && claim.count > 0 && (int32_t)claim.count == claim.limit;
        if (more) {
            all->next_ns = 0;
        }
        if (all->again || more) {
            vg_deliveries_kick(jobs);
        }
    }
    vg_arena_free(claim.op.arena);
    vg_jobs_busy(jobs, -1);
}

static void claim_now(struct vg_deliveries *all)
{
    all->claiming = true;
    all->again = false;
    all->next_ns = vg_deadline_in_ms(GAP_MS);
    vg_timer_stop(&all->timer);
    all->asked_ns = vg_now_ns();
    int32_t room = VG_DELIVERIES_MAX - all->list.count;
    all->claim = (struct vg_delivery_claim){
        .op = {.executor = all->list.jobs->executor,
               .done = {.run = claim_done},
               .deadline_ns = vg_deadline_in_ms(CLAIM_DEADLINE_MS),
               .arena = vg_arena_new()},
        .limit = room < MAX_CLAIM ? room : MAX_CLAIM,
        .lease_ms = VG_DELIVERY_LEASE_MS,
        .per_host = all->list.jobs->options.receiver_concurrency,
        /* No more than there are places left: whatever some projects take, others find some. */
        .per_project = room,
        .ahead_ms = MAX_SLEEP_MS,
    };
    vg_delivery_claim(all->list.jobs->db, &all->claim);
}

static void try_claim(struct vg_deliveries *all)
{
    if (all->claiming || all->list.count >= VG_DELIVERIES_MAX) {
        return;
    }
    if (!vg_rpc_channel_ready(all->list.channel, true)) {
        vg_timer_start(&all->timer, vg_deadline_in_ms(SENDER_AWAY_MS));
        return;
    }
    /* PostgreSQL was away: what was sent and not recorded would be claimed, and sent, again. */
    if (all->failures > 0 && all->list.unrecorded > 0 && all->yields < MAX_YIELDS) {
        all->yields++;
        vg_timer_start(&all->timer, vg_deadline_in_ms(VG_DELIVERY_RECORD_RETRY_MS));
        return;
    }
    claim_now(all);
}

void vg_deliveries_kick(struct vg_jobs *jobs)
{
    if (!jobs->started || jobs->draining || !jobs->deliveries->list.channel) {
        return;
    }
    struct vg_deliveries *all = jobs->deliveries;
    all->again = true;
    bool may = !all->claiming && all->list.count < VG_DELIVERIES_MAX && all->failures == 0;
    if (may && (!vg_timer_armed(&all->timer) || all->next_ns < all->timer.at_ns)) {
        vg_timer_start(&all->timer, all->next_ns);
    }
}

static void time_to_claim(struct vg_timer *timer)
{
    struct vg_deliveries *all = VG_CONTAINER(timer, struct vg_deliveries, timer);
    if (!all->list.jobs->draining) {
        try_claim(all);
        if (!all->claiming && !vg_timer_armed(&all->timer)) {
            vg_timer_start(&all->timer, vg_deadline_in_ms(MAX_SLEEP_MS));
        }
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

int vg_deliveries_new(struct vg_deliveries **out, struct vg_jobs *jobs,
                      const struct vg_jobs_options *options, struct vg_err *err)
{
    struct vg_deliveries *all = vg_xalloc(sizeof(*all));
    all->list.jobs = jobs;
    vg_timer_init(&all->timer, jobs->loop, time_to_claim);
    if (options->webhook && options->webhook[0]) {
        VG_ASSERT(options->translate);
        const struct vg_rpc_channel_options channel = {
            .target = options->webhook,
            .tls = options->tls,
            .use_tls = options->use_tls,
            .max_message = MAX_FRAME,
            .metrics = options->metrics,
        };
        if (vg_rpc_channel_new(&all->list.channel, &channel, err)) {
            free(all);
            return -1;
        }
    }
    *out = all;
    return 0;
}

void vg_deliveries_stop(struct vg_jobs *jobs)
{
    vg_timer_stop(&jobs->deliveries->timer);
}

void vg_deliveries_cut_short(struct vg_jobs *jobs)
{
    vg_delivering_cut_short(&jobs->deliveries->list);
}

void vg_deliveries_close(struct vg_deliveries *deliveries)
{
    if (deliveries->list.channel) {
        deliveries->list.channel = vg_rpc_channel_free(deliveries->list.channel);
    }
}

struct vg_rpc_channel *vg_deliveries_channel(const struct vg_jobs *jobs)
{
    return jobs->deliveries->list.channel;
}

struct vg_deliveries *vg_deliveries_free(struct vg_deliveries *deliveries)
{
    free(deliveries);
    return NULL;
}
