/* SPDX-License-Identifier: Apache-2.0 */
#include "service/extent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"

static void size__is_parsed_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "x",         "1280x",  "x720",      "1280X720",
                                      "01280x720", "1280x0720", "-1x720", "1280x-1",   "1280 x 720",
                                      "1280x720 ", "123456x1",  "0x0",    "1280x720x1"};
    struct vg_size size = {0, 0};
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        if (vg_size_parse(vg_view_of(bad[i]), &size))
            fail_msg("accepted \"%s\"", bad[i]);
    assert_true(vg_size_parse(vg_view_of("1280x720"), &size));
    assert_int_equal(size.width, 1280);
    assert_int_equal(size.height, 720);
}

static void size__has_a_class(void **state)
{
    (void)state;
    assert_string_equal(vg_size_class((struct vg_size){720, 1280}), "720p");
    assert_string_equal(vg_size_class((struct vg_size){854, 480}), "480p");
    assert_string_equal(vg_size_class((struct vg_size){1792, 1024}), "hd");
    assert_string_equal(vg_size_class((struct vg_size){3840, 2160}), "4k");
    assert_string_equal(vg_size_class((struct vg_size){360, 640}), "360p");
    assert_string_equal(vg_size_class((struct vg_size){960, 540}), "540p");
    assert_string_equal(vg_size_class((struct vg_size){2560, 1440}), "1440p");
    assert_string_equal(vg_size_class((struct vg_size){160, 90}), "default");
}

static void size__a_class_is_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(vg_size_class_find(VG_VIEW("4k")),
                     vg_size_class((struct vg_size){3840, 2160}));
    assert_null(vg_size_class_find(VG_VIEW("default")));
    assert_null(vg_size_class_find(VG_VIEW("4")));
    assert_null(vg_size_class_find(VG_VIEW("")));
}

static void seconds__are_a_set(void **state)
{
    (void)state;
    const vg_seconds_set set = UINT64_C(1) | UINT64_C(1) << 63;
    assert_true(vg_seconds_has(set, 1) && vg_seconds_has(set, 64));
    assert_false(vg_seconds_has(set, 0) || vg_seconds_has(set, 2) || vg_seconds_has(set, 65) ||
                 vg_seconds_has(set, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size__is_parsed_strictly),
        cmocka_unit_test(size__has_a_class),
        cmocka_unit_test(size__a_class_is_found_by_name),
        cmocka_unit_test(seconds__are_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
