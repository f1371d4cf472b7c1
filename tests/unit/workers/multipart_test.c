/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/multipart.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "common/mem.h"

#define TYPE_PREFIX "multipart/form-data; boundary="

static const char *boundary_of(const char *type)
{
    assert_memory_equal(type, TYPE_PREFIX, strlen(TYPE_PREFIX));
    return type + strlen(TYPE_PREFIX);
}

static void form__is_written_as_rfc_7578_says(void **state)
{
    (void)state;
    const struct vg_form_part parts[] = {
        {.name = "prompt", .data = VG_VIEW("a \"boat\"\r\n")},
        {.name = "input_reference",
         .data = VG_VIEW("\x89PNG\0\r\n--"),
         .filename = "a\"b\r\n.png",
         .content_type = "image/png"},
        {.name = "empty", .data = VG_VIEW("")},
    };
    struct vg_buf out, expected;
    char type[VG_FORM_TYPE_SIZE];
    vg_buf_init(&out, 10000);
    vg_buf_init(&expected, 10000);
    assert_int_equal(vg_form_write(&out, parts, VG_COUNT(parts), 7, type), 0);
    const char *b = boundary_of(type);
    assert_int_equal(
        vg_buf_addf(&expected,
                    "--%s\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n"
                    "a \"boat\"\r\n\r\n"
                    "--%s\r\nContent-Disposition: form-data; name=\"input_reference\"; "
                    "filename=\"a%%22b%%0D%%0A.png\"\r\n"
                    "Content-Type: image/png\r\n\r\n",
                    b, b),
        0);
    assert_int_equal(vg_buf_add(&expected, "\x89PNG\0\r\n--", 9), 0);
    assert_int_equal(vg_buf_addf(&expected,
                                 "\r\n--%s\r\nContent-Disposition: form-data; name=\"empty\"\r\n"
                                 "\r\n\r\n--%s--\r\n",
                                 b, b),
                     0);
    assert_true(vg_view_eq(vg_buf_view(&out), vg_buf_view(&expected)));
    vg_buf_fini(&out);
    vg_buf_fini(&expected);
}

/* A part that holds the boundary which would be taken gets another one. */
static void form__the_boundary_is_in_no_part(void **state)
{
    (void)state;
    struct vg_form_part parts[2] = {{.name = "a", .data = VG_VIEW("x")}};
    char held[4 * VG_FORM_TYPE_SIZE] = "", type[VG_FORM_TYPE_SIZE];
    parts[1] = parts[0];
    for (int i = 0; i < 4; i++) {
        struct vg_buf out;
        vg_buf_init(&out, 10000);
        assert_int_equal(vg_form_write(&out, parts, 2, 42, type), 0);
        vg_buf_fini(&out);
        assert_null(strstr(held, boundary_of(type)));
        (void)snprintf(held + strlen(held), sizeof(held) - strlen(held), "%s", boundary_of(type));
        parts[1].data = vg_view_of(held);
    }
}

static void form__refuses_no_room_and_a_broken_type(void **state)
{
    (void)state;
    const struct vg_form_part good = {.name = "a", .data = VG_VIEW("0123456789")};
    const struct vg_form_part broken = {
        .name = "a", .data = VG_VIEW("x"), .content_type = "image/png\r\nX: y"};
    char type[VG_FORM_TYPE_SIZE] = "untouched";
    struct vg_buf out;
    vg_buf_init(&out, 10000);
    assert_int_equal(vg_form_write(&out, &broken, 1, 0, type), -1);
    vg_buf_clear(&out);
    assert_int_equal(vg_form_write(&out, &good, 1, 0, type), 0);
    size_t whole = out.len;
    vg_buf_fini(&out);
    for (size_t max = 0; max < whole; max++) {
        vg_buf_init(&out, max);
        assert_int_equal(vg_form_write(&out, &good, 1, 0, type), -1);
        vg_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form__is_written_as_rfc_7578_says),
        cmocka_unit_test(form__the_boundary_is_in_no_part),
        cmocka_unit_test(form__refuses_no_room_and_a_broken_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
