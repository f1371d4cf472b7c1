/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/jwt.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "common/mem.h"

/* The example that jwt.io shows. */
static void hs256__signs_as_others_do(void **state)
{
    (void)state;
    static const char expected[] =
        "x eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    struct vg_buf out;

    vg_buf_init(&out, 1000);
    assert_int_equal(vg_buf_add(&out, "x ", 2), 0);
    vg_jwt_put_hs256(&out,
                     VG_VIEW("{\"sub\":\"1234567890\",\"name\":\"John Doe\",\"iat\":1516239022}"),
                     VG_VIEW("your-256-bit-secret"));
    assert_true(vg_view_eqs(vg_buf_view(&out), expected));
    vg_buf_fini(&out);
}

static void part__has_no_padding(void **state)
{
    (void)state;
    struct vg_buf out;

    vg_buf_init(&out, 100);
    vg_jwt_put_part(&out, VG_VIEW("\xfb\xff"));
    vg_jwt_put_part(&out, VG_VIEW(""));
    assert_true(vg_view_eqs(vg_buf_view(&out), "-_8"));
    vg_buf_fini(&out);
}

static void hs256__without_room_is_not_ok(void **state)
{
    (void)state;
    struct vg_buf out;

    for (size_t room = 0; room < 80; room++) {
        vg_buf_init(&out, room);
        vg_jwt_put_hs256(&out, VG_VIEW("{}"), VG_VIEW("secret"));
        assert_false(vg_buf_ok(&out));
        vg_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hs256__signs_as_others_do),
        cmocka_unit_test(part__has_no_padding),
        cmocka_unit_test(hs256__without_room_is_not_ok),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
