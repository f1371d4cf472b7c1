/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "service/app_setup.h"

static char *text(const char *s)
{
    const union {
        const char *in;
        char *out;
    } t = {.in = s};
    return t.out;
}

static struct vg_app_config good(void)
{
    return (struct vg_app_config){.database_url = text("postgresql://x"),
                                  .blob_dir = text("/tmp"),
                                  .catalog = text(VG_CATALOG_FILE),
                                  .workers = text("sandbox=127.0.0.1:1, google=127.0.0.1:2"),
                                  .secret_key = text("0123456789abcdef"),
                                  .public_url = text("https://x.test//"),
                                  .route_all = text("sandbox"),
                                  .on_unknown_submit = text("fail")};
}

static void config__comes_to_what_the_handlers_need(void **state)
{
    (void)state;
    struct vg_app_setup s;
    struct vg_err err;
    struct vg_app_config c = good();
    c.default_callback_url = text("https://example.com/cb");
    c.default_callback_secret = text("s");
    if (vg_app_setup_make(&s, &c, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    assert_string_equal(s.public_url, "https://x.test");
    assert_int_equal(s.provider_count, 2);
    assert_string_equal(s.providers[1], "google");
    assert_string_equal(s.route_all_provider, "sandbox");
    assert_string_equal(s.route_all_model, "sandbox");
    assert_string_equal(s.default_callback_url, "https://example.com/cb");
    assert_non_null(s.catalog);
    vg_app_setup_fini(&s);
    c.route_all = text("google/veo");
    assert_int_equal(vg_app_setup_make(&s, &c, &err), 0);
    assert_string_equal(s.route_all_provider, "google");
    assert_string_equal(s.route_all_model, "veo");
    vg_app_setup_fini(&s);
}

static void config__mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* of a text in the struct */
        const char *value, *says;
    } cases[] = {
        {offsetof(struct vg_app_config, database_url), "", "database-url"},
        {offsetof(struct vg_app_config, blob_dir), "", "blob-dir"},
        {offsetof(struct vg_app_config, secret_key), "short", "secret-key"},
        {offsetof(struct vg_app_config, admin_key), "short", "admin-key"},
        {offsetof(struct vg_app_config, on_unknown_submit), "maybe", "on-unknown-submit"},
        {offsetof(struct vg_app_config, tls_cert), "/x", "tls-cert and tls-key"},
        {offsetof(struct vg_app_config, tls_key), "/x", "tls-cert and tls-key"},
        {offsetof(struct vg_app_config, tls_client_ca), "/x", "tls-client-ca"},
        {offsetof(struct vg_app_config, workers_tls_cert), "/x", "workers-tls-key go together"},
        {offsetof(struct vg_app_config, workers_tls_key), "/x", "workers-tls-key go together"},
        {offsetof(struct vg_app_config, public_url), "x.test", "public-url"},
        {offsetof(struct vg_app_config, workers), "sandbox", "workers"},
        {offsetof(struct vg_app_config, workers), "=127.0.0.1:1", "workers"},
        {offsetof(struct vg_app_config, workers), "sandbox=", "workers"},
        {offsetof(struct vg_app_config, workers), "sandbox=127.0.0.1:1,,x=y:1", "workers"},
        {offsetof(struct vg_app_config, route_all), "nobody", "no worker for \"nobody\""},
        {offsetof(struct vg_app_config, route_all), "sandbox/", "route-all"},
        {offsetof(struct vg_app_config, default_callback_url), "https://x.test/", "go together"},
        {offsetof(struct vg_app_config, default_callback_secret), "s", "go together"},
        {offsetof(struct vg_app_config, callback_allow_nets), "10.0.0.0/99", "10.0.0.0/99"},
        {offsetof(struct vg_app_config, image_allow_nets), "junk", "junk"},
        {offsetof(struct vg_app_config, catalog), "/nonexistent.json", "/nonexistent.json"},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_app_config c = good();
        struct vg_app_setup s;
        struct vg_err err;
        char *value = text(cases[i].value);
        memcpy((char *)&c + cases[i].at, &value, sizeof(value));
        if (vg_app_setup_make(&s, &c, &err) == 0)
            fail_msg("accepted: %s", cases[i].says);
        if (!strstr(vg_err_text(&err), cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", vg_err_text(&err), cases[i].says);
    }
}

static void config__a_default_callback_passes_the_guard(void **state)
{
    (void)state;
    struct vg_app_setup s;
    struct vg_err err;
    struct vg_app_config c = good();
    c.default_callback_url = text("http://127.0.0.1:9/cb");
    c.default_callback_secret = text("s");
    assert_int_equal(vg_app_setup_make(&s, &c, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "default-callback-url"));
    c.callback_allow_http = true;
    c.callback_allow_any_port = true;
    c.callback_allow_nets = text("127.0.0.0/8");
    assert_int_equal(vg_app_setup_make(&s, &c, &err), 0);
    vg_app_setup_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__comes_to_what_the_handlers_need),
        cmocka_unit_test(config__mistakes_are_named),
        cmocka_unit_test(config__a_default_callback_passes_the_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
