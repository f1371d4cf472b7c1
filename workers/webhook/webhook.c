/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/webhook/webhook.h"

#include <string.h>
#include <videogate/v1/webhook.pb-c.h>

#include "common/log.h"

#define MAX_HOST 128

void vg_webhook_host(char *out, size_t size, const char *url)
{
    const char *from = strstr(url, "://");
    from = from ? from + 3 : "";
    size_t len = strcspn(from, "/?#\\");
    for (size_t i = 0; i < len; i++) {
        if (from[i] == '@') {
            from += i + 1;
            len -= i + 1;
            i = (size_t)-1;
        }
    }
    len = len < size - 1 ? len : size - 1;
    memcpy(out, from, len);
    out[len] = '\0';
}

/* In the call's arena. */
struct deliver_op {
    struct vg_delivery delivery;
    struct vg_rpc_call *call;
    struct vg_task hung_up; /* its caller is gone, or has given it up: another may send it soon */
    bool watched, heard;    /* hung_up may come; has come */
    bool over;              /* the attempt is, and hung_up, which is on its way, ends the call */
    char host[MAX_HOST];
};

static const Videogate__V1__DeliverOutcome outcomes[VG_DELIVERY_OUTCOME_MAX] = {
    [VG_DELIVERY_DELIVERED] = VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_DELIVERED,
    [VG_DELIVERY_RETRY] = VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_RETRY,
    [VG_DELIVERY_GONE] = VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_GONE,
    [VG_DELIVERY_REFUSED] = VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_REFUSED,
};

static void log_attempt(const struct deliver_op *op)
{
    const struct vg_delivery *delivery = &op->delivery;

    if (delivery->origin != VG_DELIVERY_MADE)
        vg_log(VG_LOG_INFO, "webhook attempt not made again", VG_S("id", delivery->id),
               VG_S("host", op->host), VG_I("status", delivery->http_status),
               VG_S("why", delivery->origin == VG_DELIVERY_JOINED ? "under_way" : "answered"));
    else
        vg_log(delivery->outcome == VG_DELIVERY_DELIVERED ? VG_LOG_DEBUG : VG_LOG_INFO,
               "webhook attempt", VG_S("id", delivery->id), VG_S("host", op->host),
               VG_I("status", delivery->http_status), VG_S("reason", delivery->reason),
               VG_I("ms", delivery->duration_ms));
}

static void answer(const struct deliver_op *op)
{
    const struct vg_delivery *delivery = &op->delivery;
    Videogate__V1__DeliverResponse response = VIDEOGATE__V1__DELIVER_RESPONSE__INIT;
    if (!delivery->ok) {
        vg_log(VG_LOG_WARN, "webhook not sent", VG_S("id", delivery->id), VG_S("host", op->host),
               VG_S("reason", vg_err_info(delivery->err.kind)->reason));
        vg_rpc_call_fail(op->call, &delivery->err);
        return;
    }
    response.outcome = outcomes[delivery->outcome];
    response.http_status = delivery->http_status;
    response.retry_after_ms = delivery->retry_after_ms;
    response.reason = (char *)delivery->reason; /* protobuf-c only reads it */
    response.duration_ms = delivery->duration_ms;
    response.answer = (char *)delivery->answer;
    log_attempt(op);
    vg_rpc_call_reply(op->call, &response.base);
}

static void delivered(struct vg_delivery *delivery)
{
    struct deliver_op *op = VG_CONTAINER(delivery, struct deliver_op, delivery);

    op->over = op->watched && !op->heard && !vg_rpc_call_clear_cancel(op->call);
    if (!op->over)
        answer(op);
}

static void hung_up(struct vg_task *task)
{
    struct deliver_op *op = VG_CONTAINER(task, struct deliver_op, hung_up);

    op->heard = true;
    if (op->over)
        answer(op);
    else
        vg_sender_cancel(&op->delivery);
}

static void begun(struct vg_delivery *delivery)
{
    struct deliver_op *op = VG_CONTAINER(delivery, struct deliver_op, delivery);

    op->watched = true;
    vg_rpc_call_on_cancel(op->call, vg_sender_executor(delivery->sender), &op->hung_up);
}

static void on_deliver(void *ctx, struct vg_rpc_call *call)
{
    const Videogate__V1__DeliverRequest *request = (const void *)vg_rpc_call_request(call);
    struct deliver_op *op = vg_arena_alloc(vg_rpc_call_arena(call), sizeof(*op));
    op->call = call;
    vg_webhook_host(op->host, sizeof(op->host), request->url);
    op->delivery.id = request->id;
    op->delivery.url = request->url;
    op->delivery.secret = request->secret;
    op->delivery.old_secrets = (const char *const *)request->old_secrets;
    op->delivery.old_count = request->n_old_secrets;
    op->delivery.body = (struct vg_view){(const char *)request->body.data, request->body.len};
    op->delivery.timeout_ms = request->timeout_ms;
    op->delivery.attempt = request->attempt;
    op->delivery.round = request->round;
    op->delivery.done = delivered;
    op->delivery.begun = begun;
    op->hung_up.run = hung_up;
    vg_sender_deliver(ctx, &op->delivery);
}

struct vg_rpc_service vg_webhook_service(struct vg_sender *sender)
{
    static const struct vg_rpc_method methods[] = {{"Deliver", on_deliver, false}};
    return (struct vg_rpc_service){
        .descriptor = &videogate__v1__webhook_sender_service__descriptor,
        .methods = methods,
        .method_count = VG_COUNT(methods),
        .ctx = sender,
    };
}
