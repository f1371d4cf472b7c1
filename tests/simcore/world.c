/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/world.h"

#include <stddef.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "tests/simcore/courier.h"
#include "tests/simcore/history.h"
#include "tests/simcore/provider.h"
#include "tests/simcore/replica.h"
#include "tests/simcore/store.h"

enum {
    BEGIN_MS = 1000,
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    HURRY_MS = 10 * 1000,
    GONE_MS = 13 * 1000,
    MOST_MESSAGES = 100000
};

/* ---- fate of replicas and the database ----------------------------------------------------- */

static void stop_replica(struct sim *sim, int8_t r)
{
    struct sim_replica *replica = &sim->replicas[r];
    const struct sim_message start = {.kind = SIM_START, .replica = r};

    replica->up = false;
    replica->epoch++;
    replica->stalled_until = 0;
    for (int i = 0; i < SIM_HELD; i++) {
        if (sim->held[i].id && sim->held[i].replica == r)
            sim_held_free(&sim->held[i]);
    }
    sim_send(sim, sim_between(sim, 500, sim_roll(sim, 4) ? 5000 : 60000), &start);
}

static void crash(struct sim *sim, const struct sim_message *message)
{
    const struct sim_replica *replica = &sim->replicas[message->replica];

    if (!replica->up || (message->epoch && message->epoch != replica->epoch))
        return;
    sim_tell(sim, "r%d dies", message->replica);
    sim->figures->crashes++;
    stop_replica(sim, message->replica);
}

static void start(struct sim *sim, const struct sim_message *message)
{
    struct sim_replica *replica = &sim->replicas[message->replica];

    *replica = (struct sim_replica){.up = true, .epoch = replica->epoch};
    sim_tell(sim, "r%d starts", message->replica);
}

static void stall(struct sim *sim, const struct sim_message *message)
{
    struct sim_replica *replica = &sim->replicas[message->replica];

    if (!replica->up || replica->stalled_until > sim->now)
        return;
    replica->stalled_until = sim->now + message->ms;
    sim->figures->stalls++;
    sim_tell(sim, "r%d is stopped for %.1f s", message->replica, (double)message->ms / 1000);
}

static void drain(struct sim *sim, const struct sim_message *message)
{
    struct sim_replica *replica = &sim->replicas[message->replica];
    struct sim_message later = {.replica = message->replica, .epoch = replica->epoch};

    if (!replica->up || replica->draining)
        return;
    replica->draining = true;
    sim_tell(sim, "r%d leaves", message->replica);
    later.kind = SIM_HURRY;
    sim_send(sim, HURRY_MS, &later);
    later.kind = SIM_CRASH;
    sim_send(sim, GONE_MS, &later);
}

static void store_down(struct sim *sim, const struct sim_message *message)
{
    sim->store.down_until = sim->now + message->ms;
    sim_tell(sim, "the database is away for %.1f s", (double)message->ms / 1000);
}

/* The caller hears of its request, or asks again with the same key. */
static void created(struct sim *sim, const struct sim_message *message)
{
    const struct sim_message again = {.kind = SIM_CREATE, .replica = -1, .row = message->row};

    if (message->ok)
        sim_saw_answer(sim, message->row, (int32_t)message->ms);
    if (!message->ok || sim_fault(sim, 60))
        sim_send(sim, sim_between(sim, 100, 5000), &again);
}

static void create(struct sim *sim, const struct sim_message *message)
{
    /* the way there is as unsure as that of any statement */
    if (message->epoch == 0) {
        struct sim_message asked = *message;
        asked.epoch = 1;
        sim_store_ask(sim, &asked);
    } else {
        sim_store_create(sim, message);
    }
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static const struct {
    void (*run)(struct sim *sim, const struct sim_message *message);
    bool to_replica; /* gone with its process; waits while that is stopped */
} kinds[SIM_KIND_MAX] = {
    [SIM_CREATE] = {create, false},
    [SIM_CANCEL] = {sim_store_cancel, false},
    [SIM_DUE] = {sim_store_due, false},
    [SIM_CHANGE] = {sim_store_change, false},
    [SIM_RENEW] = {sim_store_renew, false},
    [SIM_DELIVERY_DUE] = {sim_outbox_due, false},
    [SIM_BODY] = {sim_outbox_body, false},
    [SIM_RECORD] = {sim_outbox_record, false},
    [SIM_CLAIMED] = {sim_replica_claimed, true},
    [SIM_CHANGED] = {sim_replica_changed, true},
    [SIM_RENEWED] = {sim_replica_renewed, true},
    [SIM_STEP] = {sim_replica_step, true},
    [SIM_BEAT] = {sim_replica_beat, true},
    [SIM_ANSWER] = {sim_replica_answer, true},
    [SIM_CHANGE_AGAIN] = {sim_replica_change_again, true},
    [SIM_DELIVERY_CLAIMED] = {sim_courier_claimed, true},
    [SIM_BODY_STORED] = {sim_courier_body_stored, true},
    [SIM_DELIVER_ANSWER] = {sim_courier_answer, true},
    [SIM_RECORDED] = {sim_courier_recorded, true},
    [SIM_RECORD_AGAIN] = {sim_courier_record_again, true},
    [SIM_REQUEST] = {sim_provider_request, false},
    [SIM_DELIVER] = {sim_receiver_deliver, false},
    [SIM_CREATED] = {created, false},
    [SIM_CRASH] = {crash, false}, /* epoch 0: whichever life it is */
    [SIM_START] = {start, false},
    [SIM_STALL] = {stall, false},
    [SIM_DRAIN] = {drain, false},
    [SIM_HURRY] = {sim_replica_hurry, true},
    [SIM_WORKER_DOWN] = {sim_provider_down, false},
    [SIM_STORE_DOWN] = {store_down, false},
};

static void dispatch(struct sim *sim, const struct sim_message *message)
{
    if (kinds[message->kind].to_replica) {
        const struct sim_replica *replica = &sim->replicas[message->replica];

        if (message->epoch != replica->epoch || !replica->up)
            return;
        if (replica->stalled_until > sim->now) {
            sim_send(sim, replica->stalled_until - sim->now, message);
            return;
        }
    }
    kinds[message->kind].run(sim, message);
}

/* ---- the seed's choices -------------------------------------------------------------------- */

static void choose_providers(struct sim *sim)
{
    static const char *const names[SIM_PROVIDERS] = {"p0", "p1", "p2"};
    /* alone: requests may come very late, and only the token protects from paying twice */
    bool alone = sim_roll(sim, 6) == 0;

    sim->provider_count = sim->route_count =
        alone ? 1 : (int32_t)sim_between(sim, 1, SIM_PROVIDERS);
    sim->gates = sim_roll(sim, 4) == 0;
    for (int i = 0; i < sim->provider_count; i++) {
        sim->providers[i] = (struct sim_provider){
            .memory = alone ? SIM_BY_TOKEN : (enum sim_memory)sim_roll(sim, 3),
            .supports_cancel = sim_roll(sim, 2),
            .settles = !alone,
            .mute = !alone && sim_roll(sim, 16) == 0,
        };
        sim->route_provider[i] = i;
        sim->routes[i] = (struct vg_fsm_route){
            .provider = names[i], .max_attempts = (int32_t)sim_between(sim, 1, alone ? 8 : 3)};
    }
}

static void choose_receivers(struct sim *sim)
{
    static const char *const schedules[] = {VG_DELIVERY_DEFAULT_SCHEDULE, "0s,5s,5m,30m,2h",
                                            "0s,1s,10s"};
    static const enum sim_receiver receivers[] = {SIM_HEALTHY, SIM_HEALTHY,  SIM_HEALTHY,
                                                  SIM_HEALTHY, SIM_RECOVERS, SIM_RECOVERS,
                                                  SIM_DEAD,    SIM_GONE,     SIM_REFUSED};
    struct vg_err err;
    int failed = vg_delivery_schedule_parse(&sim->schedule,
                                            schedules[sim_roll(sim, VG_COUNT(schedules))], &err);

    VG_ASSERT(failed == 0);
    sim->endpoint = sim_roll(sim, 4) == 0;
    for (int i = 0; i < SIM_TARGETS; i++) {
        sim->receiver[i] = receivers[sim_roll(sim, VG_COUNT(receivers))];
        sim->recovers_at[i] =
            sim->now + sim_between(sim, 0, sim_roll(sim, 2) ? HOUR_MS : INT64_C(48) * HOUR_MS);
    }
}

static void choose_calls(struct sim *sim)
{
    sim->video_count = (int32_t)sim_between(sim, 1, sim_roll(sim, 4) ? 2 : SIM_VIDEOS);
    for (int32_t i = 0; i < sim->video_count; i++) {
        const struct sim_message ask = {.kind = SIM_CREATE, .replica = -1, .row = i};
        const struct sim_message stop = {.kind = SIM_CANCEL, .replica = -1, .row = i};
        int64_t at = sim_between(sim, 0, 5L * MINUTE_MS);

        sim->outputs[i] = sim_roll(sim, 3) ? 1 : SIM_OUTPUTS;
        sim->callback[i] = sim_roll(sim, 4) != 0;
        sim->history.answered[i] = -1;
        sim_send(sim, at, &ask);
        if (sim_roll(sim, 4) == 0)
            sim_send(sim, at + sim_between(sim, 0, sim_roll(sim, 2) ? MINUTE_MS : 20L * MINUTE_MS),
                     &stop);
    }
}

static void choose_faults(struct sim *sim)
{
    static const struct {
        enum sim_kind kind;
        uint32_t most;
        int64_t longest_ms;
    } faults[] = {
        {SIM_CRASH, 3, 1},
        {SIM_STALL, 3, INT64_C(120000)},
        {SIM_DRAIN, 1, 1},
        {SIM_WORKER_DOWN, 2, INT64_C(90000)},
        {SIM_WORKER_DOWN, 1, INT64_C(1500000)},
        {SIM_STORE_DOWN, 2, INT64_C(20000)},
    };

    for (size_t i = 0; i < VG_COUNT(faults) && sim->chaos > 0; i++) {
        uint32_t count = sim_roll(sim, faults[i].most * (uint32_t)sim->chaos + 1);

        for (uint32_t n = 0; n < count; n++) {
            struct sim_message m = {.kind = faults[i].kind,
                                    .ms = sim_between(sim, 1, faults[i].longest_ms)};

            m.replica = (int8_t)sim_roll(sim, (uint32_t)sim->replica_count);
            m.row = (int32_t)sim_roll(sim, (uint32_t)sim->provider_count);
            sim_send(sim, sim_between(sim, 0, sim->quiet_from - sim->now), &m);
        }
    }
}

static void begin(struct sim *sim, uint64_t seed, enum sim_break broken, bool tell,
                  struct sim_figures *figures)
{
    memset(sim, 0, offsetof(struct sim, heap));
    sim_queue_reset(sim);
    sim->seed = seed;
    /* splitmix64: neighbours have nothing in common */
    uint64_t z = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    sim->random = (z ^ (z >> 31)) | 1;
    sim->broken = broken;
    sim->tell = tell;
    sim->figures = figures;
    sim->now = BEGIN_MS;
    sim->quiet_from = sim->now + sim_between(sim, 5L * MINUTE_MS, 30L * MINUTE_MS);
    sim->chaos = sim_roll(sim, 8) ? (int32_t)sim_between(sim, 1, 3) : 0;
    sim->replica_count = (int32_t)sim_between(sim, 1, SIM_REPLICAS);
    sim->policy = vg_fsm_policy_default();
    sim->policy.max_poll_errors = (int32_t)sim_between(sim, 2, 5);
    if (sim_roll(sim, 2))
        sim->policy.grace_ms = 10000; /* outages last longer */
    sim->breaker =
        (struct vg_breaker_policy){.failures = (int32_t)sim_between(sim, 1, 3), .wait_ms = 15000};
    for (int i = 0; i < sim->replica_count; i++)
        sim->replicas[i] = (struct sim_replica){.up = true, .epoch = 1};
}

void sim_world_run(struct sim *sim, uint64_t seed, enum sim_break broken, bool tell,
                   struct sim_figures *figures)
{
    struct sim_message message;
    int64_t count = 0;

    begin(sim, seed, broken, tell, figures);
    choose_providers(sim);
    choose_receivers(sim);
    choose_calls(sim);
    choose_faults(sim);
    while (!sim->failed && sim_next(sim, &message)) {
        dispatch(sim, &message);
        if (++count > MOST_MESSAGES)
            sim_violated(sim, "I1", "it does not end");
    }
    if (!sim->failed)
        sim_saw_end(sim);
    figures->seeds++;
    figures->messages += count;
}
