/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which the connections of one loop work: who asks little comes first, and a flood,
 * whatever it is made of, shares half a millisecond of each turn.
 *
 *  light   served at once, in the order of arrival
 *  heavy   in line for what is left of the turn: new connections until they speak a protocol, who
 *          took more than a fiftieth of a core of late, who had more to do than a slice allows
 *
 * One loop thread. */
#ifndef VG_BRIDGE_NET_TURN_H
#define VG_BRIDGE_NET_TURN_H

#include <stdbool.h>
#include <stdint.h>

/* How long one connection works in one go. */
#define VG_TURN_SLICE_NS INT64_C(200000)

/* Lives in the connection; zeroed at first. */
struct vg_turn_entry {
    struct vg_turn_entry *next;
    bool queued;
    int64_t debt_ns; /* worked more than its share, as of at_ns */
    int64_t at_ns;
};

struct vg_turn_line {
    struct vg_turn_entry *first, **last;
};

struct vg_turn {
    struct vg_turn_line light, heavy;
    int64_t end_ns; /* of the heavy ones' time in this turn; 0: it has not begun */
};

void vg_turn_init(struct vg_turn *turn);
/* Nothing if it is in line already. `light`: may come first if it owes nothing. */
void vg_turn_add(struct vg_turn *turn, struct vg_turn_entry *entry, bool light, int64_t now_ns);
void vg_turn_begin(struct vg_turn *turn);
/* Takes the next of this turn out of line; NULL: the turn is over. */
struct vg_turn_entry *vg_turn_next(struct vg_turn *turn, int64_t now_ns);
/* It worked so long, up to now; counts as a slice at most. */
void vg_turn_charge(struct vg_turn_entry *entry, int64_t now_ns, int64_t spent_ns);
/* Whether somebody waits for another turn. */
bool vg_turn_waits(const struct vg_turn *turn);
/* Lets all go. */
void vg_turn_drop(struct vg_turn *turn);

#endif
