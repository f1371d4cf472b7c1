/* SPDX-License-Identifier: Apache-2.0 */
/* Chance, the messages in flight by time, and the story. */
#include <stdarg.h>
#include <stdio.h>

#include "common/err.h"
#include "tests/simcore/sim.h"

uint32_t sim_roll(struct sim *sim, uint32_t n)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (uint32_t)(((sim->random >> 32) * n) >> 32);
}

double sim_unit(struct sim *sim)
{
    return sim_roll(sim, 1U << 20) / (double)(1U << 20);
}

int64_t sim_between(struct sim *sim, int64_t low, int64_t high)
{
    return low + sim_roll(sim, (uint32_t)(high - low + 1));
}

bool sim_fault(struct sim *sim, uint32_t per_mille)
{
    if (sim->chaos == 0 || sim->now >= sim->quiet_from)
        return false;
    return sim_roll(sim, 1000) < per_mille * (uint32_t)sim->chaos;
}

/* ---- heap ---------------------------------------------------------------------------------- */

void sim_queue_reset(struct sim *sim)
{
    sim->heap_count = sim->turns = 0;
    sim->unused_count = SIM_MESSAGES;
    for (uint32_t i = 0; i < SIM_MESSAGES; i++)
        sim->unused[i] = SIM_MESSAGES - 1 - i;
}

static bool before(const struct sim_slot *a, const struct sim_slot *b)
{
    return a->at < b->at || (a->at == b->at && a->turn < b->turn);
}

void sim_send(struct sim *sim, int64_t in_ms, const struct sim_message *message)
{
    VG_ASSERT(sim->unused_count > 0 && in_ms >= 0);
    struct sim_slot slot = {sim->now + in_ms, sim->turns++, sim->unused[--sim->unused_count]};
    uint32_t at = sim->heap_count++;

    sim->messages[slot.message] = *message;
    while (at > 0 && before(&slot, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = slot;
}

/* The last slot takes the place of the first. */
static void sink(struct sim *sim, struct sim_slot slot)
{
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &slot))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = slot;
}

bool sim_next(struct sim *sim, struct sim_message *out)
{
    if (sim->heap_count == 0)
        return false;
    struct sim_slot first = sim->heap[0];

    sim->heap_count--;
    if (sim->heap_count > 0)
        sink(sim, sim->heap[sim->heap_count]);
    sim->unused[sim->unused_count++] = first.message;
    *out = sim->messages[first.message];
    sim->now = first.at;
    return true;
}

/* ---- story --------------------------------------------------------------------------------- */

void sim_say(const struct sim *sim, const char *format, ...)
{
    va_list args;

    (void)printf("%10.3f s  ", (double)sim->now / 1000);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
}

void sim_violated(struct sim *sim, const char *invariant, const char *format, ...)
{
    va_list args;

    if (sim->failed)
        return;
    sim->failed = true;
    (void)snprintf(sim->invariant, sizeof(sim->invariant), "%s", invariant);
    va_start(args, format);
    (void)vsnprintf(sim->why, sizeof(sim->why), format, args);
    va_end(args);
    sim_tell(sim, "*** %s broken: %s", sim->invariant, sim->why);
}
