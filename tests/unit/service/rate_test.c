/* SPDX-License-Identifier: Apache-2.0 */
#include "service/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"

#define START (1000 * VG_NS_PER_S)

static struct vg_rate_answer take(struct vg_rate *rate, uint64_t id, int32_t limit, int64_t at)
{
    const struct vg_rate_limit one = {id, limit};
    struct vg_rate_answer answer;
    vg_rate_take(rate, &one, 1, at, &answer);
    return answer;
}

static void rate__lets_a_minute_through_and_no_more(void **state)
{
    (void)state;
    struct vg_rate *rate = vg_rate_new(1);
    for (int i = 0; i < 60; i++) {
        struct vg_rate_answer a = take(rate, 1, 60, START);
        assert_true(a.allowed);
        assert_int_equal(a.limit, 60);
        assert_int_equal(a.remaining, 59 - i);
        assert_int_equal(a.reset_ms, (i + 1) * 1000);
    }
    struct vg_rate_answer refused = take(rate, 1, 60, START);
    assert_false(refused.allowed);
    assert_int_equal(refused.remaining, 0);
    assert_int_equal(refused.retry_ms, 1000);
    assert_false(take(rate, 1, 60, START + 999 * VG_NS_PER_MS).allowed);
    assert_true(take(rate, 1, 60, START + VG_NS_PER_S).allowed);
    assert_false(take(rate, 1, 60, START + VG_NS_PER_S).allowed);
    assert_true(take(rate, 3, 60, START).allowed); /* somebody else */
    vg_rate_free(rate);
}

/* Over any time, never more than the burst and what has flowed since. */
static void rate__holds_over_any_window(void **state)
{
    (void)state;
    struct vg_rate *rate = vg_rate_new(1);
    int let = 0;
    for (int64_t ms = 0; ms <= 300000; ms += 7)
        let += take(rate, 1, 90, START + ms * VG_NS_PER_MS).allowed;
    assert_in_range(let, 90 + 449, 90 + 451);
    vg_rate_free(rate);
}

static void rate__counts_against_all_or_none(void **state)
{
    (void)state;
    struct vg_rate *rate = vg_rate_new(1);
    const struct vg_rate_limit both[] = {{1, 2}, {2, 100}};
    struct vg_rate_answer a;
    for (int i = 0; i < 20; i++)
        vg_rate_take(rate, both, 2, START, &a);
    assert_false(a.allowed);
    assert_int_equal(a.tightest, 0);
    assert_int_equal(a.limit, 2);
    assert_int_equal(a.retry_ms, 30000);
    assert_int_equal(take(rate, 2, 100, START).remaining, 97); /* two counted, and this one */
    vg_rate_free(rate);
}

/* Two limits of one request whose places are neighbours, neither known before. */
static void rate__keeps_both_of_a_request(void **state)
{
    (void)state;
    struct vg_rate *rate = vg_rate_new(1);
    const struct vg_rate_limit both[] = {{2 + 4096 * 2, 1}, {2 + 2 * 4096 * 2, 100}};
    struct vg_rate_answer a;
    vg_rate_take(rate, both, 2, START, &a);
    assert_true(a.allowed);
    vg_rate_take(rate, both, 2, START, &a);
    assert_false(a.allowed);
    vg_rate_free(rate);
}

static void rate__shares_a_limit(void **state)
{
    (void)state;
    struct vg_rate *rate = vg_rate_new(4);
    int let = 0;
    for (int i = 0; i < 100; i++)
        let += take(rate, 1, 100, START).allowed;
    assert_int_equal(let, 25);
    assert_true(take(rate, 2, 1, START).allowed); /* never nothing */
    assert_false(take(rate, 2, 1, START).allowed);
    vg_rate_free(rate);
}

static void rate__says_durations_as_openai_does(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0ms"},     {12, "12ms"},    {999, "999ms"},   {1000, "1s"},   {1001, "2s"},
                 {59000, "59s"}, {60000, "1m0s"}, {360000, "6m0s"}, {61500, "1m2s"}};
    char text[VG_RATE_DURATION_SIZE];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vg_rate_duration(text, cases[i].ms);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate__lets_a_minute_through_and_no_more),
        cmocka_unit_test(rate__holds_over_any_window),
        cmocka_unit_test(rate__counts_against_all_or_none),
        cmocka_unit_test(rate__keeps_both_of_a_request),
        cmocka_unit_test(rate__shares_a_limit),
        cmocka_unit_test(rate__says_durations_as_openai_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
