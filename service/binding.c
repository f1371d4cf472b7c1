/* SPDX-License-Identifier: Apache-2.0 */
#include "service/binding.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/meta_store.h"
#include "service/blob.h"

#define SOON_MS 500 /* until they are known to belong together */
#define LATER_MS 10000
#define OP_MS 10000

/* Any may follow any, but nothing goes back to UNKNOWN. */
enum verdict { UNKNOWN, OURS, FOREIGN, UNREADABLE, VERDICT_MAX };

static const char *const reasons[VERDICT_MAX] = {
    [UNKNOWN] = "blob-dir is not yet compared with the database",
    [FOREIGN] = "blob-dir belongs to another database",
    [UNREADABLE] = "blob-dir: its identity can be neither read nor written",
};

struct vg_binding {
    struct vg_binding_options options;
    struct vg_timer timer;
    struct vg_task start, close; /* two: the loop may not have come to the first */
    struct vg_task disk;
    struct vg_arena *arena; /* owned; one comparison's */
    struct vg_meta_identity identity;
    enum verdict found; /* by the pool */
    struct vg_err err;
    bool was_bound;
    bool running;
    atomic_bool closed; /* changes on the loop alone */
    atomic_bool idle;
    atomic_int verdict;
};

static void settle(struct vg_binding *b)
{
    bool ours = atomic_load(&b->verdict) == OURS;

    b->arena = vg_arena_free(b->arena);
    b->running = false;
    if (atomic_load(&b->closed))
        atomic_store(&b->idle, true);
    else
        vg_timer_start(&b->timer, vg_deadline_in_ms(ours ? LATER_MS : SOON_MS));
}

/* Each change of verdict is told once. */
static void tell(const struct vg_binding *b)
{
    if (b->found == OURS)
        vg_log(VG_LOG_INFO, "blob-dir belongs to this database");
    else
        vg_log(VG_LOG_ERROR, reasons[b->found],
               VG_S("why", b->found == UNREADABLE ? vg_err_text(&b->err) : "identities differ"),
               VG_S("next", "nothing is served or removed"));
}

static void compared(struct vg_task *task)
{
    struct vg_binding *b = VG_CONTAINER(task, struct vg_binding, disk);

    if (atomic_exchange(&b->verdict, (int)b->found) != (int)b->found)
        tell(b);
    if (b->found == OURS && !b->was_bound && !atomic_load(&b->closed)) {
        b->was_bound = true;
        b->options.bound(b->options.ctx);
    }
    settle(b);
}

static void compare(struct vg_task *task)
{
    struct vg_binding *b = VG_CONTAINER(task, struct vg_binding, disk);
    bool ours = false;

    if (vg_blob_bind(b->options.blobs, b->identity.identity, &ours, &b->err) < 0)
        b->found = UNREADABLE;
    else
        b->found = ours ? OURS : FOREIGN;
    vg_blob_look(b->options.blobs);
    b->disk.run = compared;
    vg_post(vg_loop_executor(b->options.loop), &b->disk);
}

/* While PostgreSQL is away the last verdict stands. */
static void identity_known(struct vg_task *task)
{
    struct vg_binding *b = VG_CONTAINER(task, struct vg_binding, identity.op.done);

    if (!b->identity.op.ok || atomic_load(&b->closed)) {
        settle(b);
        return;
    }
    b->disk.run = compare;
    vg_post(b->options.pool, &b->disk);
}

static void ask(struct vg_timer *timer)
{
    struct vg_binding *b = VG_CONTAINER(timer, struct vg_binding, timer);

    b->running = true;
    b->arena = vg_arena_new();
    b->identity = (struct vg_meta_identity){.op = {.executor = vg_loop_executor(b->options.loop),
                                                   .done.run = identity_known,
                                                   .deadline_ns = vg_deadline_in_ms(OP_MS),
                                                   .arena = b->arena}};
    vg_meta_identity(b->options.db, &b->identity);
}

struct vg_binding *vg_binding_new(const struct vg_binding_options *options)
{
    struct vg_binding *b = vg_xalloc(sizeof(*b));

    b->options = *options;
    vg_timer_init(&b->timer, options->loop, ask);
    atomic_init(&b->closed, false);
    atomic_init(&b->idle, true);
    atomic_init(&b->verdict, UNKNOWN);
    return b;
}

static void run_start(struct vg_task *task)
{
    struct vg_binding *b = VG_CONTAINER(task, struct vg_binding, start);

    ask(&b->timer);
}

void vg_binding_start(struct vg_binding *binding)
{
    atomic_store(&binding->idle, false);
    binding->start.run = run_start;
    vg_post(vg_loop_executor(binding->options.loop), &binding->start);
}

bool vg_binding_holds(const struct vg_binding *binding, char *why, size_t why_size)
{
    int verdict = atomic_load(&binding->verdict);

    if (verdict != OURS)
        (void)vg_strcpy(why, why_size, reasons[verdict]);
    return verdict == OURS;
}

static void run_close(struct vg_task *task)
{
    struct vg_binding *b = VG_CONTAINER(task, struct vg_binding, close);

    atomic_store(&b->closed, true);
    vg_timer_stop(&b->timer);
    if (!b->running)
        atomic_store(&b->idle, true);
}

void vg_binding_close(struct vg_binding *binding)
{
    binding->close.run = run_close;
    vg_post(vg_loop_executor(binding->options.loop), &binding->close);
}

bool vg_binding_closed(const struct vg_binding *binding)
{
    return atomic_load(&binding->closed);
}

bool vg_binding_idle(const struct vg_binding *binding)
{
    return atomic_load(&binding->idle);
}

struct vg_binding *vg_binding_free(struct vg_binding *binding)
{
    if (binding) {
        VG_ASSERT(vg_binding_idle(binding));
        free(binding);
    }
    return NULL;
}
