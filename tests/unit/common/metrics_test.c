/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

static const char *const colours[] = {"red", "gr\"een\\\n", NULL};
enum { JOBS, BY_COLOUR, DEPTH, TOOK };
static const struct vg_metric_desc table[] = {
    [JOBS] = {"jobs_total", VG_METRIC_COUNTER, "Jobs.\nAll.", NULL, NULL},
    [BY_COLOUR] = {"colours_total", VG_METRIC_COUNTER, "By colour.", "colour", colours},
    [DEPTH] = {"depth", VG_METRIC_GAUGE, "Depth.", NULL, NULL},
    [TOOK] = {"took_seconds", VG_METRIC_HISTOGRAM, "Time.", NULL, NULL},
};

static void metrics__writes_prometheus_text(void **state)
{
    (void)state;
    struct vg_metrics *metrics = vg_metrics_new();
    struct vg_metric_set *set = vg_metrics_register(metrics, table, 3);
    struct vg_buf out;
    vg_buf_init(&out, 100000);
    vg_metric_add(set, JOBS, 0, 2);
    vg_metric_add(set, JOBS, 0, 3);
    vg_metric_add(set, BY_COLOUR, 1, 1);
    vg_metric_store(set, DEPTH, 0, 9);
    vg_metric_add(set, DEPTH, 0, -10);
    vg_metrics_write(metrics, &out);
    assert_string_equal(vg_buf_view(&out).data,
                        "# HELP jobs_total Jobs.\\nAll.\n# TYPE jobs_total counter\njobs_total 5\n"
                        "# HELP colours_total By colour.\n# TYPE colours_total counter\n"
                        "colours_total{colour=\"red\"} 0\n"
                        "colours_total{colour=\"gr\\\"een\\\\\\n\"} 1\n"
                        "# HELP depth Depth.\n# TYPE depth gauge\ndepth -1\n");
    vg_buf_fini(&out);
    assert_null(vg_metrics_free(metrics));
    assert_null(vg_metrics_free(NULL));
}

static void metrics__histogram_is_cumulative(void **state)
{
    (void)state;
    struct vg_metrics *metrics = vg_metrics_new();
    struct vg_metric_set *set = vg_metrics_register(metrics, table, VG_COUNT(table));
    struct vg_buf out;
    vg_buf_init(&out, 100000);
    vg_metric_observe_ns(set, TOOK, 0, 1 * VG_NS_PER_MS); /* a bound belongs to its bucket */
    vg_metric_observe_ns(set, TOOK, 0, 1 * VG_NS_PER_MS + 1);
    vg_metric_observe_ns(set, TOOK, 0, 2 * VG_NS_PER_S);
    vg_metric_observe_ns(set, TOOK, 0, 61 * VG_NS_PER_S);
    vg_metric_observe_ns(set, TOOK, 0, -5);
    vg_metrics_write(metrics, &out);
    static const char *const lines[] = {
        "took_seconds_bucket{le=\"0.001\"} 2\n", "took_seconds_bucket{le=\"0.0025\"} 3\n",
        "took_seconds_bucket{le=\"1\"} 3\n",     "took_seconds_bucket{le=\"2.5\"} 4\n",
        "took_seconds_bucket{le=\"60\"} 4\n",    "took_seconds_bucket{le=\"+Inf\"} 5\n",
        "took_seconds_sum 63.002000001\n",       "took_seconds_count 5\n",
    };
    const char *at = vg_buf_view(&out).data;
    for (size_t i = 0; i < VG_COUNT(lines); i++) {
        at = strstr(at, lines[i]);
        assert_non_null(at);
    }
    vg_buf_fini(&out);
    vg_metrics_free(metrics);
}

static void metrics__same_table_is_registered_once(void **state)
{
    (void)state;
    struct vg_metrics *metrics = vg_metrics_new();
    struct vg_metric_set *set = vg_metrics_register(metrics, table, VG_COUNT(table));
    assert_ptr_equal(vg_metrics_register(metrics, table, VG_COUNT(table)), set);
    vg_metrics_free(metrics);
}

static void metrics__no_registry_is_fine(void **state)
{
    (void)state;
    assert_null(vg_metrics_register(NULL, table, VG_COUNT(table)));
    vg_metric_add(NULL, JOBS, 0, 1);
    vg_metric_store(NULL, JOBS, 0, 1);
    vg_metric_observe_ns(NULL, TOOK, 0, 1);
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        vg_metric_add(arg, JOBS, 0, 1);
        vg_metric_observe_ns(arg, TOOK, 0, i);
    }
    return NULL;
}

static void metrics__threads_lose_nothing(void **state)
{
    (void)state;
    struct vg_metrics *metrics = vg_metrics_new();
    struct vg_metric_set *set = vg_metrics_register(metrics, table, VG_COUNT(table));
    struct vg_buf out;
    vg_buf_init(&out, 100000);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, set), 0);
    vg_metrics_write(metrics, &out); /* a scrape may come at any time */
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    vg_buf_clear(&out);
    vg_metrics_write(metrics, &out);
    assert_non_null(strstr(vg_buf_view(&out).data, "jobs_total 40000\n"));
    assert_non_null(strstr(vg_buf_view(&out).data, "took_seconds_count 40000\n"));
    vg_buf_fini(&out);
    vg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__writes_prometheus_text),
        cmocka_unit_test(metrics__histogram_is_cumulative),
        cmocka_unit_test(metrics__same_table_is_registered_once),
        cmocka_unit_test(metrics__no_registry_is_fine),
        cmocka_unit_test(metrics__threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
