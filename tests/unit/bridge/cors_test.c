/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static struct vg_cors *make(const char *origins)
{
    struct vg_cors *cors;
    struct vg_err err;
    assert_int_equal(vg_cors_new(&cors, origins, &err), 0);
    return cors;
}

/* The value of a header among `count`, "-" when absent. */
static const char *value(const struct vg_header *headers, size_t count, const char *name)
{
    static char text[VG_CORS_NAMES];
    for (size_t i = 0; i < count; i++) {
        if (!vg_view_eqs(headers[i].name, name))
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", (int)headers[i].value.len,
                       headers[i].value.data);
        return text;
    }
    return "-";
}

static void cors__is_off_without_origins(void **state)
{
    (void)state;
    static const char *const none[] = {NULL, "", " ", ",", " , ,"};
    for (size_t i = 0; i < VG_COUNT(none); i++)
        assert_null(make(none[i]));
}

static void cors__refuses_what_is_no_origin(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "app.example",           "https://",    "://a",        "https://a/",
        "https://a.example/x",   "https://a?b", "https://u@a", "https://*.a.example",
        "https://a,nonsense",    "https:/a",    "1https://a",  "https://a b",
        "https://a.example\r\n", "null",
    };
    struct vg_cors *cors = NULL;
    struct vg_err err;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_int_equal(vg_cors_new(&cors, bad[i], &err), -1);
        assert_string_equal(err.param, "cors-origins");
    }
}

static void cors__answers_origins_on_the_list(void **state)
{
    (void)state;
    struct vg_cors *cors = make(" https://app.example ,http://localhost:3000");
    static const struct {
        const char *origin, *allowed;
    } cases[] = {
        {"https://app.example", "https://app.example"},
        {"HTTPS://App.example", "HTTPS://App.example"},
        {"http://localhost:3000", "http://localhost:3000"},
        {"http://localhost:3001", "-"},
        {"http://localhost", "-"},
        {"http://app.example", "-"},
        {"https://app.example.evil", "-"},
        {"https://app\x0e"
         "example",
         "-"},
        {"null", "-"},
        {"*", "-"},
        {"", "-"},
    };
    struct vg_header out[VG_CORS_ANSWER];
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        size_t n = vg_cors_answer(cors, vg_view_of(cases[i].origin), out);
        bool good = strcmp(cases[i].allowed, "-") != 0;
        assert_string_equal(value(out, n, "access-control-allow-origin"), cases[i].allowed);
        assert_string_equal(value(out, n, "vary"), "origin");
        assert_int_equal(strcmp(value(out, n, "access-control-expose-headers"), "-") != 0, good);
    }
    (void)vg_cors_free(cors);
}

static void cors__answers_all_with_a_star(void **state)
{
    (void)state;
    struct vg_cors *cors = make("https://app.example,*");
    struct vg_header out[VG_CORS_ANSWER];
    size_t n = vg_cors_answer(cors, VG_VIEW("null"), out);
    assert_string_equal(value(out, n, "access-control-allow-origin"), "*");
    assert_string_equal(value(out, n, "vary"), "-"); /* the same for everybody */
    assert_non_null(strstr(value(out, n, "access-control-expose-headers"), "x-request-id, "));
    n = vg_cors_answer(cors, VG_VIEW(""), out);
    assert_string_equal(value(out, n, "access-control-allow-origin"), "*");
    (void)vg_cors_free(cors);
}

static void cors__covers_the_api(void **state)
{
    (void)state;
    assert_true(vg_cors_covers(VG_VIEW("/v1/videos")));
    assert_true(vg_cors_covers(VG_VIEW("/v1/nothing")));
    assert_false(vg_cors_covers(VG_VIEW("/openapi.json"))); /* has a header of its own */
    assert_true(vg_cors_covers(VG_VIEW("")));
    assert_false(vg_cors_covers(VG_VIEW("/metrics")));
    assert_false(vg_cors_covers(VG_VIEW("/healthz")));
    assert_false(vg_cors_covers(VG_VIEW("/v1")));
}

static const char *allow_headers(const char *requested)
{
    static char names[VG_CORS_NAMES];
    struct vg_header out[VG_CORS_PREFLIGHT];
    size_t n = vg_cors_preflight(vg_view_of(requested), VG_VIEW("GET, POST"), names, out);
    assert_string_equal(value(out, n, "access-control-allow-methods"), "GET, POST");
    assert_string_equal(value(out, n, "access-control-max-age"), "86400");
    return value(out, n, "access-control-allow-headers");
}

static void preflight__echoes_well_formed_telemetry_names(void **state)
{
    (void)state;
    static const char *const always[] = {"authorization",   "content-type",  "x-api-key",
                                         "idempotency-key", "last-event-id", "range",
                                         "if-none-match",   "if-range",      "x-request-id",
                                         "x-no-fallback",   "openai-project"};
    for (size_t i = 0; i < VG_COUNT(always); i++)
        assert_non_null(strstr(allow_headers(""), always[i]));
    assert_non_null(strstr(allow_headers("x-stainless-os,x-other, X-Stainless-Retry-Count"),
                           ", x-stainless-os, X-Stainless-Retry-Count"));
    static const char *const bad[] = {"x-other",
                                      "x-stainless-",
                                      "x-stainless",
                                      "x-stainless-a b",
                                      "x-stainless-\r\n",
                                      "x-stainless-;",
                                      "x-stainless-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    size_t plain = strlen(allow_headers(""));
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(strlen(allow_headers(bad[i])), plain);
}

static void preflight__is_bounded(void **state)
{
    (void)state;
    char many[64 * 41 + 1];
    size_t len = 0;
    for (int i = 0; i < 64; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, "x-stainless-%028d,", i);
    size_t plain = strlen(allow_headers(""));
    assert_int_equal(strlen(allow_headers(many)), plain + (size_t)32 * 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cors__is_off_without_origins),
        cmocka_unit_test(cors__refuses_what_is_no_origin),
        cmocka_unit_test(cors__answers_origins_on_the_list),
        cmocka_unit_test(cors__answers_all_with_a_star),
        cmocka_unit_test(cors__covers_the_api),
        cmocka_unit_test(preflight__echoes_well_formed_telemetry_names),
        cmocka_unit_test(preflight__is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
