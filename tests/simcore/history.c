/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/history.h"

enum {
    LATE_CLAIM_MS = 3000,         /* a due row is claimed within, while somebody could */
    LATE_END_MS = 40 * 60 * 1000, /* after the deadline, or after the last fault */
};

static struct sim_seen_generation *seen(struct sim *sim, int32_t row)
{
    return &sim->history.generations[row];
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- rows ---------------------------------------------------------------------------------- */

void sim_saw_insert(struct sim *sim, int32_t row)
{
    *seen(sim, row) =
        (struct sim_seen_generation){.cancel_at = -1, .due_at = sim->now, .touched_at = sim->now};
}

static void check_in_time(struct sim *sim, int32_t row)
{
    int64_t from = later(seen(sim, row)->due_at, sim->history.nobody_until);
    int64_t late = sim->now - from;
    int64_t end = later(sim->store.generations[row].deadline_at, sim->quiet_from) + LATE_END_MS;

    if (late > LATE_CLAIM_MS)
        sim_violated(sim, "I8", "g%d was claimed %.1f s after it was due", row,
                     (double)late / 1000);
    if (late > sim->figures->longest_claim_ms)
        sim->figures->longest_claim_ms = late;
    if (sim->now > end)
        sim_violated(sim, "I8", "g%d has not ended %d s after its deadline and the last fault", row,
                     LATE_END_MS / 1000);
}

int32_t sim_saw_claim(struct sim *sim, int32_t row, bool rescued)
{
    struct sim_seen_generation *s = seen(sim, row);

    check_in_time(sim, row);
    if (rescued) {
        int64_t took = sim->now - later(s->touched_at, sim->history.nobody_until);

        sim->figures->rescues++;
        if (took > sim->figures->longest_rescue_ms)
            sim->figures->longest_rescue_ms = took;
    }
    s->claimed_at = s->touched_at = sim->now;
    s->due_at = sim->now + SIM_LEASE_MS;
    return ++s->ticket;
}

void sim_saw_renew(struct sim *sim, int32_t row)
{
    seen(sim, row)->touched_at = sim->now;
    seen(sim, row)->due_at = sim->now + SIM_LEASE_MS;
}

void sim_saw_cancel(struct sim *sim, int32_t row)
{
    struct sim_seen_generation *s = seen(sim, row);

    if (s->cancel_at < 0)
        s->cancel_at = sim->now;
}

/* What an end says must be so. */
static void check_end(struct sim *sim, int32_t row, enum vg_generation_state state)
{
    const struct sim_seen_generation *s = seen(sim, row);

    if (state == VG_GEN_STORED && !s->fetched)
        sim_violated(sim, "I1", "g%d is stored, but its result was never fetched whole", row);
    if (state == VG_GEN_CANCELED && s->cancel_at < 0 && !s->up_canceled)
        sim_violated(sim, "I1", "g%d is canceled, but nobody asked for it", row);
    if (state == VG_GEN_EXPIRED && !s->up_expired)
        sim_violated(sim, "I1", "g%d is expired, but its provider did not say so", row);
}

void sim_saw_state(struct sim *sim, int32_t row)
{
    struct sim_seen_generation *s = seen(sim, row);
    enum vg_generation_state state = sim->store.generations[row].state;

    if (s->end && state != s->end) {
        sim_violated(sim, "I2", "g%d had ended as %s and is now %s", row,
                     vg_generation_state_name(s->end), vg_generation_state_name(state));
    } else if (!s->end && vg_generation_state_terminal(state)) {
        s->end = state;
        sim->figures->ends[state]++;
        check_end(sim, row, state);
    }
}

void sim_saw_change(struct sim *sim, int32_t row, int32_t ticket, const struct sim_change *change)
{
    struct sim_seen_generation *s = seen(sim, row);

    if (ticket != s->ticket)
        sim_violated(sim, "I7", "g%d: claim %d wrote %s -> %s after claim %d was made", row, ticket,
                     vg_generation_state_name(change->from), vg_generation_state_name(change->to),
                     s->ticket);
    if (!vg_generation_may(change->from, change->to))
        sim_violated(sim, "I2", "g%d went from %s to %s", row,
                     vg_generation_state_name(change->from), vg_generation_state_name(change->to));
    if (change->from == VG_GEN_PENDING && change->to == VG_GEN_SUBMITTING && s->cancel_at >= 0 &&
        s->claimed_at > s->cancel_at)
        sim_violated(sim, "C", "g%d was canceled, then claimed, and is submitted", row);
    s->touched_at = sim->now;
    s->due_at = sim->now + (change->lease_ms > 0 ? SIM_LEASE_MS : change->due_ms);
    sim_saw_state(sim, row);
}

void sim_saw_video(struct sim *sim, int32_t video)
{
    enum sim_status status = sim->store.videos[video].status;

    if (sim->history.ends[video] != SIM_OPEN && sim->history.ends[video] != status)
        sim_violated(sim, "I2", "v%d ended twice, differently", video);
    sim->history.ends[video] = status;
}

void sim_saw_answer(struct sim *sim, int32_t key, int32_t video)
{
    int32_t *told = &sim->history.answered[key];

    if (*told >= 0 && *told != video)
        sim_violated(sim, "I5", "key %d was answered with v%d and with v%d", key, *told, video);
    *told = video;
}

/* ---- providers ----------------------------------------------------------------------------- */

void sim_saw_submit(struct sim *sim, const struct sim_held *held, int32_t provider)
{
    const struct vg_breaker *b = &sim->replicas[held->replica].breakers[provider];

    sim->figures->submissions++;
    if (b->state == VG_BREAKER_OPEN || (b->state == VG_BREAKER_HALF_OPEN && !held->probe))
        sim_violated(sim, "B", "g%d was submitted to p%d although the breaker is %s", held->row,
                     provider, vg_breaker_state_name(b->state));
}

/* A job that failed and was not paid for makes room for another. */
static bool costs(const struct sim *sim, const struct sim_upstream *job)
{
    return job->fate != SIM_FAILS || job->error.charged || job->ends_at > sim->now;
}

void sim_saw_job(struct sim *sim, int32_t upstream)
{
    const struct sim_upstream *made = &sim->upstream[upstream];

    sim->figures->jobs++;
    seen(sim, made->generation)->jobs++;
    for (int32_t i = 0; i < upstream; i++) {
        const struct sim_upstream *job = &sim->upstream[i];

        if (job->generation == made->generation && costs(sim, job))
            sim_violated(sim, "I3", "g%d: job %d at p%d beside job %d at p%d; both are paid for",
                         made->generation, upstream, made->provider, i, job->provider);
    }
}

/* ---- receivers ----------------------------------------------------------------------------- */

void sim_saw_callback(struct sim *sim, int32_t row, int32_t id, uint32_t body, bool acknowledged)
{
    const struct sim_delivery *d = &sim->store.deliveries[row];
    struct sim_receipts *r = &sim->history.receipts[d->video][d->target];

    sim->figures->callbacks++;
    if (sim->history.ends[d->video] == SIM_OPEN)
        sim_violated(sim, "I4", "a callback tells that v%d ended, which it has not", d->video);
    if (r->got > 0 && r->id != id)
        sim_violated(sim, "I4", "callbacks of v%d have the ids %d and %d", d->video, r->id, id);
    if (r->got > 0 && r->body != body)
        sim_violated(sim, "I4", "callbacks of v%d have different bodies", d->video);
    if (r->acknowledged > 0)
        sim->figures->callbacks_twice++;
    r->id = id;
    r->body = body;
    r->got++;
    r->acknowledged += acknowledged;
}

/* ---- the end ------------------------------------------------------------------------------- */

static void check_jobs(struct sim *sim)
{
    for (int32_t key = 0; key < sim->video_count; key++) {
        int32_t told = sim->history.answered[key];

        if (told >= sim->store.video_count)
            sim_violated(sim, "I1", "key %d was answered, but there is no v%d", key, told);
    }
    for (int32_t row = 0; row < sim->store.generation_count; row++) {
        const struct sim_seen_generation *s = seen(sim, row);

        if (!s->end)
            sim_violated(sim, "I1", "g%d never ended: %s", row,
                         vg_generation_state_name(sim->store.generations[row].state));
        sim_saw_state(sim, row);
        sim->figures->unknown += s->end == VG_GEN_UNKNOWN;
        sim->figures->unknown_paid += s->end == VG_GEN_UNKNOWN && s->jobs > 0;
    }
}

static void check_delivery(struct sim *sim, int32_t video, int32_t target)
{
    const struct sim_receipts *r = &sim->history.receipts[video][target];
    const struct sim_delivery *found = NULL;

    for (int32_t i = 0; i < sim->store.delivery_count; i++) {
        const struct sim_delivery *d = &sim->store.deliveries[i];

        if (d->video == video && d->target == target)
            found = d;
    }
    if (!found) {
        sim_violated(sim, "I4", "v%d ended without a delivery to target %d", video, target);
        return;
    }
    bool tried = found->attempts >= sim->schedule.count;

    if (found->state == VG_DELIVERY_PENDING || found->leased)
        sim_violated(sim, "I9", "the delivery of v%d never ended", video);
    if (found->state == VG_DELIVERY_DELIVERED && r->acknowledged == 0)
        sim_violated(sim, "I4", "the delivery of v%d counts as done; its receiver got nothing",
                     video);
    if (found->state == VG_DELIVERY_FAILED && !tried && sim->receiver[target] != SIM_REFUSED)
        sim_violated(sim, "I4", "the delivery of v%d was given up after %d of %d attempts", video,
                     found->attempts, sim->schedule.count);
    if (found->state == VG_DELIVERY_GONE && sim->receiver[target] != SIM_GONE)
        sim_violated(sim, "I4", "the delivery of v%d ended as gone, which nobody said", video);
}

static void check_deliveries(struct sim *sim)
{
    for (int32_t video = 0; video < sim->store.video_count; video++) {
        if (sim->callback[sim->store.videos[video].key])
            check_delivery(sim, video, 0);
        if (sim->endpoint)
            check_delivery(sim, video, 1);
    }
}

static void check_account(struct sim *sim)
{
    const struct sim_account *a = &sim->store.account;
    int32_t stored = 0;

    for (int32_t row = 0; row < sim->store.generation_count; row++)
        stored += seen(sim, row)->end == VG_GEN_STORED;
    if (a->active != 0 || a->reserved != 0 || a->spent != stored * SIM_PRICE)
        sim_violated(sim, "I6", "%d stored: %d open, %d reserved, %d spent", stored, a->active,
                     a->reserved, a->spent);
}

static void check_leaks(struct sim *sim)
{
    for (int i = 0; i < SIM_HELD; i++) {
        if (sim->held[i].id)
            sim_violated(sim, "I9", "r%d still holds %s%d", sim->held[i].replica,
                         sim->held[i].delivery ? "d" : "g", sim->held[i].row);
    }
    for (int32_t row = 0; row < sim->store.generation_count; row++) {
        if (sim->store.generations[row].leased)
            sim_violated(sim, "I9", "g%d is leased for ever", row);
    }
    for (int r = 0; r < sim->replica_count; r++) {
        for (int p = 0; p < sim->provider_count; p++) {
            if (sim->replicas[r].breakers[p].probing)
                sim_violated(sim, "I9", "r%d waits for ever for its probe of p%d", r, p);
        }
    }
}

void sim_saw_end(struct sim *sim)
{
    check_jobs(sim);
    check_deliveries(sim);
    check_account(sim);
    check_leaks(sim);
}
