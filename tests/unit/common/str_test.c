/* SPDX-License-Identifier: Apache-2.0 */
#include "common/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static void utf8__accepts_each_border(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "a",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xec\xbf\xbf",
        "\xed\x80\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xe2\x82\xac",
        ("1234567\xe2\x82\xac"
         "89abcdef"),
    };
    for (size_t i = 0; i < VG_COUNT(good); i++)
        assert_true(vg_utf8_valid(good[i], strlen(good[i])));
    assert_true(vg_utf8_valid("a\0b", 3));
}

static void utf8__refuses_what_rfc_3629_forbids(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2\x41",
        "\xc2\xc0",
        "\xe0\x9f\xbf",
        "\xe0\x80\x80",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xe2\x28\xa1",
        "\xe2\x82\x28",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "12345678\xff",
        "1234567\xf0\x9f\x98",
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_utf8_valid(bad[i], strlen(bad[i])));
}

static void utf8__length_counts_code_points(void **state)
{
    (void)state;
    assert_int_equal(vg_utf8_length("", 0), 0);
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    assert_int_equal(vg_utf8_length(text, sizeof text - 1), 4);
}

static void utf8__cut_never_splits(void **state)
{
    (void)state;
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    for (size_t len = 0; len < sizeof text; len++)
        assert_int_equal(vg_utf8_cut(text, len), expected[len]);
}

static void parse_i64__takes_whole_numbers_in_range(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_int_equal(vg_parse_i64(VG_VIEW("9223372036854775807"), INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(vg_parse_i64(VG_VIEW("-9223372036854775808"), INT64_MIN, INT64_MAX, &value),
                     0);
    assert_true(value == INT64_MIN);
    assert_int_equal(vg_parse_i64(VG_VIEW("007"), 0, 10, &value), 0);
    assert_int_equal(value, 7);
    assert_int_equal(vg_parse_i64(VG_VIEW("-0"), 0, 10, &value), 0);
    assert_int_equal(value, 0);
}

static void parse_i64__refuses_the_rest_and_writes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x10",
        "--1",
        "1-",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    };
    int64_t value = 42;
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(vg_parse_i64(vg_view_of(bad[i]), INT64_MIN, INT64_MAX, &value), -1);
    assert_int_equal(vg_parse_i64(VG_VIEW("11"), 1, 10, &value), -1);
    assert_int_equal(vg_parse_i64(VG_VIEW("0"), 1, 10, &value), -1);
    assert_int_equal(value, 42);
}

static void strcpy__cuts_and_says_so(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_true(vg_strcpy(dst, sizeof dst, "abc"));
    assert_string_equal(dst, "abc");
    assert_false(vg_strcpy(dst, sizeof dst, "wxyz"));
    assert_string_equal(dst, "wxy");
    assert_false(vg_strcpy(dst, 0, "q"));
    assert_string_equal(dst, "wxy");
}

static void base64__rfc_4648_vectors(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    for (size_t i = 0; i < VG_COUNT(pairs); i++) {
        char text[16], bytes[16];
        size_t len;
        vg_base64_encode(text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(vg_base64_encoded_size(strlen(pairs[i][0])), strlen(text));
        assert_int_equal(vg_base64_decode(bytes, &len, text, strlen(text)), 0);
        assert_int_equal(len, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], len);
        const char *pad = strchr(text, '=');
        if (pad) { /* padding may be missing */
            assert_int_equal(vg_base64_decode(bytes, &len, text, (size_t)(pad - text)), 0);
            assert_int_equal(len, strlen(pairs[i][0]));
        }
    }
}

static void base64url__is_unpadded_and_url_safe(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg"},
        {"fo", "Zm8"},
        {"foo", "Zm9v"},
        {"\xff\xfe\xfb\xff", "__77_w"},
        {"\xfb\xef\xbe", "----"},
    };
    for (size_t i = 0; i < VG_COUNT(pairs); i++) {
        char text[16];
        vg_base64url_encode(text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
    }
}

static void base64__round_trips_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        char *text = vg_xalloc(vg_base64_encoded_size(len) + 1);
        uint8_t *back = vg_xalloc((vg_base64_encoded_size(len) / 4 + 1) * 3);
        size_t back_len;
        vg_base64_encode(text, bytes, len);
        assert_int_equal(vg_base64_decode(back, &back_len, text, strlen(text)), 0);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        free(text);
        free(back);
    }
}

static void base64__refuses_foreign_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",        "Zg=",   "Z===",   "====", "=",    "==",       "Zm9v=",   "Zm9v==",
        "Zm9v====", "Zm 9v", "Zm9v\n", "Zm-v", "Zm_v", "Zg==Zg==", "Zm9\x80", "Z=g=",
    };
    char bytes[32];
    size_t len = 77;
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(vg_base64_decode(bytes, &len, bad[i], strlen(bad[i])), -1);
    assert_int_equal(vg_base64_decode(bytes, &len, "Zm\0v", 4), -1);
    assert_int_equal(len, 77);
}

static void hex__is_lower_case(void **state)
{
    (void)state;
    char text[9];
    vg_hex_encode(text, "\x00\x9a\xff\x10", 4);
    assert_string_equal(text, "009aff10");
    vg_hex_encode(text, "", 0);
    assert_string_equal(text, "");
}

static void list__is_cut_at_commas(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        size_t cut;           /* items, the empty ones too */
        const char *items[4]; /* those that are not empty */
    } cases[] = {
        {NULL, 0, {NULL}},          {"", 1, {NULL}},         {"a", 1, {"a"}},
        {" a , b ", 2, {"a", "b"}}, {"a,,b", 3, {"a", "b"}}, {",a,", 3, {"a"}},
    };
    struct vg_view item;

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        const char *list = cases[i].list;
        size_t count = 0;
        while (vg_list_cut(&list, &item))
            count++;
        assert_int_equal(count, cases[i].cut);
        assert_null(list);
        list = cases[i].list;
        for (count = 0; vg_list_next(&list, &item); count++)
            assert_true(vg_view_eqs(item, cases[i].items[count]));
        assert_null(cases[i].items[count]);
    }
}

/* Vectors of draft-eastlake-fnv. */
static void fnv1a__has_the_published_values(void **state)
{
    (void)state;
    assert_true(vg_fnv1a(VG_VIEW(""), 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(vg_fnv1a(VG_VIEW("a"), 0) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(vg_fnv1a(VG_VIEW("foobar"), 0) == UINT64_C(0x85944171f73967e8));
    assert_true(vg_fnv1a(VG_VIEW(""), 1) == UINT64_C(0xcbf29ce484222324));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8__accepts_each_border),
        cmocka_unit_test(utf8__refuses_what_rfc_3629_forbids),
        cmocka_unit_test(utf8__length_counts_code_points),
        cmocka_unit_test(utf8__cut_never_splits),
        cmocka_unit_test(parse_i64__takes_whole_numbers_in_range),
        cmocka_unit_test(parse_i64__refuses_the_rest_and_writes_nothing),
        cmocka_unit_test(strcpy__cuts_and_says_so),
        cmocka_unit_test(base64__rfc_4648_vectors),
        cmocka_unit_test(base64url__is_unpadded_and_url_safe),
        cmocka_unit_test(base64__round_trips_every_byte),
        cmocka_unit_test(base64__refuses_foreign_text),
        cmocka_unit_test(hex__is_lower_case),
        cmocka_unit_test(list__is_cut_at_commas),
        cmocka_unit_test(fnv1a__has_the_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
