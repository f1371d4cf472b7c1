/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of deliveries share. */
#ifndef VG_TESTS_DB_DELIVERIES_H
#define VG_TESTS_DB_DELIVERIES_H

#include "tests/unit/db/fixture.h"

/* A video of the project that has just ended, with a callback or NULL; its deliveries stand. */
static UNUSED const char *ended(struct fixture *f, int64_t project, const char *callback)
{
    struct vg_video_create *op = new_create(f, project, 1);

    op->callback_url = callback;
    op->secret_sealed = callback ? "se\0led" : NULL;
    op->secret_size = callback ? 6 : 0;
    RUN_OK(f, vg_video_create, op);
    struct vg_generation_claim *c = claim(f, 10, 1000);

    assert_int_equal(c->count, 1);
    advance(f, &c->generations[0]);
    bool created = change(f, &c->generations[0], VG_GEN_FETCHING, VG_GEN_STORED)->delivery_created;

    assert_true(created || !callback);
    return op->id;
}

static UNUSED struct vg_delivery_claim *take_of(struct fixture *f, int limit, int per_host,
                                                int per_project)
{
    struct vg_delivery_claim *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->limit = limit;
    op->per_host = per_host;
    op->per_project = per_project;
    op->lease_ms = 60000;
    RUN_OK(f, vg_delivery_claim, op);
    return op;
}

static UNUSED struct vg_delivery_claim *take(struct fixture *f, int limit, int per_host)
{
    return take_of(f, limit, per_host, 1000);
}

static UNUSED struct vg_delivery_result *new_result(struct fixture *f, const struct vg_delivery *d,
                                                    enum vg_delivery_state state, int64_t due_ms)
{
    struct vg_delivery_result *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = d->id;
    op->lease_seq = d->lease_seq;
    op->state = state;
    op->due_ms = due_ms;
    op->http_status = state == VG_DELIVERY_DELIVERED ? 204 : 503;
    op->reason = state == VG_DELIVERY_DELIVERED ? "" : "status_503";
    op->duration_ms = 12;
    return op;
}

static UNUSED struct vg_delivery_result *result(struct fixture *f, const struct vg_delivery *d,
                                                enum vg_delivery_state state, int64_t due_ms)
{
    struct vg_delivery_result *op = new_result(f, d, state, due_ms);

    RUN_OK(f, vg_delivery_result, op);
    return op;
}

#endif
