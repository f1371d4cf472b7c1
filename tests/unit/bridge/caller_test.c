/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"

#define PROXIES "127.0.0.0/8,10.0.0.0/8"

static void check(const char *peer, const char *first, const char *last, const char *proxies,
                  const char *expected)
{
    struct vg_header headers[] = {
        {VG_VIEW("x-forwarded-for"), vg_view_of(first)},
        {VG_VIEW("host"), VG_VIEW("6.6.6.6")},
        {VG_VIEW("x-forwarded-for"), vg_view_of(last)},
    };
    const struct vg_stream stream = {
        .peer = peer, .request = {.headers = headers, .header_count = VG_COUNT(headers)}};
    char out[VG_PEER_SIZE];

    vg_caller_address(&stream, proxies, out);
    assert_string_equal(out, expected);
}

static void caller__is_whom_the_last_proxy_names(void **state)
{
    (void)state;
    check("127.0.0.1", "6.6.6.6", "203.0.113.9", PROXIES, "203.0.113.9");
    check("127.0.0.1", "203.0.113.9", "10.0.0.2", PROXIES,
          "203.0.113.9"); /* two fields, one list */
    check("127.0.0.1", "203.0.113.9", "nonsense", PROXIES, "127.0.0.1");
    check("127.0.0.1", "203.0.113.9, nonsense", "10.0.0.2", PROXIES, "10.0.0.2");
}

static void caller__without_trust_is_the_connections(void **state)
{
    (void)state;
    check("192.0.2.1", "6.6.6.6", "6.6.6.6", PROXIES, "192.0.2.1");
    check("127.0.0.1", "6.6.6.6", "6.6.6.6", "", "127.0.0.1");
    check("127.0.0.1", "6.6.6.6", "6.6.6.6", NULL, "127.0.0.1");
    check(NULL, "6.6.6.6", "6.6.6.6", PROXIES, "");
    check("", "6.6.6.6", "6.6.6.6", PROXIES, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caller__is_whom_the_last_proxy_names),
        cmocka_unit_test(caller__without_trust_is_the_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
