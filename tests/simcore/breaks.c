/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/breaks.h"

#include <string.h>

#include "common/err.h"

static const struct sim_break_info infos[SIM_BREAK_MAX] = {
    [SIM_BREAK_NONE] = {"none", "", "nothing is broken"},
    [SIM_BREAK_ANSWER_FIRST] = {"answer-first", "I1", "a create is answered before its COMMIT"},
    [SIM_BREAK_BLIND_RESUBMIT] = {"blind-resubmit", "I3", "a lost answer counts as absent"},
    [SIM_BREAK_CANCEL_ENDED] = {"cancel-ended", "I2", "a cancel overwrites an ended generation"},
    [SIM_BREAK_CHARGE_TWICE] = {"charge-twice", "I3", "`charged` is not looked at"},
    [SIM_BREAK_DARE] = {"dare", "I3", "what nobody can tell is submitted again"},
    [SIM_BREAK_DROP_DELIVERY] = {"drop-delivery", "I4",
                                 "the end of a video now and then writes no delivery"},
    [SIM_BREAK_FORGET_HELD] = {"forget-held", "I9", "a job that lost its lease stays in memory"},
    [SIM_BREAK_GIVE_UP] = {"give-up", "I4", "a delivery is given up at its first failure"},
    [SIM_BREAK_IGNORE_BREAKER] = {"ignore-breaker", "B", "the breaker is not asked"},
    [SIM_BREAK_IGNORE_CANCEL] = {"ignore-cancel", "C", "a cancel is not looked at"},
    [SIM_BREAK_IGNORE_KEY] = {"ignore-key", "I5", "an idempotency key is not looked up"},
    [SIM_BREAK_IGNORE_LEASE] = {"ignore-lease", "I7", "a change does not compare lease_seq"},
    [SIM_BREAK_KEEP_PROBE] = {"keep-probe", "I9", "the probe of a breaker is never withdrawn"},
    [SIM_BREAK_KEEP_RESERVE] = {"keep-reserve", "I6",
                                "what was reserved for a canceled video stays"},
    [SIM_BREAK_LOST_IS_DELIVERED] = {"lost-is-delivered", "I4",
                                     "a callback without an answer counts as delivered"},
    [SIM_BREAK_NEW_BODY] = {"new-body", "I4", "a callback's body is built for each attempt"},
    [SIM_BREAK_NEW_ID] = {"new-id", "I4", "a callback has another id for each attempt"},
    [SIM_BREAK_NEW_TOKEN] = {"new-token", "I3", "after `absent` the token is not used again"},
    [SIM_BREAK_NO_DEADLINE] = {"no-deadline", "I8", "deadlines are not looked at"},
    [SIM_BREAK_NO_RESCUE] = {"no-rescue", "I1", "an expired lease is not claimed"},
    [SIM_BREAK_RESCUE_RESUBMITS] = {"rescue-resubmits", "I3",
                                    "a rescued submission is made again without a Lookup"},
    [SIM_BREAK_SETTLE_AT_COMMIT] = {"settle-at-commit", "I3",
                                    "a provider's silence counts from the last commit of "
                                    "`submitting`, not from the request"},
    [SIM_BREAK_SETTLE_AT_FIRST] = {"settle-at-first", "I3",
                                   "a provider's silence counts from a token's first use"},
    [SIM_BREAK_SETTLE_TWICE] = {"settle-twice", "I6", "a video that ended is settled again"},
    [SIM_BREAK_SLOW_RESCUE] = {"slow-rescue", "I8", "leases last ten times as long as they should"},
    [SIM_BREAK_STALE_GATE] = {"stale-gate", "I3",
                              "nobody looks at the clock again after the wait for a place"},
    [SIM_BREAK_STALE_SUBMIT] = {"stale-submit", "I3",
                                "nobody looks at the clock before a submission"},
    [SIM_BREAK_STORE_UNFETCHED] = {"store-unfetched", "I1", "a broken fetch counts as stored"},
};

const struct sim_break_info *sim_break_info(enum sim_break broken)
{
    VG_ASSERT(broken < SIM_BREAK_MAX);
    return &infos[broken];
}

enum sim_break sim_break_named(const char *name)
{
    int i = 0;

    while (i < SIM_BREAK_MAX && strcmp(infos[i].name, name) != 0)
        i++;
    return (enum sim_break)i;
}

/* ---- decisions ----------------------------------------------------------------------------- */

static void alter_question(enum sim_break broken, struct vg_fsm_row *row,
                           struct vg_fsm_event *event, struct vg_fsm_policy *policy)
{
    bool submitting = row->state == VG_GEN_SUBMITTING;
    bool lost =
        event->kind == VG_EV_LOST || (event->kind == VG_EV_ERROR && event->error.maybe_submitted);

    if (broken == SIM_BREAK_BLIND_RESUBMIT && submitting && lost)
        event->kind = VG_EV_ABSENT;
    else if (broken == SIM_BREAK_CHARGE_TWICE)
        event->error.charged = false;
    else if (broken == SIM_BREAK_DARE)
        policy->retry_unknown_submit = true;
    else if (broken == SIM_BREAK_IGNORE_CANCEL)
        row->cancel_requested = false;
    else if (broken == SIM_BREAK_NO_DEADLINE)
        row->deadline_left_ms = INT64_C(3600000);
    else if (broken == SIM_BREAK_RESCUE_RESUBMITS && submitting && event->kind == VG_EV_CLAIMED)
        event->kind = VG_EV_NOT_SENT;
    else if (broken == SIM_BREAK_STORE_UNFETCHED && event->kind == VG_EV_BAD_BODY)
        event->kind = VG_EV_STORED;
}

void sim_decide(enum sim_break broken, const struct vg_fsm_row *row,
                const struct vg_fsm_event *event, const struct vg_fsm_policy *policy,
                struct vg_fsm_decision *out)
{
    if (broken == SIM_BREAK_NONE) {
        vg_fsm_decide(row, event, policy, out);
        return;
    }
    struct vg_fsm_row altered_row = *row;
    struct vg_fsm_event altered = *event;
    struct vg_fsm_policy altered_policy = *policy;

    alter_question(broken, &altered_row, &altered, &altered_policy);
    vg_fsm_decide(&altered_row, &altered, &altered_policy, out);
    if (broken == SIM_BREAK_NEW_TOKEN && event->kind == VG_EV_ABSENT)
        out->attempts = row->attempts;
}

struct vg_delivery_next sim_delivery_next(enum sim_break broken,
                                          const struct vg_delivery_schedule *schedule,
                                          int32_t attempts, Videogate__V1__DeliverOutcome outcome,
                                          int64_t retry_after_ms, double jitter)
{
    struct vg_delivery_next next =
        vg_delivery_next(schedule, attempts, outcome, retry_after_ms, jitter);

    if (broken == SIM_BREAK_GIVE_UP && next.state == VG_DELIVERY_PENDING)
        next.state = VG_DELIVERY_FAILED;
    return next;
}
