/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/generation_fsm.h"

#include <string.h>

#include "common/err.h"
#include "common/mem.h"

/* One decision under way: shorthand for the small functions below. */
struct turn {
    const struct vg_fsm_row *row;
    const struct vg_fsm_event *event;
    const struct vg_fsm_policy *policy;
    struct vg_fsm_decision *out;
};

typedef void turn_f(const struct turn *t);

static const char *const event_names[VG_EV_MAX] = {
    [VG_EV_CLAIMED] = "claimed",
    [VG_EV_PUT_OFF] = "put_off",
    [VG_EV_NOT_SENT] = "worker_away",
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

static int64_t spread(int64_t ms, double jitter)
{
    return (int64_t)((double)ms * (0.8 + 0.4 * jitter));
}

int64_t vg_fsm_backoff(int64_t base_ms, int64_t max_ms, int32_t n, double jitter)
{
    int64_t ms = base_ms;
    for (int32_t i = 1; i < n && ms < max_ms; i++) {
        ms *= 2;
    }
    return spread(ms < max_ms ? ms : max_ms, jitter);
}

/* ---- answers ------------------------------------------------------------------------------- */

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waiting never goes beyond the deadline, so that the last look comes in time. */
static int64_t until_due(const struct turn *t, int64_t ms)
{
    if (t->row->deadline_left_ms > 0) {
        ms = min64(ms, t->row->deadline_left_ms);
    }
    return max64(ms, 0);
}

static void release(const struct turn *t, enum vg_generation_state to, int64_t wait_ms)
{
    t->out->commit = true;
    t->out->to = to;
    t->out->keep = false;
    t->out->due_ms = until_due(t, wait_ms);
    t->out->next = VG_STEP_END;
}

static void go_on(const struct turn *t, enum vg_generation_state to, enum vg_step next)
{
    t->out->commit = true;
    t->out->to = to;
    t->out->keep = true;
    t->out->next = next;
}

static void only_do(const struct turn *t, enum vg_step next)
{
    t->out->next = next;
}

static void finish(const struct turn *t, enum vg_generation_state to, const char *code,
                   const char *message)
{
    release(t, to, 0);
    t->out->due_ms = 0;
    t->out->error_code = code;
    t->out->error_message = message;
}

static void cancel_now(const struct turn *t)
{
    finish(t, VG_GEN_CANCELED, NULL, NULL);
}

static void time_out(const struct turn *t)
{
    finish(t, VG_GEN_FAILED, "timeout", "The video was not ready in time.");
}

static bool late(const struct turn *t)
{
    return t->row->deadline_left_ms <= 0;
}

/* The provider may hold a finished video: a worker or disk that is away gets some time more. */
static bool too_late(const struct turn *t)
{
    return t->row->deadline_left_ms <= -t->policy->grace_ms;
}

static int64_t retry_wait(const struct turn *t, int32_t n)
{
    int64_t own =
        vg_fsm_backoff(t->policy->retry_base_ms, t->policy->retry_max_ms, n, t->event->jitter);
    int64_t wish = min64(t->event->wait_ms, t->policy->poll_retry_max_ms);
    return max64(own, wish);
}

static int64_t poll_wait(const struct turn *t)
{
    int64_t ms = t->event->wait_ms > 0 ? t->event->wait_ms : t->policy->poll_default_ms;
    ms = max64(min64(ms, t->policy->poll_max_ms), t->policy->poll_min_ms);
    return spread(ms, t->event->jitter);
}

/* ---- provider errors ----------------------------------------------------------------------- */

struct class_row {
    const char *code;
    const char *message;
    enum {
        RULE_NONE,      /* as the provider's flags say */
        RULE_FINAL,     /* neither another try nor another provider */
        RULE_ELSEWHERE, /* another provider before another try here */
        RULE_THROTTLED, /* not a failure: uses up no budget while there is nowhere else to go */
        RULE_FULL,      /* both of the above */
    } rule;
};

#define COULD_NOT "The provider could not make the video."
#define BUSY "The provider is overloaded."

static const struct class_row other_class = {"provider_error", COULD_NOT, RULE_NONE};

static const struct class_row classes[] = {
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_INVALID_REQUEST] =
        {"invalid_request", "The provider refused the request as invalid.", RULE_FINAL},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED] =
        {"content_filtered", "The request was refused by the content policy.", RULE_FINAL},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_AUTH] = {"provider_error", COULD_NOT, RULE_ELSEWHERE},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_BILLING] = {"provider_error", COULD_NOT,
                                                         RULE_ELSEWHERE},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_MODEL_GONE] = {"provider_error", COULD_NOT,
                                                            RULE_ELSEWHERE},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_RATE_LIMITED] = {"provider_error", BUSY,
                                                              RULE_THROTTLED},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONCURRENCY_FULL] = {"provider_error", BUSY,
                                                                  RULE_FULL},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_OVERLOADED] = {"provider_error", BUSY, RULE_THROTTLED},
    [VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_TIMEOUT] = {"timeout",
                                                         "The provider did not answer in time.",
                                                         RULE_NONE},
};

static const struct class_row *class_of(const struct turn *t)
{
    size_t i = (size_t)t->event->error.class;
    return i < VG_COUNT(classes) && classes[i].code ? &classes[i] : &other_class;
}

static bool final(const struct turn *t)
{
    return class_of(t)->rule == RULE_FINAL;
}

static bool throttled(const struct turn *t)
{
    return class_of(t)->rule == RULE_THROTTLED || class_of(t)->rule == RULE_FULL;
}

static bool better_elsewhere(const struct turn *t)
{
    return class_of(t)->rule == RULE_ELSEWHERE || class_of(t)->rule == RULE_FULL;
}

static void fail_by_class(const struct turn *t)
{
    const struct class_row *class = class_of(t);
    const char *said = t->event->error.public_message;
    finish(t, VG_GEN_FAILED, class->code, said && said[0] ? said : class->message);
}

static bool has_next_route(const struct turn *t)
{
    return t->row->route >= 0 && (size_t)t->row->route + 1 < t->row->route_count;
}

static void leave_upstream(const struct turn *t)
{
    t->out->upstream = VG_UPSTREAM_DROP;
    t->out->poll_errors = 0;
    t->out->progress = 0;
}

static void try_next_route(const struct turn *t)
{
    t->out->route = t->row->route + 1;
    t->out->route_attempts = 0;
    leave_upstream(t);
    release(t, VG_GEN_PENDING, 0);
}

static void try_again(const struct turn *t, int32_t n)
{
    leave_upstream(t);
    release(t, VG_GEN_PENDING, retry_wait(t, n));
}

static bool budget_left(const struct turn *t)
{
    return t->row->route >= 0 && (size_t)t->row->route < t->row->route_count &&
           t->row->route_attempts < t->row->routes[t->row->route].max_attempts;
}

static bool may_move(const struct turn *t)
{
    return t->event->error.fallback_ok && has_next_route(t);
}

static bool again_here(const struct turn *t)
{
    if (!t->event->error.retryable || (better_elsewhere(t) && may_move(t))) {
        return false;
    }
    return budget_left(t) || (throttled(t) && !may_move(t));
}

/* The upstream job does not exist: again here, elsewhere, or the end. */
static void not_submitted(const struct turn *t)
{
    bool over = final(t) || t->event->error.charged;
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (!over && late(t)) {
        time_out(t);
    } else if (!over && again_here(t)) {
        try_again(t, t->row->route_attempts);
    } else if (!over && may_move(t)) {
        try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

/* ---- any state ----------------------------------------------------------------------------- */

/* Nothing learned: the row goes back as it was. */
static void put_off(const struct turn *t)
{
    release(t, t->row->state, t->event->wait_ms);
}

/* An answer that does not belong to the state (a confused worker): look again later. */
static void out_of_place(const struct turn *t)
{
    if (too_late(t)) {
        time_out(t);
        return;
    }
    release(t, t->row->state, retry_wait(t, 3));
}

/* ---- pending ------------------------------------------------------------------------------- */

static bool pending_ends(const struct turn *t)
{
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (late(t)) {
        time_out(t);
    } else if (t->row->route < 0 || (size_t)t->row->route >= t->row->route_count) {
        finish(t, VG_GEN_FAILED, "provider_error", "No provider can make this video.");
    } else {
        return false;
    }
    return true;
}

static void pending_claimed(const struct turn *t)
{
    if (pending_ends(t)) {
        return;
    }
    t->out->attempts = t->row->attempts + 1;
    t->out->route_attempts = t->row->route_attempts + 1;
    t->out->poll_errors = 0;
    go_on(t, VG_GEN_SUBMITTING, VG_STEP_SUBMIT);
}

static void pending_worker_away(const struct turn *t)
{
    if (pending_ends(t)) {
        return;
    }
    bool gone = t->event->held_back || t->event->away_ms >= t->policy->away_fallback_ms;
    if (gone && t->event->next_ready && has_next_route(t)) {
        try_next_route(t);
        return;
    }
    release(t, VG_GEN_PENDING,
            t->event->held_back ? spread(t->event->wait_ms, t->event->jitter) : retry_wait(t, 2));
}

static void pending_put_off(const struct turn *t)
{
    if (!pending_ends(t)) {
        put_off(t);
    }
}

/* ---- submitting ---------------------------------------------------------------------------- */

/* We do not know whether the call was made: ask before anything else, also when canceled or late.
 */
static void submitting_look_up(const struct turn *t)
{
    only_do(t, VG_STEP_LOOKUP);
}

static void submitting_accepted(const struct turn *t)
{
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    release(t, VG_GEN_RUNNING, poll_wait(t));
}

static void start_fetch(const struct turn *t)
{
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    t->out->progress = 99;
    go_on(t, VG_GEN_FETCHING, VG_STEP_FETCH);
}

static void submitting_error(const struct turn *t)
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
static void submitting_not_sent(const struct turn *t)
{
    t->out->attempts = less_one(t->row->attempts);
    t->out->route_attempts = less_one(t->row->route_attempts);
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (late(t)) {
        time_out(t);
    } else {
        try_again(t, 2);
    }
}

/* The same token is used again, so that a request still on its way counts once; the budget is used
 * up, so that a submission that kills its worker does not go on for ever. */
static void submitting_absent(const struct turn *t)
{
    t->out->attempts = less_one(t->row->attempts);
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (late(t)) {
        time_out(t);
    } else if (budget_left(t)) {
        try_again(t, 1);
    } else if (has_next_route(t)) {
        t->out->attempts = t->row->attempts;
        try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

static void give_up_unknown(const struct turn *t)
{
    finish(t, VG_GEN_UNKNOWN, "submission_unknown",
           "It could not be found out whether the provider accepted the job.");
}

static void submitting_no_lookup(const struct turn *t)
{
    bool dare = t->policy->retry_unknown_submit;
    if (dare && t->row->cancel_requested) {
        cancel_now(t);
    } else if (dare && !late(t) && budget_left(t)) {
        try_again(t, t->row->route_attempts);
    } else {
        give_up_unknown(t);
    }
}

static void submitting_lookup_retry(const struct turn *t)
{
    if (too_late(t)) {
        give_up_unknown(t);
        return;
    }
    t->out->poll_errors = t->row->poll_errors + 1;
    release(t, VG_GEN_SUBMITTING, retry_wait(t, t->out->poll_errors));
}

/* ---- running ------------------------------------------------------------------------------- */

static void running_cancel(const struct turn *t)
{
    if (t->row->supports_cancel) {
        only_do(t, VG_STEP_CANCEL);
    } else {
        cancel_now(t);
    }
}

static void running_claimed(const struct turn *t)
{
    if (t->row->cancel_requested) {
        running_cancel(t);
    } else {
        only_do(t, VG_STEP_POLL);
    }
}

static void running_still(const struct turn *t)
{
    if (t->row->cancel_requested) {
        running_cancel(t);
        return;
    }
    if (late(t)) {
        time_out(t);
        t->out->stop_upstream = true;
        return;
    }
    t->out->upstream = VG_UPSTREAM_TAKE;
    t->out->poll_errors = 0;
    if (t->event->progress > t->row->progress) {
        t->out->progress = t->event->progress < 99 ? t->event->progress : 99;
    }
    release(t, VG_GEN_RUNNING, poll_wait(t));
}

static void running_finished(const struct turn *t)
{
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else {
        start_fetch(t);
    }
}

/* The poll failed, not the job. */
static void poll_failed(const struct turn *t)
{
    bool busy = throttled(t);
    t->out->poll_errors = t->row->poll_errors + 1;
    if (late(t)) {
        time_out(t);
        t->out->stop_upstream = true;
        return;
    }
    if (!busy && t->out->poll_errors >= t->policy->max_poll_errors) {
        finish(t, VG_GEN_FAILED, "poll_error", "The state of the job could not be read.");
        t->out->stop_upstream = true;
        return;
    }
    int64_t own = vg_fsm_backoff(t->policy->poll_retry_base_ms, t->policy->poll_retry_max_ms,
                                 t->out->poll_errors, t->event->jitter);
    int64_t wish = min64(t->event->wait_ms, t->policy->poll_retry_max_ms);
    if (busy) {
        t->out->poll_errors = t->row->poll_errors;
    }
    release(t, VG_GEN_RUNNING, max64(own, wish));
}

static void running_error(const struct turn *t)
{
    const struct vg_fsm_error *error = &t->event->error;
    bool over = final(t);
    if (t->row->cancel_requested && error->retryable) {
        running_cancel(t);
    } else if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (error->retryable && !over) {
        poll_failed(t);
    } else if (!over && !error->charged && may_move(t) && !late(t)) {
        try_next_route(t);
    } else {
        fail_by_class(t);
    }
}

/* The worker is away: the job goes on upstream, so we go on asking. */
static void running_worker_away(const struct turn *t)
{
    if (too_late(t)) {
        if (t->row->cancel_requested) {
            cancel_now(t);
        } else {
            time_out(t);
        }
        return;
    }
    release(t, VG_GEN_RUNNING, retry_wait(t, 1));
}

static void running_up_canceled(const struct turn *t)
{
    cancel_now(t);
}

static void running_up_expired(const struct turn *t)
{
    if (t->row->cancel_requested) {
        cancel_now(t);
        return;
    }
    finish(t, VG_GEN_EXPIRED, "expired", "The provider gave the job up.");
}

static void running_cancel_lost(const struct turn *t)
{
    t->out->poll_errors = t->row->poll_errors + 1;
    if (late(t) || t->out->poll_errors >= t->policy->max_poll_errors) {
        cancel_now(t);
        return;
    }
    release(t, VG_GEN_RUNNING, retry_wait(t, t->out->poll_errors));
}

/* ---- fetching ------------------------------------------------------------------------------ */

/* A fetch that was lost, with its worker or with the service itself: a result that kills whoever
 * handles it must not go on for ever. poll_errors counts them while fetching. */
static bool lost_too_often(const struct turn *t)
{
    t->out->poll_errors = t->row->poll_errors + 1;
    return t->out->poll_errors >= t->policy->max_lost_fetches;
}

static void result_lost(const struct turn *t)
{
    finish(t, VG_GEN_FAILED, "provider_error", "The result could not be fetched.");
}

static void fetching_claimed(const struct turn *t)
{
    if (!t->row->rescued) {
        only_do(t, VG_STEP_FETCH);
    } else if (lost_too_often(t)) {
        result_lost(t);
    } else {
        go_on(t, VG_GEN_FETCHING, VG_STEP_FETCH);
    }
}

static void fetching_stored(const struct turn *t)
{
    t->out->progress = 100;
    finish(t, VG_GEN_STORED, NULL, NULL);
}

/* A failure that is nobody's verdict on the result. */
static void fetching_later(const struct turn *t)
{
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (too_late(t)) {
        time_out(t);
    } else {
        release(t, VG_GEN_FETCHING, retry_wait(t, 2));
    }
}

static void fetching_lost(const struct turn *t)
{
    if (t->row->cancel_requested || too_late(t)) {
        fetching_later(t);
    } else if (lost_too_often(t)) {
        result_lost(t);
    } else {
        release(t, VG_GEN_FETCHING, retry_wait(t, t->out->poll_errors));
    }
}

static void fetching_failed(const struct turn *t)
{
    t->out->fetch_attempts = t->row->fetch_attempts + 1;
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (t->out->fetch_attempts >= t->policy->max_fetch_attempts) {
        finish(t, VG_GEN_FAILED, "provider_error", "The result could not be fetched.");
    } else if (too_late(t)) {
        time_out(t);
    } else {
        release(t, VG_GEN_FETCHING, retry_wait(t, t->out->fetch_attempts));
    }
}

static void fetching_error(const struct turn *t)
{
    if (t->row->cancel_requested) {
        cancel_now(t);
    } else if (t->event->error.retryable && throttled(t)) {
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
            [VG_EV_UP_CANCELED] = running_up_canceled,
            [VG_EV_UP_EXPIRED] = running_up_expired,
            [VG_EV_CANCEL_DONE] = running_up_canceled,
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
static void let_go(const struct turn *t)
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
    const struct turn t = {row, event, policy, out};
    turn_f *f = table[row->state][event->kind];
    (f ? f : out_of_place)(&t);
    if (event->leaving) {
        let_go(&t);
    }
}
