/* SPDX-License-Identifier: Apache-2.0 */
#include "service/flight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t key_a[32] = {1, 2, 3};
static const uint8_t key_b[32] = {1, 2, 4}; /* the same bucket */

static void flight__is_alone_or_not_at_all(void **state)
{
    (void)state;
    struct vg_flights *flights = vg_flights_new();
    struct vg_flight a = {.up = false}, second = {.up = false}, b = {.up = false};

    assert_true(vg_flight_start(flights, &a, key_a, true));
    assert_false(vg_flight_start(flights, &second, key_a, true));
    assert_false(second.up);
    assert_true(vg_flight_start(flights, &b, key_b, true));
    vg_flight_land(flights, &a);
    assert_true(vg_flight_start(flights, &second, key_a, true));
    vg_flight_land(flights, &b);
    vg_flight_land(flights, &second);
    flights = vg_flights_free(flights);
}

static void flight__in_company_keeps_the_loner_waiting(void **state)
{
    (void)state;
    struct vg_flights *flights = vg_flights_new();
    struct vg_flight first = {.up = false}, second = {.up = false}, alone = {.up = false};

    assert_true(vg_flight_start(flights, &first, key_a, false));
    assert_true(vg_flight_start(flights, &second, key_a, false));
    assert_false(vg_flight_start(flights, &alone, key_a, true));
    vg_flight_land(flights, &first);
    assert_false(vg_flight_start(flights, &alone, key_a, true));
    vg_flight_land(flights, &second);
    assert_true(vg_flight_start(flights, &alone, key_a, true));
    vg_flight_land(flights, &alone);
    vg_flight_land(flights, &alone); /* on the ground: nothing */
    flights = vg_flights_free(flights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flight__is_alone_or_not_at_all),
        cmocka_unit_test(flight__in_company_keeps_the_loner_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
