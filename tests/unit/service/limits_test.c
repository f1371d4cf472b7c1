/* SPDX-License-Identifier: Apache-2.0 */
#include "service/limits.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static Videogate__V1__Limits message(bool rpm, int32_t requests, bool active, int32_t videos,
                                     bool spend, double usd)
{
    Videogate__V1__Limits m = VIDEOGATE__V1__LIMITS__INIT;

    if (rpm)
        m.opt_requests_per_minute_case =
            VIDEOGATE__V1__LIMITS__OPT_REQUESTS_PER_MINUTE_REQUESTS_PER_MINUTE;
    if (active)
        m.opt_concurrent_videos_case =
            VIDEOGATE__V1__LIMITS__OPT_CONCURRENT_VIDEOS_CONCURRENT_VIDEOS;
    if (spend)
        m.opt_monthly_spend_usd_case =
            VIDEOGATE__V1__LIMITS__OPT_MONTHLY_SPEND_USD_MONTHLY_SPEND_USD;
    m.requests_per_minute = requests;
    m.concurrent_videos = videos;
    m.monthly_spend_usd = usd;
    return m;
}

static void limits__absent_members_do_not_limit(void **state)
{
    struct vg_limits out = {1, 1, 1};
    struct vg_err err;
    Videogate__V1__Limits m = message(false, 7, true, 3, false, 8);

    (void)state;
    assert_int_equal(vg_limits_read(NULL, &out, &err), 0);
    assert_true(out.requests_per_minute == 0 && out.max_active == 0 && out.max_spend_micros == 0);
    assert_int_equal(vg_limits_read(&m, &out, &err), 0);
    assert_true(out.requests_per_minute == 0 && out.max_active == 3 && out.max_spend_micros == 0);
}

static void limits__refuses_what_is_out_of_range(void **state)
{
    static const struct {
        bool rpm, active, spend;
        int32_t n;
        double usd;
        const char *param;
    } rows[] = {
        {true, false, false, 0, 0, "limits.requests_per_minute"},
        {true, false, false, 1000001, 0, "limits.requests_per_minute"},
        {false, true, false, -1, 0, "limits.concurrent_videos"},
        {false, false, true, 1, 0, "limits.monthly_spend_usd"},
        {false, false, true, 1, -3, "limits.monthly_spend_usd"},
        {false, false, true, 1, 2e9, "limits.monthly_spend_usd"},
        {false, false, true, 1, NAN, "limits.monthly_spend_usd"},
        {false, false, true, 1, INFINITY, "limits.monthly_spend_usd"},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        struct vg_limits out;
        struct vg_err err;
        Videogate__V1__Limits m =
            message(rows[i].rpm, rows[i].n, rows[i].active, rows[i].n, rows[i].spend, rows[i].usd);

        assert_int_equal(vg_limits_read(&m, &out, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        assert_string_equal(err.param, rows[i].param);
    }
}

static void limits__dollars_become_millionths_and_back(void **state)
{
    (void)state;
    assert_int_equal(vg_micros_of_usd(0.1), 100000);
    assert_int_equal(vg_micros_of_usd(0.0000004), 0);
    assert_int_equal(vg_micros_of_usd(0.05184 * 5), 259200);
    assert_int_equal(vg_micros_of_usd(-1), -1);
    assert_true(vg_usd_of_micros(259200) == 0.2592);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__absent_members_do_not_limit),
        cmocka_unit_test(limits__refuses_what_is_out_of_range),
        cmocka_unit_test(limits__dollars_become_millionths_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
