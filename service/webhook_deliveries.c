/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService: what was delivered, and sending it again. */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "db/redelivery_store.h"
#include "service/names.h"
#include "service/webhook_priv.h"

/* --- ListDeliveries --- */

struct list {
    struct vg_request request;
    struct vg_delivery_list op;
};

static void list_done(struct vg_task *task)
{
    struct list *l = VG_CONTAINER(task, struct list, op.op.done);
    struct vg_arena *arena = vg_request_arena(&l->request);
    Videogate__V1__ListDeliveriesResponse response = VIDEOGATE__V1__LIST_DELIVERIES_RESPONSE__INIT;

    if (!l->op.op.ok) {
        vg_request_fail(&l->request, &l->op.op.err);
        return;
    }
    response.n_deliveries = l->op.count;
    response.deliveries =
        vg_arena_alloc(arena, (l->op.count + 1) * sizeof(Videogate__V1__Delivery *));
    for (size_t i = 0; i < l->op.count; i++) {
        response.deliveries[i] = vg_arena_alloc(arena, sizeof(Videogate__V1__Delivery));
        vg_translate_delivery(&l->op.deliveries[i], arena, response.deliveries[i]);
    }
    response.has_more = l->op.has_more;
    vg_request_reply(&l->request, &response.base);
}

/* A video that is no more and an endpoint that is no more have no deliveries to show. */
static void list_run(struct vg_request *request)
{
    struct list *l = VG_CONTAINER(request, struct list, request);
    const Videogate__V1__ListDeliveriesRequest *in = vg_request_message(request);

    if (!in->video_id[0] && !in->endpoint_id[0]) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "video_id",
                          "video_id or endpoint_id is needed.");
        return;
    }
    if (in->video_id[0] && !vg_video_id_ok(in->video_id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "video_id", "No such video.");
        return;
    }
    if (in->endpoint_id[0] && !vg_webhook_id_taken(request, in->endpoint_id))
        return;
    if (in->after[0] && !vg_name_id_ok(in->after)) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "after",
                          "after: is not a delivery's id.");
        return;
    }
    l->op.limit = vg_webhook_page(request, in->limit);
    if (l->op.limit < 0)
        return;
    l->op.project_id = request->who.project_id;
    l->op.video_id = in->video_id[0] ? in->video_id : NULL;
    l->op.endpoint_id = in->endpoint_id[0] ? in->endpoint_id : NULL;
    l->op.after = in->after[0] ? in->after : NULL;
    vg_request_op(request, &l->op.op, list_done);
    vg_delivery_list(request->service->db, &l->op);
}

void vg_handle_delivery_list(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct list), VG_SCOPE_WEBHOOKS_READ, list_run);
}

/* --- RedeliverWebhook --- */

struct redeliver {
    struct vg_request request;
    struct vg_redelivery op;
};

static void redeliver_done(struct vg_task *task)
{
    struct redeliver *r = VG_CONTAINER(task, struct redeliver, op.op.done);
    Videogate__V1__RedeliverWebhookResponse response =
        VIDEOGATE__V1__REDELIVER_WEBHOOK_RESPONSE__INIT;
    Videogate__V1__Delivery delivery;

    if (!r->op.op.ok) {
        vg_request_fail(&r->request, &r->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "redelivery asked", VG_S("delivery", r->op.id));
    vg_jobs_poke(r->request.service->jobs);
    vg_translate_delivery(&r->op.delivery, vg_request_arena(&r->request), &delivery);
    response.delivery = &delivery;
    vg_request_reply(&r->request, &response.base);
}

static void redeliver_run(struct vg_request *request)
{
    struct redeliver *r = VG_CONTAINER(request, struct redeliver, request);
    const Videogate__V1__RedeliverWebhookRequest *in = vg_request_message(request);

    if (!vg_name_id_ok(in->id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such delivery.");
        return;
    }
    r->op.id = in->id;
    r->op.project_id = request->who.project_id;
    vg_request_op(request, &r->op.op, redeliver_done);
    vg_redelivery(request->service->db, &r->op);
}

void vg_handle_redeliver(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct redeliver), VG_SCOPE_WEBHOOKS_WRITE,
                            redeliver_run);
}

/* --- RedeliverWebhooks --- */

enum { RANGE_LIMIT = 1000 };

struct range {
    struct vg_request request;
    struct vg_redelivery_range op;
};

static void range_done(struct vg_task *task)
{
    struct range *r = VG_CONTAINER(task, struct range, op.op.done);
    Videogate__V1__RedeliverWebhooksResponse response =
        VIDEOGATE__V1__REDELIVER_WEBHOOKS_RESPONSE__INIT;

    if (!r->op.op.ok) {
        vg_request_fail(&r->request, &r->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "redeliveries asked", VG_I("count", r->op.count),
           VG_S("endpoint", r->op.endpoint_id));
    vg_jobs_poke(r->request.service->jobs);
    response.count = r->op.count;
    response.last_id = vg_pb_text(r->op.last_id);
    response.has_more = r->op.count == r->op.limit;
    vg_request_reply(&r->request, &response.base);
}

static int range_read(struct range *r, const Videogate__V1__RedeliverWebhooksRequest *in,
                      struct vg_err *err)
{
    int64_t now_s = vg_wall_ms() / 1000, until = in->until ? in->until : now_s + 1;

    if (in->since < 0 || until <= in->since || until > now_s + 1)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "since",
                            "since: must be Unix seconds before until, which is not to come");
    if (in->limit < 0 || in->limit > RANGE_LIMIT)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 1000 is allowed.");
    if (in->after[0] && !vg_name_id_ok(in->after))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "after", "after: is not a delivery's id.");
    r->op.project = in->project[0] ? in->project : "default";
    if (vg_name_project(r->op.project, err) < 0)
        return -1;
    r->op.project_id = r->request.who.project_id;
    r->op.endpoint_id = in->endpoint_id[0] ? in->endpoint_id : NULL;
    r->op.since = in->since;
    r->op.until = until;
    r->op.delivered_too = in->delivered_too;
    r->op.after = in->after[0] ? in->after : NULL;
    r->op.limit = in->limit > 0 ? in->limit : RANGE_LIMIT;
    return 0;
}

static void range_run(struct vg_request *request)
{
    struct range *r = VG_CONTAINER(request, struct range, request);
    const Videogate__V1__RedeliverWebhooksRequest *in = vg_request_message(request);
    struct vg_err err;

    if (in->endpoint_id[0] && !vg_webhook_id_taken(request, in->endpoint_id))
        return;
    if (range_read(r, in, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    vg_request_op(request, &r->op.op, range_done);
    vg_redelivery_range(request->service->db, &r->op);
}

void vg_handle_redeliver_range(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct range), VG_SCOPE_WEBHOOKS_WRITE, range_run);
}
