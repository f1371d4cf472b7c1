/* SPDX-License-Identifier: Apache-2.0 */
#include "service/janitor.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "service/binding.h"
#include "service/service_priv.h"

#define PURGE_BATCH 64
#define ORPHAN_BATCH 512
#define OP_MS 10000

/* A file and the video it was written for. */
struct suspect {
    char key[VG_BLOB_KEY_SIZE];
    char video_id[VG_ID_SIZE];
};

/* One round is a chain of steps, each of which starts the next when it ends; there is none unless
 * the files are known to be this database's:
 *
 *   purge rows -> their files (pool) -> note it -> [again while full]
 *     -> look for suspects (pool) -> ask for their videos -> remove those without (pool)
 *     -> old rows (retention.h) -> wait
 */
struct vg_janitor {
    struct vg_janitor_options options;
    struct vg_timer timer;
    struct vg_task start, close; /* two: the loop may not have come to the first */
    struct vg_task disk;
    struct vg_arena *arena; /* owned; one round's */
    struct vg_video_purge purge;
    struct vg_video_purged purged;
    struct vg_video_versions versions;
    struct vg_retainer *retainer; /* owned */
    struct vg_task retained;
    struct suspect *suspects; /* in the arena */
    size_t suspect_count;
    unsigned round;
    bool running;
    bool closed;
    atomic_bool idle;
};

static void start_purge(struct vg_janitor *j);
static void finish_round(struct vg_janitor *j);

static void prepare(struct vg_janitor *j, struct vg_db_op *op, void (*done)(struct vg_task *))
{
    op->executor = vg_loop_executor(j->options.service->loop);
    op->done.run = done;
    op->deadline_ns = vg_deadline_in_ms(OP_MS);
    op->arena = j->arena;
}

static void on_pool(struct vg_janitor *j, void (*run)(struct vg_task *))
{
    j->disk.run = run;
    vg_post(j->options.service->pool, &j->disk);
}

static void on_loop(struct vg_janitor *j, void (*run)(struct vg_task *))
{
    j->disk.run = run;
    vg_post(vg_loop_executor(j->options.service->loop), &j->disk);
}

/* --- old rows --- */

static void retained(struct vg_task *task)
{
    finish_round(VG_CONTAINER(task, struct vg_janitor, retained));
}

static void start_retention(struct vg_janitor *j)
{
    if (j->closed) {
        finish_round(j);
        return;
    }
    j->retained.run = retained;
    vg_retainer_turn(j->retainer, j->arena, &j->retained);
}

/* --- files that no video knows --- */

static void orphans_removed(struct vg_task *task)
{
    start_retention(VG_CONTAINER(task, struct vg_janitor, disk));
}

static void remove_orphans(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, disk);
    struct vg_blob_store *blobs = j->options.service->blobs;
    struct vg_err err;
    int64_t removed = 0;

    for (size_t i = 0; i < j->suspect_count; i++) {
        const char *key = j->suspects[i].key;
        bool known = j->versions.versions[i] != 0 && !vg_variant_stray(blobs, key);
        if (!known && vg_blob_remove(blobs, key, &err) == 0)
            removed++;
    }
    if (removed > 0) {
        vg_metric_add(j->options.service->metrics, VG_SM_PURGED, 0, removed);
        vg_log(VG_LOG_INFO, "files without a video removed", VG_I("count", removed));
    }
    on_loop(j, orphans_removed);
}

static void versions_known(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, versions.op.done);

    if (!j->versions.op.ok || j->closed)
        start_retention(j);
    else
        on_pool(j, remove_orphans);
}

static void ask_versions(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, disk);

    if (j->suspect_count == 0 || j->closed) {
        start_retention(j);
        return;
    }
    const char **ids = vg_arena_alloc(j->arena, j->suspect_count * sizeof(*ids));
    for (size_t i = 0; i < j->suspect_count; i++)
        ids[i] = j->suspects[i].video_id;
    j->versions = (struct vg_video_versions){.ids = ids, .count = j->suspect_count};
    prepare(j, &j->versions.op, versions_known);
    vg_video_versions(j->options.service->db, &j->versions);
}

static bool note_suspect(void *ctx, const char *key, const char *video_id)
{
    struct vg_janitor *j = ctx;
    struct suspect *s = &j->suspects[j->suspect_count++];

    (void)vg_strcpy(s->key, sizeof(s->key), key);
    (void)vg_strcpy(s->video_id, sizeof(s->video_id), video_id);
    return j->suspect_count < ORPHAN_BATCH;
}

/* A slice a round: the whole store within about an hour. */
static void look_for_suspects(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, disk);

    (void)vg_blob_sweep(j->options.service->blobs);
    vg_blob_each(j->options.service->blobs, j->round % VG_BLOB_SLICES, j->options.orphan_age_s,
                 note_suspect, j);
    on_loop(j, ask_versions);
}

static void start_orphans(struct vg_janitor *j)
{
    if (j->closed) {
        finish_round(j);
        return;
    }
    j->suspects = vg_arena_alloc(j->arena, ORPHAN_BATCH * sizeof(*j->suspects));
    j->suspect_count = 0;
    on_pool(j, look_for_suspects);
}

/* --- files of deleted and expired videos --- */

static void purge_noted(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, purged.op.done);

    if (j->purged.op.ok && !j->closed && j->purge.count == PURGE_BATCH)
        start_purge(j);
    else
        start_orphans(j);
}

static void note_purged(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, disk);

    if (j->purged.count == 0) {
        start_orphans(j);
        return;
    }
    prepare(j, &j->purged.op, purge_noted);
    vg_video_purged(j->options.service->db, &j->purged);
}

/* Removes what it can; false when something stayed. */
static bool remove_video(struct vg_janitor *j, const struct vg_purge *p, int64_t *removed)
{
    struct vg_err err;
    bool all = true;

    for (size_t b = 0; b < p->blob_count; b++) {
        bool gone = vg_variant_remove(j->options.service->blobs, p->blobs[b], &err) == 0;
        *removed += gone;
        all = all && gone;
    }
    if (!all)
        vg_log(VG_LOG_WARN, "file not removed, next try in some minutes",
               VG_S("video", p->video_id));
    return all;
}

/* Only videos all of whose files are gone are named; the others come again. */
static void remove_files(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, disk);
    const char **ids = vg_arena_alloc(j->arena, (j->purge.count + 1) * sizeof(*ids));
    int64_t removed = 0;

    j->purged = (struct vg_video_purged){.ids = ids};
    for (size_t i = 0; i < j->purge.count; i++)
        if (remove_video(j, &j->purge.purges[i], &removed))
            ids[j->purged.count++] = j->purge.purges[i].video_id;
    vg_metric_add(j->options.service->metrics, VG_SM_PURGED, 0, removed);
    if (removed > 0)
        vg_log(VG_LOG_INFO, "files of old videos removed", VG_I("videos", j->purged.count),
               VG_I("files", removed));
    on_loop(j, note_purged);
}

static void purge_known(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, purge.op.done);

    if (!j->purge.op.ok || j->closed) /* PostgreSQL is away: the next round asks again */
        finish_round(j);
    else if (j->purge.count == 0)
        start_orphans(j);
    else
        on_pool(j, remove_files);
}

static void start_purge(struct vg_janitor *j)
{
    j->purge = (struct vg_video_purge){.limit = PURGE_BATCH};
    prepare(j, &j->purge.op, purge_known);
    vg_video_purge(j->options.service->db, &j->purge);
}

/* --- rounds --- */

static void arm(struct vg_janitor *j)
{
    vg_timer_start(&j->timer,
                   vg_loop_now(j->options.service->loop) + j->options.interval_ms * VG_NS_PER_MS);
}

static void finish_round(struct vg_janitor *j)
{
    j->arena = vg_arena_free(j->arena);
    j->running = false;
    if (j->closed)
        atomic_store(&j->idle, true);
    else
        arm(j);
}

static void run_round(struct vg_timer *timer)
{
    struct vg_janitor *j = VG_CONTAINER(timer, struct vg_janitor, timer);

    char why[96];

    if (!vg_binding_holds(j->options.service->binding, why, sizeof(why))) {
        arm(j);
        return;
    }
    j->running = true;
    j->round++;
    j->arena = vg_arena_new();
    start_purge(j);
}

struct vg_janitor *vg_janitor_new(const struct vg_janitor_options *options)
{
    struct vg_janitor *j = vg_xalloc(sizeof(*j));

    j->options = *options;
    if (j->options.interval_ms <= 0)
        j->options.interval_ms = 15000;
    if (j->options.orphan_age_s <= 0)
        j->options.orphan_age_s = INT64_C(24) * 3600;
    j->retainer = vg_retainer_new(options->service, &options->retention);
    vg_timer_init(&j->timer, options->service->loop, run_round);
    atomic_init(&j->idle, true);
    return j;
}

static void run_start(struct vg_task *task)
{
    arm(VG_CONTAINER(task, struct vg_janitor, start));
}

void vg_janitor_start(struct vg_janitor *janitor)
{
    atomic_store(&janitor->idle, false);
    janitor->start.run = run_start;
    vg_post(vg_loop_executor(janitor->options.service->loop), &janitor->start);
}

static void run_close(struct vg_task *task)
{
    struct vg_janitor *j = VG_CONTAINER(task, struct vg_janitor, close);

    j->closed = true;
    vg_retainer_hurry(j->retainer);
    vg_timer_stop(&j->timer);
    if (!j->running)
        atomic_store(&j->idle, true);
}

void vg_janitor_close(struct vg_janitor *janitor)
{
    janitor->close.run = run_close;
    vg_post(vg_loop_executor(janitor->options.service->loop), &janitor->close);
}

bool vg_janitor_idle(const struct vg_janitor *janitor)
{
    return atomic_load(&janitor->idle);
}

struct vg_janitor *vg_janitor_free(struct vg_janitor *janitor)
{
    if (janitor) {
        VG_ASSERT(vg_janitor_idle(janitor));
        (void)vg_retainer_free(janitor->retainer);
        free(janitor);
    }
    return NULL;
}
