/* SPDX-License-Identifier: Apache-2.0 */
/* EditVideo and ExtendVideo: a source (one of the project's videos, or bytes) -> routes that can ->
 * a file of the new job's own -> record. */
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "db/trace_store.h"
#include "service/create_priv.h"
#include "service/variant_probe.h"
#include "videogate/v1/worker.pb-c.h"

#define MAX_SOURCE_BYTES ((size_t)64 << 20)

/* Either request. */
struct ask {
    const Videogate__V1__VideoSource *video;
    const char *prompt;
    const char *model, *request_id, *callback_url, *callback_secret; /* NULL: not given */
    bool has_seconds;
    int32_t seconds;
};

struct derive {
    struct vg_create create;
    struct ask ask;
    struct vg_derive_ask wanted;
    struct vg_video_trace trace;              /* of the source */
    const struct vg_trace_generation *origin; /* the one whose output it is; NULL: not known */
};

static struct derive *derive_of(struct vg_create *c)
{
    return VG_CONTAINER(c, struct derive, create);
}

static struct ask ask_of(const struct vg_create *c)
{
    const ProtobufCMessage *message = vg_rpc_call_request(c->request.call);

    if (c->kind == VG_CREATE_EDIT) {
        const Videogate__V1__EditVideoRequest *in = (const void *)message;
        return (struct ask){.video = in->video,
                            .prompt = in->prompt,
                            .model = in->opt_model_case ? in->model : NULL,
                            .request_id = in->opt_request_id_case ? in->request_id : NULL,
                            .callback_url = in->opt_callback_url_case ? in->callback_url : NULL,
                            .callback_secret =
                                in->opt_callback_secret_case ? in->callback_secret : NULL};
    }
    const Videogate__V1__ExtendVideoRequest *in = (const void *)message;
    return (struct ask){.video = in->video,
                        .prompt = in->prompt,
                        .model = in->opt_model_case ? in->model : NULL,
                        .request_id = in->opt_request_id_case ? in->request_id : NULL,
                        .callback_url = in->opt_callback_url_case ? in->callback_url : NULL,
                        .callback_secret =
                            in->opt_callback_secret_case ? in->callback_secret : NULL,
                        .has_seconds = in->opt_seconds_case != 0,
                        .seconds = in->opt_seconds_case ? in->seconds : 0};
}

static bool by_id(const struct derive *d)
{
    return d->ask.video->source_case == VIDEOGATE__V1__VIDEO_SOURCE__SOURCE_ID;
}

static int check_video(const Videogate__V1__VideoSource *video, struct vg_err *err)
{
    if (!video || video->source_case == VIDEOGATE__V1__VIDEO_SOURCE__SOURCE__NOT_SET)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "video",
                            "video: the source is missing; give a file or an object with id");
    if (video->source_case == VIDEOGATE__V1__VIDEO_SOURCE__SOURCE_ID)
        return vg_video_id_ok(video->id)
                   ? 0
                   : vg_err_param(err, VG_ERR_NOT_FOUND, "video", "Video not found");
    if (video->data.len > MAX_SOURCE_BYTES)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "video",
                            "video: has %.1fMB; at most 64MB are allowed",
                            (double)video->data.len / (1 << 20));
    if (video->data.len < 12 || memcmp(video->data.data + 4, "ftyp", 4) != 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "video", "video: is not an MP4");
    return 0;
}

static int check_seconds(const struct derive *d, struct vg_err *err)
{
    return d->ask.has_seconds && d->ask.seconds < 1
               ? vg_err_param(err, VG_ERR_INVALID_REQUEST, "seconds",
                              "seconds: must be a whole number of at least 1")
               : 0;
}

/* Over what was asked for, in one form for both: bytes and secret stand there by their hashes. */
static void fingerprint(struct derive *d)
{
    struct vg_create *c = &d->create;
    Videogate__V1__ExtendVideoRequest normal = VIDEOGATE__V1__EXTEND_VIDEO_REQUEST__INIT;
    Videogate__V1__VideoSource video = *d->ask.video;
    uint8_t hash[32];
    char mac_hex[VG_SECRET_MAC_SIZE];

    if (!by_id(d)) {
        vg_sha256(hash, video.data.data, video.data.len);
        video.data = (ProtobufCBinaryData){.len = sizeof(hash), .data = hash};
    }
    normal.video = &video;
    normal.prompt = vg_pb_text(d->ask.prompt);
    normal.opt_seconds_case = VIDEOGATE__V1__EXTEND_VIDEO_REQUEST__OPT_SECONDS_SECONDS;
    normal.seconds = c->kind == VG_CREATE_EDIT ? -1 : d->ask.seconds;
    if (d->ask.model) {
        normal.opt_model_case = VIDEOGATE__V1__EXTEND_VIDEO_REQUEST__OPT_MODEL_MODEL;
        normal.model = vg_pb_text(d->ask.model);
    }
    if (d->ask.callback_url) {
        vg_secret_mac(mac_hex, c->request.service->secret_key, c->job.callback_secret);
        normal.opt_callback_url_case =
            VIDEOGATE__V1__EXTEND_VIDEO_REQUEST__OPT_CALLBACK_URL_CALLBACK_URL;
        normal.callback_url = vg_pb_text(c->job.callback_url);
        normal.opt_callback_secret_case =
            VIDEOGATE__V1__EXTEND_VIDEO_REQUEST__OPT_CALLBACK_SECRET_CALLBACK_SECRET;
        normal.callback_secret = mac_hex;
    }
    vg_pb_sha256(&normal.base, c->op.fingerprint);
}

/* --- the last steps, on the pool --- */

static void insert(struct derive *d)
{
    struct vg_create *c = &d->create;
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    Videogate__Store__V1__Source source = VIDEOGATE__STORE__V1__SOURCE__INIT;
    Videogate__Store__V1__MediaRef file = VIDEOGATE__STORE__V1__MEDIA_REF__INIT;

    file.blob = c->keys[0];
    file.mime_type = vg_pb_text("video/mp4");
    source.operation = c->kind == VG_CREATE_EDIT
                           ? VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EDIT
                           : VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND;
    source.video = &file;
    source.seconds = d->wanted.source_seconds;
    if (d->origin && d->origin->provider && d->origin->upstream_id) {
        source.provider = vg_pb_text(d->origin->provider);
        source.upstream_id = vg_pb_text(d->origin->upstream_id);
        source.poll_state = (ProtobufCBinaryData){.len = d->origin->poll_state_size,
                                                  .data = (uint8_t *)d->origin->poll_state};
    }
    spec.source = &source;
    vg_create_put_job(c, &spec);
    vg_create_insert(c, &spec);
}

static int resolve(struct derive *d)
{
    struct vg_create *c = &d->create;

    d->wanted.operation = c->kind == VG_CREATE_EDIT ? VG_OPERATION_EDIT : VG_OPERATION_EXTEND;
    d->wanted.seconds = d->ask.seconds;
    if (d->ask.model)
        d->wanted.model = d->ask.model;
    return vg_validate_derive(vg_request_env(&c->request), &d->wanted, &c->job, &c->err);
}

static int write_bytes(struct derive *d)
{
    struct vg_create *c = &d->create;
    const ProtobufCBinaryData *data = &d->ask.video->data;
    struct vg_view bytes = {(const char *)data->data, data->len};
    struct vg_variant_info info;

    if (vg_variant_probe(bytes, "video", &info, &c->err) < 0)
        return -1;
    d->wanted = (struct vg_derive_ask){.source_size = {info.width, info.height},
                                       .source_seconds = info.seconds};
    if (resolve(d) < 0 || vg_blob_put(c->request.service->blobs, c->keys[0], data->data, data->len,
                                      NULL, &c->err) < 0)
        return -1;
    c->written = 1;
    return 0;
}

static void run_files(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, disk);
    struct derive *d = derive_of(c);
    int rc = by_id(d) ? vg_create_copy_files(c, "The content of the source video is gone.")
                      : write_bytes(d);

    if (rc == 0) {
        insert(d);
        return;
    }
    vg_create_remove_files(c);
    vg_create_refuse(c, &c->err);
}

static void start_files(struct vg_create *c)
{
    vg_blob_input_key(c->keys[0], c->id, 0);
    c->key_count = 1;
    c->disk.run = run_files;
    vg_post(c->request.service->pool, &c->disk);
}

/* --- a source of the project's own --- */

static int judge_source(const struct vg_video *video, struct vg_err *err)
{
    if (video->status != VG_VIDEO_COMPLETED)
        return vg_err_param(err, VG_ERR_NOT_READY, "video",
                            "Only a completed video can be a source. Current status: %s",
                            vg_status_word(video->status));
    if (vg_content_expired(video, vg_wall_ms() / 1000) || video->output_count == 0)
        return vg_err_param(err, VG_ERR_GONE, "video",
                            "The content of the source video has expired.");
    if (video->outputs[0].bytes > (int64_t)MAX_SOURCE_BYTES)
        return vg_err_param(err, VG_ERR_UNSUPPORTED, "video",
                            "video: the source is larger than 64MB");
    return 0;
}

/* Who made the source: its maker need not be sent the bytes, and some extend their own alone. */
static void origin_read(struct vg_task *task)
{
    struct derive *d = VG_CONTAINER(task, struct derive, trace.op.done);

    if (!d->trace.op.ok) {
        vg_create_refuse(&d->create, &d->trace.op.err);
        return;
    }
    for (size_t i = 0; i < d->trace.generation_count; i++)
        if (d->trace.generations[i].index == d->create.source.video.outputs[0].index)
            d->origin = &d->trace.generations[i];
    d->wanted.source.provider = d->origin ? d->origin->provider : NULL;
    if (resolve(d) < 0)
        vg_create_refuse(&d->create, &d->create.err);
    else
        start_files(&d->create);
}

static void source_read(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, source.op.done);
    struct derive *d = derive_of(c);
    const struct vg_video *video = &c->source.video;

    if (!c->source.op.ok) {
        vg_create_refuse(c, &c->source.op.err);
        return;
    }
    d->wanted = (struct vg_derive_ask){.model = video->model,
                                       .source_size = {video->width, video->height},
                                       .source_seconds = video->seconds,
                                       .has_audio = true,
                                       .audio = video->audio,
                                       .source.model = video->model};
    if (judge_source(video, &c->err) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    c->op.remixed_from = video->id;
    c->sources[0] = video->outputs[0].blob;
    d->trace.id = video->id;
    vg_request_op(&c->request, &d->trace.op, origin_read);
    vg_video_trace(c->request.service->db, &d->trace);
}

static void go_on(struct vg_create *c)
{
    if (!by_id(derive_of(c))) {
        start_files(c);
        return;
    }
    c->source.id = derive_of(c)->ask.video->id;
    c->source.project_id = c->request.who.project_id;
    vg_request_op(&c->request, &c->source.op, source_read);
    vg_video_get(c->request.service->db, &c->source);
}

/* --- the calls --- */

static void run(struct vg_request *request, enum vg_create_kind kind)
{
    struct vg_create *c = vg_create_of(request);
    struct derive *d = derive_of(c);

    c->kind = kind;
    d->ask = ask_of(c);
    c->job.prompt = d->ask.prompt;
    if (vg_validate_prompt(d->ask.prompt, &c->err) < 0 || check_video(d->ask.video, &c->err) < 0 ||
        check_seconds(d, &c->err) < 0 ||
        vg_validate_callback(vg_request_env(request), d->ask.callback_url, d->ask.callback_secret,
                             vg_request_arena(request), &c->job, &c->err) < 0 ||
        vg_create_take_key(c, d->ask.request_id) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    vg_id_new(c->id, "video");
    if (vg_create_needs_fingerprint(c))
        fingerprint(d);
    vg_create_unless_replay(c, go_on);
}

static void edit_run(struct vg_request *request)
{
    run(request, VG_CREATE_EDIT);
}

static void extend_run(struct vg_request *request)
{
    run(request, VG_CREATE_EXTEND);
}

void vg_handle_edit(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct derive), VG_SCOPE_VIDEOS_WRITE, edit_run);
}

void vg_handle_extend(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct derive), VG_SCOPE_VIDEOS_WRITE, extend_run);
}
