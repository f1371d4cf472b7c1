/* SPDX-License-Identifier: Apache-2.0 */
/* RemixVideo: read the source -> copy its files -> record. */
#include <string.h>

#include "common/pb_alloc.h"
#include "service/create_priv.h"

#define DEFAULT_DEADLINE_S 3600

static const char *remix_prompt(const struct vg_create *c)
{
    return ((const Videogate__V1__RemixVideoRequest *)vg_rpc_call_request(c->request.call))->prompt;
}

static void insert_remix(struct vg_create *c)
{
    Videogate__Store__V1__JobSpec spec = *c->spec; /* shallow: the source's routes and lists */
    Videogate__Store__V1__MediaRef refs[VG_CREATE_MAX_FILES];
    Videogate__Store__V1__MediaRef *references[VG_MAX_REFERENCES];
    size_t next = 0;

    spec.prompt = vg_pb_text(remix_prompt(c));
    if (spec.image) {
        refs[next] = *spec.image;
        spec.image = &refs[next++];
    }
    if (spec.last_frame) {
        refs[next] = *spec.last_frame;
        spec.last_frame = &refs[next++];
    }
    for (size_t i = 0; i < spec.n_references; i++) {
        refs[next] = *spec.references[i];
        references[i] = &refs[next++];
    }
    spec.references = references;
    Videogate__Store__V1__Source source;
    if (spec.source) { /* a remix of an edit or an extension starts from the same video */
        source = *spec.source;
        refs[next] = *source.video;
        source.video = &refs[next++];
        spec.source = &source;
    }
    for (size_t i = 0; i < c->key_count; i++)
        refs[i].blob = c->keys[i];
    vg_create_insert(c, &spec);
}

static void run_copy(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, disk);

    if (vg_create_copy_files(c, "The inputs of this video are gone.") < 0) {
        vg_create_remove_files(c);
        vg_create_refuse(c, &c->err);
        return;
    }
    insert_remix(c);
}

static void add_source(struct vg_create *c, const Videogate__Store__V1__MediaRef *ref)
{
    if (!ref || c->key_count == VG_CREATE_MAX_FILES)
        return;
    vg_blob_input_key(c->keys[c->key_count], c->id, (int32_t)c->key_count);
    c->sources[c->key_count++] = ref->blob;
}

static int64_t remix_deadline(struct vg_create *c, const char *model)
{
    const struct vg_validate_env *env = vg_request_env(&c->request);
    const struct vg_model *found = vg_catalog_find(env->catalog, model, strlen(model));
    int64_t s = found ? found->routes[0].deadline_s : DEFAULT_DEADLINE_S;

    return env->max_deadline_s > 0 && s > env->max_deadline_s ? env->max_deadline_s : s;
}

static void take_source(struct vg_create *c, const struct vg_video *source)
{
    c->op.model = source->model;
    c->op.prompt = remix_prompt(c);
    c->op.width = source->width;
    c->op.height = source->height;
    c->op.seconds = source->seconds;
    c->op.n = source->n;
    c->op.audio = source->audio;
    c->op.deadline_s = remix_deadline(c, source->model);
    add_source(c, c->spec->image);
    add_source(c, c->spec->last_frame);
    for (size_t i = 0; i < c->spec->n_references; i++)
        add_source(c, c->spec->references[i]);
    if (c->spec->source)
        add_source(c, c->spec->source->video);
}

static void remix_source(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, source.op.done);
    const struct vg_video *source = &c->source.video;

    if (!c->source.op.ok) {
        vg_create_refuse(c, &c->source.op.err);
        return;
    }
    if (source->status != VG_VIDEO_COMPLETED) {
        (void)vg_err_param(&c->err, VG_ERR_NOT_READY, "id",
                           "Only a completed video can be remixed. Current status: %s",
                           vg_status_word(source->status));
        vg_create_refuse(c, &c->err);
        return;
    }
    c->spec =
        videogate__store__v1__job_spec__unpack(vg_pb_allocator(), source->spec_size, source->spec);
    if (!c->spec || c->spec->n_routes == 0 || c->spec->n_references > VG_MAX_REFERENCES) {
        (void)vg_err_set(&c->err, VG_ERR_INTERNAL,
                         "The stored parameters of this video cannot be read.");
        vg_create_refuse(c, &c->err);
        return;
    }
    take_source(c, source);
    if (c->key_count == 0) {
        insert_remix(c);
        return;
    }
    c->disk.run = run_copy;
    vg_post(c->request.service->pool, &c->disk);
}

static void ask_source(struct vg_create *c)
{
    c->source.id = c->op.remixed_from;
    c->source.project_id = c->request.who.project_id;
    vg_request_op(&c->request, &c->source.op, remix_source);
    vg_video_get(c->request.service->db, &c->source);
}

/* As vg_job_fingerprint: the secret stands there by its HMAC alone. */
static void remix_fingerprint(struct vg_create *c, const Videogate__V1__RemixVideoRequest *in)
{
    Videogate__V1__RemixVideoRequest normal = VIDEOGATE__V1__REMIX_VIDEO_REQUEST__INIT;
    char mac_hex[VG_SECRET_MAC_SIZE];

    normal.id = in->id;
    normal.prompt = in->prompt;
    if (in->opt_callback_url_case) {
        vg_secret_mac(mac_hex, c->request.service->secret_key, c->job.callback_secret);
        normal.opt_callback_url_case =
            VIDEOGATE__V1__REMIX_VIDEO_REQUEST__OPT_CALLBACK_URL_CALLBACK_URL;
        normal.callback_url = vg_pb_text(c->job.callback_url);
        normal.opt_callback_secret_case =
            VIDEOGATE__V1__REMIX_VIDEO_REQUEST__OPT_CALLBACK_SECRET_CALLBACK_SECRET;
        normal.callback_secret = mac_hex;
    }
    vg_pb_sha256(&normal.base, c->op.fingerprint);
}

static void remix_run(struct vg_request *request)
{
    struct vg_create *c = vg_create_of(request);
    const Videogate__V1__RemixVideoRequest *in = vg_request_message(request);

    if (vg_validate_prompt(in->prompt, &c->err) < 0 ||
        vg_validate_callback(vg_request_env(request),
                             in->opt_callback_url_case ? in->callback_url : NULL,
                             in->opt_callback_secret_case ? in->callback_secret : NULL,
                             vg_request_arena(request), &c->job, &c->err) < 0 ||
        vg_create_take_key(c, in->opt_request_id_case ? in->request_id : NULL) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    if (!vg_video_id_ok(in->id)) {
        (void)vg_err_param(&c->err, VG_ERR_NOT_FOUND, "id", NULL);
        vg_create_refuse(c, &c->err);
        return;
    }
    vg_id_new(c->id, "video");
    c->kind = VG_CREATE_REMIX;
    if (vg_create_needs_fingerprint(c))
        remix_fingerprint(c, in);
    c->op.remixed_from = in->id;
    vg_create_unless_replay(c, ask_source);
}

void vg_handle_remix(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct vg_create), VG_SCOPE_VIDEOS_WRITE, remix_run);
}
