/* SPDX-License-Identifier: Apache-2.0 */
#include "service/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void scope__text_and_bits_are_the_same(void **state)
{
    char text[VG_SCOPES_TEXT_SIZE];

    (void)state;
    for (uint32_t bits = 1; bits <= VG_SCOPE_ALL; bits++) {
        vg_scopes_format(bits, text);
        assert_int_equal(vg_scopes_parse(text), bits);
    }
    vg_scopes_format(VG_SCOPE_VIDEOS_READ | VG_SCOPE_WEBHOOKS_WRITE, text);
    assert_string_equal(text, "videos.read webhooks.write");
}

static void scope__what_nobody_knows_gives_nothing(void **state)
{
    (void)state;
    assert_int_equal(vg_scope_by_name("videos", 6), 0);
    assert_int_equal(vg_scope_by_name("videos.reading", 14), 0);
    assert_int_equal(vg_scope_by_name("videos.read", 11), VG_SCOPE_VIDEOS_READ);
    assert_int_equal(vg_scopes_parse("later.scope"), 0);
    assert_int_equal(vg_scopes_parse("later.scope usage.read"), VG_SCOPE_USAGE_READ);
    assert_int_equal(vg_scopes_parse(""), VG_SCOPE_ALL);
    assert_string_equal(vg_scope_name(VG_SCOPE_USAGE_READ), "usage.read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scope__text_and_bits_are_the_same),
        cmocka_unit_test(scope__what_nobody_knows_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
