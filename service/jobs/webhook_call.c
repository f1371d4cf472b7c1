/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/webhook_call.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "db/webhook_store.h"
#include "videogate/v1/webhook.pb-c.h"

enum { MAX_SECRETS = VG_WEBHOOK_MAX_OLD_SECRETS + 1, MAX_SECRET = 1024, RPC_SLACK_MS = 5000 };

/* The texts stand behind one another in one buffer, so that one wipe takes them all. */
struct secrets {
    struct vg_buf text;
    size_t at[MAX_SECRETS];
    size_t count;
};

static int open_one(struct secrets *s, const struct vg_webhook_call *call, struct vg_view sealed)
{
    struct vg_buf one;

    vg_buf_init(&one, MAX_SECRET);
    size_t at = s->text.len;
    int rc = vg_keyring_open(call->keyring, &one, vg_view_of(call->aad), sealed);
    if (rc == 0 && one.len > 0)
        rc = vg_buf_add(&s->text, one.data, one.len) || vg_buf_addc(&s->text, '\0') ? -1 : 0;
    if (one.data)
        explicit_bzero(one.data, one.len);
    vg_buf_fini(&one);
    if (rc == 0)
        s->at[s->count++] = at;
    return rc;
}

static int open_all(struct secrets *s, const struct vg_webhook_call *call)
{
    VG_ASSERT(call->sealed_count <= MAX_SECRETS);
    for (size_t i = 0; i < call->sealed_count; i++) {
        if (open_one(s, call, call->sealed[i]) != 0 && i == 0)
            return -1;
    }
    return s->count > 0 ? 0 : -1;
}

static void start(struct vg_rpc_channel *channel, const struct vg_webhook_call *call,
                  const struct secrets *s, struct vg_rpc_unary *unary)
{
    Videogate__V1__DeliverRequest request = VIDEOGATE__V1__DELIVER_REQUEST__INIT;
    char *old[MAX_SECRETS];

    for (size_t i = 1; i < s->count; i++)
        old[i - 1] = s->text.data + s->at[i];
    request.id = (char *)call->id;
    request.url = (char *)call->url;
    request.secret = s->text.data;
    request.old_secrets = old;
    request.n_old_secrets = s->count - 1;
    request.body.data = (uint8_t *)call->body.data;
    request.body.len = call->body.len;
    request.timeout_ms = call->timeout_ms;
    request.attempt = call->attempt;
    request.round = call->round;
    unary->request = &request.base;
    vg_rpc_unary_start(channel, unary); /* the request is read before this returns */
}

int vg_webhook_call_start(struct vg_rpc_channel *channel, const struct vg_webhook_call *call,
                          void (*done)(struct vg_task *task), struct vg_rpc_unary *unary)
{
    struct secrets s = {.count = 0};

    /* Room for all from the start: a buffer that grew would leave copies behind. */
    const size_t most = (size_t)MAX_SECRETS * (MAX_SECRET + 1);
    vg_buf_init(&s.text, most);
    char *room = vg_buf_reserve(&s.text, most);
    int rc = room ? open_all(&s, call) : -1;
    if (rc == 0) {
        *unary = (struct vg_rpc_unary){
            .service_method = "/videogate.v1.WebhookSenderService/Deliver",
            .response_type = &videogate__v1__deliver_response__descriptor,
            .deadline_ns = vg_deadline_in_ms(call->timeout_ms + RPC_SLACK_MS),
            .alone = true,
            .executor = call->executor,
            .done = {.run = done},
        };
        start(channel, call, &s, unary);
    }
    if (room)
        explicit_bzero(s.text.data, s.text.len);
    vg_buf_fini(&s.text);
    return rc;
}
