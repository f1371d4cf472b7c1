/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"

static void err__every_row_is_complete(void **state)
{
    (void)state;
    int http = 0;
    for (int kind = 0; kind < VG_ERR_MAX; kind++) {
        const struct vg_err_info *info = vg_err_info((enum vg_err_kind)kind);
        assert_true(info->reason && info->type && info->text && *info->text);
        assert_true(info->http >= http); /* sorted by status */
        assert_true(info->grpc > VG_GRPC_OK && info->grpc < VG_GRPC_MAX);
        assert_true(info->code == NULL || *info->code);
        assert_int_equal(vg_err_kind_by_reason(info->reason), kind);
        http = info->http;
    }
}

static void err__unknown_reason_is_minus_one(void **state)
{
    (void)state;
    assert_int_equal(vg_err_kind_by_reason("NO_SUCH_THING"), -1);
    assert_int_equal(vg_err_kind_by_reason(""), -1);
    assert_int_equal(vg_err_kind_by_reason(NULL), -1);
}

static void err__grpc_code_maps_to_a_kind_with_that_meaning(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum vg_err_kind kind;
    } cases[] = {
        {VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST},
        {VG_GRPC_CANCELLED, VG_ERR_CANCELLED},
        {VG_GRPC_RESOURCE_EXHAUSTED, VG_ERR_OVERLOADED},
        {VG_GRPC_UNAVAILABLE, VG_ERR_UNAVAILABLE},
        {VG_GRPC_DEADLINE_EXCEEDED, VG_ERR_DEADLINE},
        {VG_GRPC_UNIMPLEMENTED, VG_ERR_UNIMPLEMENTED},
        {-1, VG_ERR_INTERNAL},
        {17, VG_ERR_INTERNAL},
        {VG_GRPC_DATA_LOSS, VG_ERR_INTERNAL},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        assert_int_equal(vg_err_kind_by_grpc(cases[i].code), cases[i].kind);
}

static void err__set_fills_and_returns_minus_one(void **state)
{
    (void)state;
    struct vg_err err = {.retry_after_ms = 7, .param = "old"};
    assert_int_equal(vg_err_set(&err, VG_ERR_NOT_FOUND, "No %s %d.", "video", 5), -1);
    assert_int_equal(err.kind, VG_ERR_NOT_FOUND);
    assert_string_equal(vg_err_text(&err), "No video 5.");
    assert_string_equal(err.param, "");
    assert_int_equal(err.retry_after_ms, 0);
    assert_int_equal(vg_err_set(NULL, VG_ERR_NOT_FOUND, "x"), -1);
    assert_int_equal(vg_err_param(NULL, VG_ERR_NOT_FOUND, "p", "x"), -1);
}

static void err__without_detail_shows_the_table_text(void **state)
{
    (void)state;
    struct vg_err err;
    (void)vg_err_param(&err, VG_ERR_INVALID_REQUEST, "n", NULL);
    assert_string_equal(err.param, "n");
    assert_string_equal(vg_err_text(&err), vg_err_info(VG_ERR_INVALID_REQUEST)->text);
}

static void err__detail_may_quote_itself(void **state)
{
    (void)state;
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_INTERNAL, "inner");
    (void)vg_err_set(&err, VG_ERR_UNAVAILABLE, "outer: %s", err.detail);
    assert_string_equal(err.detail, "outer: inner");
}

static void err__long_detail_is_cut_between_code_points(void **state)
{
    (void)state;
    char text[700];
    struct vg_err err;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', sizeof text);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        text[sizeof text - 1] = '\0';
        (void)vg_err_param(&err, VG_ERR_INTERNAL, text, "%s", text);
        assert_true(vg_utf8_valid(err.detail, strlen(err.detail)));
        assert_true(strlen(err.detail) >= sizeof err.detail - 4);
        assert_int_equal(strlen(err.param), sizeof err.param - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err__every_row_is_complete),
        cmocka_unit_test(err__unknown_reason_is_minus_one),
        cmocka_unit_test(err__grpc_code_maps_to_a_kind_with_that_meaning),
        cmocka_unit_test(err__set_fills_and_returns_minus_one),
        cmocka_unit_test(err__without_detail_shows_the_table_text),
        cmocka_unit_test(err__detail_may_quote_itself),
        cmocka_unit_test(err__long_detail_is_cut_between_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
