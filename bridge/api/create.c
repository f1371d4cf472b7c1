/* SPDX-License-Identifier: Apache-2.0 */
/* The routes that make a video: create, remix, edit, extend. JSON or a form in, a call, the video
 * out. A large body (pictures, videos) is parsed and packed on a thread of the pool, so that the
 * loop does not stand still. */
#include <string.h>

#include "bridge/api/body.h"
#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/api/video_json.h"
#include "bridge/http/request.h"
#include "common/json_pb.h"
#include "videogate/v1/video.pb-c.h"

#define LARGE_BODY ((size_t)128 * 1024)
#define MAX_IDEMPOTENCY_KEY 255

struct operation {
    const char *method;
    const ProtobufCMessageDescriptor *request, *response;
    vg_reply_f *reply;
};

/* Filled on the loop, then used by one thread at a time. */
struct create {
    struct vg_exchange *ex;            /* borrowed */
    const struct operation *operation; /* borrowed */
    struct vg_view form_type;          /* in the exchange's arena; empty: JSON */
    char *request_id;                  /* in the exchange's arena; NULL: none */
    bool no_fallback;
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    struct vg_task task;
    struct vg_err err;
    ProtobufCMessage *message; /* in the exchange's arena */
};

/* Sets a text field that the body does not carry; a message without the field goes without. */
static void set_text(ProtobufCMessage *message, const char *name, char *value)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    if (!value || !field)
        return;
    VG_ASSERT(field->type == PROTOBUF_C_TYPE_STRING);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)(void *)((char *)message + field->quantifier_offset) = field->id;
    *(char **)(void *)((char *)message + field->offset) = value;
}

static int build(struct create *c, const struct vg_json *root, struct vg_err *err)
{
    const ProtobufCMessageDescriptor *type = c->operation->request;

    c->message = vg_arena_alloc(c->ex->arena, type->sizeof_message);
    protobuf_c_message_init(type, c->message);
    const struct vg_json_shape *shape = c->form_type.len > 0 ? vg_api_form_shape() : vg_api_shape();
    if (vg_pb_from_json(root, c->message, shape, c->ex->arena, err) != 0)
        return -1;
    set_text(c->message, "request_id", c->request_id);
    if (type == &videogate__v1__create_video_request__descriptor)
        ((Videogate__V1__CreateVideoRequest *)(void *)c->message)->no_fallback = c->no_fallback;
    if (type == &videogate__v1__remix_video_request__descriptor)
        set_text(c->message, "id", c->ex->param);
    return 0;
}

/* Body to message. JSON is not needed any more afterwards; the files of a form are part of the
 * message until it is packed. Loop or pool. */
static int translate(struct create *c, struct vg_body *body, struct vg_err *err)
{
    struct vg_json *root;

    if (vg_body_tree(c->form_type, vg_buf_view(&body->bytes), &root, err) != 0)
        return -1;
    if (c->form_type.len == 0)
        vg_body_drop(body);
    int result = build(c, root, err);
    root = vg_json_free(root);
    c->ex->unary.request = c->message;
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

/* On the pool. The exchange is held; the loop does not touch its arena, body or call meanwhile.
 * Once the call is started the exchange may be gone. */
static void on_pool(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, task);
    struct vg_body body;

    vg_exchange_take_body(c->ex, &body);
    if (translate(c, &body, &c->err) == 0) {
        vg_exchange_start(c->ex);
    } else {
        c->task.run = on_refused;
        vg_post(vg_loop_executor(c->ex->at->loop), &c->task);
    }
    vg_body_drop(&body);
}

static int read_headers(struct create *c, struct vg_err *err)
{
    struct vg_view key = vg_view_trim(vg_exchange_header(c->ex, "idempotency-key"));
    struct vg_view no_fallback = vg_exchange_header(c->ex, "x-no-fallback");
    struct vg_view type = vg_exchange_header(c->ex, "content-type");
    c->no_fallback =
        vg_view_eqs_nocase(no_fallback, "true") || vg_view_eqs_nocase(no_fallback, "1");
    if (vg_http_media_type(type, "multipart/form-data"))
        c->form_type =
            (struct vg_view){vg_arena_memdup(c->ex->arena, type.data, type.len), type.len};
    if (key.len == 0)
        return 0;
    if (!vg_http_visible(key, 1, MAX_IDEMPOTENCY_KEY))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "Idempotency-Key",
                            "Idempotency-Key: 1 to %d visible ASCII characters are allowed.",
                            MAX_IDEMPOTENCY_KEY);
    c->request_id = vg_arena_memdup(c->ex->arena, key.data, key.len);
    return 0;
}

static void start_small(struct create *c)
{
    struct vg_exchange *ex = c->ex;
    struct vg_body body;

    vg_exchange_take_body(ex, &body);
    if (translate(c, &body, &c->err) == 0) {
        vg_exchange_hold(ex);
        vg_exchange_start(ex);
    } else {
        vg_respond_error(ex, &c->err);
    }
    vg_body_drop(&body);
}

/* The headers are read before the stream can go away; the rest may happen on the pool. */
static void start(struct vg_exchange *ex, const struct operation *operation)
{
    struct create *c = vg_arena_alloc(ex->arena, sizeof(*c));
    if (!vg_exchange_admit(ex)) {
        vg_exchange_drop_body(ex);
        vg_respond_kind(ex, VG_ERR_OVERLOADED);
        return;
    }
    c->ex = ex;
    c->operation = operation;
    if (read_headers(c, &c->err) != 0 ||
        vg_exchange_prepare(ex, operation->method, operation->response, operation->reply,
                            c->metadata, &c->err) != 0) {
        vg_respond_error(ex, &c->err);
        return;
    }
    ex->unary.alone = ex->body.len > LARGE_BODY;
    if (!ex->unary.alone) {
        start_small(c);
        return;
    }
    vg_exchange_hold(ex);
    c->task.run = on_pool;
    vg_post(vg_work_pool_executor(ex->at->api->pool), &c->task);
}

/* The four answers are one message under four names. */
#define OPERATION(verb, Name)                                                                      \
    static void reply_##verb(struct vg_exchange *ex, const ProtobufCMessage *response)             \
    {                                                                                              \
        vg_respond_video(ex, ((const Videogate__V1__##Name##VideoResponse *)response)->video);     \
    }                                                                                              \
    void vg_handle_##verb(struct vg_exchange *ex)                                                  \
    {                                                                                              \
        static const struct operation operation = {                                                \
            .method = "/videogate.v1.VideoService/" #Name "Video",                                 \
            .request = &videogate__v1__##verb##_video_request__descriptor,                         \
            .response = &videogate__v1__##verb##_video_response__descriptor,                       \
            .reply = reply_##verb,                                                                 \
        };                                                                                         \
        start(ex, &operation);                                                                     \
    }

OPERATION(create, Create)
OPERATION(edit, Edit)
OPERATION(extend, Extend)
OPERATION(remix, Remix)

/* OpenAI's characters: the words are known, so that nobody takes them for ids, but no provider here
 * has them. */
void vg_handle_characters(struct vg_exchange *ex)
{
    struct vg_err err;
    vg_exchange_drop_body(ex);
    (void)vg_err_set(&err, VG_ERR_UNSUPPORTED,
                     "Characters are not supported: no provider here offers them. Describe them in "
                     "the prompt, or give reference_images.");
    vg_respond_error(ex, &err);
}
