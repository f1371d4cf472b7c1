/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/generation_fsm.h"

#include "common/mem.h"
#include "service/jobs/error_class.h"
#include "service/jobs/generation_turn.h"

typedef void turn_f(const struct vg_turn *t);

static const char *const event_names[VG_EV_MAX] = {
    [VG_EV_CLAIMED] = "claimed",
    [VG_EV_PUT_OFF] = "put_off",
    [VG_EV_NOT_SENT] = "not_sent",
    [VG_EV_LOST] = "answer_lost",
    [VG_EV_ACCEPTED] = "accepted",
    [VG_EV_RUNNING] = "running",
    [VG_EV_FINISHED] = "finished",
    [VG_EV_ERROR] = "provider_error",
    [VG_EV_UP_CANCELED] = "canceled_upstream",
    [VG_EV_UP_EXPIRED] = "expired_upstream",
    [VG_EV_ABSENT] = "absent",
    [VG_EV_NO_LOOKUP] = "lookup_unsupported",
    [VG_EV_LOOKUP_RETRY] = "lookup_retry",
    [VG_EV_CANCEL_DONE] = "cancel_answered",
    [VG_EV_CANCEL_LOST] = "cancel_lost",
    [VG_EV_STORED] = "stored",
    [VG_EV_BAD_BODY] = "bad_body",
    [VG_EV_STORE_FAILED] = "store_failed",
};

static const char *const step_names[VG_STEP_MAX] = {
    [VG_STEP_END] = "end",   [VG_STEP_SUBMIT] = "submit", [VG_STEP_LOOKUP] = "lookup",
    [VG_STEP_POLL] = "poll", [VG_STEP_FETCH] = "fetch",   [VG_STEP_CANCEL] = "cancel",
};

const char *vg_fsm_event_name(enum vg_fsm_event_kind kind)
{
    return kind < VG_EV_MAX ? event_names[kind] : "?";
}

const char *vg_step_name(enum vg_step step)
{
    return step < VG_STEP_MAX ? step_names[step] : "?";
}

struct vg_fsm_policy vg_fsm_policy_default(void)
{
    return (struct vg_fsm_policy){
        .retry_base_ms = 2000,
        .retry_max_ms = 60000,
        .poll_retry_base_ms = 10000,
        .poll_retry_max_ms = 300000,
        .poll_default_ms = 5000,
        .poll_min_ms = 50,
        .poll_max_ms = 60000,
        .grace_ms = 600000,
        .away_fallback_ms = 15000,
        .max_fetch_attempts = 5,
        .max_lost_fetches = 12,
        .max_poll_errors = 5,
    };
}

/* ---- provider errors ----------------------------------------------------------------------- */

static const struct vg_error_class *class_of(const struct vg_turn *t)
{
    return vg_error_class(t->event->error.class);
}

static void fail_by_class(const struct vg_turn *t)
{
    const struct vg_error_class *class = class_of(t);
    const char *said = t->event->error.public_message;
    vg_turn_finish(t, VG_GEN_FAILED, class->code, said && said[0] ? said : class->message);
}

static bool may_move(const struct vg_turn *t)
{
    return t->event->error.fallback_ok && vg_turn_has_next_route(t);
}

static bool again_here(const struct vg_turn *t)
{
    if (!t->event->error.retryable || (class_of(t)->better_elsewhere && may_move(t))) {
        return false;
    }
    return vg_turn_budget_left(t) || (class_of(t)->throttled && !may_move(t));
}

/* The upstream job does not exist: again here, elsewhere, or the end. */
static void not_submitted(const struct vg_turn *t)
{
    bool over = class_of(t)->final || t->event->error.charged;
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (!over && vg_turn_late(t)) {
        vg_turn_time_out(t);
    } else if (!over && again_here(t)) {
        vg_turn_try_again(t, t->row->route_attempts);
    } else if (!over && may_move(t)) {
        vg_turn_try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

/* ---- any state ----------------------------------------------------------------------------- */

/* Nothing learned: the row goes back as it was. */
static void put_off(const struct vg_turn *t)
{
    vg_turn_release(t, t->row->state, t->event->wait_ms);
}

/* An answer that does not belong to the state (a confused worker): look again later. */
static void out_of_place(const struct vg_turn *t)
{
    if (vg_turn_too_late(t)) {
        vg_turn_time_out(t);
        return;
    }
    vg_turn_release(t, t->row->state, vg_turn_retry_wait(t, 3));
}

/* ---- pending ------------------------------------------------------------------------------- */

static bool pending_ends(const struct vg_turn *t)
{
    if (vg_turn_called_off(t)) {
        return true;
    }
    if (t->row->route < 0 || (size_t)t->row->route >= t->row->route_count) {
        vg_turn_finish(t, VG_GEN_FAILED, "provider_error", "No provider can make this video.");
        return true;
    }
    return false;
}

static void pending_claimed(const struct vg_turn *t)
{
    if (pending_ends(t)) {
        return;
    }
    t->out->attempts = t->row->attempts + 1;
    t->out->route_attempts = t->row->route_attempts + 1;
    t->out->poll_errors = 0;
    vg_turn_go_on(t, VG_GEN_SUBMITTING, VG_STEP_SUBMIT);
}

static void pending_worker_away(const struct vg_turn *t)
{
    if (pending_ends(t)) {
        return;
    }
    bool gone = t->event->held_back || t->event->away_ms >= t->policy->away_fallback_ms;
    if (gone && t->event->next_ready && vg_turn_has_next_route(t)) {
        vg_turn_try_next_route(t);
        return;
    }
    vg_turn_release(t, VG_GEN_PENDING,
                    t->event->held_back ? vg_turn_spread(t, t->event->wait_ms)
                                        : vg_turn_retry_wait(t, 2));
}

static void pending_put_off(const struct vg_turn *t)
{
    if (!pending_ends(t)) {
        put_off(t);
    }
}

/* ---- submitting ---------------------------------------------------------------------------- */

/* We do not know whether the call was made: ask before anything else, also when canceled or late.
 */
static void submitting_look_up(const struct vg_turn *t)
{
    vg_turn_only_do(t, VG_STEP_LOOKUP);
}

static void submitting_accepted(const struct vg_turn *t)
{
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    vg_turn_release(t, VG_GEN_RUNNING, vg_turn_poll_wait(t));
}

static void start_fetch(const struct vg_turn *t)
{
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    t->out->progress = 99;
    vg_turn_go_on(t, VG_GEN_FETCHING, VG_STEP_FETCH);
}

static void submitting_error(const struct vg_turn *t)
{
    if (t->event->error.maybe_submitted) {
        submitting_look_up(t);
    } else {
        not_submitted(t);
    }
}

static int32_t less_one(int32_t n)
{
    return n > 0 ? n - 1 : 0;
}

/* Neither token nor budget was used. */
static void submitting_not_sent(const struct vg_turn *t)
{
    t->out->attempts = less_one(t->row->attempts);
    t->out->route_attempts = less_one(t->row->route_attempts);
    if (!vg_turn_called_off(t)) {
        vg_turn_try_again(t, 2);
    }
}

/* The same token is used again, so that a request still on its way counts once; the budget is used
 * up, so that a submission that kills its worker does not go on for ever. */
static void submitting_absent(const struct vg_turn *t)
{
    t->out->attempts = less_one(t->row->attempts);
    if (vg_turn_called_off(t)) {
        return;
    }
    if (vg_turn_budget_left(t)) {
        vg_turn_try_again(t, 1);
    } else if (vg_turn_has_next_route(t)) {
        t->out->attempts = t->row->attempts;
        vg_turn_try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

static void give_up_unknown(const struct vg_turn *t)
{
    vg_turn_finish(t, VG_GEN_UNKNOWN, "submission_unknown",
                   "It could not be found out whether the provider accepted the job.");
}

static void submitting_no_lookup(const struct vg_turn *t)
{
    bool dare = t->policy->retry_unknown_submit;
    if (dare && t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (dare && !vg_turn_late(t) && vg_turn_budget_left(t)) {
        vg_turn_try_again(t, t->row->route_attempts);
    } else {
        give_up_unknown(t);
    }
}

static void submitting_lookup_retry(const struct vg_turn *t)
{
    if (vg_turn_too_late(t)) {
        give_up_unknown(t);
        return;
    }
    t->out->poll_errors = t->row->poll_errors + 1;
    vg_turn_release(t, VG_GEN_SUBMITTING, vg_turn_retry_wait(t, t->out->poll_errors));
}

/* ---- running ------------------------------------------------------------------------------- */

static void running_cancel(const struct vg_turn *t)
{
    if (t->row->supports_cancel) {
        vg_turn_only_do(t, VG_STEP_CANCEL);
    } else {
        vg_turn_cancel(t);
    }
}

static void running_claimed(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        running_cancel(t);
    } else {
        vg_turn_only_do(t, VG_STEP_POLL);
    }
}

static void running_still(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        running_cancel(t);
        return;
    }
    if (vg_turn_late(t)) {
        vg_turn_time_out(t);
        t->out->stop_upstream = true;
        return;
    }
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    if (t->event->progress > t->row->progress) {
        t->out->progress = t->event->progress < 99 ? t->event->progress : 99;
    }
    vg_turn_release(t, VG_GEN_RUNNING, vg_turn_poll_wait(t));
}

static void running_finished(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else {
        start_fetch(t);
    }
}

/* The poll failed, not the job. */
static void poll_failed(const struct vg_turn *t)
{
    bool busy = class_of(t)->throttled;
    t->out->poll_errors = t->row->poll_errors + 1;
    if (vg_turn_late(t)) {
        vg_turn_time_out(t);
        t->out->stop_upstream = true;
        return;
    }
    if (!busy && t->out->poll_errors >= t->policy->max_poll_errors) {
        vg_turn_finish(t, VG_GEN_FAILED, "poll_error", "The state of the job could not be read.");
        t->out->stop_upstream = true;
        return;
    }
    int64_t wait_ms = vg_turn_poll_retry_wait(t, t->out->poll_errors);
    if (busy) {
        t->out->poll_errors = t->row->poll_errors;
    }
    vg_turn_release(t, VG_GEN_RUNNING, wait_ms);
}

static void running_error(const struct vg_turn *t)
{
    const struct vg_fsm_error *error = &t->event->error;
    bool over = class_of(t)->final;
    if (t->row->cancel_requested && error->retryable) {
        running_cancel(t);
    } else if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (error->retryable && !over) {
        poll_failed(t);
    } else if (!over && !error->charged && may_move(t) && !vg_turn_late(t)) {
        vg_turn_try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

/* The worker is away: the job goes on upstream, so we go on asking. */
static void running_worker_away(const struct vg_turn *t)
{
    if (vg_turn_too_late(t)) {
        if (t->row->cancel_requested) {
            vg_turn_cancel(t);
        } else {
            vg_turn_time_out(t);
        }
        return;
    }
    vg_turn_release(t, VG_GEN_RUNNING, vg_turn_retry_wait(t, 1));
}

static void running_up_expired(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
        return;
    }
    vg_turn_finish(t, VG_GEN_EXPIRED, "expired", "The provider gave the job up.");
}

static void running_cancel_lost(const struct vg_turn *t)
{
    t->out->poll_errors = t->row->poll_errors + 1;
    if (vg_turn_late(t) || t->out->poll_errors >= t->policy->max_poll_errors) {
        vg_turn_cancel(t);
        return;
    }
    vg_turn_release(t, VG_GEN_RUNNING, vg_turn_retry_wait(t, t->out->poll_errors));
}

/* ---- fetching ------------------------------------------------------------------------------ */

/* A fetch that was lost, with its worker or with the service itself: a result that kills whoever
 * handles it must not go on for ever. poll_errors counts them while fetching. */
static bool lost_too_often(const struct vg_turn *t)
{
    t->out->poll_errors = t->row->poll_errors + 1;
    return t->out->poll_errors >= t->policy->max_lost_fetches;
}

static void result_lost(const struct vg_turn *t)
{
    vg_turn_finish(t, VG_GEN_FAILED, "provider_error", "The result could not be fetched.");
}

static void fetching_claimed(const struct vg_turn *t)
{
    if (!t->row->rescued) {
        vg_turn_only_do(t, VG_STEP_FETCH);
    } else if (lost_too_often(t)) {
        result_lost(t);
    } else {
        vg_turn_go_on(t, VG_GEN_FETCHING, VG_STEP_FETCH);
    }
}

static void fetching_stored(const struct vg_turn *t)
{
    t->out->progress = 100;
    vg_turn_finish(t, VG_GEN_STORED, NULL, NULL);
}

/* A failure that is nobody's verdict on the result. */
static void fetching_later(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (vg_turn_too_late(t)) {
        vg_turn_time_out(t);
    } else {
        vg_turn_release(t, VG_GEN_FETCHING, vg_turn_retry_wait(t, 2));
    }
}

static void fetching_lost(const struct vg_turn *t)
{
    if (t->row->cancel_requested || vg_turn_too_late(t)) {
        fetching_later(t);
    } else if (lost_too_often(t)) {
        result_lost(t);
    } else {
        vg_turn_release(t, VG_GEN_FETCHING, vg_turn_retry_wait(t, t->out->poll_errors));
    }
}

static void fetching_failed(const struct vg_turn *t)
{
    t->out->fetch_attempts = t->row->fetch_attempts + 1;
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (t->out->fetch_attempts >= t->policy->max_fetch_attempts) {
        result_lost(t);
    } else if (vg_turn_too_late(t)) {
        vg_turn_time_out(t);
    } else {
        vg_turn_release(t, VG_GEN_FETCHING, vg_turn_retry_wait(t, t->out->fetch_attempts));
    }
}

static void fetching_error(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (t->event->error.retryable && class_of(t)->throttled) {
        fetching_later(t);
    } else if (t->event->error.retryable) {
        fetching_failed(t);
    } else {
        t->out->fetch_attempts = t->row->fetch_attempts + 1;
        fail_by_class(t);
    }
}

/* ---- the table ----------------------------------------------------------------------------- */

static turn_f *const table[VG_GEN_STATE_MAX][VG_EV_MAX] = {
    [VG_GEN_PENDING] =
        {
            [VG_EV_CLAIMED] = pending_claimed,
            [VG_EV_PUT_OFF] = pending_put_off,
            [VG_EV_NOT_SENT] = pending_worker_away,
        },
    [VG_GEN_SUBMITTING] =
        {
            [VG_EV_CLAIMED] = submitting_look_up,
            [VG_EV_PUT_OFF] = put_off,
            [VG_EV_NOT_SENT] = submitting_not_sent,
            [VG_EV_LOST] = submitting_look_up,
            [VG_EV_ACCEPTED] = submitting_accepted,
            [VG_EV_FINISHED] = start_fetch,
            [VG_EV_ERROR] = submitting_error,
            [VG_EV_ABSENT] = submitting_absent,
            [VG_EV_NO_LOOKUP] = submitting_no_lookup,
            [VG_EV_LOOKUP_RETRY] = submitting_lookup_retry,
        },
    [VG_GEN_RUNNING] =
        {
            [VG_EV_CLAIMED] = running_claimed,
            [VG_EV_PUT_OFF] = put_off,
            [VG_EV_NOT_SENT] = running_worker_away,
            [VG_EV_LOST] = running_worker_away,
            [VG_EV_RUNNING] = running_still,
            [VG_EV_FINISHED] = running_finished,
            [VG_EV_ERROR] = running_error,
            [VG_EV_UP_CANCELED] = vg_turn_cancel,
            [VG_EV_UP_EXPIRED] = running_up_expired,
            [VG_EV_CANCEL_DONE] = vg_turn_cancel,
            [VG_EV_CANCEL_LOST] = running_cancel_lost,
        },
    [VG_GEN_FETCHING] =
        {
            [VG_EV_CLAIMED] = fetching_claimed,
            [VG_EV_PUT_OFF] = put_off,
            [VG_EV_NOT_SENT] = fetching_later,
            [VG_EV_LOST] = fetching_lost,
            [VG_EV_ERROR] = fetching_error,
            [VG_EV_STORED] = fetching_stored,
            [VG_EV_BAD_BODY] = fetching_failed,
            [VG_EV_STORE_FAILED] = fetching_later,
        },
};

/* A process that leaves keeps no row: what would go on here goes on elsewhere, at once. */
static void let_go(const struct vg_turn *t)
{
    struct vg_fsm_decision *out = t->out;
    if (out->commit && !out->keep) {
        if (t->event->kind == VG_EV_NOT_SENT || t->event->kind == VG_EV_PUT_OFF) {
            out->due_ms = 0; /* it was us, not the worker */
        }
        return;
    }
    if (!out->commit || out->to == VG_GEN_SUBMITTING) {
        out->to = t->row->state;
        out->route_attempts = t->row->route_attempts;
        out->attempts = t->row->attempts;
    }
    out->commit = true;
    out->keep = false;
    out->due_ms = 0;
    out->next = VG_STEP_END;
}

void vg_fsm_decide(const struct vg_fsm_row *row, const struct vg_fsm_event *event,
                   const struct vg_fsm_policy *policy, struct vg_fsm_decision *out)
{
    VG_ASSERT(!vg_generation_state_terminal(row->state) && event->kind < VG_EV_MAX);
    *out = (struct vg_fsm_decision){
        .route = row->route,
        .route_attempts = row->route_attempts,
        .attempts = row->attempts,
        .fetch_attempts = row->fetch_attempts,
        .poll_errors = row->poll_errors,
        .progress = row->progress,
        .reason = event->reason ? event->reason : vg_fsm_event_name(event->kind),
        .next = VG_STEP_END,
    };
    const struct vg_turn t = {row, event, policy, out};
    turn_f *f = table[row->state][event->kind];
    (f ? f : out_of_place)(&t);
    if (event->leaving) {
        let_go(&t);
    }
}
