/* SPDX-License-Identifier: Apache-2.0 */
#include "common/id.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

static void id__has_prefix_and_uuid_v7(void **state)
{
    (void)state;
    char id[VG_ID_SIZE];
    int64_t before = vg_wall_ms();
    vg_id_new(id, "video");
    int64_t after = vg_wall_ms();
    assert_true(vg_id_valid(id, strlen(id), "video"));
    assert_int_equal(strlen(id), 6 + 32);
    assert_int_equal(id[6 + 12], '7');
    assert_non_null(strchr("89ab", id[6 + 16]));
    assert_in_range(vg_id_time_ms(id), before, after + 1000);
}

static void id__tells_its_time(void **state)
{
    (void)state;
    assert_int_equal(vg_id_time_ms("video_0197f3c2a1b47d3e8f00112233445566"), 0x0197f3c2a1b4);
    assert_int_equal(vg_id_time_ms("video_00000000000070000000000000000000"), -1); /* variant */
    assert_int_equal(vg_id_time_ms("video_0197f3c2a1b44d3e8f00112233445566"), -1); /* version 4 */
    assert_int_equal(vg_id_time_ms("video_ffffffffffff7fffbfffffffffffffff"), 0xffffffffffff);
}

static void id__sorts_by_creation(void **state)
{
    (void)state;
    char last[VG_ID_SIZE], id[VG_ID_SIZE];
    vg_id_new(last, "x");
    for (int i = 0; i < 20000; i++) {
        vg_id_new(id, "x");
        assert_true(strcmp(last, id) < 0);
        memcpy(last, id, sizeof id);
    }
}

static void id__longest_prefix_fits(void **state)
{
    (void)state;
    char id[VG_ID_SIZE];
    vg_id_new(id, "abcdefghijklmn");
    assert_int_equal(strlen(id), VG_ID_SIZE - 1);
    assert_true(vg_id_valid(id, strlen(id), "abcdefghijklmn"));
}

static void id__a_child_does_not_repeat_its_parent(void **state)
{
    (void)state;
    char ours[VG_ID_SIZE], theirs[VG_ID_SIZE];
    int ends[2];
    vg_id_new(ours, "x"); /* so that random bytes are in store */
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        vg_id_new(theirs, "x");
        _exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
    vg_id_new(ours, "x");
    /* The last 16 digits are random but for two bits. */
    assert_string_not_equal(ours + 2 + 17, theirs + 2 + 17);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void id__valid_refuses_other_forms(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "video_",
        "video",
        "video_0123456789abcdef0123456789abcde",
        "video_0123456789abcdef0123456789abcdef0",
        "video_0123456789ABCDEF0123456789abcdef",
        "video_0123456789abcdeg0123456789abcdef",
        "video-0123456789abcdef0123456789abcdef",
        "vide_00123456789abcdef0123456789abcdef",
        "Video_0123456789abcdef0123456789abcdef",
        "video_0123456789abcdef0123456789abcde/",
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_id_valid(bad[i], strlen(bad[i]), "video"));
    assert_true(vg_id_valid("video_0123456789abcdef0123456789abcdef", 38, "video"));
}

enum { THREADS = 4, PER_THREAD = 5000 };

static void *make_ids(void *arg)
{
    char(*ids)[VG_ID_SIZE] = arg;
    for (int i = 0; i < PER_THREAD; i++)
        vg_id_new(ids[i], "t");
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void id__threads_never_share_a_stamp(void **state)
{
    (void)state;
    static char ids[THREADS * PER_THREAD][VG_ID_SIZE];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i * PER_THREAD]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    qsort(ids, VG_COUNT(ids), sizeof ids[0], compare);
    for (size_t i = 1; i < VG_COUNT(ids); i++)
        assert_true(memcmp(ids[i - 1], ids[i], 2 + 16) < 0); /* time and counter alone differ */
}

static void random__unit_stays_in_range_and_varies(void **state)
{
    (void)state;
    double low = 1, high = 0;
    for (int i = 0; i < 1000; i++) {
        double x = vg_random_unit();
        assert_true(x >= 0 && x < 1);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    assert_true(low < 0.1 && high > 0.9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id__has_prefix_and_uuid_v7),
        cmocka_unit_test(id__tells_its_time),
        cmocka_unit_test(id__sorts_by_creation),
        cmocka_unit_test(id__longest_prefix_fits),
        cmocka_unit_test(id__a_child_does_not_repeat_its_parent),
        cmocka_unit_test(id__valid_refuses_other_forms),
        cmocka_unit_test(id__threads_never_share_a_stamp),
        cmocka_unit_test(random__unit_stays_in_range_and_varies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
