/* SPDX-License-Identifier: Apache-2.0 */
#include "service/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/clock.h"

#define START (INT64_C(1000) * VG_NS_PER_S)

static struct vg_throttle_answer look(struct vg_throttle *t, const char *client, const char *key,
                                      int64_t now)
{
    const struct vg_throttle_who who = {client, key};
    struct vg_throttle_answer answer;

    vg_throttle_look(t, &who, now, &answer);
    return answer;
}

static void fail_times(struct vg_throttle *t, const char *client, const char *key, int times,
                       int64_t now)
{
    const struct vg_throttle_who who = {client, key};

    for (int i = 0; i < times; i++)
        vg_throttle_failed(t, &who, now);
}

static void throttle__lets_so_many_fail_and_then_one_at_a_time(void **state)
{
    (void)state;
    struct vg_throttle *t = vg_throttle_new(6, 0);
    int64_t now = START;

    fail_times(t, "a", "", 5, now);
    assert_int_equal(look(t, "a", "", now).wait_ms, 0);
    fail_times(t, "a", "", 1, now);
    struct vg_throttle_answer answer = look(t, "a", "", now);
    assert_int_equal(answer.wait_ms, 10000);
    assert_int_equal(answer.by, VG_THROTTLE_CLIENT);
    assert_true(answer.began);
    assert_false(look(t, "a", "", now).began); /* one line for a burst */
    assert_int_equal(look(t, "b", "", now).wait_ms, 0);
    assert_int_equal(look(t, "", "", now).wait_ms, 0);
    now += 10 * VG_NS_PER_S;
    assert_int_equal(look(t, "a", "", now).wait_ms, 0);
    fail_times(t, "a", "", 1, now);
    assert_int_equal(look(t, "a", "", now).wait_ms, 10000);
    now += 60 * VG_NS_PER_S; /* empty again: the next burst has its own line */
    assert_int_equal(look(t, "a", "", now).wait_ms, 0);
    fail_times(t, "a", "", 6, now);
    assert_true(look(t, "a", "", now).began);
    (void)vg_throttle_free(t);
}

/* What was under way together may fail beyond the limit, but the wait stays bounded. */
static void throttle__never_waits_longer_than_a_minute(void **state)
{
    (void)state;
    struct vg_throttle *t = vg_throttle_new(6, 0);

    fail_times(t, "a", "", 1000, START);
    int64_t wait = look(t, "a", "", START).wait_ms;
    assert_true(wait >= 10000 && wait <= 60000);
    (void)vg_throttle_free(t);
}

static void throttle__counts_a_key_from_everywhere(void **state)
{
    (void)state;
    struct vg_throttle *t = vg_throttle_new(100, 3);
    char client[16];

    for (int i = 0; i < 3; i++) {
        (void)snprintf(client, sizeof(client), "client%d", i);
        fail_times(t, client, "key_1", 1, START);
    }
    struct vg_throttle_answer answer = look(t, "fresh", "key_1", START);
    assert_int_equal(answer.by, VG_THROTTLE_KEY);
    assert_int_equal(answer.wait_ms, 20000);
    assert_int_equal(look(t, "client0", "key_2", START).wait_ms, 0);
    (void)vg_throttle_free(t);
}

static void throttle__zero_is_no_limit(void **state)
{
    (void)state;
    struct vg_throttle *t = vg_throttle_new(0, 0);

    fail_times(t, "a", "key_1", 100000, START);
    assert_int_equal(look(t, "a", "key_1", START).wait_ms, 0);
    (void)vg_throttle_free(t);
}

/* A hundred thousand offenders: those who fail most are still known. */
static void throttle__keeps_the_worst(void **state)
{
    (void)state;
    struct vg_throttle *t = vg_throttle_new(60, 60);
    char client[16];

    fail_times(t, "worst", "", 60, START);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(client, sizeof(client), "c%d", i);
        fail_times(t, client, "", 1, START);
    }
    assert_true(look(t, "worst", "", START).wait_ms > 0);
    (void)vg_throttle_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttle__lets_so_many_fail_and_then_one_at_a_time),
        cmocka_unit_test(throttle__never_waits_longer_than_a_minute),
        cmocka_unit_test(throttle__counts_a_key_from_everywhere),
        cmocka_unit_test(throttle__zero_is_no_limit),
        cmocka_unit_test(throttle__keeps_the_worst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
