/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/credentials.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

static char path[] = "/tmp/vg_keys_XXXXXX";

static void write_file(const char *text, int64_t second)
{
    FILE *file = fopen(path, "we");
    const struct timespec times[2] = {{.tv_sec = second}, {.tv_sec = second}};

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_text(void **state)
{
    static const char *const bad[] = {"rpm=5", "key rpm=0", "key rpm=x", "key rpm=1000001"};
    struct vg_credentials *c;
    struct vg_err err;
    (void)state;
    assert_int_equal(
        vg_credentials_new(&c, "# a comment, with words\none rpm=60, two\n three ", NULL, 9, &err),
        0);
    assert_int_equal(vg_credentials_count(c), 3);
    assert_string_equal(vg_credentials_at(c, 0)->key, "one");
    assert_int_equal(vg_credentials_at(c, 0)->rpm, 60);
    assert_string_equal(vg_credentials_at(c, 2)->key, "three");
    assert_int_equal(vg_credentials_at(c, 2)->rpm, 9);
    assert_null(vg_credentials_at(c, 3));
    assert_int_equal(strlen(vg_credentials_at(c, 1)->id), 12);
    assert_ptr_equal(vg_credentials_find(c, vg_credentials_at(c, 1)->id), vg_credentials_at(c, 1));
    assert_null(vg_credentials_find(c, "000000000000"));
    vg_credentials_free(c);
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(vg_credentials_new(&c, bad[i], NULL, 0, &err), -1);
    assert_int_equal(vg_credentials_new(&c, NULL, "/does/not/exist", 0, &err), -1);
    assert_string_equal(err.param, "keys-file");
}

static void test_budget(void **state)
{
    struct vg_credentials *c;
    struct vg_fault fault;
    int64_t now = VG_NS_PER_S;
    (void)state;
    assert_int_equal(vg_credentials_new(&c, "one rpm=60", NULL, 0, NULL), 0);
    struct vg_credential *one = vg_credentials_pick(c, now, &fault);
    assert_non_null(one);
    for (int i = 0; i < 10; i++) /* ten seconds' worth at once */
        assert_int_equal(vg_credential_take(one, now), 0);
    int64_t wait = vg_credential_take(one, now);
    assert_in_range(wait, 900, 1001);
    assert_null(vg_credentials_pick(c, now, &fault));
    assert_int_equal(fault.class, VG_CLASS(RATE_LIMITED));
    assert_in_range(fault.retry_after_ms, 900, 1001);
    assert_int_equal(vg_credential_take(one, now + wait * VG_NS_PER_MS), 0);
    vg_credentials_free(c);
}

static void test_rest(void **state)
{
    struct vg_credentials *c;
    struct vg_fault fault;
    int64_t now = VG_NS_PER_S;
    (void)state;
    assert_int_equal(vg_credentials_new(&c, "one two", NULL, 0, NULL), 0);
    struct vg_credential *first = vg_credentials_pick(c, now, &fault);
    vg_fault_of_class(&fault, VG_CLASS(AUTH));
    vg_credential_report(first, &fault, now);
    struct vg_credential *second = vg_credentials_pick(c, now, &fault);
    assert_ptr_not_equal(first, second);
    vg_fault_of_class(&fault, VG_CLASS(RATE_LIMITED));
    fault.retry_after_ms = 1500;
    vg_credential_report(second, &fault, now);
    assert_null(vg_credentials_pick(c, now, &fault));
    assert_int_equal(fault.class, VG_CLASS(RATE_LIMITED)); /* the one that is back first */
    assert_in_range(fault.retry_after_ms, 1500, 1501);
    assert_int_equal(vg_credential_take(second, now), 0); /* its jobs are polled all the same */
    assert_ptr_equal(vg_credentials_pick(c, now + 2 * VG_NS_PER_S, &fault), second);
    vg_credentials_free(c);
}

/* Rotation: the file changes, jobs of a key that went still find it. */
static void test_rotation(void **state)
{
    struct vg_credentials *c;
    (void)state;
    write_file("old\n", 1000);
    assert_int_equal(vg_credentials_new(&c, NULL, path, 0, NULL), 0);
    char id[VG_CREDENTIAL_ID_SIZE];
    memcpy(id, vg_credentials_at(c, 0)->id, sizeof(id));
    write_file("new rpm=6\n", 2000);
    vg_credentials_refresh(c);
    assert_int_equal(vg_credentials_count(c), 1);
    assert_string_equal(vg_credentials_at(c, 0)->key, "new");
    assert_string_equal(vg_credentials_find(c, id)->key, "old");
    assert_true(vg_credentials_find(c, id)->retired);
    write_file("new rpm=zero\n", 3000); /* bad: nothing changes */
    vg_credentials_refresh(c);
    assert_int_equal(vg_credentials_at(c, 0)->rpm, 6);
    assert_int_equal(unlink(path), 0);
    vg_credentials_refresh(c);
    assert_int_equal(vg_credentials_count(c), 1);
    write_file("old new", 4000); /* it is back */
    vg_credentials_refresh(c);
    assert_false(vg_credentials_find(c, id)->retired);
    vg_credentials_free(c);
}

/* What a provider writes is shown to callers. */
static void test_blot(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"nothing to hide", "nothing to hide"},
        {"bad key sk-first-key-0123, sk-first-key-0123!", "bad key [key], [key]!"},
        {"sign ACCESSKEY with SECRETPART", "sign [key] with [key]"},
        {"got 'Authorization: bearer eyJhbGciOi.eyJ.sig', sorry",
         "got 'Authorization: bearer [key]', sorry"},
        {"Bearer x", "Bearer x"},
        {"cut off: sk-first-k", "cut off: [key]"},
        {"short", "short"},
        {"", ""},
    };
    struct vg_credentials *c;
    struct vg_err err;
    char text[128];

    assert_int_equal(
        vg_credentials_new(&c, "sk-first-key-0123, ACCESSKEY:SECRETPART short", NULL, 0, &err), 0);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        (void)snprintf(text, sizeof(text), "%s", cases[i].text);
        vg_credentials_blot(c, text);
        assert_string_equal(text, cases[i].clean);
    }
    vg_credentials_free(c);
}

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_budget), cmocka_unit_test(test_rest),
        cmocka_unit_test(test_rotation), cmocka_unit_test(test_blot),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
