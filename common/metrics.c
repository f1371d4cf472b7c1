/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"

/* Upper bounds in nanoseconds and as written in `le`. */
static const struct {
    int64_t ns;
    const char *le;
} buckets[] = {
    {1 * VG_NS_PER_MS, "0.001"}, {2500000, "0.0025"},          {5 * VG_NS_PER_MS, "0.005"},
    {10 * VG_NS_PER_MS, "0.01"}, {25 * VG_NS_PER_MS, "0.025"}, {50 * VG_NS_PER_MS, "0.05"},
    {100 * VG_NS_PER_MS, "0.1"}, {250 * VG_NS_PER_MS, "0.25"}, {500 * VG_NS_PER_MS, "0.5"},
    {1 * VG_NS_PER_S, "1"},      {2500 * VG_NS_PER_MS, "2.5"}, {5 * VG_NS_PER_S, "5"},
    {10 * VG_NS_PER_S, "10"},    {30 * VG_NS_PER_S, "30"},     {60 * VG_NS_PER_S, "60"},
};

/* Cells of a histogram series: one per bucket, one beyond the last, then the sum in nanoseconds. */
#define CELLS_HISTOGRAM (VG_COUNT(buckets) + 2)
#define CELL_BEYOND VG_COUNT(buckets)
#define CELL_SUM (VG_COUNT(buckets) + 1)

struct metric {
    size_t first;  /* cell */
    size_t series; /* at least 1 */
};

struct vg_metric_set {
    struct vg_metric_set *next; /* owned by the registry */
    const struct vg_metric_desc *table;
    size_t count;
    struct metric *metrics; /* owned; one per row */
    _Atomic int64_t *cells; /* owned */
};

struct vg_metrics {
    pthread_mutex_t lock; /* guards the list; the cells are atomics */
    struct vg_metric_set *first;
    struct vg_metric_set **tail;
};

struct vg_metrics *vg_metrics_new(void)
{
    struct vg_metrics *metrics = vg_xalloc(sizeof *metrics);
    VG_ASSERT(pthread_mutex_init(&metrics->lock, NULL) == 0);
    metrics->tail = &metrics->first;
    return metrics;
}

struct vg_metrics *vg_metrics_free(struct vg_metrics *metrics)
{
    if (!metrics)
        return NULL;
    struct vg_metric_set *set = metrics->first;
    while (set) {
        struct vg_metric_set *next = set->next;
        free(set->metrics);
        free(set->cells);
        free(set);
        set = next;
    }
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
    return NULL;
}

static size_t cells_per_series(const struct vg_metric_desc *desc)
{
    return desc->type == VG_METRIC_HISTOGRAM ? CELLS_HISTOGRAM : 1;
}

static struct vg_metric_set *set_new(const struct vg_metric_desc *table, size_t count)
{
    struct vg_metric_set *set = vg_xalloc(sizeof *set);
    set->table = table;
    set->count = count;
    set->metrics = vg_xcalloc(count, sizeof *set->metrics);
    size_t cells = 0;
    for (size_t i = 0; i < count; i++) {
        size_t series = table[i].label ? 0 : 1;
        while (table[i].label && table[i].values[series])
            series++;
        set->metrics[i] = (struct metric){.first = cells, .series = series};
        cells += series * cells_per_series(&table[i]);
    }
    set->cells = vg_xcalloc(cells, sizeof *set->cells);
    return set;
}

struct vg_metric_set *vg_metrics_register(struct vg_metrics *metrics,
                                          const struct vg_metric_desc *table, size_t count)
{
    if (!metrics)
        return NULL;
    VG_ASSERT(pthread_mutex_lock(&metrics->lock) == 0);
    struct vg_metric_set *set = metrics->first;
    while (set && set->table != table)
        set = set->next;
    if (!set) {
        set = set_new(table, count);
        *metrics->tail = set;
        metrics->tail = &set->next;
    }
    VG_ASSERT(pthread_mutex_unlock(&metrics->lock) == 0);
    return set;
}

static _Atomic int64_t *cells_of(struct vg_metric_set *set, size_t metric, size_t series)
{
    VG_ASSERT(metric < set->count && series < set->metrics[metric].series);
    return &set->cells[set->metrics[metric].first + series * cells_per_series(&set->table[metric])];
}

void vg_metric_add(struct vg_metric_set *set, size_t metric, size_t series, int64_t delta)
{
    if (set)
        (void)atomic_fetch_add_explicit(cells_of(set, metric, series), delta, memory_order_relaxed);
}

void vg_metric_store(struct vg_metric_set *set, size_t metric, size_t series, int64_t value)
{
    if (set)
        atomic_store_explicit(cells_of(set, metric, series), value, memory_order_relaxed);
}

void vg_metric_observe_ns(struct vg_metric_set *set, size_t metric, size_t series, int64_t ns)
{
    if (!set)
        return;
    VG_ASSERT(metric < set->count && set->table[metric].type == VG_METRIC_HISTOGRAM);
    if (ns < 0)
        ns = 0;
    size_t bucket = 0;
    while (bucket < VG_COUNT(buckets) && ns > buckets[bucket].ns)
        bucket++;
    _Atomic int64_t *cells = cells_of(set, metric, series);
    (void)atomic_fetch_add_explicit(&cells[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&cells[CELL_SUM], ns, memory_order_relaxed);
}

static void put_escaped(struct vg_buf *out, const char *text, bool quote)
{
    for (; *text; text++) {
        if (*text == '\n')
            (void)vg_buf_adds(out, "\\n");
        else if (*text == '\\' || (quote && *text == '"'))
            (void)vg_buf_addf(out, "\\%c", *text);
        else
            (void)vg_buf_addc(out, *text);
    }
}

/* name suffix {label="value",le="..."} and a space */
static void put_name(struct vg_buf *out, const struct vg_metric_desc *desc, const char *suffix,
                     size_t series, const char *le)
{
    (void)vg_buf_addf(out, "%s%s", desc->name, suffix);
    if (desc->label || le)
        (void)vg_buf_addc(out, '{');
    if (desc->label) {
        (void)vg_buf_addf(out, "%s=\"", desc->label);
        put_escaped(out, desc->values[series], true);
        (void)vg_buf_addc(out, '"');
    }
    if (le)
        (void)vg_buf_addf(out, "%sle=\"%s\"", desc->label ? "," : "", le);
    (void)vg_buf_adds(out, desc->label || le ? "} " : " ");
}

static void put_histogram(struct vg_buf *out, const struct vg_metric_desc *desc, size_t series,
                          _Atomic int64_t *cells)
{
    int64_t seen = 0;
    for (size_t i = 0; i < VG_COUNT(buckets); i++) {
        seen += atomic_load_explicit(&cells[i], memory_order_relaxed);
        put_name(out, desc, "_bucket", series, buckets[i].le);
        (void)vg_buf_addf(out, "%lld\n", (long long)seen);
    }
    seen += atomic_load_explicit(&cells[CELL_BEYOND], memory_order_relaxed);
    put_name(out, desc, "_bucket", series, "+Inf");
    (void)vg_buf_addf(out, "%lld\n", (long long)seen);
    put_name(out, desc, "_sum", series, NULL);
    int64_t sum = atomic_load_explicit(&cells[CELL_SUM], memory_order_relaxed);
    (void)vg_buf_addf(out, "%lld.%09lld\n", (long long)(sum / VG_NS_PER_S),
                      (long long)(sum % VG_NS_PER_S));
    put_name(out, desc, "_count", series, NULL);
    (void)vg_buf_addf(out, "%lld\n", (long long)seen);
}

static void put_metric(struct vg_buf *out, struct vg_metric_set *set, size_t metric)
{
    static const char *const types[] = {
        [VG_METRIC_COUNTER] = "counter",
        [VG_METRIC_GAUGE] = "gauge",
        [VG_METRIC_HISTOGRAM] = "histogram",
    };
    const struct vg_metric_desc *desc = &set->table[metric];
    (void)vg_buf_addf(out, "# HELP %s ", desc->name);
    put_escaped(out, desc->help, false);
    (void)vg_buf_addf(out, "\n# TYPE %s %s\n", desc->name, types[desc->type]);
    for (size_t series = 0; series < set->metrics[metric].series; series++) {
        _Atomic int64_t *cells = cells_of(set, metric, series);
        if (desc->type == VG_METRIC_HISTOGRAM) {
            put_histogram(out, desc, series, cells);
        } else {
            put_name(out, desc, "", series, NULL);
            (void)vg_buf_addf(out, "%lld\n",
                              (long long)atomic_load_explicit(cells, memory_order_relaxed));
        }
    }
}

void vg_metrics_write(struct vg_metrics *metrics, struct vg_buf *out)
{
    VG_ASSERT(pthread_mutex_lock(&metrics->lock) == 0);
    for (struct vg_metric_set *set = metrics->first; set; set = set->next) {
        for (size_t i = 0; i < set->count; i++)
            put_metric(out, set, i);
    }
    VG_ASSERT(pthread_mutex_unlock(&metrics->lock) == 0);
}
