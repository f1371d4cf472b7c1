/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/videos and POST /v1/videos/{id}/remix: JSON in, a call, the video out. A large body
 * (pictures as data URLs) is parsed and packed on a thread of the pool, so that the loop does not
 * stand still. */
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/api/video_json.h"
#include "common/json.h"
#include "common/json_pb.h"
#include "videogate/v1/video.pb-c.h"

#define LARGE_BODY ((size_t)128 * 1024)
#define MAX_IDEMPOTENCY_KEY 255

/* One of the two calls. Filled on the loop, then used by one thread at a time. */
struct create {
    struct vg_exchange *ex; /* borrowed */
    int (*build)(struct create *create, const struct vg_json *root, struct vg_err *err);
    char *request_id; /* in the exchange's arena; NULL: none */
    bool no_fallback;
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    struct vg_task task;
    struct vg_err err;
    union {
        Videogate__V1__CreateVideoRequest create;
        Videogate__V1__RemixVideoRequest remix;
    } message;
};

static int build_create(struct create *c, const struct vg_json *root, struct vg_err *err)
{
    Videogate__V1__CreateVideoRequest *m = &c->message.create;
    videogate__v1__create_video_request__init(m);
    if (vg_pb_from_json(root, &m->base, vg_api_shape(), c->ex->arena, err) != 0)
        return -1;
    m->no_fallback = c->no_fallback;
    if (c->request_id) {
        m->opt_request_id_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_REQUEST_ID_REQUEST_ID;
        m->request_id = c->request_id;
    }
    return 0;
}

static int build_remix(struct create *c, const struct vg_json *root, struct vg_err *err)
{
    Videogate__V1__RemixVideoRequest *m = &c->message.remix;
    videogate__v1__remix_video_request__init(m);
    if (vg_pb_from_json(root, &m->base, vg_api_shape(), c->ex->arena, err) != 0)
        return -1;
    m->id = c->ex->param;
    if (c->request_id) {
        m->opt_request_id_case = VIDEOGATE__V1__REMIX_VIDEO_REQUEST__OPT_REQUEST_ID_REQUEST_ID;
        m->request_id = c->request_id;
    }
    return 0;
}

/* Body to message; afterwards the body's memory is free. Loop or pool. */
static int translate(struct create *c, struct vg_err *err)
{
    struct vg_json *root;
    int result = vg_json_parse(&root, vg_buf_view(&c->ex->body), err);
    vg_exchange_drop_body(c->ex);
    if (result != 0)
        return -1;
    if (vg_json_type(root) == VG_JSON_OBJECT)
        result = c->build(c, root, err);
    else
        result =
            vg_err_set(err, VG_ERR_INVALID_JSON, "The request body must be a JSON object, got %s.",
                       vg_json_type_name(root));
    root = vg_json_free(root);
    return result;
}

/* Back on the loop after the pool found something wrong. */
static void on_refused(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, task);
    struct vg_exchange *ex = c->ex;
    vg_respond_error(ex, &c->err);
    vg_exchange_release(ex);
}

/* On the pool. The exchange is held; the loop does not touch its arena, body or call meanwhile. */
static void on_pool(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, task);
    struct vg_exchange *ex = c->ex;
    if (translate(c, &c->err) == 0) {
        vg_exchange_start(ex);
        return;
    }
    c->task.run = on_refused;
    vg_post(vg_loop_executor(ex->at->loop), &c->task);
}

static int read_headers(struct create *c, struct vg_err *err)
{
    struct vg_view key = vg_view_trim(vg_exchange_header(c->ex, "idempotency-key"));
    struct vg_view no_fallback = vg_exchange_header(c->ex, "x-no-fallback");
    c->no_fallback =
        vg_view_eqs_nocase(no_fallback, "true") || vg_view_eqs_nocase(no_fallback, "1");
    if (key.len == 0)
        return 0;
    if (!vg_http_visible(key, 1, MAX_IDEMPOTENCY_KEY))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "Idempotency-Key",
                            "Idempotency-Key: 1 to %d visible ASCII characters are allowed.",
                            MAX_IDEMPOTENCY_KEY);
    c->request_id = vg_arena_memdup(c->ex->arena, key.data, key.len);
    return 0;
}

static void reply_create(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    vg_respond_video(ex, ((const Videogate__V1__CreateVideoResponse *)response)->video);
}

static void reply_remix(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    vg_respond_video(ex, ((const Videogate__V1__RemixVideoResponse *)response)->video);
}

/* The headers are read before the stream can go away; the rest may happen on the pool. */
static void start(struct create *c, const char *method, const ProtobufCMessageDescriptor *type,
                  vg_reply_f *reply)
{
    struct vg_exchange *ex = c->ex;
    bool large = ex->body.len > LARGE_BODY;
    if (read_headers(c, &c->err) != 0 ||
        vg_exchange_prepare(ex, method, type, reply, c->metadata, &c->err) != 0 ||
        (!large && translate(c, &c->err) != 0)) {
        vg_respond_error(ex, &c->err);
        return;
    }
    ex->unary.request = (const ProtobufCMessage *)&c->message;
    ex->unary.alone = large;
    vg_exchange_hold(ex);
    if (!large) {
        vg_exchange_start(ex);
        return;
    }
    c->task.run = on_pool;
    vg_post(vg_work_pool_executor(ex->at->api->pool), &c->task);
}

void vg_handle_create(struct vg_exchange *ex)
{
    struct create *c = vg_arena_alloc(ex->arena, sizeof(*c));
    c->ex = ex;
    c->build = build_create;
    start(c, "/videogate.v1.VideoService/CreateVideo",
          &videogate__v1__create_video_response__descriptor, reply_create);
}

void vg_handle_remix(struct vg_exchange *ex)
{
    struct create *c = vg_arena_alloc(ex->arena, sizeof(*c));
    c->ex = ex;
    c->build = build_remix;
    start(c, "/videogate.v1.VideoService/RemixVideo",
          &videogate__v1__remix_video_response__descriptor, reply_remix);
}
