/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/replica.h"

#include "common/err.h"
#include "tests/simcore/history.h"
#include "tests/simcore/provider.h"
#include "tests/simcore/store.h"

enum {
    HELD_SLOTS = 64,
    CHANGE_RETRY_MS = 300,
    CHANGE_GIVE_UP_LEASES = 20,
    RENEW_RETRY_MS = 500,
    MAX_GATE_MS = 150 * 1000,
    MAX_STOP_MS = 120 * 1000
};

/* ---- held rows ----------------------------------------------------------------------------- */

struct sim_held *sim_held_of(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = &sim->held[message->held % HELD_SLOTS];

    return held->id == message->held ? held : NULL;
}

struct sim_held *sim_held_take(struct sim *sim, const struct sim_message *claimed)
{
    uint32_t slot = 0;

    while (slot < SIM_HELD && sim->held[slot].id)
        slot++;
    if (slot == SIM_HELD)
        return NULL;
    sim->held[slot] = (struct sim_held){
        .id = ++sim->helds * HELD_SLOTS + slot,
        .replica = claimed->replica,
        .row = claimed->row,
        .ticket = claimed->ticket,
        .lease_seq = claimed->u.claim.lease_seq,
        .lease_until = claimed->u.claim.sent_at + SIM_LEASE_MS,
        .step_at = sim->now,
    };
    return &sim->held[slot];
}

void sim_held_free(struct sim_held *held)
{
    held->id = 0;
}

struct sim_message sim_held_message(const struct sim *sim, const struct sim_held *held,
                                    enum sim_kind kind)
{
    return (struct sim_message){
        .kind = kind,
        .replica = held->replica,
        .epoch = sim->replicas[held->replica].epoch,
        .held = held->id,
        .row = held->row,
        .ticket = held->ticket,
    };
}

static void end(struct sim *sim, struct sim_held *held)
{
    sim_outcome_forget(sim, held);
    if (sim->broken == SIM_BREAK_FORGET_HELD && held->lost)
        return;
    sim_held_free(held);
}

/* ---- heartbeat ----------------------------------------------------------------------------- */

static void arm(struct sim *sim, struct sim_held *held, int64_t ms)
{
    struct sim_message beat = sim_held_message(sim, held, SIM_BEAT);

    beat.call = ++held->beat;
    sim_send(sim, ms, &beat);
}

static void renew(struct sim *sim, struct sim_held *held)
{
    struct sim_message asked = sim_held_message(sim, held, SIM_RENEW);

    held->renewing = true;
    held->renew_sent = sim->now;
    asked.u.change.lease_seq = held->lease_seq;
    sim_store_ask(sim, &asked);
}

void sim_replica_beat(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held || held->released || held->lost || message->call != held->beat)
        return;
    if (held->changing || held->renewing || held->commit_waits)
        arm(sim, held, SIM_LEASE_MS / 3);
    else
        renew(sim, held);
}

/* false: the step comes once the lease is renewed. */
static bool fresh(struct sim *sim, struct sim_held *held, enum vg_step step)
{
    if (held->lease_until - sim->now >= SIM_LEASE_MS / 2)
        return true;
    held->after_renew = step;
    if (!held->renewing)
        renew(sim, held);
    return false;
}

/* ---- recording ----------------------------------------------------------------------------- */

/* A point of which chance alone makes too little: the process dies or stops right here, between
 * what it has just sent or heard and what it would do next. */
static void dangerous_point(struct sim *sim, const struct sim_held *held)
{
    if (!sim_fault(sim, 3))
        return;
    struct sim_message fate = {.kind = sim_roll(sim, 2) ? SIM_CRASH : SIM_STALL,
                               .replica = held->replica,
                               .epoch = sim->replicas[held->replica].epoch};

    fate.ms = sim_between(sim, 1, MAX_STOP_MS);
    sim_send(sim, 0, &fate);
}

static void run_step(struct sim *sim, struct sim_held *held, enum vg_step step)
{
    struct sim_message next = sim_held_message(sim, held, SIM_STEP);

    held->step = next.step = step;
    held->step_at = sim->now;
    dangerous_point(sim, held);
    sim_send(sim, 0, &next);
}

static void commit_now(struct sim *sim, struct sim_held *held)
{
    const struct vg_fsm_decision *d = &held->decision;
    struct sim_message asked = sim_held_message(sim, held, SIM_CHANGE);

    held->commit_waits = false;
    held->changing = true;
    if (held->token != held->sent_token) /* the same again may have been done long ago */
        held->lease_until = sim->now + SIM_LEASE_MS;
    held->sent_token = held->token;
    asked.token = held->token;
    asked.u.change = (struct sim_change){
        .lease_seq = held->lease_seq,
        .from = held->seen.state,
        .to = d->to,
        .lease_ms = d->keep ? SIM_LEASE_MS : 0,
        .due_ms = d->keep ? 0 : d->due_ms,
        .route = d->route,
        .route_attempts = d->route_attempts,
        .attempts = d->attempts,
        .fetch_attempts = d->fetch_attempts,
        .poll_errors = d->poll_errors,
        .progress = d->progress,
        .upstream = held->next_upstream,
    };
    sim_store_ask(sim, &asked);
    dangerous_point(sim, held);
}

static void begin_commit(struct sim *sim, struct sim_held *held)
{
    held->token = sim_store_token(sim);
    if (held->renewing)
        held->commit_waits = true;
    else
        commit_now(sim, held);
}

void sim_replica_change_again(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    if (sim_roll(sim, 2)) /* the pool tries again under the same token, the job under another */
        held->token = sim_store_token(sim);
    if (held->renewing)
        held->commit_waits = true;
    else
        commit_now(sim, held);
}

static void take_row(struct sim_held *held, bool canceled)
{
    const struct vg_fsm_decision *d = &held->decision;

    held->seen.state = d->to;
    held->seen.route = d->route;
    held->seen.route_attempts = d->route_attempts;
    held->seen.attempts = d->attempts;
    held->seen.fetch_attempts = d->fetch_attempts;
    held->seen.poll_errors = d->poll_errors;
    held->seen.progress = d->progress;
    held->seen.cancel_requested = held->seen.cancel_requested || canceled;
    held->upstream = held->next_upstream;
}

static void stop_upstream(struct sim *sim, struct sim_held *held)
{
    int32_t p = held->provider;

    if (!sim->providers[p].supports_cancel || !sim_provider_up(sim, p)) {
        end(sim, held);
        return;
    }
    sim_provider_call(sim, held, VG_STEP_CANCEL);
}

static void applied(struct sim *sim, struct sim_held *held, bool canceled)
{
    take_row(held, canceled);
    if (held->decision.keep && !held->lost) {
        run_step(sim, held, held->decision.next);
        return;
    }
    held->released = true;
    if (held->decision.stop_upstream && !sim->replicas[held->replica].draining)
        stop_upstream(sim, held);
    else
        end(sim, held);
}

void sim_replica_changed(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    held->changing = false;
    if (message->ok && message->applied) {
        applied(sim, held, message->canceled);
    } else if (message->ok ||
               sim->now - held->step_at > (int64_t)CHANGE_GIVE_UP_LEASES * SIM_LEASE_MS) {
        held->lost = true;
        end(sim, held);
    } else {
        struct sim_message again = sim_held_message(sim, held, SIM_CHANGE_AGAIN);
        sim_send(sim, CHANGE_RETRY_MS, &again);
    }
}

/* ---- deciding ------------------------------------------------------------------------------ */

static void event(struct sim *sim, struct sim_held *held, struct vg_fsm_event *event, int32_t made,
                  bool timed_out)
{
    if (held->lost) {
        end(sim, held);
        return;
    }
    event->jitter = sim_unit(sim);
    event->leaving = sim->replicas[held->replica].draining;
    struct vg_fsm_row row = held->seen;

    row.deadline_left_ms = held->deadline_at - sim->now;
    row.supports_cancel = sim->providers[held->provider].supports_cancel;
    sim_decide(sim->broken, &row, event, &sim->policy, &held->decision);
    sim_outcome_note(sim, held, event, timed_out);
    held->next_upstream = held->upstream;
    if (held->decision.upstream == VG_UPSTREAM_DROP)
        held->next_upstream = -1;
    else if (held->decision.upstream == VG_UPSTREAM_TAKE && made >= 0)
        held->next_upstream = made;
    sim_tell(sim, "g%d: r%d hears %s in %s: %s%s%s", held->row, held->replica,
             vg_fsm_event_name(event->kind), vg_generation_state_name(row.state),
             held->decision.commit ? vg_generation_state_name(held->decision.to) : "do ",
             held->decision.commit ? "" : vg_step_name(held->decision.next),
             event->error.charged ? " (charged)" : "");
    if (held->decision.commit)
        begin_commit(sim, held);
    else
        run_step(sim, held, held->decision.next);
}

static void simple(struct sim *sim, struct sim_held *held, enum vg_fsm_event_kind kind)
{
    struct vg_fsm_event e = {.kind = kind};

    event(sim, held, &e, -1, false);
}

static void worker_away(struct sim *sim, struct sim_held *held, enum vg_fsm_event_kind kind)
{
    const struct sim_provider *p = &sim->providers[held->provider];
    struct vg_fsm_event e = {
        .kind = kind,
        .away_ms = sim->now - p->down_since,
        .wait_ms = sim_between(sim, 0, 5000),
        .next_ready = sim_outcome_ready(sim, held, held->seen.route + 1),
    };

    event(sim, held, &e, -1, false);
}

static bool held_back(struct sim *sim, struct sim_held *held)
{
    struct vg_fsm_event e;

    if (!sim_outcome_holds_back(sim, held, &e))
        return false;
    event(sim, held, &e, -1, false);
    return true;
}

/* ---- lease --------------------------------------------------------------------------------- */

static void lease_lost(struct sim *sim, struct sim_held *held)
{
    held->lost = true;
    sim_tell(sim, "g%d: r%d lost its lease", held->row, held->replica);
    if (!held->changing)
        end(sim, held);
}

static void renewed(struct sim *sim, struct sim_held *held, bool canceled)
{
    enum vg_step step = held->after_renew;

    held->lease_until = held->renew_sent + SIM_LEASE_MS;
    held->seen.cancel_requested = held->seen.cancel_requested || canceled;
    held->after_renew = VG_STEP_END;
    arm(sim, held, SIM_LEASE_MS / 3);
    if (held->commit_waits)
        commit_now(sim, held);
    else if (step != VG_STEP_END)
        run_step(sim, held, step);
}

void sim_replica_renewed(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    held->renewing = false;
    if (message->ok && message->applied) {
        renewed(sim, held, message->canceled);
    } else if (message->ok) {
        lease_lost(sim, held);
    } else if (held->commit_waits) {
        commit_now(sim, held);
    } else if (held->after_renew != VG_STEP_END && sim->now > held->lease_until) {
        end(sim, held); /* a step must not start without a lease */
    } else {
        arm(sim, held, RENEW_RETRY_MS);
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

static enum vg_fsm_event_kind away_kind(enum vg_step step)
{
    if (step == VG_STEP_LOOKUP)
        return VG_EV_LOOKUP_RETRY;
    return step == VG_STEP_CANCEL ? VG_EV_CANCEL_LOST : VG_EV_NOT_SENT;
}

/* A submission with pictures waits for its turn; meanwhile the lease is renewed. */
static bool waits_at_gate(struct sim *sim, struct sim_held *held)
{
    if (!sim->gates || sim_roll(sim, 2))
        return false;
    struct sim_message open = sim_held_message(sim, held, SIM_STEP);

    open.step = VG_STEP_SUBMIT;
    open.ms = 1;
    held->gated = true;
    sim_send(sim, sim_between(sim, 1, MAX_GATE_MS), &open);
    return true;
}

static void make_call(struct sim *sim, struct sim_held *held, enum vg_step step)
{
    if (step == VG_STEP_LOOKUP && sim->providers[held->provider].memory == SIM_FORGETS) {
        simple(sim, held, VG_EV_NO_LOOKUP);
        return;
    }
    if (step == VG_STEP_SUBMIT)
        sim_saw_submit(sim, held, held->provider);
    sim_provider_call(sim, held, step);
    dangerous_point(sim, held);
}

static void through_gate(struct sim *sim, struct sim_held *held)
{
    if (!held->gated)
        return;
    held->gated = false;
    if (sim->replicas[held->replica].draining || held->lost)
        simple(sim, held, VG_EV_NOT_SENT);
    else if ((sim->broken == SIM_BREAK_STALE_GATE || fresh(sim, held, VG_STEP_SUBMIT)) &&
             !held_back(sim, held))
        make_call(sim, held, VG_STEP_SUBMIT);
}

void sim_replica_step(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);
    enum vg_step step = message->step;

    if (!held)
        return;
    if (message->ms) {
        through_gate(sim, held);
    } else if (held->lost) {
        end(sim, held);
    } else if (sim->replicas[held->replica].draining) {
        simple(sim, held, step == VG_STEP_SUBMIT ? VG_EV_NOT_SENT : VG_EV_PUT_OFF);
    } else if (!sim_provider_up(sim, held->provider)) {
        worker_away(sim, held, away_kind(step));
    } else if ((sim->broken == SIM_BREAK_STALE_SUBMIT || fresh(sim, held, step)) &&
               (step != VG_STEP_SUBMIT || !held_back(sim, held))) {
        if (step != VG_STEP_SUBMIT || !waits_at_gate(sim, held))
            make_call(sim, held, step);
    }
}

void sim_replica_answer(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);
    const struct sim_answer *a = &message->u.answer;

    if (!held || held->call != message->call)
        return;
    held->call = 0;
    if (held->released || held->lost) {
        end(sim, held);
        return;
    }
    struct vg_fsm_event e = {
        .kind = a->kind, .wait_ms = a->wait_ms, .progress = a->progress, .error = a->error};

    event(sim, held, &e, a->upstream, a->timed_out);
}

/* ---- the beginning and the end ------------------------------------------------------------- */

void sim_replica_claimed(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_take(sim, message);

    if (!held)
        return;
    held->seen = message->u.claim.row;
    held->upstream = message->u.claim.upstream;
    held->provider = sim->route_provider[held->seen.route];
    held->deadline_at = sim->now + message->u.claim.deadline_left_ms;
    arm(sim, held, SIM_LEASE_MS / 3);
    bool pending = held->seen.state == VG_GEN_PENDING;

    if (sim->replicas[held->replica].draining || sim_fault(sim, 2))
        simple(sim, held, VG_EV_PUT_OFF);
    else if (pending && !sim_provider_up(sim, held->provider))
        worker_away(sim, held, VG_EV_NOT_SENT);
    else if (!pending || !held_back(sim, held))
        simple(sim, held, VG_EV_CLAIMED);
}

void sim_replica_hurry(struct sim *sim, const struct sim_message *message)
{
    for (int i = 0; i < SIM_HELD; i++) {
        struct sim_held *held = &sim->held[i];

        if (!held->id || held->replica != message->replica || held->delivery)
            continue;
        if (held->gated) {
            held->gated = false;
            simple(sim, held, VG_EV_PUT_OFF);
        } else if (held->call) {
            struct sim_message cut = sim_held_message(sim, held, SIM_ANSWER);

            cut.call = held->call;
            cut.u.answer =
                (struct sim_answer){.kind = sim_provider_lost(held->step), .upstream = -1};
            sim_send(sim, 0, &cut);
        }
    }
}
