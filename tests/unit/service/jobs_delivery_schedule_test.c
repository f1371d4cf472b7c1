/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "service/jobs/delivery_schedule.h"

#define OUTCOME(x) VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_##x

static const int64_t second = 1000, minute = 60000, hour = 3600000;

static struct vg_delivery_schedule standard(void)
{
    struct vg_delivery_schedule s;
    assert_int_equal(vg_delivery_schedule_parse(&s, VG_DELIVERY_DEFAULT_SCHEDULE, NULL), 0);
    return s;
}

static void schedule__default_is_ten_attempts_over_75_hours(void **state)
{
    (void)state;
    struct vg_delivery_schedule s = standard();
    assert_int_equal(s.count, 10);
    int64_t sum = 0;
    for (int32_t i = 0; i < s.count; i++) {
        sum += s.wait_ms[i];
    }
    assert_int_equal(sum, 75 * hour + 35 * minute + 5 * second);
}

static void schedule__parse_takes_units_and_spaces(void **state)
{
    (void)state;
    struct vg_delivery_schedule s;
    assert_int_equal(vg_delivery_schedule_parse(&s, " 0s, 250ms ,1m,2h,7d", NULL), 0);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.wait_ms[1], 250);
    assert_int_equal(s.wait_ms[4], 168 * hour);
}

static void schedule__parse_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       ",",  "5",   "s",  "-5s",  "5s,",
                                      "5s,,6s", "8d", "5 s", "1w", "0x5s", "99999999999999999999s",
                                      "200h"};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        struct vg_delivery_schedule s;
        struct vg_err err;
        if (vg_delivery_schedule_parse(&s, bad[i], &err) == 0) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        assert_string_equal(err.param, "webhook-schedule");
    }
    char many[33 * 3 + 1] = "";
    for (size_t i = 0; i < 33; i++) {
        many[3 * i] = '1';
        many[3 * i + 1] = 's';
        many[3 * i + 2] = i == 32 ? '\0' : ',';
    }
    struct vg_delivery_schedule s;
    struct vg_err err;
    assert_int_equal(vg_delivery_schedule_parse(&s, many, &err), -1);
}

static void next__follows_the_schedule_with_jitter(void **state)
{
    (void)state;
    struct vg_delivery_schedule s = standard();
    for (int32_t made = 1; made < s.count; made++) {
        struct vg_delivery_next low = vg_delivery_next(&s, made, OUTCOME(RETRY), 0, 0.0);
        struct vg_delivery_next high = vg_delivery_next(&s, made, OUTCOME(RETRY), 0, 0.9999);
        assert_int_equal(low.state, VG_DELIVERY_PENDING);
        assert_int_equal(low.wait_ms, s.wait_ms[made] * 8 / 10);
        assert_true(high.wait_ms > low.wait_ms && high.wait_ms <= s.wait_ms[made] * 12 / 10);
    }
    assert_int_equal(vg_delivery_next(&s, s.count, OUTCOME(RETRY), 0, 0.5).state,
                     VG_DELIVERY_FAILED);
    assert_int_equal(vg_delivery_next(&s, s.count, OUTCOME(RETRY), 5000, 0.5).state,
                     VG_DELIVERY_FAILED);
}

static void next__ends(void **state)
{
    (void)state;
    struct vg_delivery_schedule s = standard();
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(DELIVERED), 0, 0.5).state,
                     VG_DELIVERY_DELIVERED);
    assert_int_equal(vg_delivery_next(&s, 10, OUTCOME(DELIVERED), 0, 0.5).state,
                     VG_DELIVERY_DELIVERED);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(GONE), 0, 0.5).state, VG_DELIVERY_GONE);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(REFUSED), 0, 0.5).state, VG_DELIVERY_FAILED);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(UNSPECIFIED), 0, 0.5).state,
                     VG_DELIVERY_PENDING);
}

static void next__honours_retry_after_within_a_day(void **state)
{
    (void)state;
    struct vg_delivery_schedule s = standard();
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(RETRY), 90 * second, 0.5).wait_ms,
                     90 * second);
    assert_int_equal(vg_delivery_next(&s, 3, OUTCOME(RETRY), second, 0.5).wait_ms, 30 * minute);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(RETRY), 1000 * hour, 0.5).wait_ms, 24 * hour);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(RETRY), INT64_MAX, 0.5).wait_ms, 24 * hour);
    assert_int_equal(vg_delivery_next(&s, 1, OUTCOME(RETRY), -5, 0.5).wait_ms, 5 * second);
}

static void sign__tells_what_an_attempt_says(void **state)
{
    static const struct {
        int outcome, status;
        int64_t retry_after_ms;
        enum vg_receiver_sign sign;
        int64_t hold_ms;
    } cases[] = {
        {OUTCOME(DELIVERED), 204, 0, VG_RECEIVER_GOOD, 0},
        {OUTCOME(DELIVERED), 200, 9000, VG_RECEIVER_GOOD, 0},
        {OUTCOME(GONE), 410, 0, VG_RECEIVER_ANSWERED, 0},
        {OUTCOME(REFUSED), 0, 0, VG_RECEIVER_ANSWERED, 0},
        {OUTCOME(RETRY), 302, 0, VG_RECEIVER_ANSWERED, 0},
        {OUTCOME(RETRY), 404, 5000, VG_RECEIVER_ANSWERED, 0},
        {OUTCOME(RETRY), 0, 0, VG_RECEIVER_BAD, 0},
        {OUTCOME(RETRY), 408, 0, VG_RECEIVER_BAD, 0},
        {OUTCOME(RETRY), 500, 5000, VG_RECEIVER_BAD, 0},
        {OUTCOME(RETRY), 429, 0, VG_RECEIVER_BUSY, 0},
        {OUTCOME(RETRY), 429, 1, VG_RECEIVER_BUSY, 1000},
        {OUTCOME(RETRY), 502, 7000, VG_RECEIVER_BUSY, 7000},
        {OUTCOME(RETRY), 503, -5, VG_RECEIVER_BUSY, 0},
        {OUTCOME(RETRY), 504, INT64_MAX, VG_RECEIVER_BUSY, 3600000},
    };
    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_delivery_sign said =
            vg_delivery_sign((Videogate__V1__DeliverOutcome)cases[i].outcome, cases[i].status,
                             cases[i].retry_after_ms);
        assert_int_equal(said.sign, cases[i].sign);
        assert_int_equal(said.hold_ms, cases[i].hold_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule__default_is_ten_attempts_over_75_hours),
        cmocka_unit_test(schedule__parse_takes_units_and_spaces),
        cmocka_unit_test(schedule__parse_refuses),
        cmocka_unit_test(next__follows_the_schedule_with_jitter),
        cmocka_unit_test(next__ends),
        cmocka_unit_test(next__honours_retry_after_within_a_day),
        cmocka_unit_test(sign__tells_what_an_attempt_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
