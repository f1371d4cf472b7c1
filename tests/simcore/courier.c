/* SPDX-License-Identifier: Apache-2.0 */
/* A replica's deliveries, as service/jobs/deliveries.c and delivery.c, and the receivers. */
#include "tests/simcore/courier.h"

#include "tests/simcore/history.h"
#include "tests/simcore/replica.h"
#include "tests/simcore/store.h"

enum {
    RECORD_RETRY_MS = 300,
    AWAY_WAIT_MS = 2000,
    ATTEMPT_MS = 30 * 1000,
    DAY_MS = 24 * 3600 * 1000
};
#define OUTCOME(x) VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_##x

/* ---- recording ----------------------------------------------------------------------------- */

static void record(struct sim *sim, struct sim_held *held)
{
    struct sim_message asked = sim_held_message(sim, held, SIM_RECORD);

    asked.token = held->token;
    asked.u.record = (struct sim_record){
        .lease_seq = held->lease_seq,
        .state = held->next.state,
        .due_ms = held->next.wait_ms,
        .not_made = held->not_made,
    };
    sim_store_ask(sim, &asked);
}

static void attempted(struct sim *sim, struct sim_held *held, Videogate__V1__DeliverOutcome outcome,
                      int64_t retry_after_ms)
{
    held->next = sim_delivery_next(sim->broken, &sim->schedule, held->attempts + 1, outcome,
                                   retry_after_ms, sim_unit(sim));
    held->token = sim_store_token(sim);
    record(sim, held);
}

static void not_attempted(struct sim *sim, struct sim_held *held, int64_t wait_ms)
{
    held->next = (struct vg_delivery_next){VG_DELIVERY_PENDING, wait_ms};
    held->not_made = true;
    held->token = sim_store_token(sim);
    record(sim, held);
}

void sim_courier_recorded(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    if (message->ok || sim->now - held->step_at > 2 * (int64_t)SIM_DELIVERY_LEASE_MS) {
        sim_held_free(held);
        return;
    }
    struct sim_message again = sim_held_message(sim, held, SIM_RECORD_AGAIN);

    sim_send(sim, RECORD_RETRY_MS, &again);
}

void sim_courier_record_again(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    if (sim_roll(sim, 2))
        held->token = sim_store_token(sim);
    record(sim, held);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void answer(struct sim *sim, const struct sim_message *message,
                   Videogate__V1__DeliverOutcome outcome, int64_t retry_after_ms, int64_t in_ms)
{
    struct sim_message back = *message;

    back.kind = SIM_DELIVER_ANSWER;
    back.u.delivered = (struct sim_delivered){.outcome = outcome, .retry_after_ms = retry_after_ms};
    sim_send(sim, in_ms, &back);
}

static void answer_lost(struct sim *sim, const struct sim_message *message, bool sender_away)
{
    bool trusting = sim->broken == SIM_BREAK_LOST_IS_DELIVERED;
    struct sim_message back = *message;

    back.kind = SIM_DELIVER_ANSWER;
    back.u.delivered = (struct sim_delivered){
        .outcome = trusting ? OUTCOME(DELIVERED) : OUTCOME(RETRY),
        .not_made = sender_away && !trusting,
    };
    sim_send(sim, sim_between(sim, 1, ATTEMPT_MS), &back);
}

static void send(struct sim *sim, struct sim_held *held)
{
    struct sim_message deliver = sim_held_message(sim, held, SIM_DELIVER);
    const struct sim_delivery *d = &sim->store.deliveries[held->row];

    if (sim->replicas[held->replica].draining) {
        not_attempted(sim, held, 0);
        return;
    }
    deliver.u.deliver.body = held->body;
    deliver.u.deliver.id =
        d->id + (sim->broken == SIM_BREAK_NEW_ID ? held->attempts * SIM_DELIVERIES : 0);
    sim_tell(sim, "d%d: r%d sends attempt %d", held->row, held->replica, held->attempts + 1);
    if (sim_fault(sim, 12)) /* the sender is away: it may or may not have gone out */
        answer_lost(sim, &deliver, sim_roll(sim, 2));
    else
        sim_send(sim, sim_between(sim, 1, 200), &deliver);
}

void sim_courier_claimed(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_take(sim, message);

    if (!held)
        return;
    held->delivery = true;
    held->attempts = message->u.claim.attempts;
    held->body = message->call;
    if (held->body) {
        send(sim, held);
        return;
    }
    struct sim_message asked = sim_held_message(sim, held, SIM_BODY);

    held->body = asked.call = ++sim->bodies;
    asked.u.record.lease_seq = held->lease_seq;
    sim_store_ask(sim, &asked);
}

void sim_courier_body_stored(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);

    if (!held)
        return;
    if (message->ok && message->applied)
        send(sim, held);
    else
        sim_held_free(held); /* nothing was sent; again when the lease has run out */
}

void sim_courier_answer(struct sim *sim, const struct sim_message *message)
{
    struct sim_held *held = sim_held_of(sim, message);
    const struct sim_delivered *a = &message->u.delivered;

    if (!held)
        return;
    if (a->not_made)
        not_attempted(sim, held, AWAY_WAIT_MS);
    else
        attempted(sim, held, a->outcome, a->retry_after_ms);
}

/* ---- receivers ----------------------------------------------------------------------------- */

static Videogate__V1__DeliverOutcome outcome_of(struct sim *sim, int32_t target)
{
    switch (sim->receiver[target]) {
    case SIM_HEALTHY:
        return sim_fault(sim, 20) ? OUTCOME(RETRY) : OUTCOME(DELIVERED);
    case SIM_RECOVERS:
        return sim->now < sim->recovers_at[target] ? OUTCOME(RETRY) : OUTCOME(DELIVERED);
    case SIM_GONE:
        return OUTCOME(GONE);
    case SIM_REFUSED:
        return OUTCOME(REFUSED);
    default:
        return OUTCOME(RETRY);
    }
}

void sim_receiver_deliver(struct sim *sim, const struct sim_message *message)
{
    int32_t target = sim->store.deliveries[message->row].target;
    Videogate__V1__DeliverOutcome outcome = outcome_of(sim, target);

    if (outcome != OUTCOME(REFUSED))
        sim_saw_callback(sim, message->row, message->u.deliver.id, message->u.deliver.body,
                         outcome == OUTCOME(DELIVERED));
    if (sim_fault(sim, 12)) {
        answer_lost(sim, message, false);
        return;
    }
    int64_t wish = outcome == OUTCOME(RETRY) && sim_roll(sim, 8) == 0
                       ? sim_between(sim, 0, 2 * (int64_t)DAY_MS)
                       : 0;

    answer(sim, message, outcome, wish, sim_between(sim, 1, sim_fault(sim, 10) ? ATTEMPT_MS : 300));
}
