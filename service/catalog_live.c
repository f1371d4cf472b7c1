/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum { LIVE_RELOADS, LIVE_LOADED };
enum { RELOAD_OK, RELOAD_FAILED };
static const char *const results[] = {"ok", "failed", NULL};
static const struct vg_metric_desc metric_table[] = {
    [LIVE_RELOADS] = {"videogate_catalog_reloads_total", VG_METRIC_COUNTER,
                      "Readings of a changed catalog file; a failed one changes nothing.", "result",
                      results},
    [LIVE_LOADED] = {"videogate_catalog_loaded_timestamp_seconds", VG_METRIC_GAUGE,
                     "When the catalog in use was read, in Unix seconds.", NULL, NULL},
};

/* What tells one file from another; zeros: there is none. */
struct mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct vg_catalog_live {
    struct vg_catalog_live_options options;
    struct vg_metric_set *metrics; /* borrowed */
    pthread_mutex_t lock;          /* guards `current` */
    struct vg_catalog *current;    /* owned: one reference */
    struct mark mark;              /* of the file last read, good or bad */
    struct vg_timer timer;
    struct vg_task start, close; /* two: the loop may not have come to the first */
    struct vg_task demand;
    struct vg_task disk;
    atomic_bool demanded; /* `demand` is posted */
    bool forced;          /* read it even when it looks the same */
    bool running, closed;
    atomic_bool idle;
};

static struct mark look(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return (struct mark){.size = 0};
    return (struct mark){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool same(const struct mark *a, const struct mark *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

struct vg_catalog *vg_catalog_live_take(struct vg_catalog_live *live)
{
    (void)pthread_mutex_lock(&live->lock);
    struct vg_catalog *catalog = vg_catalog_ref(live->current);
    (void)pthread_mutex_unlock(&live->lock);
    return catalog;
}

static void replace(struct vg_catalog_live *live, struct vg_catalog *fresh)
{
    (void)pthread_mutex_lock(&live->lock);
    struct vg_catalog *old = live->current;
    live->current = fresh;
    (void)pthread_mutex_unlock(&live->lock);
    (void)vg_catalog_unref(old);
    vg_metric_store(live->metrics, LIVE_LOADED, 0, vg_wall_ms() / 1000);
}

/* --- reading --- */

static void arm(struct vg_catalog_live *live)
{
    if (live->options.interval_ms > 0)
        vg_timer_start(&live->timer, vg_deadline_in_ms(live->options.interval_ms));
}

static void look_again(struct vg_catalog_live *live);

static void looked(struct vg_task *task)
{
    struct vg_catalog_live *live = VG_CONTAINER(task, struct vg_catalog_live, disk);

    live->running = false;
    if (live->closed)
        atomic_store(&live->idle, true);
    else if (live->forced)
        look_again(live);
    else
        arm(live);
}

static void read_file(struct vg_catalog_live *live)
{
    struct vg_catalog *fresh = NULL;
    struct vg_err err;
    size_t models = 0;

    if (vg_catalog_load(&fresh, live->options.path, &err) < 0) {
        vg_metric_add(live->metrics, LIVE_RELOADS, RELOAD_FAILED, 1);
        vg_log(VG_LOG_ERROR, "catalog not reloaded, the one before stays",
               VG_S("why", vg_err_text(&err)));
        return;
    }
    (void)vg_catalog_models(fresh, &models);
    replace(live, fresh);
    vg_metric_add(live->metrics, LIVE_RELOADS, RELOAD_OK, 1);
    vg_log(VG_LOG_INFO, "catalog reloaded", VG_S("file", live->options.path),
           VG_I("models", models));
}

/* The mark is taken before the file is read: what is written meanwhile is seen the next time. */
static void run_changed(struct vg_task *task)
{
    struct vg_catalog_live *live = VG_CONTAINER(task, struct vg_catalog_live, disk);
    struct mark now = look(live->options.path);

    if (!same(&now, &live->mark)) {
        live->mark = now;
        read_file(live);
    }
    task->run = looked;
    vg_post(vg_loop_executor(live->options.loop), task);
}

static void run_forced(struct vg_task *task)
{
    struct vg_catalog_live *live = VG_CONTAINER(task, struct vg_catalog_live, disk);

    live->mark = look(live->options.path);
    read_file(live);
    task->run = looked;
    vg_post(vg_loop_executor(live->options.loop), task);
}

static void look_again(struct vg_catalog_live *live)
{
    live->running = true;
    live->disk.run = live->forced ? run_forced : run_changed;
    live->forced = false;
    vg_post(live->options.pool, &live->disk);
}

static void time_to_look(struct vg_timer *timer)
{
    look_again(VG_CONTAINER(timer, struct vg_catalog_live, timer));
}

/* --- life --- */

struct vg_catalog_live *vg_catalog_live_new(const struct vg_catalog_live_options *options)
{
    struct vg_catalog_live *live = vg_xalloc(sizeof(*live));

    live->options = *options;
    live->metrics = vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    live->mark = look(options->path);
    VG_ASSERT(pthread_mutex_init(&live->lock, NULL) == 0);
    vg_timer_init(&live->timer, options->loop, time_to_look);
    atomic_init(&live->idle, true);
    atomic_init(&live->demanded, false);
    replace(live, vg_catalog_ref(options->first));
    return live;
}

static void run_start(struct vg_task *task)
{
    arm(VG_CONTAINER(task, struct vg_catalog_live, start));
}

void vg_catalog_live_start(struct vg_catalog_live *live)
{
    atomic_store(&live->idle, false);
    live->start.run = run_start;
    vg_post(vg_loop_executor(live->options.loop), &live->start);
}

static void run_demand(struct vg_task *task)
{
    struct vg_catalog_live *live = VG_CONTAINER(task, struct vg_catalog_live, demand);

    atomic_store(&live->demanded, false);
    if (live->closed)
        return;
    live->forced = true;
    vg_timer_stop(&live->timer);
    if (!live->running)
        look_again(live);
}

void vg_catalog_live_reload(struct vg_catalog_live *live)
{
    if (atomic_exchange(&live->demanded, true))
        return;
    live->demand.run = run_demand;
    vg_post(vg_loop_executor(live->options.loop), &live->demand);
}

static void run_close(struct vg_task *task)
{
    struct vg_catalog_live *live = VG_CONTAINER(task, struct vg_catalog_live, close);

    live->closed = true;
    vg_timer_stop(&live->timer);
    if (!live->running)
        atomic_store(&live->idle, true);
}

void vg_catalog_live_close(struct vg_catalog_live *live)
{
    live->close.run = run_close;
    vg_post(vg_loop_executor(live->options.loop), &live->close);
}

bool vg_catalog_live_idle(const struct vg_catalog_live *live)
{
    return atomic_load(&live->idle);
}

struct vg_catalog_live *vg_catalog_live_free(struct vg_catalog_live *live)
{
    if (live) {
        VG_ASSERT(vg_catalog_live_idle(live));
        (void)vg_catalog_unref(live->current);
        (void)pthread_mutex_destroy(&live->lock);
        free(live);
    }
    return NULL;
}
