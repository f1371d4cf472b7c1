/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries in the database, as db/delivery_store.h has them. */
#include "common/err.h"
#include "tests/simcore/history.h"
#include "tests/simcore/store.h"

static void due_at(struct sim *sim, int32_t row, int64_t at)
{
    const struct sim_message due = {.kind = SIM_DELIVERY_DUE, .row = row};

    sim->store.deliveries[row].due_at = at;
    sim_send(sim, at > sim->now ? at - sim->now : 0, &due);
}

static void insert(struct sim *sim, int32_t video, int32_t target)
{
    int32_t row = sim->store.delivery_count++;

    VG_ASSERT(row < SIM_DELIVERIES);
    sim->store.deliveries[row] = (struct sim_delivery){
        .video = video,
        .target = target,
        .id = 1 + video * SIM_TARGETS + target,
        .state = VG_DELIVERY_PENDING,
    };
    due_at(sim, row, sim->now);
}

static bool stands(const struct sim *sim, int32_t video, int32_t target)
{
    for (int32_t i = 0; i < sim->store.delivery_count; i++) {
        const struct sim_delivery *d = &sim->store.deliveries[i];

        if (d->video == video && d->target == target)
            return true;
    }
    return false;
}

void sim_outbox_add(struct sim *sim, int32_t video)
{
    int32_t key = sim->store.videos[video].key;
    const bool wanted[SIM_TARGETS] = {sim->callback[key], sim->endpoint};

    if (sim->broken == SIM_BREAK_DROP_DELIVERY && sim_roll(sim, 8) == 0)
        return;
    for (int32_t target = 0; target < SIM_TARGETS; target++) {
        if (wanted[target] && !stands(sim, video, target))
            insert(sim, video, target);
    }
}

void sim_outbox_due(struct sim *sim, const struct sim_message *message)
{
    struct sim_delivery *d = &sim->store.deliveries[message->row];

    if (d->state != VG_DELIVERY_PENDING || d->due_at > sim->now)
        return;
    int replica = sim_store_claimer(sim, message);

    if (replica < 0)
        return;
    d->leased = true;
    d->lease_seq++;
    due_at(sim, message->row, sim->now + SIM_DELIVERY_LEASE_MS);
    const struct sim_message claimed = {
        .kind = SIM_DELIVERY_CLAIMED,
        .replica = (int8_t)replica,
        .epoch = sim->replicas[replica].epoch,
        .row = message->row,
        .call = d->body,
        .u.claim = {.sent_at = sim->now, .lease_seq = d->lease_seq, .attempts = d->attempts},
    };

    if (!sim_fault(sim, 6))
        sim_send(sim, sim_fault(sim, 6) ? sim_between(sim, 1000, 90000) : sim_between(sim, 1, 20),
                 &claimed);
}

void sim_outbox_body(struct sim *sim, const struct sim_message *message)
{
    struct sim_delivery *d = &sim->store.deliveries[message->row];

    if (sim_store_away(sim, message))
        return;
    bool held = d->lease_seq == message->u.record.lease_seq && d->state == VG_DELIVERY_PENDING;

    if (held && d->body == 0 && sim->broken != SIM_BREAK_NEW_BODY)
        d->body = message->call;
    sim_store_answer(sim, message, held && d->leased);
}

void sim_outbox_record(struct sim *sim, const struct sim_message *message)
{
    struct sim_delivery *d = &sim->store.deliveries[message->row];
    const struct sim_record *r = &message->u.record;

    if (sim_store_away(sim, message))
        return;
    if (d->lease_seq == r->lease_seq && d->state == VG_DELIVERY_PENDING && d->leased &&
        d->last_change != message->token) {
        d->state = r->state;
        d->leased = false;
        d->last_change = message->token;
        d->attempts += r->not_made ? 0 : 1;
        sim_tell(sim, "d%d: %s after attempt %d", message->row, vg_delivery_state_name(d->state),
                 d->attempts);
        if (d->state == VG_DELIVERY_PENDING)
            due_at(sim, message->row, sim->now + r->due_ms);
    }
    sim_store_answer(sim, message, d->last_change == message->token);
}
