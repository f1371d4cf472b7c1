/* SPDX-License-Identifier: Apache-2.0 */
#include "common/nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static struct vg_net_address address_of(const char *text)
{
    struct vg_net_address a;

    assert_true(vg_net_address_parse(vg_view_of(text), &a));
    return a;
}

static void nets__take_addresses_in_their_usual_spelling(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "1.2.3", "01.2.3.4", "1.2.3.4 ", "::1%lo", "[::1]", "x"};
    struct vg_net_address a;

    assert_int_equal(address_of("192.0.2.1").len, 4);
    assert_int_equal(address_of("2001:db8::1").len, 16);
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_net_address_parse(vg_view_of(bad[i]), &a));
    assert_false(vg_net_address_parse((struct vg_view){"1.2.3.4\0", 8}, &a));
}

static void nets__a_mapped_address_is_the_one_inside(void **state)
{
    (void)state;
    struct vg_net_address a = address_of("::ffff:192.0.2.1"), before = a;

    assert_true(vg_net_address_unmap(&a));
    assert_memory_equal(a.bytes, address_of("192.0.2.1").bytes, 4);
    assert_int_equal(a.len, 4);
    assert_false(vg_net_address_unmap(&a));
    vg_net_address_map(&a);
    assert_int_equal(a.len, 16);
    assert_memory_equal(a.bytes, before.bytes, 16);
    a = address_of("::1");
    assert_false(vg_net_address_unmap(&a));
    assert_int_equal(a.len, 16);
}

static void nets__hold_their_own_family(void **state)
{
    (void)state;
    static const struct {
        const char *net, *address;
        bool held;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true}, {"10.0.0.0/9", "10.128.0.1", false},
        {"10.0.0.1", "10.0.0.1", true},     {"10.0.0.1", "10.0.0.2", false},
        {"0.0.0.0/0", "::1", false},        {"::/0", "10.0.0.1", false},
        {"fd00::/7", "fc00::1", true},      {"::1/128", "::1", true},
    };
    static const char *const bad[] = {"",       "/8",          "10.0.0.0/", "10.0.0.0/33",
                                      "::/129", "10.0.0.0/8/8"};
    struct vg_net net;

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_net_address a = address_of(cases[i].address);
        assert_true(vg_net_parse(vg_view_of(cases[i].net), &net));
        assert_int_equal(vg_net_holds(&net, &a), cases[i].held);
        assert_int_equal(vg_nets_hold(cases[i].net, &a), cases[i].held);
    }
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_false(vg_net_parse(vg_view_of(bad[i]), &net));
    struct vg_net_address a = address_of("::1");
    assert_true(vg_nets_hold("x,, 10.0.0.0/8 ,::1", &a));
    assert_false(vg_nets_hold(NULL, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nets__take_addresses_in_their_usual_spelling),
        cmocka_unit_test(nets__a_mapped_address_is_the_one_inside),
        cmocka_unit_test(nets__hold_their_own_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
