/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/provider.h"

#include "common/mem.h"
#include "tests/simcore/history.h"
#include "tests/simcore/replica.h"

enum {
    LATE_MS = 30 * 1000,      /* a request arrives within, or never */
    SHOWN_MS = 20 * 1000,     /* a job is shown within */
    SETTLE_MS = 60 * 1000,    /* more than both: then silence is certain */
    VERY_LATE_MS = 300 * 1000 /* to those who know their tokens it does not matter */
};
#define CLASS(x) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##x

static const struct {
    enum vg_fsm_event_kind lost;
    int64_t limit_ms, usual_ms, slow_ms;
} steps[VG_STEP_MAX] = {
    [VG_STEP_SUBMIT] = {VG_EV_LOST, 120000, 2000, 119000},
    [VG_STEP_LOOKUP] = {VG_EV_LOOKUP_RETRY, 30000, 500, 29000},
    [VG_STEP_POLL] = {VG_EV_LOST, 30000, 500, 29000},
    [VG_STEP_FETCH] = {VG_EV_LOST, 400000, 15000, 300000},
    [VG_STEP_CANCEL] = {VG_EV_CANCEL_LOST, 15000, 500, 14000},
};

enum vg_fsm_event_kind sim_provider_lost(enum vg_step step)
{
    return steps[step].lost;
}

bool sim_provider_up(const struct sim *sim, int32_t provider)
{
    return sim->providers[provider].down_until <= sim->now;
}

void sim_provider_down(struct sim *sim, const struct sim_message *message)
{
    struct sim_provider *p = &sim->providers[message->row];

    p->down_since = sim->now;
    p->down_until = sim->now + message->ms;
    sim_tell(sim, "p%d: its worker is away for %d s", message->row, (int)(message->ms / 1000));
}

/* ---- the way there and back ---------------------------------------------------------------- */

static void answer(struct sim *sim, const struct sim_message *request, const struct sim_answer *a,
                   int64_t in_ms)
{
    struct sim_message back = *request;

    back.kind = SIM_ANSWER;
    back.ok = true;
    back.u.answer = *a;
    sim_send(sim, in_ms, &back);
}

static void answer_lost(struct sim *sim, const struct sim_message *request, int64_t in_ms)
{
    const struct sim_answer lost = {.kind = steps[request->step].lost,
                                    .upstream = -1,
                                    .timed_out = in_ms > steps[request->step].limit_ms / 2};

    answer(sim, request, &lost, in_ms);
}

/* The connection goes while the request is on its way. */
static void cut(struct sim *sim, struct sim_message *request)
{
    bool settles = sim->providers[request->u.request.provider].settles;

    answer_lost(sim, request, sim_between(sim, 1, 2000));
    if (sim_roll(sim, 2)) {
        request->mute = true;
        sim_send(sim, sim_between(sim, 1, settles ? LATE_MS : VERY_LATE_MS), request);
    }
}

void sim_provider_call(struct sim *sim, struct sim_held *held, enum vg_step step)
{
    struct sim_message request = sim_held_message(sim, held, SIM_REQUEST);
    const struct sim_answer refused = {.kind = VG_EV_NOT_SENT, .upstream = -1};

    held->call = request.call = ++sim->calls;
    held->step = request.step = step;
    held->step_at = sim->now;
    request.u.request.provider = held->provider;
    request.u.request.token = held->seen.attempts;
    request.u.request.upstream = held->upstream;
    if (step == VG_STEP_SUBMIT)
        sim->store.generations[held->row].sent_last = sim->now;
    sim_tell(sim, "g%d: r%d asks p%d: %s %d", held->row, held->replica, held->provider,
             vg_step_name(step), held->seen.attempts);
    if (step == VG_STEP_SUBMIT && sim_fault(sim, 4))
        answer(sim, &request, &refused, 5); /* its worker did not pass it on, and says so */
    else if (sim_fault(sim, 12))
        cut(sim, &request);
    else
        sim_send(sim, sim_between(sim, 1, 150), &request);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static struct vg_fsm_error any_error(struct sim *sim)
{
    return (struct vg_fsm_error){
        .class = (Videogate__V1__ErrorClass)sim_roll(sim, 14),
        .retryable = sim_roll(sim, 2),
        .fallback_ok = sim_roll(sim, 3) != 0,
    };
}

/* The answer says of itself that it will pass. */
static struct vg_fsm_error passing_error(struct sim *sim)
{
    static const Videogate__V1__ErrorClass classes[] = {CLASS(RATE_LIMITED), CLASS(OVERLOADED),
                                                        CLASS(UPSTREAM_INTERNAL), CLASS(TIMEOUT),
                                                        CLASS(NETWORK)};

    return (struct vg_fsm_error){.class = classes[sim_roll(sim, VG_COUNT(classes))],
                                 .retryable = true,
                                 .fallback_ok = sim_roll(sim, 2)};
}

static enum sim_fate any_fate(struct sim *sim)
{
    uint32_t r = sim->chaos ? sim_roll(sim, 100) : 0;

    if (r < 62)
        return SIM_FINISHES;
    if (r < 86)
        return SIM_FAILS;
    if (r < 90)
        return SIM_IS_CANCELED;
    return r < 94 ? SIM_EXPIRES : SIM_NEVER_ENDS;
}

static int32_t make_job(struct sim *sim, const struct sim_message *request)
{
    int32_t number = sim->upstream_count;
    int32_t p = request->u.request.provider;

    if (number == SIM_UPSTREAM) {
        sim_violated(sim, "I3", "providers were asked for %d jobs", SIM_UPSTREAM);
        return 0;
    }
    sim->upstream_count++;
    sim->upstream[number] = (struct sim_upstream){
        .generation = request->row,
        .provider = p,
        .token = request->u.request.token,
        .shown_at = sim->now + (sim->providers[p].settles ? sim_between(sim, 0, SHOWN_MS) : 0),
        .ends_at = sim->now + sim_between(sim, 500, sim_roll(sim, 8) ? 60000 : 1200000),
        .fate = any_fate(sim),
        .error = any_error(sim),
    };
    sim->upstream[number].error.retryable = false; /* it is over */
    sim->upstream[number].error.charged = sim_roll(sim, 3) == 0;
    sim_tell(sim, "g%d: p%d makes job %d for token %d%s", request->row, p, number,
             request->u.request.token, request->mute ? " (a late request)" : "");
    return number;
}

static int32_t find_job(const struct sim *sim, const struct sim_message *request, int64_t shown_by)
{
    for (int32_t i = 0; i < sim->upstream_count; i++) {
        const struct sim_upstream *job = &sim->upstream[i];

        if (job->generation == request->row && job->provider == request->u.request.provider &&
            job->token == request->u.request.token && job->shown_at <= shown_by)
            return i;
    }
    return -1;
}

/* ---- what is asked ------------------------------------------------------------------------- */

static void refuse(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    out->kind = VG_EV_ERROR;
    out->error = any_error(sim);
    out->wait_ms = sim_roll(sim, 3) ? 0 : sim_between(sim, 0, 90000);
    if (sim_roll(sim, 12) == 0) { /* refused, and paid for */
        int32_t job = make_job(sim, request);

        out->error.charged = sim->upstream[job].error.charged = true;
        sim->upstream[job].fate = SIM_FAILS;
        sim->upstream[job].ends_at = sim->now;
        sim_saw_job(sim, job);
    }
}

static void submit(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    const struct sim_provider *p = &sim->providers[request->u.request.provider];
    int32_t known = p->memory == SIM_BY_TOKEN ? find_job(sim, request, INT64_MAX) : -1;

    if (known >= 0) {
        out->kind = VG_EV_ACCEPTED;
        out->upstream = known;
        return;
    }
    if (p->settles && sim_fault(sim, 60)) {
        refuse(sim, request, out);
        return;
    }
    out->kind = VG_EV_ACCEPTED;
    if (p->settles && sim_fault(sim, 10)) { /* an error that does not say whether there is a job */
        out->kind = VG_EV_ERROR;
        out->error = any_error(sim);
        out->error.maybe_submitted = true;
        if (sim_roll(sim, 2))
            return;
    }
    int32_t job = make_job(sim, request);

    sim_saw_job(sim, job);
    if (out->kind != VG_EV_ACCEPTED)
        return;
    out->upstream = job;
    out->wait_ms = sim_roll(sim, 2) ? 0 : sim_between(sim, 0, 60000);
    if (sim_roll(sim, 12) == 0) { /* made within the call */
        sim->upstream[job].fate = SIM_FINISHES;
        sim->upstream[job].ends_at = sim->now;
        out->kind = VG_EV_FINISHED;
    }
}

/* Since when there was no request that may still be on its way. */
static int64_t silent_since(const struct sim *sim, int32_t row)
{
    const struct sim_generation *g = &sim->store.generations[row];

    if (sim->broken == SIM_BREAK_SETTLE_AT_FIRST && g->submitted_at < g->opened_last)
        return g->submitted_at;
    if (sim->broken == SIM_BREAK_SETTLE_AT_COMMIT || g->sent_last < g->opened_last)
        return g->opened_last;
    return g->sent_last;
}

static void look_up(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    const struct sim_provider *p = &sim->providers[request->u.request.provider];
    int32_t found = find_job(sim, request, sim->now);
    bool settled = !p->settles || sim->now - silent_since(sim, request->row) >= SETTLE_MS;

    sim->figures->lookups++;
    out->kind = VG_EV_LOOKUP_RETRY;
    if (p->mute || sim_fault(sim, 40)) {
        out->wait_ms = sim_between(sim, 0, 10000);
    } else if (found >= 0) {
        out->kind = VG_EV_ACCEPTED;
        out->upstream = found;
    } else if (settled) {
        out->kind = VG_EV_ABSENT;
    }
}

static void poll_ended(struct sim *sim, const struct sim_upstream *job, struct sim_answer *out)
{
    struct sim_seen_generation *seen = &sim->history.generations[job->generation];

    switch (job->fate) {
    case SIM_FAILS:
        out->kind = VG_EV_ERROR;
        out->error = job->error;
        break;
    case SIM_IS_CANCELED:
        out->kind = VG_EV_UP_CANCELED;
        seen->up_canceled = true;
        break;
    case SIM_EXPIRES:
        out->kind = VG_EV_UP_EXPIRED;
        seen->up_expired = true;
        break;
    default:
        out->kind = VG_EV_FINISHED;
        break;
    }
}

static void poll(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    if (request->u.request.upstream < 0) {
        sim_violated(sim, "I1", "g%d is polled, but has no job", request->row);
        return;
    }
    const struct sim_upstream *job = &sim->upstream[request->u.request.upstream];

    if (sim_fault(sim, 25)) {
        out->kind = VG_EV_ERROR;
        out->error = passing_error(sim);
    } else if (job->fate == SIM_NEVER_ENDS || sim->now < job->ends_at) {
        out->kind = VG_EV_RUNNING;
        out->progress = (int32_t)sim_roll(sim, 120);
        out->wait_ms = sim_roll(sim, 3) ? sim_between(sim, 5000, 60000) : 0;
    } else {
        poll_ended(sim, job, out);
    }
}

static void fetch(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    if (sim_fault(sim, 40)) {
        out->kind = VG_EV_BAD_BODY;
    } else if (sim_fault(sim, 20)) {
        out->kind = VG_EV_STORE_FAILED;
    } else if (sim_fault(sim, 20)) {
        out->kind = VG_EV_ERROR;
        out->error = sim_roll(sim, 3) ? passing_error(sim) : any_error(sim);
    } else {
        out->kind = VG_EV_STORED;
        sim->history.generations[request->row].fetched = true;
    }
}

static void cancel(struct sim *sim, const struct sim_message *request, struct sim_answer *out)
{
    out->kind = VG_EV_CANCEL_DONE;
    if (request->u.request.upstream < 0)
        return;
    struct sim_upstream *job = &sim->upstream[request->u.request.upstream];

    if (job->fate == SIM_NEVER_ENDS || sim->now < job->ends_at) {
        job->fate = SIM_IS_CANCELED;
        job->ends_at = sim->now;
    }
}

void sim_provider_request(struct sim *sim, const struct sim_message *message)
{
    static void (*const asks[VG_STEP_MAX])(struct sim *, const struct sim_message *,
                                           struct sim_answer *) = {
        [VG_STEP_SUBMIT] = submit, [VG_STEP_LOOKUP] = look_up, [VG_STEP_POLL] = poll,
        [VG_STEP_FETCH] = fetch,   [VG_STEP_CANCEL] = cancel,
    };
    struct sim_answer a = {.kind = VG_EV_LOST, .upstream = -1};
    enum vg_step step = message->step;

    if (!sim_provider_up(sim, message->u.request.provider)) {
        if (!message->mute)
            answer_lost(sim, message, sim_between(sim, 1, 500));
        return;
    }
    asks[step](sim, message, &a);
    if (message->mute)
        return;
    if (sim_fault(sim, 12))
        answer_lost(sim, message, sim_between(sim, 1, steps[step].limit_ms));
    else
        answer(
            sim, message, &a,
            sim_between(sim, 5, sim_fault(sim, 10) ? steps[step].slow_ms : steps[step].usual_ms));
}
