/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "service/health.h"
#include "service/route_order.h"

static const int64_t now = 1000 * VG_NS_PER_S;

/* As the catalog has them: a dear one, one without a price, two cheap ones. */
static const struct vg_job written = {
    .routes = {{.provider = "a", .model = "1", .price_usd = 2},
               {.provider = "b", .model = "1", .price_usd = -1},
               {.provider = "c", .model = "1", .price_usd = 1},
               {.provider = "d", .model = "1", .price_usd = 0.5, .input_usd = 0.5}},
    .route_count = 4,
};

static void expect(const struct vg_health *health, enum vg_route_order order, const char *want)
{
    const struct vg_validate_env env = {.order = order, .health = health};
    struct vg_job job = written;
    char got[5] = "";

    vg_route_order_apply(&env, &job);
    for (size_t i = 0; i < job.route_count; i++)
        got[i] = job.routes[i].provider[0];
    assert_string_equal(got, want);
}

static void route_order__nothing_known_is_as_written(void **state)
{
    struct vg_health *health = vg_health_new();

    (void)state;
    expect(NULL, VG_ORDER_CATALOG, "abcd");
    expect(NULL, VG_ORDER_HEALTH, "abcd");
    expect(health, VG_ORDER_HEALTH, "abcd");
    vg_health_free(health);
}

static void route_order__by_price_with_pictures_unknown_ones_last(void **state)
{
    (void)state;
    expect(NULL, VG_ORDER_PRICE, "cdab");
}

static void route_order__by_health(void **state)
{
    struct vg_health *health = vg_health_new();

    (void)state;
    vg_health_made(health, "a", "1", 90000, now);
    vg_health_made(health, "c", "1", 30000, now); /* those unknown take a minute, the mean */
    vg_health_failed(health, "d", "1", now);
    expect(health, VG_ORDER_HEALTH, "cbad");
    for (int i = 0; i < 5; i++)
        vg_health_failed(health, "c", "1", now);
    expect(health, VG_ORDER_HEALTH, "badc");
    expect(health, VG_ORDER_CATALOG, "abcd");
    vg_health_refresh(health, now + 100000 * VG_NS_PER_S); /* all forgotten */
    expect(health, VG_ORDER_HEALTH, "abcd");
    vg_health_free(health);
}

static void route_order__what_is_down_comes_last_but_stays(void **state)
{
    struct vg_health *health = vg_health_new();

    (void)state;
    vg_health_set_down(health, "a", true);
    expect(health, VG_ORDER_CATALOG, "bcda");
    expect(health, VG_ORDER_HEALTH, "bcda");
    vg_health_set_down(health, "c", true);
    expect(health, VG_ORDER_PRICE, "dbca");
    vg_health_set_down(health, "a", false);
    expect(health, VG_ORDER_CATALOG, "abdc");
    vg_health_free(health);
}

static void route_order__names(void **state)
{
    enum vg_route_order order = VG_ORDER_MAX;
    struct vg_err err;

    (void)state;
    assert_int_equal(vg_route_order_parse("health", &order, &err), 0);
    assert_int_equal(order, VG_ORDER_HEALTH);
    assert_int_equal(vg_route_order_parse("price", &order, &err), 0);
    assert_int_equal(order, VG_ORDER_PRICE);
    assert_int_equal(vg_route_order_parse("catalog", &order, &err), 0);
    assert_int_equal(order, VG_ORDER_CATALOG);
    assert_int_equal(vg_route_order_parse("Price", &order, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_order__nothing_known_is_as_written),
        cmocka_unit_test(route_order__by_price_with_pictures_unknown_ones_last),
        cmocka_unit_test(route_order__by_health),
        cmocka_unit_test(route_order__what_is_down_comes_last_but_stays),
        cmocka_unit_test(route_order__names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
