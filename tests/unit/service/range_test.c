/* SPDX-License-Identifier: Apache-2.0 */
#include "service/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

#define NONE INT64_MIN

static int resolve(int64_t first, int64_t last, int64_t total, int64_t *out_first,
                   int64_t *out_length, struct vg_err *err)
{
    const struct vg_range range = {
        .has_first = first != NONE, .has_last = last != NONE, .first = first, .last = last};
    return vg_range_resolve(&range, total, out_first, out_length, err);
}

static void range__gives_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        int64_t first, last, total, out_first, out_length;
    } cases[] = {
        {NONE, NONE, 100, 0, 100}, {0, NONE, 100, 0, 100},      {0, 0, 100, 0, 1},
        {10, 19, 100, 10, 10},     {10, NONE, 100, 10, 90},     {99, 99, 100, 99, 1},
        {50, 1000, 100, 50, 50},   {0, INT64_MAX, 100, 0, 100}, {NONE, 10, 100, 90, 10},
        {NONE, 100, 100, 0, 100},  {NONE, 1000, 100, 0, 100},   {NONE, NONE, 0, 0, 0},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        int64_t first = -1;
        int64_t length = -1;
        struct vg_err err;
        if (resolve(cases[i].first, cases[i].last, cases[i].total, &first, &length, &err) < 0)
            fail_msg("case %zu: %s", i, vg_err_text(&err));
        assert_int_equal(first, cases[i].out_first);
        assert_int_equal(length, cases[i].out_length);
    }
}

static void range__refuses_with_the_total(void **state)
{
    (void)state;
    static const struct {
        int64_t first, last;
        enum vg_err_kind kind;
    } cases[] = {
        {100, NONE, VG_ERR_RANGE_NOT_SATISFIABLE},
        {100, 200, VG_ERR_RANGE_NOT_SATISFIABLE},
        {INT64_MAX, NONE, VG_ERR_RANGE_NOT_SATISFIABLE},
        {NONE, 0, VG_ERR_RANGE_NOT_SATISFIABLE},
        {20, 10, VG_ERR_INVALID_REQUEST},
        {-1, NONE, VG_ERR_INVALID_REQUEST},
        {NONE, -1, VG_ERR_INVALID_REQUEST},
        {0, -1, VG_ERR_INVALID_REQUEST},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        int64_t first = -1;
        int64_t length = -1;
        struct vg_err err;
        assert_int_equal(resolve(cases[i].first, cases[i].last, 100, &first, &length, &err), -1);
        assert_int_equal(err.kind, cases[i].kind);
        assert_int_equal(first, -1);
        if (err.kind == VG_ERR_RANGE_NOT_SATISFIABLE)
            assert_string_equal(vg_err_text(&err), "bytes */100");
    }
    int64_t first = 0;
    int64_t length = 0;
    assert_int_equal(resolve(0, NONE, 0, &first, &length, NULL), -1);
    assert_int_equal(resolve(NONE, 5, 0, &first, &length, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range__gives_what_was_asked_for),
        cmocka_unit_test(range__refuses_with_the_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
