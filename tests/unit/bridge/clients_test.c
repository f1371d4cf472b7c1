/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by client address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "bridge/net/clients.h"
#include "common/clock.h"

static int64_t now_ns = VG_NS_PER_S;

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage out;
    memset(&out, 0, sizeof(out));
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out;
    out.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    void *to = out.ss_family == AF_INET6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr;
    assert_int_equal(inet_pton(out.ss_family, text, to), 1);
    return out;
}

static struct vg_client *enter(struct vg_clients *clients, const char *text, int expect)
{
    struct vg_client *client;
    struct sockaddr_storage from = address(text);
    assert_int_equal(vg_clients_enter(clients, &from, now_ns, &client), expect);
    return client;
}

static void clients__have_a_share_each(void **state)
{
    (void)state;
    struct vg_clients *clients = vg_clients_new(2, 0);
    struct vg_client *a = enter(clients, "192.0.2.1", 0), *b = enter(clients, "192.0.2.1", 0);
    (void)enter(clients, "192.0.2.1", -1);
    (void)enter(clients, "::ffff:192.0.2.1", -1);
    struct vg_client *other = enter(clients, "192.0.2.2", 0);
    vg_clients_leave(clients, a, now_ns);
    a = enter(clients, "::ffff:192.0.2.1", 0);
    (void)enter(clients, "192.0.2.1", -1);
    vg_clients_leave(clients, a, now_ns);
    vg_clients_leave(clients, b, now_ns);
    vg_clients_leave(clients, other, now_ns);
    assert_null(vg_clients_free(clients));
}

static void clients__of_one_network_are_one(void **state)
{
    (void)state;
    struct vg_clients *clients = vg_clients_new(1, 0);
    struct vg_client *a = enter(clients, "2001:db8:1:2::1", 0);
    (void)enter(clients, "2001:db8:1:2:ffff::9", -1);
    struct vg_client *b = enter(clients, "2001:db8:1:3::1", 0);
    vg_clients_leave(clients, a, now_ns);
    vg_clients_leave(clients, b, now_ns);
    assert_null(vg_clients_free(clients));
}

static void clients__are_not_counted_without_a_cap(void **state)
{
    (void)state;
    struct vg_clients *clients = vg_clients_new(0, 5);
    for (int i = 0; i < 10; i++)
        assert_null(enter(clients, "192.0.2.1", 0));
    assert_null(enter(NULL, "192.0.2.1", 0));
    vg_clients_leave(clients, NULL, now_ns);
    assert_null(vg_clients_free(clients));
}

static void clients__are_kept_out_after_strikes(void **state)
{
    (void)state;
    struct vg_clients *clients = vg_clients_new(9, 2);
    for (int i = 0; i < 2; i++) {
        struct vg_client *client = enter(clients, "192.0.2.1", 0);
        vg_clients_strike(clients, client, now_ns);
        vg_clients_leave(clients, client, now_ns);
    }
    (void)enter(clients, "192.0.2.1", -1);
    struct vg_client *other = enter(clients, "192.0.2.2", 0);
    vg_clients_leave(clients, other, now_ns);
    now_ns += 10 * VG_NS_PER_S;
    struct vg_client *client = enter(clients, "192.0.2.1", 0);
    vg_clients_strike(clients, client, now_ns); /* the first of a new ten seconds */
    vg_clients_leave(clients, client, now_ns);
    client = enter(clients, "192.0.2.1", 0);
    vg_clients_leave(clients, client, now_ns);
    assert_null(vg_clients_free(clients));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients__have_a_share_each),
        cmocka_unit_test(clients__of_one_network_are_one),
        cmocka_unit_test(clients__are_not_counted_without_a_cap),
        cmocka_unit_test(clients__are_kept_out_after_strikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
