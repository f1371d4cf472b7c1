/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/net/turn.h"

#include <stddef.h>

#define HEAVY_NS INT64_C(500000) /* of each turn, for all the heavy together */
#define SHARE 50                 /* a fiftieth of a core is nobody's flood */
#define DEBT_NS INT64_C(1000000) /* above the share at once, until one counts as heavy */
#define DEBT_MAX_NS INT64_C(20000000)

static void line_init(struct vg_turn_line *line)
{
    line->first = NULL;
    line->last = &line->first;
}

static struct vg_turn_entry *line_take(struct vg_turn_line *line)
{
    struct vg_turn_entry *entry = line->first;

    if (!entry)
        return NULL;
    line->first = entry->next;
    if (!line->first)
        line->last = &line->first;
    entry->queued = false;
    return entry;
}

void vg_turn_init(struct vg_turn *turn)
{
    line_init(&turn->light);
    line_init(&turn->heavy);
    turn->end_ns = 0;
}

static int64_t debt_at(const struct vg_turn_entry *entry, int64_t now_ns)
{
    int64_t paid = (now_ns - entry->at_ns) / SHARE;

    return entry->debt_ns > paid ? entry->debt_ns - paid : 0;
}

void vg_turn_add(struct vg_turn *turn, struct vg_turn_entry *entry, bool light, int64_t now_ns)
{
    if (entry->queued)
        return;
    struct vg_turn_line *line =
        light && debt_at(entry, now_ns) < DEBT_NS ? &turn->light : &turn->heavy;

    entry->queued = true;
    entry->next = NULL;
    *line->last = entry;
    line->last = &entry->next;
}

void vg_turn_begin(struct vg_turn *turn)
{
    turn->end_ns = 0;
}

struct vg_turn_entry *vg_turn_next(struct vg_turn *turn, int64_t now_ns)
{
    if (turn->light.first)
        return line_take(&turn->light);
    if (turn->end_ns == 0)
        turn->end_ns = now_ns + HEAVY_NS;
    return now_ns < turn->end_ns ? line_take(&turn->heavy) : NULL;
}

void vg_turn_charge(struct vg_turn_entry *entry, int64_t now_ns, int64_t spent_ns)
{
    /* Beyond a slice the processor was with another program, more likely than not. */
    int64_t worked = spent_ns < VG_TURN_SLICE_NS ? spent_ns : VG_TURN_SLICE_NS;
    int64_t debt = debt_at(entry, now_ns) + worked;

    entry->debt_ns = debt < DEBT_MAX_NS ? debt : DEBT_MAX_NS;
    entry->at_ns = now_ns;
}

bool vg_turn_waits(const struct vg_turn *turn)
{
    return turn->light.first || turn->heavy.first;
}

void vg_turn_drop(struct vg_turn *turn)
{
    while (line_take(&turn->light) || line_take(&turn->heavy))
        continue;
}
