/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms in Prometheus text form (0.0.4). Each module declares a const
 * table of metrics and registers it once; values are atomics, so any thread may add. */
#ifndef VG_COMMON_METRICS_H
#define VG_COMMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum vg_metric_type { VG_METRIC_COUNTER, VG_METRIC_GAUGE, VG_METRIC_HISTOGRAM };

struct vg_metric_desc {
    const char *name; /* "videogate_jobs_total" */
    enum vg_metric_type type;
    const char *help;
    const char *label;         /* label name; NULL: none */
    const char *const *values; /* label values, NULL-terminated; series i has values[i] */
};

struct vg_metrics;    /* registry */
struct vg_metric_set; /* one table's values */

struct vg_metrics *vg_metrics_new(void);
struct vg_metrics *vg_metrics_free(struct vg_metrics *metrics);
/* `table` and its strings are borrowed for ever (const data). The set lives as long as the
 * registry. */
struct vg_metric_set *vg_metrics_register(struct vg_metrics *metrics,
                                          const struct vg_metric_desc *table, size_t count);
/* `metric` is the row in the table, `series` the label value's position (0 without a label). A NULL
 * set is ignored. */
void vg_metric_add(struct vg_metric_set *set, size_t metric, size_t series, int64_t delta);
void vg_metric_store(struct vg_metric_set *set, size_t metric, size_t series, int64_t value);
/* Histogram over seconds with fixed buckets 1 ms .. 60 s. */
void vg_metric_observe_ns(struct vg_metric_set *set, size_t metric, size_t series, int64_t ns);
void vg_metrics_write(struct vg_metrics *metrics, struct vg_buf *out);

#endif
