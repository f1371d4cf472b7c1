/* SPDX-License-Identifier: Apache-2.0 */
/* The table of service/jobs/README.md: what each class of a provider's error leads to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/mem.h"
#include "service/jobs/error_class.h"
#include "service/jobs/generation_fsm.h"

#define CLASS(x) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##x

enum outcome { HERE, NEXT, END, LOOKUP };

/* A Submit that certainly made no job and costs nothing, as workers describe the class unless they
 * know better. */
static const struct {
    Videogate__V1__ErrorClass class;
    bool retryable, fallback_ok; /* the worker's word */
    enum outcome route, alone;   /* budget left: with another route, without */
    enum outcome spent, last;    /* budget used up: with another route, without */
    const char *code;            /* when it ends */
} table[] = {
    {CLASS(UNSPECIFIED), false, true, NEXT, END, NEXT, END, "provider_error"},
    {CLASS(INVALID_REQUEST), false, true, END, END, END, END, "invalid_request"},
    {CLASS(CONTENT_FILTERED), false, false, END, END, END, END, "content_filtered"},
    {CLASS(AUTH), false, true, NEXT, END, NEXT, END, "provider_error"},
    {CLASS(AUTH), true, true, NEXT, HERE, NEXT, END, "provider_error"},
    {CLASS(BILLING), false, true, NEXT, END, NEXT, END, "provider_error"},
    {CLASS(BILLING), true, true, NEXT, HERE, NEXT, END, "provider_error"},
    {CLASS(MODEL_GONE), false, true, NEXT, END, NEXT, END, "provider_error"},
    {CLASS(RATE_LIMITED), true, true, HERE, HERE, NEXT, HERE, "provider_error"},
    {CLASS(CONCURRENCY_FULL), true, true, NEXT, HERE, NEXT, HERE, "provider_error"},
    {CLASS(OVERLOADED), true, true, HERE, HERE, NEXT, HERE, "provider_error"},
    {CLASS(UPSTREAM_INTERNAL), true, true, HERE, HERE, NEXT, END, "provider_error"},
    {CLASS(TIMEOUT), true, true, HERE, HERE, NEXT, END, "timeout"},
    {CLASS(NETWORK), true, true, HERE, HERE, NEXT, END, "provider_error"},
    {CLASS(RESULT_EXPIRED), false, false, END, END, END, END, "provider_error"},
    {CLASS(NOT_FOUND), false, false, END, END, END, END, "provider_error"},
};

static const struct vg_fsm_route routes[] = {{"first", 2}, {"second", 1}};

static struct vg_fsm_row submitting(bool alone, bool spent)
{
    return (struct vg_fsm_row){.state = VG_GEN_SUBMITTING,
                               .route_attempts = spent ? 2 : 1,
                               .attempts = spent ? 2 : 1,
                               .deadline_left_ms = 600000,
                               .supports_cancel = true,
                               .routes = routes,
                               .route_count = alone ? 1 : 2};
}

static struct vg_fsm_event error_of(size_t i)
{
    return (struct vg_fsm_event){.kind = VG_EV_ERROR,
                                 .jitter = 0.5,
                                 .error = {.class = table[i].class,
                                           .retryable = table[i].retryable,
                                           .fallback_ok = table[i].fallback_ok}};
}

static struct vg_fsm_decision decide(const struct vg_fsm_row *row, const struct vg_fsm_event *event)
{
    const struct vg_fsm_policy policy = vg_fsm_policy_default();
    struct vg_fsm_decision out;

    vg_fsm_decide(row, event, &policy, &out);
    return out;
}

static enum outcome outcome_of(const struct vg_fsm_row *row, const struct vg_fsm_decision *d)
{
    if (!d->commit) {
        assert_int_equal(d->next, VG_STEP_LOOKUP);
        return LOOKUP;
    }
    if (d->to == VG_GEN_PENDING) {
        return d->route > row->route ? NEXT : HERE;
    }
    assert_int_equal(d->to, VG_GEN_FAILED);
    return END;
}

static void check(size_t i, bool alone, bool spent, enum outcome want)
{
    const struct vg_fsm_row row = submitting(alone, spent);
    const struct vg_fsm_event event = error_of(i);
    const struct vg_fsm_decision d = decide(&row, &event);

    assert_int_equal(outcome_of(&row, &d), want);
    if (want == END) {
        assert_string_equal(d.error_code, table[i].code);
    }
    if (want == NEXT) { /* at once, with a budget of its own, under a new token */
        assert_int_equal(d.due_ms, 0);
        assert_int_equal(d.route_attempts, 0);
        assert_int_equal(d.attempts, row.attempts);
    }
}

static void classes__a_refused_submit_goes_where_the_table_says(void **state)
{
    bool seen[CLASS(NOT_FOUND) + 1] = {false};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        check(i, false, false, table[i].route);
        check(i, true, false, table[i].alone);
        check(i, false, true, table[i].spent);
        check(i, true, true, table[i].last);
        seen[table[i].class] = true;
    }
    for (size_t i = 0; i < VG_COUNT(seen); i++) {
        assert_true(seen[i]);
        assert_non_null(vg_error_class((Videogate__V1__ErrorClass)i)->word);
    }
}

static void classes__an_unknown_one_is_as_the_unspecified_one(void **state)
{
    (void)state;
    assert_ptr_equal(vg_error_class((Videogate__V1__ErrorClass)999),
                     vg_error_class(CLASS(UNSPECIFIED)));
    assert_string_equal(vg_error_class(CLASS(UNSPECIFIED))->word, "unspecified");
}

static void classes__what_may_have_been_submitted_is_only_looked_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        for (int n = 0; n < 8; n++) {
            const struct vg_fsm_row row = submitting(n & 1, n & 2);
            struct vg_fsm_event event = error_of(i);
            event.error.maybe_submitted = true;
            event.error.charged = n & 4;
            const struct vg_fsm_decision d = decide(&row, &event);
            assert_int_equal(outcome_of(&row, &d), LOOKUP);
        }
    }
}

static void classes__what_was_charged_is_never_made_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        struct vg_fsm_event event = error_of(i);
        event.error.charged = true;
        event.error.fallback_ok = true;
        struct vg_fsm_row row = submitting(false, false);
        struct vg_fsm_decision d = decide(&row, &event);
        assert_int_equal(outcome_of(&row, &d), END);
        row.state = VG_GEN_RUNNING;
        event.error.retryable = false;
        d = decide(&row, &event);
        assert_int_equal(outcome_of(&row, &d), END);
    }
}

static void classes__a_worker_may_forbid_another_provider(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        const struct vg_fsm_row row = submitting(false, true);
        struct vg_fsm_event event = error_of(i);
        event.error.fallback_ok = false;
        const struct vg_fsm_decision d = decide(&row, &event);
        assert_int_not_equal(outcome_of(&row, &d), NEXT);
    }
}

/* Accepted, then failed for good and uncharged. */
static void classes__a_failed_job_moves_on_but_is_never_made_twice_at_one_provider(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        for (int alone = 0; alone < 2; alone++) {
            struct vg_fsm_row row = submitting(alone, false);
            row.state = VG_GEN_RUNNING;
            struct vg_fsm_event event = error_of(i);
            event.error.retryable = false;
            const struct vg_fsm_decision d = decide(&row, &event);
            bool moves = !alone && table[i].route != END;
            assert_int_equal(outcome_of(&row, &d), moves ? NEXT : END);
        }
    }
}

static void classes__an_open_breaker_moves_a_waiting_job_at_once(void **state)
{
    (void)state;
    struct vg_fsm_row row = {.state = VG_GEN_PENDING,
                             .deadline_left_ms = 600000,
                             .routes = routes,
                             .route_count = VG_COUNT(routes)};
    struct vg_fsm_event event = {.kind = VG_EV_NOT_SENT,
                                 .held_back = true,
                                 .next_ready = true,
                                 .wait_ms = 7000,
                                 .jitter = 0.5,
                                 .reason = "breaker open"};
    struct vg_fsm_decision d = decide(&row, &event);
    assert_int_equal(outcome_of(&row, &d), NEXT);
    assert_int_equal(d.attempts, 0);
    assert_string_equal(d.reason, "breaker open");
    event.next_ready = false;
    d = decide(&row, &event);
    assert_int_equal(outcome_of(&row, &d), HERE);
    assert_int_equal(d.due_ms, 7000);
    row.route_count = 1;
    event.next_ready = true;
    d = decide(&row, &event);
    assert_int_equal(outcome_of(&row, &d), HERE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes__a_refused_submit_goes_where_the_table_says),
        cmocka_unit_test(classes__an_unknown_one_is_as_the_unspecified_one),
        cmocka_unit_test(classes__what_may_have_been_submitted_is_only_looked_up),
        cmocka_unit_test(classes__what_was_charged_is_never_made_again),
        cmocka_unit_test(classes__a_worker_may_forbid_another_provider),
        cmocka_unit_test(classes__a_failed_job_moves_on_but_is_never_made_twice_at_one_provider),
        cmocka_unit_test(classes__an_open_breaker_moves_a_waiting_job_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
