/* SPDX-License-Identifier: Apache-2.0 */
#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void buf__grows_and_stays_terminated(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 100000);
    assert_string_equal(vg_buf_view(&buf).data, "");
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(vg_buf_addc(&buf, (char)('a' + i % 26)), 0);
        assert_int_equal(buf.data[buf.len], '\0');
    }
    assert_int_equal(buf.len, 10000);
    assert_int_equal(buf.data[9999], 'a' + 9999 % 26);
    vg_buf_fini(&buf);
}

static void buf__takes_exactly_its_maximum(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 5);
    assert_int_equal(vg_buf_adds(&buf, "hello"), 0);
    assert_true(vg_buf_ok(&buf));
    assert_int_equal(vg_buf_addc(&buf, '!'), -1);
    assert_false(vg_buf_ok(&buf));
    assert_string_equal(buf.data, "hello");
    vg_buf_fini(&buf);
}

static void buf__overflow_sticks_until_clear(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 4);
    assert_int_equal(vg_buf_adds(&buf, "ab"), 0);
    assert_int_equal(vg_buf_addf(&buf, "%d", 12345), -1);
    assert_int_equal(vg_buf_addc(&buf, 'c'), -1); /* a hole in the middle would be worse */
    assert_string_equal(buf.data, "ab");
    vg_buf_clear(&buf);
    assert_true(vg_buf_ok(&buf));
    assert_int_equal(vg_buf_addf(&buf, "%d", 1234), 0);
    assert_string_equal(buf.data, "1234");
    vg_buf_fini(&buf);
}

static void buf__zero_maximum_takes_nothing(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 0);
    assert_int_equal(vg_buf_add(&buf, "", 0), 0);
    assert_int_equal(vg_buf_addc(&buf, 'x'), -1);
    vg_buf_fini(&buf);
}

static void buf__reserve_then_commit_less(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 1000);
    char *room = vg_buf_reserve(&buf, 500);
    assert_non_null(room);
    memset(room, 'x', 500);
    vg_buf_commit(&buf, 3);
    assert_string_equal(buf.data, "xxx");
    assert_null(vg_buf_reserve(&buf, 998));
    assert_false(vg_buf_ok(&buf));
    vg_buf_fini(&buf);
}

static void buf__consume_drops_the_front(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 100);
    assert_int_equal(vg_buf_adds(&buf, "one two"), 0);
    vg_buf_consume(&buf, 4);
    assert_string_equal(buf.data, "two");
    vg_buf_consume(&buf, 3);
    assert_string_equal(buf.data, "");
    vg_buf_consume(&buf, 0);
    vg_buf_fini(&buf);
}

static void buf__cut_drops_the_end(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 100);
    vg_buf_cut(&buf, 0);
    assert_int_equal(vg_buf_adds(&buf, "one two"), 0);
    vg_buf_cut(&buf, 7);
    assert_string_equal(buf.data, "one two");
    vg_buf_cut(&buf, 3);
    assert_string_equal(buf.data, "one");
    assert_int_equal(buf.len, 3);
    vg_buf_fini(&buf);
}

static void buf__take_gives_the_bytes_away(void **state)
{
    (void)state;
    struct vg_buf buf;
    vg_buf_init(&buf, 100);
    size_t len = 99;
    char *empty = vg_buf_take(&buf, &len);
    assert_non_null(empty);
    assert_int_equal(len, 0);
    free(empty);
    assert_int_equal(vg_buf_add(&buf, "a\0b", 3), 0);
    char *bytes = vg_buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "a\0b", 4);
    assert_int_equal(buf.len, 0);
    assert_int_equal(vg_buf_adds(&buf, "again"), 0);
    free(bytes);
    vg_buf_fini(&buf);
}

static void view__compares(void **state)
{
    (void)state;
    assert_true(vg_view_eq(VG_VIEW("ab"), vg_view_of("ab")));
    assert_false(vg_view_eq(VG_VIEW("ab"), VG_VIEW("abc")));
    assert_true(vg_view_eq((struct vg_view){NULL, 0}, vg_view_of(NULL)));
    assert_true(vg_view_eqs_nocase(VG_VIEW("Content-TYPE"), "content-type"));
    assert_false(vg_view_eqs_nocase(VG_VIEW("a@"), "a`")); /* only letters fold */
    assert_false(vg_view_eqs_nocase(VG_VIEW("[]"), "{}"));
}

static void view__trims_blanks_only(void **state)
{
    (void)state;
    assert_true(vg_view_eqs(vg_view_trim(VG_VIEW(" \t a b\t ")), "a b"));
    assert_int_equal(vg_view_trim(VG_VIEW(" \t ")).len, 0);
    assert_true(vg_view_eqs(vg_view_trim(VG_VIEW("\na")), "\na"));
}

/* What a secret buffer drops is gone, also from the memory that it keeps. */
static void buf__secret_leaves_nothing_behind(void **state)
{
    (void)state;
    static const char zeros[32];
    struct vg_buf buf;
    vg_buf_init_secret(&buf, 1000);
    assert_int_equal(vg_buf_adds(&buf, "keykeykeykey"), 0);
    vg_buf_consume(&buf, 10);
    assert_string_equal(buf.data, "ey");
    assert_memory_equal(buf.data + 2, zeros, 10);
    assert_int_equal(vg_buf_adds(&buf, "keykey"), 0);
    vg_buf_cut(&buf, 3);
    assert_memory_equal(buf.data + 3, zeros, 5);
    vg_buf_clear(&buf);
    assert_memory_equal(buf.data, zeros, 12);
    for (int i = 0; i < 250; i++) /* grows by itself, not by realloc */
        assert_int_equal(vg_buf_adds(&buf, "key"), 0);
    assert_int_equal(buf.len, 750);
    assert_memory_equal(buf.data + 747, "key", 4);
    vg_buf_fini(&buf);
    assert_true(buf.secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf__grows_and_stays_terminated),
        cmocka_unit_test(buf__secret_leaves_nothing_behind),
        cmocka_unit_test(buf__takes_exactly_its_maximum),
        cmocka_unit_test(buf__overflow_sticks_until_clear),
        cmocka_unit_test(buf__zero_maximum_takes_nothing),
        cmocka_unit_test(buf__reserve_then_commit_less),
        cmocka_unit_test(buf__consume_drops_the_front),
        cmocka_unit_test(buf__cut_drops_the_end),
        cmocka_unit_test(buf__take_gives_the_bytes_away),
        cmocka_unit_test(view__compares),
        cmocka_unit_test(view__trims_blanks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
