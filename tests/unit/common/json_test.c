/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"
#include "common/json_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static int parse(struct vg_json **out, const char *text, size_t len, struct vg_err *err)
{
    /* An exact heap copy: ASan sees each byte read past the end. */
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    int rc = vg_json_parse(out, (struct vg_view){copy, len}, err);
    free(copy);
    return rc;
}

static struct vg_json *good(const char *text)
{
    struct vg_json *root = NULL;
    struct vg_err err;

    if (parse(&root, text, strlen(text), &err) != 0)
        fail_msg("%s: %s", text, err.detail);
    return root;
}

static void json__refuses_bad_text(void **state)
{
    static const struct vg_view cases[] = {
        VG_VIEW(""),
        VG_VIEW("  "),
        VG_VIEW("{"),
        VG_VIEW("["),
        VG_VIEW("[1"),
        VG_VIEW("[1,"),
        VG_VIEW("[1,]"),
        VG_VIEW("[,1]"),
        VG_VIEW("{,}"),
        VG_VIEW("{\"a\"}"),
        VG_VIEW("{\"a\":}"),
        VG_VIEW("{\"a\":1,}"),
        VG_VIEW("{a:1}"),
        VG_VIEW("{'a':1}"),
        VG_VIEW("{1:1}"),
        VG_VIEW("[1}"),
        VG_VIEW("{\"a\":1]"),
        VG_VIEW("]"),
        VG_VIEW("}"),
        VG_VIEW("1 2"),
        VG_VIEW("{} {}"),
        VG_VIEW("null,"),
        VG_VIEW("nul"),
        VG_VIEW("nulll"),
        VG_VIEW("True"),
        VG_VIEW("NaN"),
        VG_VIEW("Infinity"),
        VG_VIEW("-"),
        VG_VIEW("+1"),
        VG_VIEW("01"),
        VG_VIEW("-01"),
        VG_VIEW("1."),
        VG_VIEW(".5"),
        VG_VIEW("1e"),
        VG_VIEW("1e+"),
        VG_VIEW("0x1"),
        VG_VIEW("1e999"),
        VG_VIEW("[-1e999]"),
        VG_VIEW("\""),
        VG_VIEW("\"a"),
        VG_VIEW("\"\\"),
        VG_VIEW("\"\\\""),
        VG_VIEW("\"\\x41\""),
        VG_VIEW("\"\\u12\""),
        VG_VIEW("\"\\u12g4\""),
        VG_VIEW("\"\\u0000\""),
        VG_VIEW("\"\\ud800\""),
        VG_VIEW("\"\\udc00\""),
        VG_VIEW("\"\\ud800x\""),
        VG_VIEW("\"\\ud800\\u0041\""),
        VG_VIEW("\"\\ud800\\ud800\""),
        VG_VIEW("\"\\ud83d\\ude0\""),
        VG_VIEW("\"a\nb\""),
        VG_VIEW("\"a\tb\""),
        VG_VIEW("\"a\0b\""),
        VG_VIEW("\0"),
        VG_VIEW("1\0"),
        VG_VIEW("\"\\\0\""),
        VG_VIEW("\"\x80\""),
        VG_VIEW("\"\xc0\xaf\""),
        VG_VIEW("\"\xed\xa0\x80\""),
        VG_VIEW("\"\xf4\x90\x80\x80\""),
        VG_VIEW("\"\xe2\x82\""),
        VG_VIEW("\xef\xbb\xbf{}"),
        VG_VIEW("\xc3\xa9"),
        VG_VIEW("{\"a\":1,\"a\":2}"),
        VG_VIEW("{\"a\":1,\"\\u0061\":2}"),
        VG_VIEW("[{\"b\":{\"a\":1,\"x\":0,\"a\":1}}]"),
        VG_VIEW("// x\n1"),
        VG_VIEW("/**/1"),
        VG_VIEW(
            "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"a\":0}"),
        VG_VIEW("1111111111111111111111111111111111111111111111111111111111111"),
        VG_VIEW("\f1"),
        VG_VIEW("\v1"),
        VG_VIEW("[\x01]"),
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_json *root = NULL;
        struct vg_err err = {.kind = VG_ERR_MAX};
        if (parse(&root, cases[i].data, cases[i].len, &err) == 0)
            fail_msg("passed: %s", cases[i].data);
        assert_null(root);
        assert_int_equal(err.kind, VG_ERR_INVALID_JSON);
        assert_string_not_equal(err.detail, "");
    }
}

static void json__takes_good_text(void **state)
{
    static const char *const cases[] = {
        "0",
        "-0",
        "1e5",
        "1E-5",
        "-12.5e+3",
        "true",
        "false",
        "null",
        "\"\"",
        "[]",
        "{}",
        " \t\r\n[ 1 , 2 ]\n",
        "{\"\":1}",
        "\"\\u00e9 \\ud83d\\ude00 \\/ \\\" \\\\ \\b\\f\\n\\r\\t\"",
        "\"h\xc3\xa9 \xf0\x9f\x98\x80\"",
        "[[[[[[[[]]]]]]]]",
        "{\"a\":{\"a\":{\"a\":[]}}}",
        "\"a long string that is longer than eight bytes \x7f and goes on\"",
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        vg_json_free(good(cases[i]));
}

static void json__error_gives_the_byte_offset(void **state)
{
    struct vg_json *root;
    struct vg_err err;

    (void)state;
    assert_int_equal(parse(&root, "{\"a\": tru}", 10, &err), -1);
    assert_string_equal(err.detail, "Invalid JSON at byte 6: a value is missing.");
    assert_int_equal(parse(&root, "{\"a\":1,\"a\":2}", 13, &err), -1);
    assert_string_equal(err.detail, "Invalid JSON: the key \"a\" stands twice.");
}

static void json__limits_depth(void **state)
{
    char text[2 * (VG_JSON_MAX_DEPTH + 1) + 1];
    struct vg_json *root = NULL;

    (void)state;
    for (int depth = VG_JSON_MAX_DEPTH; depth <= VG_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        int rc = parse(&root, text, 2 * (size_t)depth, NULL);
        assert_int_equal(rc, depth == VG_JSON_MAX_DEPTH ? 0 : -1);
        if (rc == 0)
            vg_json_free(root);
    }
    char *deep = malloc(1000000);
    assert_non_null(deep);
    memset(deep, '[', 1000000);
    assert_int_equal(vg_json_parse(&root, (struct vg_view){deep, 1000000}, NULL), -1);
    free(deep);
}

static void json__limits_the_number_of_values(void **state)
{
    size_t len = 2 * (size_t)VG_JSON_MAX_VALUES + 2;
    char *text = malloc(len);
    struct vg_json *root = NULL;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '1' : ',';
    text[0] = '[';
    text[len - 2] = ']'; /* the list and MAX - 1 numbers are just allowed, and one more is not */
    text[len - 1] = ' ';
    assert_int_equal(vg_json_parse(&root, (struct vg_view){text, len}, NULL), -1);
    text[len - 4] = ']';
    text[len - 3] = text[len - 2] = ' ';
    assert_int_equal(vg_json_parse(&root, (struct vg_view){text, len}, NULL), 0);
    assert_int_equal(vg_json_count(root), VG_JSON_MAX_VALUES - 1);
    vg_json_free(root);
    free(text);
}

static void json__reads_values(void **state)
{
    struct vg_json *root = good("{\"s\":\"h\\u00e9\\ud83d\\ude00\",\"n\":2.5,\"i\":-7,\"t\":true,"
                                "\"z\":null,\"a\":[1,\"x\",{}],\"o\":{\"S\":1}}");
    const struct vg_json *a = vg_json_get(root, "a");
    int64_t number = 0;

    (void)state;
    assert_string_equal(vg_json_string(vg_json_get(root, "s")), "h\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(vg_json_number(vg_json_get(root, "n")) > 2.4);
    assert_false(vg_json_int(vg_json_get(root, "n"), &number));
    assert_true(vg_json_int(vg_json_get(root, "i"), &number));
    assert_int_equal(number, -7);
    assert_true(vg_json_bool(vg_json_get(root, "t")));
    assert_false(vg_json_bool(vg_json_get(root, "i")));
    assert_null(vg_json_get(root, "S")); /* case matters */
    assert_null(vg_json_get(a, "s"));
    assert_null(vg_json_get(NULL, "s"));
    assert_null(vg_json_string(a));
    assert_null(vg_json_string(NULL));
    assert_int_equal(vg_json_type(vg_json_get(root, "z")), VG_JSON_NULL);
    assert_int_equal(vg_json_count(a), 3);
    const struct vg_json *first = vg_json_first(a);
    assert_null(vg_json_key(first));
    assert_string_equal(vg_json_type_name(first), "a number");
    assert_string_equal(vg_json_type_name(vg_json_next(first)), "a string");
    const struct vg_json *last = vg_json_next(vg_json_next(first));
    assert_string_equal(vg_json_type_name(last), "an object");
    assert_null(vg_json_next(last));
    assert_null(vg_json_first(last));
    assert_string_equal(vg_json_key(vg_json_first(root)), "s");
    vg_json_free(root);
    assert_null(vg_json_free(NULL));
}

static void json__integers_are_exact_or_refused(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"9007199254740991", true, INT64_C(9007199254740991)},
        {"-9007199254740991", true, INT64_C(-9007199254740991)},
        {"9007199254740993", false, 0},
        {"1e300", false, 0},
        {"1e3", true, 1000},
        {"8.0", true, 8},
        {"8.5", false, 0},
        {"-0", true, 0},
        {"\"8\"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_json *root = good(cases[i].text);
        int64_t value = 0;
        assert_int_equal(vg_json_int(root, &value), cases[i].ok);
        assert_true(value == cases[i].value);
        vg_json_free(root);
    }
}

static void json__writes_what_it_reads(void **state)
{
    struct vg_json_writer w;
    struct vg_buf out;

    (void)state;
    vg_buf_init(&out, 4096);
    vg_json_begin(&w, &out);
    vg_json_object_open(&w);
    vg_json_put_key(&w, "a\"b");
    vg_json_put_text(&w, "q\" s\\ \n\t\x01\x7f \xc3\xa9");
    vg_json_put_key(&w, "list");
    vg_json_array_open(&w);
    vg_json_put_int(&w, INT64_MIN);
    vg_json_put_number(&w, 0.5);
    vg_json_put_bool(&w, true);
    vg_json_put_bool(&w, false);
    vg_json_put_null(&w);
    vg_json_put_text(&w, NULL);
    vg_json_array_open(&w);
    vg_json_array_close(&w);
    vg_json_object_open(&w);
    vg_json_object_close(&w);
    vg_json_put_string(&w, "abc", 2);
    vg_json_array_close(&w);
    vg_json_put_key(&w, "z");
    vg_json_put_int(&w, 1);
    vg_json_object_close(&w);
    assert_true(vg_buf_ok(&out));
    assert_string_equal(out.data,
                        "{\"a\\\"b\":\"q\\\" s\\\\ \\n\\t\\u0001\x7f \xc3\xa9\",\"list\":["
                        "-9223372036854775808,0.5,true,false,null,null,[],{},\"ab\"],\"z\":1}");
    struct vg_json *root = good(out.data);
    assert_string_equal(vg_json_string(vg_json_get(root, "a\"b")), "q\" s\\ \n\t\x01\x7f \xc3\xa9");
    vg_json_free(root);
    vg_buf_fini(&out);
}

static void json__writer_overflow_is_found_at_the_end(void **state)
{
    struct vg_json_writer w;
    struct vg_buf out;

    (void)state;
    vg_buf_init(&out, 8);
    vg_json_begin(&w, &out);
    vg_json_array_open(&w);
    for (int i = 0; i < 100; i++)
        vg_json_put_text(&w, "abc");
    vg_json_array_close(&w);
    assert_false(vg_buf_ok(&out));
    assert_true(out.len <= 8);
    vg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__refuses_bad_text),
        cmocka_unit_test(json__takes_good_text),
        cmocka_unit_test(json__error_gives_the_byte_offset),
        cmocka_unit_test(json__limits_depth),
        cmocka_unit_test(json__limits_the_number_of_values),
        cmocka_unit_test(json__reads_values),
        cmocka_unit_test(json__integers_are_exact_or_refused),
        cmocka_unit_test(json__writes_what_it_reads),
        cmocka_unit_test(json__writer_overflow_is_found_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
