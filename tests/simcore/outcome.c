/* SPDX-License-Identifier: Apache-2.0 */
/* What the ends of attempts say to the breaker, as service/jobs/outcome.c. */
#include "common/mem.h"
#include "tests/simcore/provider.h"
#include "tests/simcore/replica.h"

enum { FULL_MS = 5000, MAX_FULL_MS = 300000 };
#define NS_PER_MS INT64_C(1000000)
#define CLASS(x) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##x

static int64_t now_ns(const struct sim *sim)
{
    return sim->now * NS_PER_MS;
}

static struct vg_breaker *breaker_of(struct sim *sim, const struct sim_held *held)
{
    return &sim->replicas[held->replica].breakers[held->provider];
}

static bool blamed(Videogate__V1__ErrorClass class)
{
    static const Videogate__V1__ErrorClass nobody[] = {
        CLASS(INVALID_REQUEST),  CLASS(CONTENT_FILTERED), CLASS(MODEL_GONE), CLASS(RATE_LIMITED),
        CLASS(CONCURRENCY_FULL), CLASS(RESULT_EXPIRED),   CLASS(NOT_FOUND),
    };

    for (size_t i = 0; i < VG_COUNT(nobody); i++) {
        if (nobody[i] == class)
            return false;
    }
    return true;
}

static bool full(const struct sim *sim, int8_t replica, int32_t provider)
{
    return sim->replicas[replica].full_until[provider] > sim->now;
}

bool sim_outcome_ready(const struct sim *sim, const struct sim_held *held, int32_t route)
{
    if (route >= sim->route_count)
        return false;
    int32_t p = sim->route_provider[route];
    const struct vg_breaker *b = &sim->replicas[held->replica].breakers[p];

    return sim_provider_up(sim, p) && vg_breaker_admits(b, now_ns(sim)) &&
           !full(sim, held->replica, p);
}

bool sim_outcome_holds_back(struct sim *sim, struct sim_held *held, struct vg_fsm_event *out)
{
    int32_t p = held->provider;
    struct vg_breaker *b = breaker_of(sim, held);
    bool is_full = full(sim, held->replica, p);

    if (held->probe || sim->broken == SIM_BREAK_IGNORE_BREAKER)
        return false;
    if (!is_full && vg_breaker_enter(b, now_ns(sim), &held->probe))
        return false;
    *out = (struct vg_fsm_event){
        .kind = VG_EV_NOT_SENT,
        .held_back = true,
        .wait_ms = is_full ? sim->replicas[held->replica].full_until[p] - sim->now + 1
                           : vg_breaker_wait_ms(b, now_ns(sim), &sim->breaker),
        .next_ready = sim_outcome_ready(sim, held, held->seen.route + 1),
    };
    return true;
}

static void note_error(struct sim *sim, struct sim_held *held, const struct vg_fsm_event *event)
{
    if (event->error.class == CLASS(CONCURRENCY_FULL)) {
        int64_t ms = event->wait_ms > 0 ? event->wait_ms : FULL_MS;

        sim->replicas[held->replica].full_until[held->provider] =
            sim->now + (ms < MAX_FULL_MS ? ms : MAX_FULL_MS);
    }
    if (blamed(event->error.class)) {
        vg_breaker_failed(breaker_of(sim, held), now_ns(sim), held->probe, &sim->breaker);
        held->probe = false;
    }
}

static void note_submit(struct sim *sim, struct sim_held *held, const struct vg_fsm_event *event,
                        bool timed_out)
{
    struct vg_breaker *b = breaker_of(sim, held);

    if (event->kind == VG_EV_ACCEPTED || event->kind == VG_EV_FINISHED) {
        vg_breaker_succeeded(b, now_ns(sim), held->probe);
        held->probe = false;
    } else if (event->kind == VG_EV_LOST && timed_out) {
        vg_breaker_failed(b, now_ns(sim), held->probe, &sim->breaker);
        held->probe = false;
    } else if (event->kind == VG_EV_ERROR) {
        note_error(sim, held, event);
    }
    sim_outcome_forget(sim, held);
}

static void note_end(struct sim *sim, struct sim_held *held, const struct vg_fsm_event *event)
{
    const struct vg_fsm_decision *d = &held->decision;
    bool ended =
        d->commit && (d->to == VG_GEN_FAILED || d->to == VG_GEN_EXPIRED || d->to == VG_GEN_PENDING);

    if (ended && (event->kind != VG_EV_ERROR || blamed(event->error.class)))
        vg_breaker_spoiled(breaker_of(sim, held), now_ns(sim), &sim->breaker);
}

void sim_outcome_note(struct sim *sim, struct sim_held *held, const struct vg_fsm_event *event,
                      bool timed_out)
{
    if (event->leaving)
        return;
    if (held->seen.state == VG_GEN_SUBMITTING && held->step == VG_STEP_SUBMIT)
        note_submit(sim, held, event, timed_out);
    else if (held->seen.state == VG_GEN_RUNNING)
        note_end(sim, held, event);
}

void sim_outcome_forget(struct sim *sim, struct sim_held *held)
{
    if (held->probe && sim->broken != SIM_BREAK_KEEP_PROBE) {
        held->probe = false;
        vg_breaker_withdrawn(breaker_of(sim, held));
    }
}
