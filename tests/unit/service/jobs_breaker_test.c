/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "service/jobs/breaker.h"

static const struct vg_breaker_policy policy = {.failures = 5, .wait_ms = 1000};
static const int64_t start = 1000 * VG_NS_PER_S;

static int64_t after_ms(int64_t ms)
{
    return start + ms * VG_NS_PER_MS;
}

static bool enter(struct vg_breaker *b, int64_t now_ns)
{
    bool probe = false;
    bool may = vg_breaker_enter(b, now_ns, &probe);

    assert_int_equal(probe, may && b->state == VG_BREAKER_HALF_OPEN);
    return may;
}

static void fail_times(struct vg_breaker *b, int n, int64_t now_ns)
{
    for (int i = 0; i < n; i++)
        vg_breaker_failed(b, now_ns, false, &policy);
}

static struct vg_breaker opened(void)
{
    struct vg_breaker b = {.state = VG_BREAKER_CLOSED};

    fail_times(&b, 5, start);
    assert_int_equal(b.state, VG_BREAKER_OPEN);
    return b;
}

static void breaker__opens_after_failures_in_a_row(void **state)
{
    struct vg_breaker b = {.state = VG_BREAKER_CLOSED};

    (void)state;
    for (int round = 0; round < 3; round++) { /* hours apart: only the row counts */
        fail_times(&b, 4, start + INT64_C(3600) * round * VG_NS_PER_S);
        assert_int_equal(b.state, VG_BREAKER_CLOSED);
        vg_breaker_succeeded(&b, start + INT64_C(3600) * round * VG_NS_PER_S, false);
    }
    for (int i = 0; i < 5; i++) { /* slow ones as well */
        assert_true(enter(&b, start + INT64_C(3600) * (10 + i) * VG_NS_PER_S));
        vg_breaker_failed(&b, start + INT64_C(3600) * (10 + i) * VG_NS_PER_S, false, &policy);
    }
    assert_int_equal(b.state, VG_BREAKER_OPEN);
}

static void breaker__opens_when_half_fail(void **state)
{
    struct vg_breaker b = {.state = VG_BREAKER_CLOSED};

    (void)state;
    for (int i = 0; i < 100; i++) { /* a third */
        vg_breaker_succeeded(&b, start, false);
        vg_breaker_succeeded(&b, start, false);
        vg_breaker_failed(&b, start, false, &policy);
    }
    assert_int_equal(b.state, VG_BREAKER_CLOSED);
    b = (struct vg_breaker){.state = VG_BREAKER_CLOSED};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(b.state, VG_BREAKER_CLOSED);
        vg_breaker_succeeded(&b, start, false);
        vg_breaker_failed(&b, start, false, &policy);
    }
    assert_int_equal(b.state, VG_BREAKER_OPEN);
}

/* Each is accepted and then fails: the acceptance does not speak for the provider. */
static void breaker__jobs_that_fail_later_count(void **state)
{
    struct vg_breaker b = {.state = VG_BREAKER_CLOSED};

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(b.state, VG_BREAKER_CLOSED);
        vg_breaker_succeeded(&b, start, false);
        vg_breaker_spoiled(&b, start, &policy);
    }
    assert_int_equal(b.state, VG_BREAKER_OPEN);
}

static void breaker__one_probe_at_a_time_closes_it(void **state)
{
    struct vg_breaker b = opened();

    (void)state;
    assert_false(enter(&b, after_ms(999)));
    assert_int_equal(vg_breaker_wait_ms(&b, after_ms(400), &policy), 601);
    assert_true(vg_breaker_admits(&b, after_ms(1000)));
    assert_true(enter(&b, after_ms(1000)));
    assert_int_equal(b.state, VG_BREAKER_HALF_OPEN);
    assert_false(enter(&b, after_ms(5000)));
    assert_true(vg_breaker_wait_ms(&b, after_ms(5000), &policy) > 0);
    vg_breaker_succeeded(&b, after_ms(5000), false); /* one sent before it opened */
    assert_int_equal(b.state, VG_BREAKER_HALF_OPEN);
    vg_breaker_failed(&b, after_ms(5000), false, &policy);
    assert_int_equal(b.state, VG_BREAKER_HALF_OPEN);
    vg_breaker_succeeded(&b, after_ms(5000), true);
    assert_int_equal(b.state, VG_BREAKER_CLOSED);
    assert_true(enter(&b, after_ms(5000)));
    assert_true(enter(&b, after_ms(5000)));
}

static void breaker__a_failed_probe_doubles_the_wait_to_a_bound(void **state)
{
    struct vg_breaker b = opened();
    int64_t now = start, longest = 0;

    (void)state;
    for (int i = 0; i < 8; i++) {
        int64_t wait = vg_breaker_wait_ms(&b, now, &policy);
        assert_true(wait >= longest);
        longest = wait;
        now += wait * VG_NS_PER_MS;
        assert_true(enter(&b, now));
        vg_breaker_failed(&b, now, true, &policy);
        assert_int_equal(b.state, VG_BREAKER_OPEN);
    }
    assert_int_equal(longest, 16001);
    now += longest * VG_NS_PER_MS;
    assert_true(enter(&b, now));
    vg_breaker_succeeded(&b, now, true);
    fail_times(&b, 5, now); /* and then begins anew */
    assert_int_equal(vg_breaker_wait_ms(&b, now, &policy), 1001);
}

static void breaker__a_withdrawn_probe_makes_room_for_another(void **state)
{
    struct vg_breaker b = opened();

    (void)state;
    assert_true(enter(&b, after_ms(1000)));
    vg_breaker_withdrawn(&b);
    assert_int_equal(b.state, VG_BREAKER_HALF_OPEN);
    assert_true(enter(&b, after_ms(1000)));
    assert_false(enter(&b, after_ms(1000)));
}

static void breaker__never_opens_when_off(void **state)
{
    const struct vg_breaker_policy off = {.failures = 0, .wait_ms = 1000};
    struct vg_breaker b = {.state = VG_BREAKER_CLOSED};

    (void)state;
    for (int i = 0; i < 1000; i++)
        vg_breaker_failed(&b, start, false, &off);
    assert_true(enter(&b, start));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaker__opens_after_failures_in_a_row),
        cmocka_unit_test(breaker__opens_when_half_fail),
        cmocka_unit_test(breaker__jobs_that_fail_later_count),
        cmocka_unit_test(breaker__one_probe_at_a_time_closes_it),
        cmocka_unit_test(breaker__a_failed_probe_doubles_the_wait_to_a_bound),
        cmocka_unit_test(breaker__a_withdrawn_probe_makes_room_for_another),
        cmocka_unit_test(breaker__never_opens_when_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
