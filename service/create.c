/* SPDX-License-Identifier: Apache-2.0 */
/* CreateVideo: validate -> pictures -> files -> record. */
#include <string.h>

#include "common/log.h"
#include "service/create_priv.h"

static void insert_job(struct vg_create *c)
{
    const struct vg_job *job = &c->job;
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    Videogate__Store__V1__MediaRef refs[VG_CREATE_MAX_PICTURES];
    Videogate__Store__V1__MediaRef *references[VG_MAX_REFERENCES];
    size_t next = 0;

    for (size_t i = 0; i < c->key_count; i++) {
        videogate__store__v1__media_ref__init(&refs[i]);
        refs[i].blob = c->keys[i];
        refs[i].mime_type = vg_pb_text(c->pictures[i].info.mime_type);
    }
    if (job->image)
        spec.image = &refs[next++];
    if (job->last_frame)
        spec.last_frame = &refs[next++];
    for (size_t i = 0; i < job->reference_count; i++)
        references[i] = &refs[next++];
    spec.references = references;
    spec.n_references = job->reference_count;
    spec.reference_videos = job->reference_videos;
    spec.n_reference_videos = job->reference_video_count;
    spec.reference_audios = job->reference_audios;
    spec.n_reference_audios = job->reference_audio_count;
    vg_create_put_job(c, &spec);
    vg_create_insert(c, &spec);
}

/* On the pool. */
static int write_all(struct vg_create *c)
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
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, disk);

    if (write_all(c) == 0) {
        insert_job(c);
        return;
    }
    vg_log(VG_LOG_ERROR, "input picture not stored", VG_S("video", c->id),
           VG_S("why", vg_err_text(&c->err)));
    vg_create_remove_files(c);
    vg_create_refuse(c, &c->err);
}

static void write_pictures(struct vg_create *c)
{
    for (size_t i = 0; i < c->picture_count; i++)
        vg_blob_input_key(c->keys[i], c->id, (int32_t)i);
    c->key_count = c->picture_count;
    c->disk.run = run_write;
    vg_post(c->request.service->pool, &c->disk);
}

/* Routes that do not take them are left out. The fingerprint stays: it is of what was asked for. */
static int judge_pictures(struct vg_create *c)
{
    return vg_validate_pictures(vg_request_env(&c->request), vg_request_message(&c->request),
                                c->pictures, c->picture_count, vg_request_arena(&c->request),
                                &c->job, &c->err);
}

static void fetched(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, group.done);

    if (!c->group.ok) {
        vg_create_refuse(c, &c->group.err);
        return;
    }
    if (judge_pictures(c) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    write_pictures(c);
}

static void fetch(struct vg_create *c)
{
    struct vg_service *service = c->request.service;

    c->group.pictures = c->pictures;
    c->group.count = c->picture_count;
    c->group.executor = vg_loop_executor(service->loop);
    c->group.done.run = fetched;
    vg_media_group_start(service->media, &c->group);
}

static bool add_picture(struct vg_create *c, const Videogate__V1__MediaInput *input,
                        const char *param)
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
static bool gather_pictures(struct vg_create *c)
{
    bool url = add_picture(c, c->job.image, "image");

    url = add_picture(c, c->job.last_frame, "last_frame") || url;
    for (size_t i = 0; i < c->job.reference_count; i++)
        url = add_picture(c, c->job.references[i], c->job.reference_param) || url;
    return url;
}

static void create_run(struct vg_request *request)
{
    struct vg_create *c = vg_create_of(request);
    struct vg_service *service = request->service;
    const Videogate__V1__CreateVideoRequest *in = vg_request_message(request);

    if (vg_validate_create(vg_request_env(request), in, vg_request_arena(request), &c->job,
                           &c->err) < 0 ||
        vg_create_take_key(c, c->job.request_id) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    vg_id_new(c->id, "video");
    if (vg_create_needs_fingerprint(c))
        vg_job_fingerprint(&c->job, service->secret_key, c->op.fingerprint);
    if (gather_pictures(c)) { /* a replay does without what may be gone from there by now */
        vg_create_unless_replay(c, fetch);
        return;
    }
    for (size_t i = 0; i < c->picture_count; i++)
        if (vg_media_judge(c->pictures[i].bytes, c->pictures[i].param, &c->pictures[i].info,
                           &c->err) < 0) {
            vg_create_refuse(c, &c->err);
            return;
        }
    if (c->picture_count > 0 && judge_pictures(c) < 0) {
        vg_create_refuse(c, &c->err);
        return;
    }
    vg_create_unless_repeat(c, c->picture_count > 0 ? write_pictures : insert_job);
}

void vg_handle_create(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct vg_create), VG_SCOPE_VIDEOS_WRITE, create_run);
}
