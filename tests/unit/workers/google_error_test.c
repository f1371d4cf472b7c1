/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_error.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>

#include "common/mem.h"

#define INFO "\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":"
#define QUOTA "\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":"
/* Midnight of 2026-11-28 in California, which is 08:00 UTC. */
#define MIDNIGHT_MS INT64_C(1795852800000)

static int64_t wait_of(const char *details, int64_t wall_ms)
{
    char text[1024];
    struct vg_json *json;
    (void)snprintf(text, sizeof(text), "{\"error\":{\"code\":429,\"details\":%s}}", details);
    assert_int_equal(vg_json_parse(&json, vg_view_of(text), NULL), 0);
    int64_t wait = vg_google_wait(json, wall_ms);
    vg_json_free(json);
    return wait;
}

static void wait__reads_durations(void **state)
{
    (void)state;
    static const struct {
        const char *details;
        int64_t ms;
    } rows[] = {
        {"[{" INFO "\"37s\"}]", 37000},
        {"[{" INFO "\"36.962849995s\"}]", 36963},
        {"[{" INFO "\"3.9s\"}]", 3900},
        {"[{" INFO "\"0.25s\"}]", 250},
        {"[{\"@type\":\"x.Help\"},{" INFO "\"1.500s\"}]", 1500},
        {"[{" INFO "\"0s\"}]", 0},
        {"[{" INFO "\"-1s\"}]", 0},
        {"[{" INFO "\"1.-5s\"}]", 0},
        {"[{" INFO "\"1e3s\"}]", 0},
        {"[{" INFO "\"s\"}]", 0},
        {"[{" INFO "\"\"}]", 0},
        {"[{" INFO "\"5\"}]", 0},
        {"[{" INFO "5}]", 0},
        {"[{" INFO "\"99999999999999999999s\"}]", 0},
        {"[{\"retryDelay\":\"5s\"}]", 0},
        {"[{\"@type\":7,\"retryDelay\":\"5s\"}]", 0},
        {"[]", 0},
        {"{}", 0},
        {"null", 0},
    };
    for (size_t i = 0; i < VG_COUNT(rows); i++)
        assert_int_equal(wait_of(rows[i].details, MIDNIGHT_MS), rows[i].ms);
    assert_int_equal(vg_google_wait(NULL, 0), 0);
}

/* What is used up for the day comes back at midnight, whatever else is said. */
static void wait__a_quota_of_the_day(void **state)
{
    (void)state;
    static const char day[] =
        "[{" QUOTA "[{\"quotaId\":\"X\"},{\"quotaId\":\"ReqPerDayPerModel\"}]},"
        "{" INFO "\"37s\"}]";
    static const char minute[] = "[{" QUOTA "[{\"quotaId\":\"ReqPerMinutePerModel\"}]},"
                                 "{" INFO "\"37s\"}]";
    assert_int_equal(wait_of(day, MIDNIGHT_MS), 24 * 3600 * 1000);
    assert_int_equal(wait_of(day, MIDNIGHT_MS - 1), 1);
    assert_int_equal(wait_of(day, MIDNIGHT_MS + 3600 * 1000), 23 * 3600 * 1000);
    assert_int_equal(wait_of(minute, MIDNIGHT_MS), 37000);
}

static void operation_code__has_a_name_for_each_number(void **state)
{
    (void)state;
    assert_string_equal(vg_google_operation_code(3), "operation:INVALID_ARGUMENT");
    assert_string_equal(vg_google_operation_code(16), "operation:UNAUTHENTICATED");
    assert_string_equal(vg_google_operation_code(17), "operation:UNKNOWN");
    assert_string_equal(vg_google_operation_code(-1), "operation:UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait__reads_durations),
        cmocka_unit_test(wait__a_quota_of_the_day),
        cmocka_unit_test(operation_code__has_a_name_for_each_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
