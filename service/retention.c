/* SPDX-License-Identifier: Apache-2.0 */
#include "service/retention.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "db/retention_store.h"
#include "service/service_priv.h"

#define OP_MS 10000

#define ENUM(name, text) name,
#define NAME(name, text) [name] = (text),
enum table { VG_RETENTION_TABLES(ENUM) TABLE_MAX };
static const char *const names[TABLE_MAX] = {VG_RETENTION_TABLES(NAME)};
static const enum vg_retention kinds[TABLE_MAX] = {
    [DELIVERIES] = VG_RETENTION_DELIVERIES, [ATTEMPTS] = VG_RETENTION_ATTEMPTS,
    [SKIPS] = VG_RETENTION_SKIPS,           [RECEIVERS] = VG_RETENTION_RECEIVERS,
    [VIDEOS] = VG_RETENTION_VIDEOS,
};

struct vg_retainer {
    struct vg_service *service; /* borrowed */
    struct vg_retention_options options;
    int64_t ages[TABLE_MAX];
    struct vg_arena *arena; /* borrowed for a turn */
    struct vg_task *ended;  /* borrowed for a turn */
    struct vg_idempotency_sweep sweep;
    struct vg_retention_slice slice;
    unsigned table; /* whose turn it is */
    int32_t batch;  /* of that table */
    int64_t removed;
    bool hurry;
};

static void next_batch(struct vg_retainer *r);

static void next_table(struct vg_retainer *r)
{
    if (r->removed > 0) {
        vg_metric_add(r->service->metrics, VG_SM_RETIRED, r->table, r->removed);
        vg_log(VG_LOG_INFO, "old rows removed", VG_S("table", names[r->table]),
               VG_I("rows", r->removed), VG_I("batches", r->batch));
    }
    r->table++;
    r->batch = 0;
    r->removed = 0;
    r->slice.cursor[0] = '\0';
    next_batch(r);
}

/* What a batch came to: another one, or the next table. */
static void judge(struct vg_retainer *r, bool ok, int64_t removed, bool over)
{
    r->batch++;
    r->removed += removed;
    if (!ok || over || r->batch >= r->options.batches)
        next_table(r);
    else
        next_batch(r);
}

static void swept(struct vg_task *task)
{
    struct vg_retainer *r = VG_CONTAINER(task, struct vg_retainer, sweep.op.done);

    judge(r, r->sweep.op.ok, r->sweep.op.ok ? r->sweep.removed : 0, !r->sweep.more);
}

static void sliced(struct vg_task *task)
{
    struct vg_retainer *r = VG_CONTAINER(task, struct vg_retainer, slice.op.done);

    judge(r, r->slice.op.ok, r->slice.op.ok ? r->slice.removed : 0, r->slice.ended);
}

static void prepare(struct vg_retainer *r, struct vg_db_op *op, void (*done)(struct vg_task *))
{
    *op = (struct vg_db_op){.executor = vg_loop_executor(r->service->loop),
                            .done.run = done,
                            .deadline_ns = vg_deadline_in_ms(OP_MS),
                            .arena = r->arena};
}

static void next_batch(struct vg_retainer *r)
{
    while (r->table < TABLE_MAX && r->ages[r->table] <= 0)
        r->table++;
    if (r->table == TABLE_MAX || r->hurry) {
        vg_post(vg_loop_executor(r->service->loop), r->ended);
        return;
    }
    if (r->table == IDEMPOTENCY) {
        r->sweep = (struct vg_idempotency_sweep){.max_age_s = r->ages[IDEMPOTENCY],
                                                 .limit = r->options.batch};
        prepare(r, &r->sweep.op, swept);
        vg_idempotency_sweep(r->service->db, &r->sweep);
        return;
    }
    r->slice.what = kinds[r->table];
    r->slice.max_age_s = r->ages[r->table];
    r->slice.limit = r->options.batch;
    prepare(r, &r->slice.op, sliced);
    vg_retention_slice(r->service->db, &r->slice);
}

void vg_retainer_turn(struct vg_retainer *retainer, struct vg_arena *arena, struct vg_task *ended)
{
    retainer->arena = arena;
    retainer->ended = ended;
    retainer->table = 0;
    retainer->batch = 0;
    retainer->removed = 0;
    retainer->slice.cursor[0] = '\0';
    next_batch(retainer);
}

void vg_retainer_hurry(struct vg_retainer *retainer)
{
    retainer->hurry = true;
}

struct vg_retainer *vg_retainer_new(struct vg_service *service,
                                    const struct vg_retention_options *options)
{
    struct vg_retainer *r = vg_xalloc(sizeof(*r));

    r->service = service;
    r->options = *options;
    if (r->options.batch <= 0)
        r->options.batch = 1000;
    if (r->options.batches <= 0)
        r->options.batches = 50;
    r->ages[IDEMPOTENCY] = options->idempotency_s > 0 ? options->idempotency_s : INT64_C(48) * 3600;
    r->ages[DELIVERIES] = options->deliveries_s;
    r->ages[ATTEMPTS] = options->traces_s;
    r->ages[SKIPS] = options->traces_s;
    r->ages[RECEIVERS] = options->deliveries_s;
    r->ages[VIDEOS] = options->videos_s;
    return r;
}

struct vg_retainer *vg_retainer_free(struct vg_retainer *retainer)
{
    free(retainer);
    return NULL;
}
