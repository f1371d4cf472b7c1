/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "db/pg_hosts.h"

/* The value of a key, which stands there once at most; "" without. */
static const char *get(const struct vg_pg_host *host, const char *key)
{
    const char *found = "";
    int times = 0;

    for (size_t i = 0; host->keys[i]; i++) {
        if (strcmp(host->keys[i], key) == 0) {
            found = host->values[i];
            times++;
        }
    }
    assert_true(times <= 1);
    return found;
}

static void pg_hosts__splits_hosts_and_ports(void **state)
{
    static const struct {
        const char *url;
        size_t count;
        const char *host[3], *address[3], *port[3];
    } cases[] = {
        {"postgresql://u@a:1,b:2,c/d", 3, {"a", "b", "c"}, {"", "", ""}, {"1", "2", ""}},
        {"postgresql://u@a,b/d?port=7", 2, {"a", "b"}, {"", ""}, {"7", "7"}},
        {"postgresql://u@[::1]:5,h/d", 2, {"::1", "h"}, {"", ""}, {"5", ""}},
        {"host=a,b port=3,4 user=u", 2, {"a", "b"}, {"", ""}, {"3", "4"}},
        {"host=a,b port=3 user=u", 2, {"a", "b"}, {"", ""}, {"3", "3"}},
        {"host=a,b hostaddr=1.1.1.1,2.2.2.2", 2, {"a", "b"}, {"1.1.1.1", "2.2.2.2"}, {"", ""}},
        {"hostaddr=1.1.1.1,2.2.2.2", 2, {"", ""}, {"1.1.1.1", "2.2.2.2"}, {"", ""}},
        {"host=/run/x dbname=d", 1, {"/run/x"}, {""}, {""}},
        {"postgresql:///d", 1, {""}, {""}, {""}},
        {"", 1, {""}, {""}, {""}},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_pg_hosts *hosts = NULL;
        struct vg_pg_host host;

        assert_int_equal(vg_pg_hosts_new(&hosts, cases[i].url, "test", NULL), 0);
        assert_int_equal(vg_pg_hosts_count(hosts), cases[i].count);
        for (size_t k = 0; k < cases[i].count; k++) {
            vg_pg_hosts_get(hosts, k, &host);
            assert_string_equal(get(&host, "host"), cases[i].host[k]);
            assert_string_equal(get(&host, "hostaddr"), cases[i].address[k]);
            assert_string_equal(get(&host, "port"), cases[i].port[k]);
            assert_string_equal(get(&host, "fallback_application_name"), "test");
            assert_string_equal(get(&host, "target_session_attrs"), "read-write");
        }
        hosts = vg_pg_hosts_free(hosts);
    }
}

static void pg_hosts__lets_the_url_overrule(void **state)
{
    struct vg_pg_hosts *hosts = NULL;
    struct vg_pg_host host;

    (void)state;
    assert_int_equal(vg_pg_hosts_new(&hosts,
                                     "postgresql://u:p%40ss@a/d?target_session_attrs=any&"
                                     "tcp_user_timeout=5&connect_timeout=9&application_name=mine",
                                     "test", NULL),
                     0);
    vg_pg_hosts_get(hosts, 0, &host);
    assert_string_equal(get(&host, "target_session_attrs"), "any");
    assert_string_equal(get(&host, "tcp_user_timeout"), "5");
    assert_string_equal(get(&host, "application_name"), "mine");
    assert_string_equal(get(&host, "password"), "p@ss");
    assert_string_equal(get(&host, "dbname"), "d");
    assert_int_equal(vg_pg_hosts_timeout_ms(hosts), 9000);
    hosts = vg_pg_hosts_free(hosts);
}

static void pg_hosts__refuses_what_cannot_be(void **state)
{
    static const char *const cases[] = {
        "postgresql://u@a:x:y/d?nonsense",
        "nonsense=1",
        "host=a,b,c port=1,2",
        "host=a,b hostaddr=1.1.1.1",
        "host=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_pg_hosts *hosts = NULL;
        struct vg_err err = {0};

        assert_int_equal(vg_pg_hosts_new(&hosts, cases[i], "test", &err), -1);
        assert_int_equal(err.kind, VG_ERR_UNAVAILABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pg_hosts__splits_hosts_and_ports),
        cmocka_unit_test(pg_hosts__lets_the_url_overrule),
        cmocka_unit_test(pg_hosts__refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
