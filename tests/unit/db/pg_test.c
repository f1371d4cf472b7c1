/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/pg.h"
#include "db/pg_value.h"

static void pg__sorts_sqlstates(void **state)
{
    static const struct {
        const char *sqlstate;
        enum vg_pg_fault fault;
        enum vg_err_kind kind;
    } cases[] = {
        {"57P01", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
        {"57P03", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
        {"08006", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
        {"53300", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
        {"25006", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
        {"53100", VG_PG_FAULT_AGAIN, VG_ERR_STORAGE_FULL},
        {"40P01", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
        {"40001", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
        {"57014", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
        {"55P03", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
        {"26000", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE},
        {"22021", VG_PG_FAULT_ROW, VG_ERR_INVALID_REQUEST},
        {"23505", VG_PG_FAULT_ROW, VG_ERR_CONFLICT},
        {"23514", VG_PG_FAULT_ROW, VG_ERR_INTERNAL},
        {"42601", VG_PG_FAULT_ROW, VG_ERR_INTERNAL},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        enum vg_err_kind kind = VG_ERR_MAX;

        assert_int_equal(vg_pg_fault_of(cases[i].sqlstate, &kind), cases[i].fault);
        assert_int_equal(kind, cases[i].kind);
    }
}

static void pg__encodes_arrays(void **state)
{
    static const char *const texts[] = {"ab", NULL, ""};
    static const unsigned char wire[] = {0, 0, 0, 1, 0,   0,   0,    1,    0,    0,    0, 25, 0, 0,
                                         0, 3, 0, 0, 0,   1, /* header */
                                         0, 0, 0, 2, 'a', 'b', 0xff, 0xff, 0xff, 0xff, 0, 0,  0, 0};
    static const unsigned char none[] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 23};
    struct vg_arena *arena = vg_arena_new();
    struct vg_pg_params params;

    (void)state;
    vg_pg_params_init(&params, arena);
    vg_pg_put_texts(&params, texts, 3);
    vg_pg_put_i32s(&params, NULL, 0);
    vg_pg_put_i64(&params, -2);
    vg_pg_put_text(&params, NULL);
    assert_int_equal(params.count, 4);
    assert_int_equal(params.lengths[0], sizeof(wire));
    assert_memory_equal(params.values[0], wire, sizeof(wire));
    assert_int_equal(params.lengths[1], sizeof(none));
    assert_memory_equal(params.values[1], none, sizeof(none));
    assert_memory_equal(params.values[2], "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
    assert_null(params.values[3]);
    (void)vg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pg__sorts_sqlstates),
        cmocka_unit_test(pg__encodes_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
