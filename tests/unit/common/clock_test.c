/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void clock__deadlines_saturate(void **state)
{
    (void)state;
    assert_true(vg_deadline_in_ms(INT64_MAX) == VG_NO_DEADLINE);
    assert_true(vg_deadline_in_ms(INT64_MAX / VG_NS_PER_MS) == VG_NO_DEADLINE);
    assert_true(vg_deadline_left_ms(VG_NO_DEADLINE) == INT64_MAX);
}

static void clock__left_is_never_negative(void **state)
{
    (void)state;
    assert_int_equal(vg_deadline_left_ms(0), 0);
    assert_int_equal(vg_deadline_left_ms(vg_deadline_in_ms(-5)), 0);
    int64_t left = vg_deadline_left_ms(vg_deadline_in_ms(60000));
    assert_true(left > 0 && left <= 60000);
}

static void clock__does_not_run_backwards(void **state)
{
    (void)state;
    int64_t last = vg_now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = vg_now_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(vg_wall_ms() > INT64_C(1700000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock__deadlines_saturate),
        cmocka_unit_test(clock__left_is_never_negative),
        cmocka_unit_test(clock__does_not_run_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
