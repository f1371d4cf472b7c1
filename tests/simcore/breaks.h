/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds that are broken on purpose: each has one decision or one guard taken away. The checker
 * must find every one of them, or it proves nothing. */
#ifndef VG_TESTS_SIMCORE_BREAKS_H
#define VG_TESTS_SIMCORE_BREAKS_H

#include "service/jobs/delivery_schedule.h"
#include "service/jobs/generation_fsm.h"

enum sim_break {
    SIM_BREAK_NONE,
    SIM_BREAK_ANSWER_FIRST,
    SIM_BREAK_BLIND_RESUBMIT,
    SIM_BREAK_CANCEL_ENDED,
    SIM_BREAK_CHARGE_TWICE,
    SIM_BREAK_DARE,
    SIM_BREAK_DROP_DELIVERY,
    SIM_BREAK_FORGET_HELD,
    SIM_BREAK_GIVE_UP,
    SIM_BREAK_IGNORE_BREAKER,
    SIM_BREAK_IGNORE_CANCEL,
    SIM_BREAK_IGNORE_KEY,
    SIM_BREAK_IGNORE_LEASE,
    SIM_BREAK_KEEP_PROBE,
    SIM_BREAK_KEEP_RESERVE,
    SIM_BREAK_LOST_IS_DELIVERED,
    SIM_BREAK_NEW_BODY,
    SIM_BREAK_NEW_ID,
    SIM_BREAK_NEW_TOKEN,
    SIM_BREAK_NO_DEADLINE,
    SIM_BREAK_NO_RESCUE,
    SIM_BREAK_RESCUE_RESUBMITS,
    SIM_BREAK_SETTLE_AT_COMMIT,
    SIM_BREAK_SETTLE_AT_FIRST,
    SIM_BREAK_SETTLE_TWICE,
    SIM_BREAK_SLOW_RESCUE,
    SIM_BREAK_STALE_GATE,
    SIM_BREAK_STALE_SUBMIT,
    SIM_BREAK_STORE_UNFETCHED,
    SIM_BREAK_MAX
};

struct sim_break_info {
    const char *name, *invariant, *what;
};
const struct sim_break_info *sim_break_info(enum sim_break broken);
/* SIM_BREAK_MAX: there is none of that name. */
enum sim_break sim_break_named(const char *name);

/* The decisions of the job machine, altered where the variant says so. */
void sim_decide(enum sim_break broken, const struct vg_fsm_row *row,
                const struct vg_fsm_event *event, const struct vg_fsm_policy *policy,
                struct vg_fsm_decision *out);
struct vg_delivery_next sim_delivery_next(enum sim_break broken,
                                          const struct vg_delivery_schedule *schedule,
                                          int32_t attempts, Videogate__V1__DeliverOutcome outcome,
                                          int64_t retry_after_ms, double jitter);

#endif
