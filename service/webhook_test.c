/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService: event types, and the test of an endpoint: one signed event of a video that does not
 * exist, sent now. */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/webhook_event.h"
#include "service/webhook_priv.h"

#define ATTEMPT_MS 10000
#define MAX_BODY 65536

/* --- ListWebhookEventTypes --- */

static void types_run(struct vg_request *request)
{
    Videogate__V1__ListWebhookEventTypesResponse response =
        VIDEOGATE__V1__LIST_WEBHOOK_EVENT_TYPES_RESPONSE__INIT;
    const struct vg_webhook_type *types = vg_webhook_types(&response.n_data);

    response.data = vg_arena_alloc(vg_request_arena(request), response.n_data * sizeof(char *));
    for (size_t i = 0; i < response.n_data; i++)
        response.data[i] = vg_pb_text(types[i].name);
    vg_request_reply(request, &response.base);
}

void vg_handle_webhook_types(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct vg_request), VG_SCOPE_WEBHOOKS_READ,
                            types_run);
}

/* --- TestWebhookEndpoint --- */

struct test {
    struct vg_request request;
    struct vg_webhook_get op;
    const struct vg_webhook_type *type;
    char event_id[VG_ID_SIZE + 8];
    struct vg_webhook_probe probe;
};

static void probe_done(struct vg_task *task)
{
    struct test *t = VG_CONTAINER(task, struct test, probe.done);
    Videogate__V1__TestWebhookEndpointResponse response =
        VIDEOGATE__V1__TEST_WEBHOOK_ENDPOINT_RESPONSE__INIT;

    if (!t->probe.ok) {
        vg_request_fail(&t->request, &t->probe.err);
        return;
    }
    vg_log(VG_LOG_INFO, "webhook endpoint tested", VG_S("endpoint", t->op.id),
           VG_I("http_status", t->probe.http_status), VG_S("reason", t->probe.reason));
    response.id = vg_pb_text(t->op.id);
    response.event_type = vg_pb_text(t->type->name);
    response.status_code = t->probe.http_status;
    response.success = t->probe.http_status > 0;
    response.reason = t->probe.reason;
    vg_request_reply(&t->request, &response.base);
}

/* As the row of a video that has just ended so. */
static struct vg_video made_up_video(const struct test *t, const char *id, int64_t now_s)
{
    struct vg_video video = {
        .id = id,
        .project_id = t->request.who.project_id,
        .model = "sandbox",
        .status = t->type->status,
        .created_at = now_s,
        .completed_at = now_s,
        .prompt = "A test of this webhook endpoint.",
        .width = 1280,
        .height = 720,
        .seconds = 4,
        .n = 1,
        .version = 1,
    };

    if (video.status == VG_VIDEO_COMPLETED)
        video.progress = 100;
    if (video.status == VG_VIDEO_FAILED || video.status == VG_VIDEO_EXPIRED) {
        video.error_code = video.status == VG_VIDEO_FAILED ? "failed" : "expired";
        video.error_message = "A test of this webhook endpoint.";
    }
    return video;
}

static int write_event(struct test *t, struct vg_buf *out)
{
    char id[VG_ID_SIZE];
    int64_t now_s = vg_wall_ms() / 1000;

    vg_id_new(id, "video");
    (void)vg_strcpy(t->event_id, sizeof(t->event_id), "evt_"); /* fits, as the next */
    (void)vg_strcpy(t->event_id + 4, sizeof(t->event_id) - 4, id);
    const struct vg_video video = made_up_video(t, id, now_s);
    const struct vg_webhook_event event = {
        .id = t->event_id, .type = t->type->name, .created_at = now_s};

    return vg_webhook_event_write(&event, vg_request_video(&t->request, &video), out);
}

static void send_test(struct test *t)
{
    struct vg_arena *arena = vg_request_arena(&t->request);
    struct vg_buf body;

    vg_buf_init(&body, MAX_BODY);
    VG_ASSERT(write_event(t, &body) == 0); /* all of it is ours, and short */
    t->probe.id = t->event_id;
    t->probe.url = t->op.endpoint.url;
    t->probe.body = (struct vg_view){vg_arena_memdup(arena, body.data, body.len), body.len};
    t->probe.aad = t->op.endpoint.id;
    t->probe.sealed = t->op.sealed;
    t->probe.sealed_count = t->op.sealed_count;
    t->probe.timeout_ms = ATTEMPT_MS;
    t->probe.executor = vg_loop_executor(t->request.service->loop);
    t->probe.done.run = probe_done;
    vg_buf_fini(&body);
    vg_jobs_probe(t->request.service->jobs, &t->probe);
}

static void endpoint_read(struct vg_task *task)
{
    struct test *t = VG_CONTAINER(task, struct test, op.op.done);

    if (t->op.op.ok)
        send_test(t);
    else
        vg_request_fail(&t->request, &t->op.op.err);
}

static void test_run(struct vg_request *request)
{
    struct test *t = VG_CONTAINER(request, struct test, request);
    const Videogate__V1__TestWebhookEndpointRequest *in = vg_request_message(request);

    if (!vg_webhook_id_taken(request, in->id))
        return;
    t->type = vg_webhook_type_find(in->event_type);
    if (!t->type) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "event_type",
                          "event_type: must be one of " VG_WEBHOOK_TYPE_NAMES);
        return;
    }
    t->op.id = in->id;
    t->op.project_id = request->who.project_id;
    vg_request_op(request, &t->op.op, endpoint_read);
    vg_webhook_get(request->service->db, &t->op);
}

void vg_handle_webhook_test(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct test), VG_SCOPE_WEBHOOKS_WRITE, test_run);
}
