/* SPDX-License-Identifier: Apache-2.0 */
/* CreateVideo and RemixVideo: validate -> pictures -> files -> one transaction -> answer.
 *
 * Input files are written just before the insert. When the insert says that nothing was recorded
 * they are removed; when nobody can say (the commit's answer was lost) they stay, for the row may
 * stand: the janitor asks later. */
#include <string.h>

#include "common/crypto.h"
#include "common/log.h"
#include "service/service_priv.h"
#include "videogate/store/v1/job.pb-c.h"

#define MAX_PICTURES (2 + VG_MAX_REFERENCES)
#define DEFAULT_DEADLINE_S 3600

struct create {
    struct vg_request request;
    char id[VG_ID_SIZE];
    struct vg_job job; /* create only */
    struct vg_picture pictures[MAX_PICTURES];
    size_t picture_count;
    struct vg_media_group group;
    char keys[MAX_PICTURES][VG_BLOB_KEY_SIZE]; /* files of this video */
    const char *sources[MAX_PICTURES];         /* remix: files they are copied from */
    const char *inputs[MAX_PICTURES];
    size_t key_count;
    size_t written;
    struct vg_task disk;
    struct vg_err err;
    struct vg_video_get source;          /* remix */
    Videogate__Store__V1__JobSpec *spec; /* owned (protobuf-c); remix, the source's */
    struct vg_video_create op;
};

static struct create *of_request(struct vg_request *request)
{
    return VG_CONTAINER(request, struct create, request);
}

/* What is not the arena's goes here; nothing is touched afterwards but the end of the call. */
static void release(struct create *c)
{
    for (size_t i = 0; i < c->picture_count; i++)
        vg_picture_fini(&c->pictures[i]);
    if (c->spec)
        videogate__store__v1__job_spec__free_unpacked(c->spec, NULL);
    c->spec = NULL;
}

static void count(const struct create *c, enum vg_create_series series)
{
    vg_metric_add(c->request.service->metrics, VG_SM_CREATES, series, 1);
}

static void refuse(struct create *c, const struct vg_err *err)
{
    count(c, vg_err_info(err->kind)->retryable ? VG_CREATES_FAILED : VG_CREATES_REFUSED);
    release(c);
    vg_request_fail(&c->request, err);
}

/* --- the end --- */

static void reply(struct create *c)
{
    bool replayed = c->op.outcome == VG_CREATE_REPLAYED;
    bool remix = c->op.remixed_from != NULL;
    Videogate__V1__Video *video = vg_request_video(&c->request, &c->op.video);

    count(c, replayed ? VG_CREATES_REPLAYED : VG_CREATES_NEW);
    vg_log(VG_LOG_INFO, remix ? "video remixed" : "video created", VG_S("video", c->op.video.id),
           VG_S("req", vg_request_metadata(&c->request, "x-request-id")),
           VG_I("project", c->request.who.project_id), VG_S("key", c->request.who.key_id),
           VG_S("model", c->op.video.model), VG_I("n", c->op.video.n), VG_I("replayed", replayed));
    release(c);
    if (remix) {
        Videogate__V1__RemixVideoResponse response = VIDEOGATE__V1__REMIX_VIDEO_RESPONSE__INIT;
        response.video = video;
        vg_request_reply(&c->request, &response.base);
    } else {
        Videogate__V1__CreateVideoResponse response = VIDEOGATE__V1__CREATE_VIDEO_RESPONSE__INIT;
        response.video = video;
        response.replayed = replayed;
        vg_request_reply(&c->request, &response.base);
    }
}

static void finish(struct create *c)
{
    if (c->op.outcome != VG_CREATE_MISMATCH) {
        reply(c);
        return;
    }
    (void)vg_err_param(&c->err, VG_ERR_IDEMPOTENCY_MISMATCH, "request_id", NULL);
    refuse(c, &c->err);
}

static void remove_files(struct create *c)
{
    struct vg_err ignored; /* what cannot be removed now is the janitor's */

    for (size_t i = 0; i < c->written; i++)
        if (vg_blob_remove(c->request.service->blobs, c->keys[i], &ignored) < 0)
            vg_log(VG_LOG_WARN, "input picture not removed, the janitor tries again",
                   VG_S("video", c->id));
    c->written = 0;
}

static void run_remove(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, disk);

    remove_files(c);
    finish(c);
}

static void inserted(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, op.op.done);

    if (!c->op.op.ok) {
        vg_log(VG_LOG_WARN, "video not created",
               VG_S("reason", vg_err_info(c->op.op.err.kind)->reason),
               VG_S("req", vg_request_metadata(&c->request, "x-request-id")),
               VG_I("project", c->request.who.project_id));
        refuse(c, &c->op.op.err);
        return;
    }
    /* Our own id: an earlier run of this very operation was committed. */
    bool mine = c->op.outcome == VG_CREATE_NEW ||
                (c->op.outcome == VG_CREATE_REPLAYED && strcmp(c->op.video.id, c->id) == 0);
    if (mine)
        c->op.outcome = VG_CREATE_NEW;
    if (mine || c->written == 0) {
        finish(c);
        return;
    }
    c->disk.run = run_remove;
    vg_post(c->request.service->pool, &c->disk);
}

static int seal_secret(struct create *c, const char *secret)
{
    struct vg_buf sealed;

    vg_buf_init(&sealed, VG_MAX_CALLBACK_SECRET + 64);
    int rc =
        vg_seal(&sealed, c->request.service->secret_key, vg_view_of(c->id), vg_view_of(secret));
    if (rc == 0) {
        c->op.secret_sealed =
            vg_arena_memdup(vg_request_arena(&c->request), sealed.data, sealed.len);
        c->op.secret_size = sealed.len;
    }
    vg_buf_fini(&sealed);
    return rc;
}

/* gRPC callers say request_id, the bridge forwards the header. */
static int take_idempotency_key(struct create *c, const char *request_id)
{
    struct vg_view header = vg_rpc_call_metadata(c->request.call, "idempotency-key");

    if (!request_id && header.len > 0)
        request_id = vg_arena_memdup(vg_request_arena(&c->request), header.data, header.len);
    c->op.idempotency_key = request_id;
    return vg_validate_request_id(request_id, &c->err);
}

static void insert(struct create *c, const Videogate__Store__V1__JobSpec *spec,
                   const char *callback_url, const char *callback_secret)
{
    size_t size = protobuf_c_message_get_packed_size(&spec->base);
    uint8_t *packed = vg_arena_alloc(vg_request_arena(&c->request), size);

    c->op.spec_size = protobuf_c_message_pack(&spec->base, packed);
    c->op.spec = packed;
    c->op.id = c->id;
    c->op.project_id = c->request.who.project_id;
    c->op.key_id = c->request.who.key_id;
    c->op.provider = spec->routes[0]->provider;
    for (size_t i = 0; i < c->key_count; i++)
        c->inputs[i] = c->keys[i];
    c->op.inputs = c->inputs;
    c->op.input_count = c->key_count;
    c->op.callback_url = callback_url;
    if (callback_url && seal_secret(c, callback_secret) < 0) {
        (void)vg_err_set(&c->err, VG_ERR_INTERNAL, NULL);
        remove_files(
            c); /* on the pool: files are written there, and without files there are none */
        refuse(c, &c->err);
        return;
    }
    vg_request_op(&c->request, &c->op.op, inserted);
    vg_video_create(c->request.service->db, &c->op);
}

/* --- create --- */

static void insert_job(struct create *c)
{
    const struct vg_job *job = &c->job;
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    Videogate__Store__V1__MediaRef refs[MAX_PICTURES];
    Videogate__Store__V1__MediaRef *references[VG_MAX_REFERENCES];
    Videogate__Store__V1__Route routes[VG_CATALOG_MAX_ROUTES];
    Videogate__Store__V1__Route *route_list[VG_CATALOG_MAX_ROUTES];
    size_t next = 0;

    for (size_t i = 0; i < c->key_count; i++) {
        videogate__store__v1__media_ref__init(&refs[i]);
        refs[i].blob = c->keys[i];
        refs[i].mime_type = vg_pb_text(c->pictures[i].info.mime_type);
    }
    spec.prompt = vg_pb_text(job->prompt);
    spec.width = job->width;
    spec.height = job->height;
    spec.seconds = job->seconds;
    spec.audio = job->audio;
    if (job->image)
        spec.image = &refs[next++];
    if (job->last_frame)
        spec.last_frame = &refs[next++];
    for (size_t i = 0; i < job->reference_count; i++)
        references[i] = &refs[next++];
    spec.references = references;
    spec.n_references = job->reference_count;
    for (size_t i = 0; i < job->route_count; i++) {
        videogate__store__v1__route__init(&routes[i]);
        routes[i].provider = vg_pb_text(job->routes[i].provider);
        routes[i].model = vg_pb_text(job->routes[i].model);
        routes[i].max_attempts = job->routes[i].max_attempts;
        route_list[i] = &routes[i];
    }
    spec.routes = route_list;
    spec.n_routes = job->route_count;
    c->op.model = job->model;
    c->op.prompt = job->prompt;
    c->op.width = job->width;
    c->op.height = job->height;
    c->op.seconds = job->seconds;
    c->op.n = job->n;
    c->op.audio = job->audio;
    c->op.deadline_s = job->deadline_s;
    insert(c, &spec, job->callback_url, job->callback_secret);
}

/* On the pool. */
static int write_all(struct create *c)
{
    for (size_t i = 0; i < c->picture_count; i++) {
        struct vg_view bytes = c->pictures[i].bytes;
        if (vg_blob_put(c->request.service->blobs, c->keys[i], bytes.data, bytes.len, NULL,
                        &c->err) < 0)
            return -1;
        c->written++;
    }
    return 0;
}

static void run_write(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, disk);

    if (write_all(c) == 0) {
        insert_job(c);
        return;
    }
    vg_log(VG_LOG_ERROR, "input picture not stored", VG_S("video", c->id),
           VG_S("why", vg_err_text(&c->err)));
    remove_files(c);
    refuse(c, &c->err);
}

static void write_pictures(struct create *c)
{
    for (size_t i = 0; i < c->picture_count; i++)
        vg_blob_input_key(c->keys[i], c->id, (int32_t)i);
    c->key_count = c->picture_count;
    c->disk.run = run_write;
    vg_post(c->request.service->pool, &c->disk);
}

static void fetched(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, group.done);

    if (!c->group.ok) {
        refuse(c, &c->group.err);
        return;
    }
    write_pictures(c);
}

static bool add_picture(struct create *c, const Videogate__V1__MediaInput *input, const char *param)
{
    if (!input)
        return false;
    struct vg_picture *p = &c->pictures[c->picture_count++];
    p->param = param;
    if (input->source_case == VIDEOGATE__V1__MEDIA_INPUT__SOURCE_URL)
        p->url = input->url;
    else
        p->bytes = (struct vg_view){(const char *)input->data.data, input->data.len};
    return p->url != NULL;
}

/* True when any of them is an address. */
static bool gather_pictures(struct create *c)
{
    bool url = add_picture(c, c->job.image, "image");

    url = add_picture(c, c->job.last_frame, "last_frame") || url;
    for (size_t i = 0; i < c->job.reference_count; i++)
        url = add_picture(c, c->job.references[i], "reference_images") || url;
    return url;
}

static void create_run(struct vg_request *request)
{
    struct create *c = of_request(request);
    struct vg_service *service = request->service;
    const Videogate__V1__CreateVideoRequest *in =
        (const Videogate__V1__CreateVideoRequest *)vg_rpc_call_request(request->call);

    if (vg_validate_create(&service->env, in, vg_request_arena(request), &c->job, &c->err) < 0 ||
        take_idempotency_key(c, c->job.request_id) < 0) {
        refuse(c, &c->err);
        return;
    }
    vg_id_new(c->id, "video");
    if (c->op.idempotency_key)
        vg_job_fingerprint(&c->job, service->secret_key, c->op.fingerprint);
    if (gather_pictures(c)) {
        c->group.pictures = c->pictures;
        c->group.count = c->picture_count;
        c->group.executor = vg_loop_executor(service->loop);
        c->group.done.run = fetched;
        vg_media_group_start(service->media, &c->group);
        return;
    }
    for (size_t i = 0; i < c->picture_count; i++)
        if (vg_media_judge(c->pictures[i].bytes, c->pictures[i].param, &c->pictures[i].info,
                           &c->err) < 0) {
            refuse(c, &c->err);
            return;
        }
    if (c->picture_count > 0)
        write_pictures(c);
    else
        insert_job(c);
}

void vg_handle_create(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct create), create_run);
}

/* --- remix --- */

static const char *remix_prompt(const struct create *c)
{
    return ((const Videogate__V1__RemixVideoRequest *)vg_rpc_call_request(c->request.call))->prompt;
}

static void insert_remix(struct create *c)
{
    const struct vg_validate_env *env = &c->request.service->env;
    Videogate__Store__V1__JobSpec spec = *c->spec; /* shallow: the source's routes and lists */
    Videogate__Store__V1__MediaRef refs[MAX_PICTURES];
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
    for (size_t i = 0; i < c->key_count; i++)
        refs[i].blob = c->keys[i];
    insert(c, &spec, env->default_callback_url, env->default_callback_secret);
}

static void run_copy(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, disk);

    for (size_t i = 0; i < c->key_count; i++) {
        if (vg_blob_link(c->request.service->blobs, c->sources[i], c->keys[i], &c->err) < 0) {
            if (c->err.kind == VG_ERR_NOT_FOUND)
                (void)vg_err_set(&c->err, VG_ERR_GONE,
                                 "The input pictures of this video are gone.");
            remove_files(c);
            refuse(c, &c->err);
            return;
        }
        c->written++;
    }
    insert_remix(c);
}

static void add_source(struct create *c, const Videogate__Store__V1__MediaRef *ref)
{
    if (!ref || c->key_count == MAX_PICTURES)
        return;
    vg_blob_input_key(c->keys[c->key_count], c->id, (int32_t)c->key_count);
    c->sources[c->key_count++] = ref->blob;
}

static int64_t remix_deadline(const struct create *c, const char *model)
{
    const struct vg_validate_env *env = &c->request.service->env;
    const struct vg_model *found = vg_catalog_find(env->catalog, model, strlen(model));
    int64_t s = found ? found->routes[0].deadline_s : DEFAULT_DEADLINE_S;

    return env->max_deadline_s > 0 && s > env->max_deadline_s ? env->max_deadline_s : s;
}

static void take_source(struct create *c, const struct vg_video *source)
{
    c->op.model = source->model;
    c->op.prompt = remix_prompt(c);
    c->op.width = source->width;
    c->op.height = source->height;
    c->op.seconds = source->seconds;
    c->op.n = source->n;
    c->op.audio = source->audio;
    c->op.remixed_from = source->id;
    c->op.deadline_s = remix_deadline(c, source->model);
    add_source(c, c->spec->image);
    add_source(c, c->spec->last_frame);
    for (size_t i = 0; i < c->spec->n_references; i++)
        add_source(c, c->spec->references[i]);
}

static void remix_source(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, source.op.done);
    const struct vg_video *source = &c->source.video;

    if (!c->source.op.ok) {
        refuse(c, &c->source.op.err);
        return;
    }
    if (source->status != VG_VIDEO_COMPLETED) {
        (void)vg_err_param(&c->err, VG_ERR_NOT_READY, "id",
                           "Only a completed video can be remixed. Current status: %s",
                           vg_status_word(source->status));
        refuse(c, &c->err);
        return;
    }
    c->spec = videogate__store__v1__job_spec__unpack(NULL, source->spec_size, source->spec);
    if (!c->spec || c->spec->n_routes == 0 || c->spec->n_references > VG_MAX_REFERENCES) {
        (void)vg_err_set(&c->err, VG_ERR_INTERNAL,
                         "The stored parameters of this video cannot be read.");
        refuse(c, &c->err);
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

static void remix_fingerprint(struct create *c, const Videogate__V1__RemixVideoRequest *in)
{
    Videogate__V1__RemixVideoRequest normal = VIDEOGATE__V1__REMIX_VIDEO_REQUEST__INIT;

    normal.id = in->id;
    normal.prompt = in->prompt;
    size_t size = protobuf_c_message_get_packed_size(&normal.base);
    uint8_t *packed = vg_arena_alloc(vg_request_arena(&c->request), size);
    (void)protobuf_c_message_pack(&normal.base, packed);
    vg_sha256(c->op.fingerprint, packed, size);
}

static void remix_run(struct vg_request *request)
{
    struct create *c = of_request(request);
    const Videogate__V1__RemixVideoRequest *in =
        (const Videogate__V1__RemixVideoRequest *)vg_rpc_call_request(request->call);

    if (vg_validate_prompt(in->prompt, &c->err) < 0 ||
        take_idempotency_key(c, in->opt_request_id_case ? in->request_id : NULL) < 0) {
        refuse(c, &c->err);
        return;
    }
    if (!vg_video_id_ok(in->id)) {
        (void)vg_err_param(&c->err, VG_ERR_NOT_FOUND, "id", NULL);
        refuse(c, &c->err);
        return;
    }
    vg_id_new(c->id, "video");
    if (c->op.idempotency_key)
        remix_fingerprint(c, in);
    c->source.id = in->id;
    c->source.project_id = request->who.project_id;
    vg_request_op(request, &c->source.op, remix_source);
    vg_video_get(request->service->db, &c->source);
}

void vg_handle_remix(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct create), remix_run);
}
