/* SPDX-License-Identifier: Apache-2.0 */
/* ReadEvent at an upstream. Without a JWKS it is judged where it comes in; else on the loop, once
 * more when the keys have been fetched for it. */
#include <stdlib.h>

#include "common/clock.h"
#include "workers/upstream/jwks.h"
#include "workers/upstream/upstream_priv.h"

struct event_call {
    struct vg_task task;
    struct vg_jwks_waiter waiter;
    struct vg_upstream *upstream;                   /* borrowed */
    const Videogate__V1__ReadEventRequest *request; /* the op's */
    struct vg_op *op;
    bool fetched; /* nothing newer is to be had */
};

/* Whether that was for want of a key. */
static bool read_event(const struct vg_upstream *self,
                       const Videogate__V1__ReadEventRequest *request, struct vg_op *op,
                       Videogate__V1__ReadEventResponse *response)
{
    const struct vg_event_trust trust = {
        .secrets = self->adapter_config->event_secret,
        .has_jwks = self->jwks != NULL,
        .keys = self->jwks ? vg_jwks_keys(self->jwks) : NULL,
        .audiences = self->adapter_config->audience,
        .now_s = vg_wall_ms() / 1000,
    };
    bool no_key = false;

    videogate__v1__read_event_response__init(response);
    vg_event_read(self->adapter->events, &trust, request, op->arena, response, &no_key);
    return no_key;
}

static bool refresh(struct event_call *call)
{
    bool may = !call->fetched && !call->upstream->stopping;

    call->fetched = true;
    return may && vg_jwks_refresh(call->upstream->jwks, vg_now_ns(), &call->waiter);
}

static void judge(struct event_call *call)
{
    Videogate__V1__ReadEventResponse response;

    if (vg_jwks_is_stale(call->upstream->jwks, vg_now_ns()) && refresh(call))
        return;
    if (read_event(call->upstream, call->request, call->op, &response) && refresh(call))
        return;
    vg_op_reply(call->op, &response.base);
    free(call);
}

static void begin(struct vg_task *task)
{
    judge(VG_CONTAINER(task, struct event_call, task));
}

static void fetched(struct vg_jwks_waiter *waiter)
{
    judge(VG_CONTAINER(waiter, struct event_call, waiter));
}

void vg_upstream_read_event(void *ctx, const Videogate__V1__ReadEventRequest *request,
                            struct vg_op *op)
{
    struct vg_upstream *self = ctx;
    Videogate__V1__ReadEventResponse response;

    if (!self->jwks) {
        (void)read_event(self, request, op, &response);
        vg_op_reply(op, &response.base);
        return;
    }
    struct event_call *call = vg_xalloc(sizeof(*call));
    *call = (struct event_call){
        .upstream = self, .request = request, .op = op, .task.run = begin, .waiter.done = fetched};
    vg_post(vg_loop_executor(self->loop), &call->task);
}
