/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog in use: readers take a snapshot, a reload replaces it for those who come later.
 *
 * The file is looked at every `interval_ms` and on demand, and read when it is another than before;
 * only one that passes every check takes the old one's place. Snapshots are taken from any thread;
 * the rest lives on the loop, files are read on the pool. */
#ifndef VG_SERVICE_CATALOG_LIVE_H
#define VG_SERVICE_CATALOG_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "common/metrics.h"
#include "service/catalog.h"

struct vg_catalog_live;

struct vg_catalog_live_options {
    const char *path;         /* borrowed */
    struct vg_catalog *first; /* read from there at the start; a reference is taken */
    int64_t interval_ms;      /* 0: only on demand */
    struct vg_loop *loop;     /* borrowed, as all below */
    struct vg_executor *pool; /* for what blocks on the disk */
    struct vg_metrics *metrics;
};

struct vg_catalog_live *vg_catalog_live_new(const struct vg_catalog_live_options *options);
/* Any thread; vg_catalog_unref it. */
struct vg_catalog *vg_catalog_live_take(struct vg_catalog_live *live);
/* Any thread, each returns at once: begin to look; look now, and read whatever is there; look no
 * more. */
void vg_catalog_live_start(struct vg_catalog_live *live);
void vg_catalog_live_reload(struct vg_catalog_live *live);
void vg_catalog_live_close(struct vg_catalog_live *live);
/* Nothing is under way any more and nothing will be. Any thread. */
bool vg_catalog_live_idle(const struct vg_catalog_live *live);
/* NULL is fine. */
struct vg_catalog_live *vg_catalog_live_free(struct vg_catalog_live *live);

#endif
