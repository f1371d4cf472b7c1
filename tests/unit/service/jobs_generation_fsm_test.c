/* SPDX-License-Identifier: Apache-2.0 */
/* The decision core: every state times every event, then long random lives against a model
 * provider. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "service/jobs/backoff.h"
#include "service/jobs/generation_fsm.h"

#define CLASS(x) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##x

static const struct vg_fsm_route routes[] = {{"first", 2}, {"second", 1}};

static struct vg_fsm_row row_in(enum vg_generation_state state)
{
    return (struct vg_fsm_row){
        .state = state,
        .route_attempts = state == VG_GEN_PENDING ? 0 : 1,
        .attempts = state == VG_GEN_PENDING ? 0 : 1,
        .deadline_left_ms = 600000,
        .supports_cancel = true,
        .routes = routes,
        .route_count = VG_COUNT(routes),
    };
}

static struct vg_fsm_decision decide(struct vg_fsm_row row, struct vg_fsm_event event)
{
    const struct vg_fsm_policy policy = vg_fsm_policy_default();
    struct vg_fsm_decision out;
    event.jitter = 0.5;
    vg_fsm_decide(&row, &event, &policy, &out);
    return out;
}

static struct vg_fsm_event failure(Videogate__V1__ErrorClass class, bool retryable, bool fallback)
{
    return (struct vg_fsm_event){
        .kind = VG_EV_ERROR,
        .error = {.class = class, .retryable = retryable, .fallback_ok = fallback}};
}

/* What must hold for any answer. */
static void check_sane(const struct vg_fsm_row *row, const struct vg_fsm_event *event,
                       const struct vg_fsm_decision *d)
{
    if (d->commit) {
        assert_true(vg_generation_may(row->state, d->to));
        assert_true(d->due_ms >= 0);
        assert_int_equal(d->keep, d->next != VG_STEP_END);
        bool terminal = vg_generation_state_terminal(d->to);
        assert_false(terminal && d->keep);
        if (d->to == VG_GEN_FAILED || d->to == VG_GEN_UNKNOWN || d->to == VG_GEN_EXPIRED) {
            assert_non_null(d->error_code);
            assert_non_null(d->error_message);
        } else {
            assert_null(d->error_code);
        }
        if (d->to == VG_GEN_PENDING && row->state != VG_GEN_PENDING) {
            assert_int_equal(d->upstream, VG_UPSTREAM_DROP);
        }
    } else {
        assert_int_not_equal(d->next, VG_STEP_END);
        assert_int_not_equal(d->next, VG_STEP_SUBMIT);
    }
    assert_true(d->attempts >= 0 && d->route_attempts >= 0 && d->poll_errors >= 0);
    assert_true(d->route >= row->route);
    assert_true(d->progress >= 0 && d->progress <= 100);
    if (event->leaving) {
        assert_false(d->keep);
        assert_int_equal(d->next, VG_STEP_END);
        assert_int_not_equal(d->to, row->state == VG_GEN_SUBMITTING ? VG_GEN_STATE_MAX
                                                                    : VG_GEN_SUBMITTING);
    }
    if (d->next == VG_STEP_SUBMIT) {
        assert_int_equal(row->state, VG_GEN_PENDING);
        assert_true(d->commit && d->to == VG_GEN_SUBMITTING);
    }
    assert_non_null(d->reason);
}

/* Digit of a mixed-radix counter. */
static int digit(int *n, int radix)
{
    int d = *n % radix;
    *n /= radix;
    return d;
}

enum { ROWS = 16 * 5 * 4 * 3 * 2, ERRORS = 14 * 32 };

static void nth_row(enum vg_generation_state state, int n, const struct vg_fsm_event *event)
{
    static const int64_t lefts[] = {60000, 1, 0, -1, -3600000};
    struct vg_fsm_row row = row_in(state);
    int bits = digit(&n, 16);
    row.cancel_requested = bits & 1;
    row.supports_cancel = bits & 2;
    row.progress = bits & 4 ? 60 : 0;
    row.rescued = bits & 8;
    row.deadline_left_ms = lefts[digit(&n, 5)];
    row.route = digit(&n, 4) - 1;
    row.attempts = digit(&n, 3) * 3;
    row.route_attempts = row.poll_errors = row.fetch_attempts = row.attempts;
    struct vg_fsm_policy policy = vg_fsm_policy_default();
    policy.retry_unknown_submit = digit(&n, 2);
    struct vg_fsm_decision d;
    vg_fsm_decide(&row, event, &policy, &d);
    check_sane(&row, event, &d);
}

static struct vg_fsm_event nth_event(enum vg_fsm_event_kind kind, int e, bool leaving)
{
    return (struct vg_fsm_event){
        .kind = kind,
        .jitter = 0.99,
        .leaving = leaving,
        .next_ready = true,
        .away_ms = 20000,
        .wait_ms = e % 2 ? 5000 : 0,
        .progress = 150,
        .error = {.class = (Videogate__V1__ErrorClass)(e / 32),
                  .retryable = e & 1,
                  .fallback_ok = e & 2,
                  .maybe_submitted = e & 4,
                  .charged = e & 8,
                  .public_message = e & 16 ? "said" : NULL},
    };
}

static int every_row(enum vg_generation_state state, enum vg_fsm_event_kind kind)
{
    int errors = kind == VG_EV_ERROR ? ERRORS : 1;
    for (int e = 0; e < 2 * errors; e++) {
        const struct vg_fsm_event event = nth_event(kind, e / 2, e % 2);
        for (int n = 0; n < ROWS; n++) {
            nth_row(state, n, &event);
        }
    }
    return 2 * errors * ROWS;
}

static void fsm__every_state_with_every_event_is_legal(void **state)
{
    (void)state;
    int seen = 0;
    for (int s = VG_GEN_PENDING; s < VG_GEN_STORED; s++) {
        for (int kind = 0; kind < VG_EV_MAX; kind++) {
            seen += every_row((enum vg_generation_state)s, (enum vg_fsm_event_kind)kind);
        }
    }
    assert_true(seen > 3000000);
}

/* One line of the table: what a plain row does with a plain event. */
static const struct {
    enum vg_generation_state state;
    enum vg_fsm_event_kind event;
    bool commit;
    enum vg_generation_state to;
    enum vg_step next;
} plain[] = {
    {VG_GEN_PENDING, VG_EV_CLAIMED, true, VG_GEN_SUBMITTING, VG_STEP_SUBMIT},
    {VG_GEN_PENDING, VG_EV_NOT_SENT, true, VG_GEN_PENDING, VG_STEP_END},
    {VG_GEN_PENDING, VG_EV_PUT_OFF, true, VG_GEN_PENDING, VG_STEP_END},
    {VG_GEN_SUBMITTING, VG_EV_CLAIMED, false, 0, VG_STEP_LOOKUP},
    {VG_GEN_SUBMITTING, VG_EV_LOST, false, 0, VG_STEP_LOOKUP},
    {VG_GEN_SUBMITTING, VG_EV_NOT_SENT, true, VG_GEN_PENDING, VG_STEP_END},
    {VG_GEN_SUBMITTING, VG_EV_ACCEPTED, true, VG_GEN_RUNNING, VG_STEP_END},
    {VG_GEN_SUBMITTING, VG_EV_FINISHED, true, VG_GEN_FETCHING, VG_STEP_FETCH},
    {VG_GEN_SUBMITTING, VG_EV_ABSENT, true, VG_GEN_PENDING, VG_STEP_END},
    {VG_GEN_SUBMITTING, VG_EV_NO_LOOKUP, true, VG_GEN_UNKNOWN, VG_STEP_END},
    {VG_GEN_SUBMITTING, VG_EV_LOOKUP_RETRY, true, VG_GEN_SUBMITTING, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_CLAIMED, false, 0, VG_STEP_POLL},
    {VG_GEN_RUNNING, VG_EV_RUNNING, true, VG_GEN_RUNNING, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_FINISHED, true, VG_GEN_FETCHING, VG_STEP_FETCH},
    {VG_GEN_RUNNING, VG_EV_LOST, true, VG_GEN_RUNNING, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_NOT_SENT, true, VG_GEN_RUNNING, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_UP_CANCELED, true, VG_GEN_CANCELED, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_UP_EXPIRED, true, VG_GEN_EXPIRED, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_CANCEL_DONE, true, VG_GEN_CANCELED, VG_STEP_END},
    {VG_GEN_RUNNING, VG_EV_CANCEL_LOST, true, VG_GEN_RUNNING, VG_STEP_END},
    {VG_GEN_FETCHING, VG_EV_CLAIMED, false, 0, VG_STEP_FETCH},
    {VG_GEN_FETCHING, VG_EV_STORED, true, VG_GEN_STORED, VG_STEP_END},
    {VG_GEN_FETCHING, VG_EV_BAD_BODY, true, VG_GEN_FETCHING, VG_STEP_END},
    {VG_GEN_FETCHING, VG_EV_LOST, true, VG_GEN_FETCHING, VG_STEP_END},
    {VG_GEN_FETCHING, VG_EV_STORE_FAILED, true, VG_GEN_FETCHING, VG_STEP_END},
};

static void fsm__plain_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(plain); i++) {
        struct vg_fsm_decision d =
            decide(row_in(plain[i].state), (struct vg_fsm_event){.kind = plain[i].event});
        if (d.commit != plain[i].commit || d.next != plain[i].next ||
            (d.commit && d.to != plain[i].to)) {
            fail_msg("%s + %s", vg_generation_state_name(plain[i].state),
                     vg_fsm_event_name(plain[i].event));
        }
    }
}

static void fsm__cancel_by_state(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_PENDING);
    row.cancel_requested = true;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).to, VG_GEN_CANCELED);
    row = row_in(VG_GEN_RUNNING);
    row.cancel_requested = true;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).next,
                     VG_STEP_CANCEL);
    row.supports_cancel = false;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).to, VG_GEN_CANCELED);
    row = row_in(VG_GEN_SUBMITTING); /* first find out, then cancel */
    row.cancel_requested = true;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).next,
                     VG_STEP_LOOKUP);
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_ACCEPTED}).to, VG_GEN_RUNNING);
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_ABSENT}).to, VG_GEN_CANCELED);
    row = row_in(VG_GEN_FETCHING); /* a result already being fetched wins */
    row.cancel_requested = true;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).next, VG_STEP_FETCH);
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_STORED}).to, VG_GEN_STORED);
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_LOST}).to, VG_GEN_CANCELED);
}

static void fsm__deadline_polls_once_more(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_RUNNING);
    row.deadline_left_ms = -5;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).next, VG_STEP_POLL);
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_FINISHED}).to,
                     VG_GEN_FETCHING);
    struct vg_fsm_decision d = decide(row, (struct vg_fsm_event){.kind = VG_EV_RUNNING});
    assert_int_equal(d.to, VG_GEN_FAILED);
    assert_string_equal(d.error_code, "timeout");
    assert_true(d.stop_upstream);
    /* the worker is away just then: not the job's fault, for a while */
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_LOST}).to, VG_GEN_RUNNING);
    row.deadline_left_ms = -3600000;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_LOST}).to, VG_GEN_FAILED);
    row = row_in(VG_GEN_PENDING);
    row.deadline_left_ms = 0;
    d = decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED});
    assert_string_equal(d.error_code, "timeout");
    /* a wait never passes over the deadline */
    row = row_in(VG_GEN_RUNNING);
    row.deadline_left_ms = 700;
    d = decide(row, (struct vg_fsm_event){.kind = VG_EV_RUNNING, .wait_ms = 60000});
    assert_int_equal(d.due_ms, 700);
}

static void fsm__tokens_are_reused_after_absent_and_not_sent(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_SUBMITTING);
    row.attempts = 3;
    row.route_attempts = 1;
    struct vg_fsm_decision d = decide(row, (struct vg_fsm_event){.kind = VG_EV_ABSENT});
    assert_int_equal(d.attempts, 2); /* the next submission is number 3 again */
    assert_int_equal(d.route_attempts, 1);
    d = decide(row, (struct vg_fsm_event){.kind = VG_EV_NOT_SENT});
    assert_int_equal(d.attempts, 2);
    assert_int_equal(d.route_attempts, 0);
    d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, false));
    assert_int_equal(d.attempts, 3);
    row.route_attempts = 2; /* budget used up */
    d = decide(row, (struct vg_fsm_event){.kind = VG_EV_ABSENT});
    assert_int_equal(d.to, VG_GEN_PENDING);
    assert_int_equal(d.route, 1);
    assert_int_equal(d.route_attempts, 0);
}

static void fsm__failures_retry_fall_back_and_end(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_SUBMITTING);
    struct vg_fsm_decision d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, true));
    assert_int_equal(d.to, VG_GEN_PENDING);
    assert_int_equal(d.route, 0);
    row.route_attempts = 2;
    d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, true));
    assert_int_equal(d.route, 1);
    assert_int_equal(d.due_ms, 0);
    row.route = 1;
    d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, true));
    assert_int_equal(d.to, VG_GEN_FAILED);
    assert_string_equal(d.error_code, "provider_error");
    d = decide(row, failure(CLASS(RATE_LIMITED), true, true)); /* throttled is not failed */
    assert_int_equal(d.to, VG_GEN_PENDING);
    d = decide(row, failure(CLASS(TIMEOUT), false, true));
    assert_string_equal(d.error_code, "timeout");
    row = row_in(VG_GEN_SUBMITTING);
    d = decide(row, failure(CLASS(CONTENT_FILTERED), true, true));
    assert_int_equal(d.to, VG_GEN_FAILED);
    assert_string_equal(d.error_code, "content_filtered");
    d = decide(row, failure(CLASS(INVALID_REQUEST), true, true));
    assert_string_equal(d.error_code, "invalid_request");
    struct vg_fsm_event event = failure(CLASS(UPSTREAM_INTERNAL), true, true);
    event.error.charged = true;
    assert_int_equal(decide(row, event).to, VG_GEN_FAILED);
    event.error.maybe_submitted = true;
    assert_int_equal(decide(row, event).next, VG_STEP_LOOKUP);
    event = failure(CLASS(AUTH), false, false);
    event.error.public_message = "Shown.";
    event.reason = "auth http=401 code=secret: hidden";
    d = decide(row, event);
    assert_string_equal(d.error_message, "Shown.");
    assert_string_equal(d.reason, "auth http=401 code=secret: hidden");
}

static void fsm__accepted_then_failed_moves_on_only_uncharged(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_RUNNING);
    struct vg_fsm_event event = failure(CLASS(UPSTREAM_INTERNAL), false, true);
    struct vg_fsm_decision d = decide(row, event);
    assert_int_equal(d.to, VG_GEN_PENDING);
    assert_int_equal(d.route, 1);
    assert_int_equal(d.attempts, 1);
    event.error.charged = true;
    assert_int_equal(decide(row, event).to, VG_GEN_FAILED);
    event.error.charged = false;
    row.route = 1; /* nowhere to go; never again at the same provider */
    assert_int_equal(decide(row, event).to, VG_GEN_FAILED);
}

static void fsm__poll_errors_back_off_and_end(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_RUNNING);
    int64_t last = 0;
    for (int32_t i = 0; i < 4; i++) {
        struct vg_fsm_decision d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, false));
        assert_int_equal(d.to, VG_GEN_RUNNING);
        assert_true(d.due_ms > last);
        last = d.due_ms;
        row.poll_errors = d.poll_errors;
    }
    assert_int_equal(last, 80000); /* 10 s * 2^3 */
    struct vg_fsm_decision d = decide(row, failure(CLASS(UPSTREAM_INTERNAL), true, false));
    assert_int_equal(d.to, VG_GEN_FAILED);
    assert_string_equal(d.error_code, "poll_error");
    d = decide(row, (struct vg_fsm_event){.kind = VG_EV_RUNNING});
    assert_int_equal(d.poll_errors, 0);
    d = decide(row, failure(CLASS(RATE_LIMITED), true, false));
    assert_int_equal(d.to, VG_GEN_RUNNING);
    for (int i = 0; i < 100; i++) { /* a worker that is away is no verdict */
        d = decide(row, (struct vg_fsm_event){.kind = VG_EV_LOST});
        assert_int_equal(d.to, VG_GEN_RUNNING);
        assert_int_equal(d.poll_errors, row.poll_errors);
    }
}

static void fsm__fetch_budget(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_FETCHING);
    int tries = 0;
    struct vg_fsm_decision d;
    do {
        d = decide(row, (struct vg_fsm_event){.kind = VG_EV_BAD_BODY});
        row.fetch_attempts = d.fetch_attempts;
        tries++;
    } while (d.to == VG_GEN_FETCHING);
    assert_int_equal(tries, 5);
    assert_int_equal(d.to, VG_GEN_FAILED);
    row = row_in(VG_GEN_FETCHING);
    for (int i = 0; i < 50; i++) { /* our own disk: nothing is lost */
        d = decide(row, (struct vg_fsm_event){.kind = VG_EV_STORE_FAILED});
        assert_int_equal(d.to, VG_GEN_FETCHING);
        assert_int_equal(d.fetch_attempts, 0);
    }
}

/* A result that kills its worker, or the service, each time. */
static void fsm__lost_fetches_end(void **state)
{
    (void)state;
    for (int rescued = 0; rescued < 2; rescued++) {
        struct vg_fsm_row row = row_in(VG_GEN_FETCHING);
        struct vg_fsm_decision d;
        int lost = 0;
        row.rescued = rescued;
        do {
            d = decide(row, (struct vg_fsm_event){.kind = rescued ? VG_EV_CLAIMED : VG_EV_LOST});
            row.poll_errors = d.poll_errors;
            lost++;
            assert_true(d.commit);
            assert_true(d.to != VG_GEN_FETCHING || d.keep == (bool)rescued);
        } while (d.to == VG_GEN_FETCHING);
        assert_int_equal(lost, 12);
        assert_int_equal(d.to, VG_GEN_FAILED);
    }
    struct vg_fsm_row row = row_in(VG_GEN_FETCHING);
    row.poll_errors = 11;
    assert_int_equal(decide(row, (struct vg_fsm_event){.kind = VG_EV_NOT_SENT}).to,
                     VG_GEN_FETCHING);
    assert_false(decide(row, (struct vg_fsm_event){.kind = VG_EV_CLAIMED}).commit);
}

static void fsm__worker_away_long_moves_to_next_route(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_PENDING);
    struct vg_fsm_event event = {.kind = VG_EV_NOT_SENT, .next_ready = true, .away_ms = 1000};
    assert_int_equal(decide(row, event).route, 0);
    event.away_ms = 60000;
    assert_int_equal(decide(row, event).route, 1);
    event.next_ready = false;
    assert_int_equal(decide(row, event).route, 0);
}

static void fsm__unknown_submission_by_policy(void **state)
{
    (void)state;
    struct vg_fsm_row row = row_in(VG_GEN_SUBMITTING);
    const struct vg_fsm_event event = {.kind = VG_EV_NO_LOOKUP};
    struct vg_fsm_policy policy = vg_fsm_policy_default();
    struct vg_fsm_decision d;
    vg_fsm_decide(&row, &event, &policy, &d);
    assert_int_equal(d.to, VG_GEN_UNKNOWN);
    assert_string_equal(d.error_code, "submission_unknown");
    policy.retry_unknown_submit = true;
    vg_fsm_decide(&row, &event, &policy, &d);
    assert_int_equal(d.to, VG_GEN_PENDING);
    assert_int_equal(d.attempts, 1); /* a new token next time */
    row.route_attempts = 2;
    vg_fsm_decide(&row, &event, &policy, &d);
    assert_int_equal(d.to, VG_GEN_UNKNOWN);
}

static void fsm__backoff_grows_to_its_bound(void **state)
{
    (void)state;
    assert_int_equal(vg_backoff_ms(1000, 8000, 1, 0.5), 1000);
    assert_int_equal(vg_backoff_ms(1000, 8000, 3, 0.5), 4000);
    assert_int_equal(vg_backoff_ms(1000, 8000, 90, 0.5), 8000);
    assert_int_equal(vg_backoff_ms(1000, 8000, -1, 0.0), 800);
    assert_true(vg_backoff_ms(1000, 8000, 90, 0.999) < 9600);
}

/* ---- random lives -------------------------------------------------------------------------- */

/* A provider with client tokens, a process that dies and is rescued, time that passes. */
struct life {
    struct vg_fsm_row row;
    struct vg_fsm_policy policy;
    uint64_t rng;
    enum vg_step step;
    bool truth;      /* the provider holds a job under the current token */
    bool asked;      /* the current token was sent, its fate was not learned */
    int submissions; /* accepted by the provider, all tokens */
    bool lookup;     /* the provider can look up */
    int turns;
};

static uint32_t roll(struct life *l, uint32_t n)
{
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return (uint32_t)((l->rng >> 11) % n);
}

static struct vg_fsm_event random_error(struct life *l)
{
    struct vg_fsm_event event =
        failure((Videogate__V1__ErrorClass)roll(l, 14), roll(l, 2), roll(l, 2));
    event.error.charged = roll(l, 8) == 0;
    event.wait_ms = roll(l, 3) ? 0 : (int64_t)roll(l, 100000);
    return event;
}

static struct vg_fsm_event submit_outcome(struct life *l)
{
    assert_false(l->asked); /* never a second submission while the first one's fate is open */
    assert_false(l->truth);
    uint32_t r = roll(l, 10);
    if (r < 3) {
        l->truth = true;
        l->submissions++;
        return (struct vg_fsm_event){.kind = r == 0 ? VG_EV_FINISHED : VG_EV_ACCEPTED};
    }
    if (r < 6) { /* the answer is lost; it may have worked */
        l->asked = true;
        if (roll(l, 2)) {
            l->truth = true;
            l->submissions++;
        }
        if (r == 5) {
            struct vg_fsm_event event = random_error(l);
            event.error.maybe_submitted = true;
            return event;
        }
        return (struct vg_fsm_event){.kind = VG_EV_LOST};
    }
    if (r < 7) {
        return (struct vg_fsm_event){.kind = VG_EV_NOT_SENT};
    }
    struct vg_fsm_event event = random_error(l);
    event.error.maybe_submitted = false;
    return event;
}

static struct vg_fsm_event lookup_outcome(struct life *l)
{
    if (!l->lookup) {
        l->asked = false;
        return (struct vg_fsm_event){.kind = VG_EV_NO_LOOKUP};
    }
    if (roll(l, 3) == 0) {
        return (struct vg_fsm_event){.kind = VG_EV_LOOKUP_RETRY};
    }
    l->asked = false;
    return (struct vg_fsm_event){.kind = l->truth ? VG_EV_ACCEPTED : VG_EV_ABSENT};
}

static struct vg_fsm_event poll_outcome(struct life *l)
{
    static const enum vg_fsm_event_kind kinds[] = {
        VG_EV_RUNNING, VG_EV_RUNNING,  VG_EV_RUNNING,     VG_EV_FINISHED,  VG_EV_LOST,
        VG_EV_ERROR,   VG_EV_NOT_SENT, VG_EV_UP_CANCELED, VG_EV_UP_EXPIRED};
    assert_true(l->truth);
    enum vg_fsm_event_kind kind = kinds[roll(l, VG_COUNT(kinds))];
    if (kind == VG_EV_ERROR) {
        return random_error(l);
    }
    return (struct vg_fsm_event){.kind = kind, .wait_ms = roll(l, 20000)};
}

static struct vg_fsm_event fetch_outcome(struct life *l)
{
    static const enum vg_fsm_event_kind kinds[] = {VG_EV_STORED, VG_EV_BAD_BODY, VG_EV_STORE_FAILED,
                                                   VG_EV_LOST,   VG_EV_ERROR,    VG_EV_NOT_SENT};
    enum vg_fsm_event_kind kind = kinds[roll(l, VG_COUNT(kinds))];
    return kind == VG_EV_ERROR ? random_error(l) : (struct vg_fsm_event){.kind = kind};
}

static struct vg_fsm_event cancel_outcome(struct life *l)
{
    return (struct vg_fsm_event){.kind = roll(l, 2) ? VG_EV_CANCEL_DONE : VG_EV_CANCEL_LOST};
}

static struct vg_fsm_event claim_outcome(struct life *l)
{
    uint32_t r = roll(l, 10);
    if (r == 0) {
        return (struct vg_fsm_event){.kind = VG_EV_PUT_OFF, .wait_ms = 100};
    }
    if (r == 1 && l->row.state == VG_GEN_PENDING) {
        return (struct vg_fsm_event){
            .kind = VG_EV_NOT_SENT, .away_ms = 20000, .next_ready = roll(l, 2)};
    }
    return (struct vg_fsm_event){.kind = VG_EV_CLAIMED};
}

static void take_time(struct life *l, int64_t ms)
{
    l->row.deadline_left_ms -= ms;
}

static void commit(struct life *l, const struct vg_fsm_decision *d)
{
    struct vg_fsm_row *row = &l->row;
    bool leaves = d->to == VG_GEN_PENDING && row->state != VG_GEN_PENDING;
    if (leaves && !l->policy.retry_unknown_submit) {
        /* the upstream job is known not to run: absent, refused, or failed */
        assert_false(l->asked);
    }
    if (leaves) {
        l->truth = false;
        l->asked = false;
    }
    row->state = d->to;
    row->route = d->route;
    row->route_attempts = d->route_attempts;
    row->attempts = d->attempts;
    row->fetch_attempts = d->fetch_attempts;
    row->poll_errors = d->poll_errors;
    row->progress = d->progress;
    l->step = d->keep ? d->next : VG_STEP_END;
    take_time(l, d->keep ? 1 : d->due_ms + 1);
}

static struct vg_fsm_event next_event(struct life *l)
{
    static struct vg_fsm_event (*const outcomes[VG_STEP_MAX])(struct life *) = {
        [VG_STEP_END] = claim_outcome,     [VG_STEP_SUBMIT] = submit_outcome,
        [VG_STEP_LOOKUP] = lookup_outcome, [VG_STEP_POLL] = poll_outcome,
        [VG_STEP_FETCH] = fetch_outcome,   [VG_STEP_CANCEL] = cancel_outcome,
    };
    struct vg_fsm_event event = outcomes[l->step](l);
    if (roll(l, 100) == 0) {
        l->row.cancel_requested = true;
    }
    event.leaving = roll(l, 20) == 0;
    event.jitter = roll(l, 1000) / 1000.0;
    return event;
}

/* The process dies: what it had not committed never was; the row is claimed again after its lease.
 */
static void crash(struct life *l)
{
    if (l->step == VG_STEP_SUBMIT) {
        (void)submit_outcome(l);
        l->asked = true; /* nobody heard the answer */
    }
    l->step = VG_STEP_END;
    take_time(l, 30000);
}

static void live(struct life *l)
{
    while (!vg_generation_state_terminal(l->row.state)) {
        assert_true(++l->turns < 20000);
        take_time(l, roll(l, 200));
        if (roll(l, 15) == 0) {
            crash(l);
            continue;
        }
        struct vg_fsm_event event = next_event(l);
        struct vg_fsm_decision d;
        vg_fsm_decide(&l->row, &event, &l->policy, &d);
        check_sane(&l->row, &event, &d);
        if (d.commit) {
            commit(l, &d);
        } else {
            l->step = d.next;
        }
    }
}

static void fsm__random_lives_end_and_never_pay_twice_at_once(void **state)
{
    (void)state;
    int ends[VG_GEN_STATE_MAX] = {0};
    for (uint64_t seed = 1; seed <= 200000; seed++) {
        struct life l = {.row = row_in(VG_GEN_PENDING),
                         .policy = vg_fsm_policy_default(),
                         .rng = seed * UINT64_C(0x9E3779B97F4A7C15),
                         .lookup = seed % 4 != 0};
        l.row.supports_cancel = seed % 3 != 0;
        live(&l);
        ends[l.row.state]++;
        assert_true(l.submissions <= 3); /* at most one per attempt of the routes' budget */
    }
    for (int s = VG_GEN_STORED; s < VG_GEN_STATE_MAX; s++) {
        assert_true(ends[s] > 0); /* the walk reaches every end */
    }
}

static void fsm__a_lone_provider_with_lookup_is_paid_once(void **state)
{
    (void)state;
    /* Only losses of answers, crashes and absences: one route, no provider errors. */
    static const struct vg_fsm_route one[] = {{"only", 20}};
    int stored = 0;
    for (uint64_t seed = 1; seed <= 50000; seed++) {
        struct life l = {.row = row_in(VG_GEN_PENDING),
                         .policy = vg_fsm_policy_default(),
                         .rng = seed * UINT64_C(0xD1342543DE82EF95),
                         .lookup = true};
        l.row.routes = one;
        l.row.route_count = 1;
        while (!vg_generation_state_terminal(l.row.state)) {
            assert_true(++l.turns < 20000);
            if (roll(&l, 10) == 0) {
                crash(&l);
                continue;
            }
            struct vg_fsm_event event = next_event(&l);
            if (event.kind == VG_EV_ERROR) {
                event = (struct vg_fsm_event){.kind = VG_EV_LOST};
                l.asked = l.asked || l.step == VG_STEP_SUBMIT;
            }
            if (l.row.state == VG_GEN_FETCHING && l.step == VG_STEP_FETCH) {
                event = (struct vg_fsm_event){.kind = VG_EV_STORED};
            }
            struct vg_fsm_decision d;
            vg_fsm_decide(&l.row, &event, &l.policy, &d);
            if (d.commit) {
                commit(&l, &d);
            } else {
                l.step = d.next;
            }
        }
        assert_true(l.submissions <= 1);
        stored += l.row.state == VG_GEN_STORED;
    }
    assert_true(stored > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fsm__every_state_with_every_event_is_legal),
        cmocka_unit_test(fsm__plain_table),
        cmocka_unit_test(fsm__cancel_by_state),
        cmocka_unit_test(fsm__deadline_polls_once_more),
        cmocka_unit_test(fsm__tokens_are_reused_after_absent_and_not_sent),
        cmocka_unit_test(fsm__failures_retry_fall_back_and_end),
        cmocka_unit_test(fsm__accepted_then_failed_moves_on_only_uncharged),
        cmocka_unit_test(fsm__poll_errors_back_off_and_end),
        cmocka_unit_test(fsm__fetch_budget),
        cmocka_unit_test(fsm__lost_fetches_end),
        cmocka_unit_test(fsm__worker_away_long_moves_to_next_route),
        cmocka_unit_test(fsm__unknown_submission_by_policy),
        cmocka_unit_test(fsm__backoff_grows_to_its_bound),
        cmocka_unit_test(fsm__random_lives_end_and_never_pay_twice_at_once),
        cmocka_unit_test(fsm__a_lone_provider_with_lookup_is_paid_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
