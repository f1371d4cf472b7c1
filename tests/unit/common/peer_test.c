/* SPDX-License-Identifier: Apache-2.0 */
#include "common/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"

static void peer__has_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text, *peer; /* NULL: none */
    } cases[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::1", "::1"},
        {"", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
        {"[::1]", NULL},
        {"192.0.2.7:80", NULL},
        {"fe80::1%eth0", NULL},
        {"unknown", NULL},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", NULL},
    };
    char peer[VG_PEER_SIZE];

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        bool known = vg_peer_parse(vg_view_of(cases[i].text), peer);
        assert_int_equal(known, cases[i].peer != NULL);
        assert_string_equal(peer, cases[i].peer ? cases[i].peer : "");
    }
    assert_false(vg_peer_parse((struct vg_view){"1.2.3.4\0", 8}, peer));
}

static void peer__reads_the_cores_names(void **state)
{
    (void)state;
    char peer[VG_PEER_SIZE];

    assert_true(vg_peer_of_core("ipv4:127.0.0.1:51234", peer));
    assert_string_equal(peer, "127.0.0.1");
    assert_true(vg_peer_of_core("ipv6:[2001:db8::7]:443", peer));
    assert_string_equal(peer, "2001:db8::7");
    assert_true(vg_peer_of_core("ipv6:%5B::1%5D:443", peer));
    assert_string_equal(peer, "::1");
    assert_false(vg_peer_of_core("unix:/tmp/socket", peer));
    assert_false(vg_peer_of_core("ipv6:", peer));
    assert_false(vg_peer_of_core("", peer));
    assert_string_equal(peer, "");
}

static void peer__groups_what_one_caller_can_change(void **state)
{
    (void)state;
    char group[VG_PEER_SIZE];

    vg_peer_group("192.0.2.7", group);
    assert_string_equal(group, "192.0.2.7");
    vg_peer_group("2001:db8:1:2:3:4:5:6", group);
    assert_string_equal(group, "2001:db8:1:2::/64");
    vg_peer_group("", group);
    assert_string_equal(group, "");
}

static void peer__nets_hold_what_they_say(void **state)
{
    (void)state;
    static const char nets[] = "10.0.0.0/8, 192.0.2.128/25,fd00::/8,::1";
    static const char *const in[] = {"10.255.0.1", "192.0.2.128", "fd12::1", "::1"};
    static const char *const out[] = {"11.0.0.1", "192.0.2.127", "fe00::1", "::2", "", "x"};
    struct vg_err err;

    for (size_t i = 0; i < VG_COUNT(in); i++)
        assert_true(vg_peer_in(in[i], nets));
    for (size_t i = 0; i < VG_COUNT(out); i++)
        assert_false(vg_peer_in(out[i], nets));
    assert_true(vg_peer_in("1.2.3.4", "0.0.0.0/0"));
    assert_false(vg_peer_in("::1", "0.0.0.0/0"));
    assert_false(vg_peer_in("1.2.3.4", NULL));
    assert_int_equal(vg_peer_nets_check(nets, "nets", &err), 0);
    assert_int_equal(vg_peer_nets_check("", "nets", &err), 0);
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/", "::/129", "x", "10.0.0.0/8,,::1"};
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(vg_peer_nets_check(bad[i], "nets", &err), -1);
}

/* Only those who are trusted are asked who was before them. */
static void peer__chain_ends_at_the_first_stranger(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *value, *client;
        bool whole;
    } cases[] = {
        {"127.0.0.1", "203.0.113.9", "203.0.113.9", true},
        {"127.0.0.1", "6.6.6.6, 203.0.113.9 , 10.0.0.2", "203.0.113.9", false},
        {"203.0.113.9", "6.6.6.6", "203.0.113.9", false},
        {"127.0.0.1", "nonsense", "127.0.0.1", false},
        {"127.0.0.1", "6.6.6.6, , 10.0.0.2", "10.0.0.2", false},
        {"127.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3", true},
        {"127.0.0.1", "", "127.0.0.1", true},
    };
    char peer[VG_PEER_SIZE];

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        (void)vg_strcpy(peer, sizeof(peer), cases[i].peer);
        bool whole = vg_peer_forwarded(peer, vg_view_of(cases[i].value), "127.0.0.0/8,10.0.0.0/8");
        assert_string_equal(peer, cases[i].client);
        assert_int_equal(whole, cases[i].whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer__has_one_spelling),
        cmocka_unit_test(peer__reads_the_cores_names),
        cmocka_unit_test(peer__groups_what_one_caller_can_change),
        cmocka_unit_test(peer__nets_hold_what_they_say),
        cmocka_unit_test(peer__chain_ends_at_the_first_stranger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
