/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/webhook/attempts.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "common/mem.h"

static const struct vg_attempts_options roomy = {
    .max_count = 100, .max_bytes = 100000, .keep_ns = 1000};

static struct vg_attempt_key key_of(int number)
{
    struct vg_attempt_key key;
    const struct vg_attempt_name name = {
        .id = "evt_1", .url = "https://a.example/", .body = VG_VIEW("{}"), .attempt = number};
    vg_attempt_key(&key, &name);
    return key;
}

static void begin_and_end(struct vg_attempts *attempts, int number, const char *answer, int64_t at)
{
    const struct vg_attempt_key key = key_of(number);
    const struct vg_attempt_end end = {.http_status = 200 + number, .reason = "", .answer = answer};
    struct vg_attempt *attempt = vg_attempts_begin(attempts, &key, attempts, at);
    assert_non_null(attempt);
    vg_attempts_end(attempts, attempt, &end, at);
}

static bool knows(struct vg_attempts *attempts, int number, int64_t at)
{
    const struct vg_attempt_key key = key_of(number);
    return vg_attempts_find(attempts, &key, at) != NULL;
}

static void attempts__differ_in_each_part(void **state)
{
    static const struct vg_attempt_name names[] = {
        {"evt_1", "https://a.example/", {"{}", 2}, 1, 0},
        {"evt_2", "https://a.example/", {"{}", 2}, 1, 0},
        {"evt_1", "https://a.example/x", {"{}", 2}, 1, 0},
        {"evt_1", "https://a.example/", {"[]", 2}, 1, 0},
        {"evt_1", "https://a.example/", {"{}", 2}, 2, 0},
        {"evt_1", "https://a.example/", {"{}", 2}, 1, 1},
        {"evt_1", "https://a.example/", {"{}", 2}, 0, 1},
        {"evt_1https:", "//a.example/", {"{}", 2}, 1, 0},
        {"evt_1", "https://a.example/{", {"}", 1}, 1, 0},
    };
    struct vg_attempt_key keys[VG_COUNT(names)], same;
    (void)state;
    for (size_t i = 0; i < VG_COUNT(names); i++) {
        vg_attempt_key(&keys[i], &names[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&keys[i], &keys[j], sizeof(keys[i]));
    }
    vg_attempt_key(&same, &names[0]);
    assert_memory_equal(&same, &keys[0], sizeof(same));
}

static void attempts__are_under_way_then_ended(void **state)
{
    struct vg_attempts *attempts = vg_attempts_new(&roomy);
    const struct vg_attempt_key key = key_of(1);
    const struct vg_attempt_end end = {.outcome = VG_DELIVERY_RETRY,
                                       .http_status = 503,
                                       .retry_after_ms = 5000,
                                       .duration_ms = 12,
                                       .reason = "status_503",
                                       .answer = "later"};
    struct vg_attempt_end read;
    int owner = 0;
    (void)state;
    assert_null(vg_attempts_find(attempts, &key, 0));
    struct vg_attempt *attempt = vg_attempts_begin(attempts, &key, &owner, 0);
    assert_ptr_equal(vg_attempts_find(attempts, &key, 5000), attempt); /* however long */
    assert_ptr_equal(vg_attempt_owner(attempt), &owner);
    vg_attempts_end(attempts, attempt, &end, 5000);
    attempt = vg_attempts_find(attempts, &key, 5999);
    assert_non_null(attempt);
    assert_null(vg_attempt_owner(attempt));
    vg_attempt_read(attempt, &read);
    assert_int_equal(read.outcome, VG_DELIVERY_RETRY);
    assert_int_equal(read.http_status, 503);
    assert_int_equal(read.retry_after_ms, 5000);
    assert_int_equal(read.duration_ms, 12);
    assert_string_equal(read.reason, "status_503");
    assert_string_equal(read.answer, "later");
    assert_null(vg_attempts_find(attempts, &key, 6000)); /* its time is over */
    vg_attempts_free(attempts);
}

static void attempts__without_an_end_are_forgotten(void **state)
{
    struct vg_attempts *attempts = vg_attempts_new(&roomy);
    const struct vg_attempt_key key = key_of(1);
    (void)state;
    vg_attempts_end(attempts, vg_attempts_begin(attempts, &key, attempts, 0), NULL, 0);
    assert_false(knows(attempts, 1, 0));
    begin_and_end(attempts, 1, "", 0);
    assert_true(knows(attempts, 1, 0));
    vg_attempts_free(attempts);
}

static void attempts__are_bounded_in_number(void **state)
{
    struct vg_attempts_options three = roomy;
    struct vg_attempt *under_way[3];
    (void)state;
    three.max_count = 3;
    struct vg_attempts *attempts = vg_attempts_new(&three);
    for (int i = 0; i < 5; i++)
        begin_and_end(attempts, i, "", i);
    for (int i = 0; i < 5; i++)
        assert_int_equal(knows(attempts, i, 5), i >= 2); /* those that ended first are gone */
    for (int i = 0; i < 3; i++) {
        const struct vg_attempt_key key = key_of(10 + i);
        under_way[i] = vg_attempts_begin(attempts, &key, attempts, 5);
        assert_non_null(under_way[i]);
    }
    const struct vg_attempt_key more = key_of(20);
    assert_null(vg_attempts_begin(attempts, &more, attempts, 5)); /* none has ended */
    vg_attempts_end(attempts, under_way[1], NULL, 5);
    assert_non_null(vg_attempts_begin(attempts, &more, attempts, 5));
    vg_attempts_free(attempts); /* with some under way */
}

static void attempts__are_bounded_in_bytes(void **state)
{
    struct vg_attempts_options small = roomy;
    char answer[513];
    (void)state;
    memset(answer, 'x', sizeof(answer) - 1);
    answer[sizeof(answer) - 1] = '\0';
    small.max_bytes = 2048;
    struct vg_attempts *attempts = vg_attempts_new(&small);
    int known = 0;
    for (int i = 0; i < 50; i++)
        begin_and_end(attempts, i, answer, i);
    for (int i = 0; i < 50; i++)
        known += knows(attempts, i, 50);
    assert_in_range(known, 2, 3);
    assert_true(knows(attempts, 49, 50));
    vg_attempts_free(attempts);
    small.max_bytes = 400; /* room for one, not for what it would say */
    attempts = vg_attempts_new(&small);
    begin_and_end(attempts, 1, answer, 0);
    assert_false(knows(attempts, 1, 0));
    begin_and_end(attempts, 1, "", 0);
    assert_true(knows(attempts, 1, 0));
    vg_attempts_free(attempts);
}

/* Against a list that is looked through: any order of begins, ends and looks. */
static void attempts__agree_with_a_list(void **state)
{
    enum { NAMES = 40, LEAST = 20 };
    struct vg_attempts_options options = roomy;
    struct vg_attempt *under_way[NAMES] = {NULL};
    int64_t ended[NAMES];
    unsigned dice = 7;
    (void)state;
    options.max_count = NAMES;
    struct vg_attempts *attempts = vg_attempts_new(&options);
    for (int i = 0; i < NAMES; i++)
        ended[i] = INT64_MIN / 2;
    for (int64_t now = 0; now < 20000; now += LEAST) {
        dice = dice * 1103515245 + 12345;
        int i = (int)(dice >> 16) % NAMES;
        const struct vg_attempt_key key = key_of(i);
        struct vg_attempt *found = vg_attempts_find(attempts, &key, now);
        if (under_way[i]) {
            const struct vg_attempt_end end = {.http_status = i, .reason = "", .answer = ""};
            bool keep = dice >> 24 & 1;
            assert_ptr_equal(found, under_way[i]);
            vg_attempts_end(attempts, found, keep ? &end : NULL, now);
            ended[i] = keep ? now : INT64_MIN / 2;
            under_way[i] = NULL;
        } else if (now - ended[i] < options.keep_ns) {
            struct vg_attempt_end read;
            assert_non_null(found);
            vg_attempt_read(found, &read);
            assert_int_equal(read.http_status, i);
        } else {
            assert_null(found);
            under_way[i] = vg_attempts_begin(attempts, &key, attempts, now);
            assert_non_null(under_way[i]);
        }
    }
    vg_attempts_free(attempts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts__differ_in_each_part),
        cmocka_unit_test(attempts__are_under_way_then_ended),
        cmocka_unit_test(attempts__without_an_end_are_forgotten),
        cmocka_unit_test(attempts__are_bounded_in_number),
        cmocka_unit_test(attempts__are_bounded_in_bytes),
        cmocka_unit_test(attempts__agree_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
