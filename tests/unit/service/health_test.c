/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "service/health.h"

static const int64_t start = 1000 * VG_NS_PER_S;

static void health__nothing_known_is_neutral(void **state)
{
    struct vg_health *h = vg_health_new();

    (void)state;
    assert_float_equal(vg_health_of(h, "p", "m").success, 1, 0);
    assert_int_equal(vg_health_of(h, "p", "m").ms, 0);
    assert_false(vg_health_down(h, "p"));
    assert_float_equal(vg_health_of(NULL, "p", "m").success, 1, 0);
    assert_false(vg_health_down(NULL, "p"));
    vg_health_free(h);
}

static void health__remembers_by_provider_and_model(void **state)
{
    struct vg_health *h = vg_health_new();

    (void)state;
    for (int i = 0; i < 9; i++)
        vg_health_made(h, "p", "m", i % 2 ? 3000 : 1000, start);
    vg_health_failed(h, "p", "m", start);
    vg_health_failed(h, "p", "n", start);
    assert_float_equal(vg_health_of(h, "p", "m").success, 10.0 / 11, 0.001);
    assert_int_equal(vg_health_of(h, "p", "m").ms, 1889);
    assert_float_equal(vg_health_of(h, "p", "n").success, 0.5, 0.001);
    assert_int_equal(vg_health_of(h, "p", "n").ms, 0);
    assert_float_equal(vg_health_of(h, "pm", "").success, 1, 0);
    vg_health_free(h);
}

static void health__fades_to_neutral(void **state)
{
    struct vg_health *h = vg_health_new();

    (void)state;
    for (int i = 0; i < 7; i++)
        vg_health_failed(h, "p", "m", start);
    vg_health_made(h, "p", "m", 500, start);
    vg_health_set_down(h, "p", true);
    double before = vg_health_of(h, "p", "m").success;

    vg_health_refresh(h, start + 600 * VG_NS_PER_S);
    double half = vg_health_of(h, "p", "m").success;

    assert_float_equal(half, 1.5 / 5, 0.001);
    assert_true(half > before);
    assert_int_equal(vg_health_of(h, "p", "m").ms, 500);
    vg_health_refresh(h, start + 20000 * VG_NS_PER_S);
    assert_true(vg_health_of(h, "p", "m").success > 0.99);
    assert_int_equal(vg_health_of(h, "p", "m").ms, 0);
    assert_true(vg_health_down(h, "p")); /* until told otherwise */
    vg_health_set_down(h, "p", false);
    assert_false(vg_health_down(h, "p"));
    vg_health_free(h);
}

static void health__cost_weighs_failures_and_time(void **state)
{
    const struct vg_health_figures good = {1, 60000}, slow = {1, 90000}, shaky = {0.5, 30000},
                                   unknown = {1, 0}, dead = {0, 1000};

    (void)state;
    assert_true(vg_health_cost(good, 1) < vg_health_cost(slow, 1));
    assert_true(vg_health_cost(good, 1) < vg_health_cost(shaky, 1));
    assert_float_equal(vg_health_cost(unknown, 60000), vg_health_cost(good, 1), 0.001);
    assert_true(vg_health_cost(dead, 1) > 1e6);
}

/* More models than there is room for: those without a place stay neutral. */
static void health__is_bounded(void **state)
{
    struct vg_health *h = vg_health_new();
    int known = 0;

    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 10000; i++) {
            char model[16];
            (void)snprintf(model, sizeof(model), "m%d", i);
            if (round == 0)
                vg_health_failed(h, "p", model, start);
            else
                known += vg_health_of(h, "p", model).success < 0.9;
        }
    assert_true(known > 2000 && known <= 4096);
    vg_health_free(h);
}

static struct vg_health *shared;
static atomic_bool stop;

static void *read_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct vg_health_figures f = vg_health_of(shared, "p", "m");
        if (f.success < 0 || f.success > 1 || (f.ms != 0 && f.ms != 700))
            return &shared;
        (void)vg_health_down(shared, "p");
    }
    return NULL;
}

static void health__readers_need_no_lock(void **state)
{
    pthread_t reader;
    void *bad = NULL;

    (void)state;
    shared = vg_health_new();
    assert_int_equal(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        if (i % 3)
            vg_health_made(shared, "p", "m", 700, start + i);
        else
            vg_health_failed(shared, "p", "m", start + i);
        vg_health_set_down(shared, "p", i % 2);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(reader, &bad), 0);
    assert_null(bad);
    shared = vg_health_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health__nothing_known_is_neutral),
        cmocka_unit_test(health__remembers_by_provider_and_model),
        cmocka_unit_test(health__fades_to_neutral),
        cmocka_unit_test(health__cost_weighs_failures_and_time),
        cmocka_unit_test(health__is_bounded),
        cmocka_unit_test(health__readers_need_no_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
