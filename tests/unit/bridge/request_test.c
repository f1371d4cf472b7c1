/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static struct vg_view v(const char *s)
{
    return vg_view_of(s);
}

static void range__reads_single_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct vg_http_range want;
    } cases[] = {
        {"bytes=0-99", {VG_RANGE_FROM_TO, 0, 99}},
        {"bytes=5-5", {VG_RANGE_FROM_TO, 5, 5}},
        {"bytes=100-", {VG_RANGE_FROM, 100, 0}},
        {"bytes=-50", {VG_RANGE_SUFFIX, 0, 50}},
        {"bytes=-0", {VG_RANGE_SUFFIX, 0, 0}},
        {"BYTES=1-2", {VG_RANGE_FROM_TO, 1, 2}},
        {" bytes= 1-2 ", {VG_RANGE_FROM_TO, 1, 2}},
        {"bytes=1-2,", {VG_RANGE_FROM_TO, 1, 2}},
        {"bytes=0-99999999999999999999999", {VG_RANGE_FROM_TO, 0, INT64_MAX}},
        {"bytes=9223372036854775808-", {VG_RANGE_FROM, INT64_MAX, 0}},
        {"bytes=0-1,5-6", {VG_RANGE_MULTIPLE, 0, 0}},
        {"bytes=0-1, -6", {VG_RANGE_MULTIPLE, 0, 0}},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_http_range r = vg_http_range(v(cases[i].text));
        assert_int_equal(r.kind, cases[i].want.kind);
        assert_int_equal(r.first, cases[i].want.first);
        assert_int_equal(r.last, cases[i].want.last);
    }
}

static void range__ignores_what_is_no_range(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "bytes",
                                        "bytes=",
                                        "bytes=a-b",
                                        "items=0-5",
                                        "bytes=9-3",
                                        "bytes=-",
                                        "bytes=1",
                                        "bytes=1-2-3",
                                        "bytes=+1-2",
                                        "bytes=0x1-2",
                                        "bytes=--5",
                                        "bytes=1-2,a-b",
                                        "bytes 0-1"};
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        assert_int_equal(vg_http_range(v(cases[i])).kind, VG_RANGE_NONE);
}

static void query__finds_and_decodes(void **state)
{
    (void)state;
    char text[16];
    struct vg_view q = v("a=1&&b=x%20y+z&c&%61fter=late&d=%zz&long=0123456789abcdef");
    assert_int_equal(vg_http_query_get(q, "a", text, sizeof(text)), 1);
    assert_string_equal(text, "1");
    assert_int_equal(vg_http_query_get(q, "b", text, sizeof(text)), 5);
    assert_string_equal(text, "x y z");
    assert_int_equal(vg_http_query_get(q, "c", text, sizeof(text)), 0);
    assert_int_equal(vg_http_query_get(q, "after", text, sizeof(text)), 4);
    assert_int_equal(vg_http_query_get(q, "d", text, sizeof(text)), -1);
    assert_int_equal(vg_http_query_get(q, "long", text, sizeof(text)), -1);
    assert_int_equal(vg_http_query_get(q, "none", text, sizeof(text)), -2);
    assert_int_equal(vg_http_query_get(v(""), "a", text, sizeof(text)), -2);
}

static void decode__refuses_what_is_no_text(void **state)
{
    (void)state;
    char text[16];
    static const char *const bad[] = {"%00", "%", "%1", "%g0", "%ff", "%c0%80", "a%ed%a0%80"};
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(vg_http_decode(text, sizeof(text), v(bad[i]), false), -1);
    assert_int_equal(vg_http_decode(text, sizeof(text), v("%c3%A9+"), false), 3);
    assert_string_equal(text, "\xc3\xa9+");
    assert_int_equal(vg_http_decode(text, 3, v("abc"), false), -1);
    assert_int_equal(vg_http_decode(text, 4, v("abc"), false), 3);
}

static void target__takes_the_three_forms(void **state)
{
    (void)state;
    static const struct {
        const char *target, *method, *path, *query;
    } cases[] = {
        {"/", "GET", "/", ""},
        {"/a/b?c=d?e", "GET", "/a/b", "c=d?e"},
        {"http://host:1/a?b", "GET", "/a", "b"},
        {"HTTPS://host", "GET", "/", ""},
        {"http://host?x", "GET", "/", "x"},
        {"*", "OPTIONS", "*", ""},
        {"//x", "GET", "//x", ""},
    };
    struct vg_view path, query;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        assert_int_equal(
            vg_http_target(v(cases[i].target), v(cases[i].method), &path, &query, NULL), 0);
        assert_true(vg_view_eqs(path, cases[i].path));
        assert_true(vg_view_eqs(query, cases[i].query));
    }
}

static void target__refuses_the_rest(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "*",     "a",           "host:80", "/a b",
                                      "/a#b",     "/\x7f", "/\xc3\xa9",   "http://", "http:///",
                                      "ftp://h/", "/\t",   "http://a b/", "?x"};
    struct vg_view path, query;
    struct vg_err err;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_int_equal(vg_http_target(v(bad[i]), v("GET"), &path, &query, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    }
    char *longer = vg_xalloc(VG_HTTP_MAX_TARGET + 2);
    memset(longer, '/', VG_HTTP_MAX_TARGET + 1);
    assert_int_equal(vg_http_target(v(longer), v("GET"), &path, &query, &err), -1);
    assert_int_equal(err.kind, VG_ERR_URI_TOO_LONG);
    longer[VG_HTTP_MAX_TARGET] = '\0';
    assert_int_equal(vg_http_target(v(longer), v("GET"), &path, &query, &err), 0);
    free(longer);
}

static void host__has_only_host_characters(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a.b:80", "[::1]:80", "127.0.0.1", "x_y-z"};
    static const char *const bad[] = {"", "a b", "a/b", "a@b", "a\tb", "\xff", "a?b", "a\\b"};
    for (size_t i = 0; i < VG_COUNT(good); i++)
        assert_true(vg_http_host_valid(v(good[i])));
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_http_host_valid(v(bad[i])));
}

static void etag__matches_weakly_in_lists(void **state)
{
    (void)state;
    assert_true(vg_http_etag_match(v("\"a\""), v("a")));
    assert_true(vg_http_etag_match(v("\"x\", W/\"a\""), v("a")));
    assert_true(vg_http_etag_match(v(" * "), v("a")));
    assert_false(vg_http_etag_match(v("a"), v("a")));
    assert_false(vg_http_etag_match(v("\"A\""), v("a")));
    assert_false(vg_http_etag_match(v(""), v("a")));
    assert_false(vg_http_etag_match(v("\""), v("")));
}

static void date__goes_both_ways(void **state)
{
    (void)state;
    char text[VG_HTTP_DATE_SIZE];
    int64_t t;
    static const int64_t times[] = {0, 784111777, 951782400, 1795454000, 253402300799};
    for (size_t i = 0; i < VG_COUNT(times); i++) {
        vg_http_date(text, times[i]);
        assert_true(vg_http_date_parse(v(text), &t));
        assert_int_equal(t, times[i]);
    }
    vg_http_date(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    static const char *const bad[] = {
        "",
        "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_http_date_parse(v(bad[i]), &t));
}

static void media_type__ignores_case_and_parameters(void **state)
{
    (void)state;
    assert_true(vg_http_media_type(v("Application/JSON; charset=utf-8"), "application/json"));
    assert_true(vg_http_media_type(v(" application/json "), "application/json"));
    assert_false(vg_http_media_type(v("application/jsonx"), "application/json"));
    assert_false(vg_http_media_type(v(""), "application/json"));
    assert_true(vg_http_has_token(v("a, Close ,b"), "close"));
    assert_false(vg_http_has_token(v("closed"), "close"));
    assert_true(vg_http_visible(v("abc~!"), 1, 5));
    assert_false(vg_http_visible(v("a b"), 1, 5));
    assert_false(vg_http_visible(v(""), 1, 5));
    assert_false(vg_http_visible(v("abcdef"), 1, 5));
    assert_false(vg_http_visible(v("\x80"), 1, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range__reads_single_forms),
        cmocka_unit_test(range__ignores_what_is_no_range),
        cmocka_unit_test(query__finds_and_decodes),
        cmocka_unit_test(decode__refuses_what_is_no_text),
        cmocka_unit_test(target__takes_the_three_forms),
        cmocka_unit_test(target__refuses_the_rest),
        cmocka_unit_test(host__has_only_host_characters),
        cmocka_unit_test(etag__matches_weakly_in_lists),
        cmocka_unit_test(date__goes_both_ways),
        cmocka_unit_test(media_type__ignores_case_and_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
