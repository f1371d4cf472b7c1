/* SPDX-License-Identifier: Apache-2.0 */
/* The slow part: pictures of a submission on disk, and one job on a renderer's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb_alloc.h"
#include "workers/providers/sandbox/files.h"
#include "workers/providers/sandbox/render.h"
#include "workers/providers/sandbox/sandbox_priv.h"

#define MAX_INPUTS ((size_t)128 << 20)

struct work {
    struct vg_sandbox *owner;   /* borrowed */
    struct vg_sandbox_job *job; /* referenced */
    struct vg_sandbox_write end;
    struct vg_task task;
};

int vg_sandbox_save_inputs(struct vg_sandbox *self, const struct vg_sandbox_job *job,
                           const Videogate__V1__SubmitRequest *request, struct vg_err *err)
{
    char temp[VG_SANDBOX_PATH_SIZE];
    char path[VG_SANDBOX_PATH_SIZE];
    const char *dir = vg_sandbox_store_dir(self->store);
    vg_sandbox_path(temp, dir, "tmp", job->id);
    vg_sandbox_path(path, dir, "inputs", job->id);
    /* The pictures and the source alone, in the request's own form. */
    Videogate__V1__SubmitRequest pictures = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;
    pictures.first_frame = request->first_frame;
    pictures.last_frame = request->last_frame;
    pictures.n_reference_images = request->n_reference_images;
    pictures.reference_images = request->reference_images;
    pictures.source = request->source;
    size_t size = videogate__v1__submit_request__get_packed_size(&pictures);
    if (size > MAX_INPUTS)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The inputs are too large together.");
    uint8_t *packed = vg_xalloc(size);
    (void)videogate__v1__submit_request__pack(&pictures, packed); /* returns the same size */
    int rc = vg_sandbox_write_file(temp, path, (struct vg_view){(char *)packed, size}, err);
    free(packed);
    return rc;
}

void vg_sandbox_drop_inputs(struct vg_sandbox *self, const char *id)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, vg_sandbox_store_dir(self->store), "inputs", id);
    (void)unlink(path); /* a leftover is removed at the next start */
}

static int load_inputs(struct vg_sandbox *self, const struct vg_sandbox_job *job,
                       Videogate__V1__SubmitRequest **out, struct vg_err *err)
{
    char path[VG_SANDBOX_PATH_SIZE];
    struct vg_buf bytes;
    vg_sandbox_path(path, vg_sandbox_store_dir(self->store), "inputs", job->id);
    vg_buf_init(&bytes, MAX_INPUTS + ((size_t)1 << 20));
    int rc = vg_sandbox_read_file(&bytes, path, err);
    if (!rc) {
        *out = videogate__v1__submit_request__unpack(vg_pb_allocator(), bytes.len,
                                                     (const uint8_t *)bytes.data);
        if (!*out)
            rc = vg_err_set(err, VG_ERR_INTERNAL, "The stored inputs cannot be read.");
    }
    vg_buf_fini(&bytes);
    return rc;
}

static struct vg_view view_of(const Videogate__V1__MediaBlob *blob)
{
    return blob ? (struct vg_view){(const char *)blob->data.data, blob->data.len}
                : (struct vg_view){0};
}

static void use_inputs(struct vg_scene_desc *scene, const Videogate__V1__SubmitRequest *inputs)
{
    scene->first_frame = view_of(inputs->first_frame);
    scene->last_frame = view_of(inputs->last_frame);
    if (inputs->source) {
        scene->source = view_of(inputs->source->video);
        scene->extend =
            inputs->source->operation == VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND;
    }
    for (size_t i = 0; i < inputs->n_reference_images && i < VG_SCENE_INSETS; i++)
        scene->insets[i] = view_of(inputs->reference_images[i]);
}

static bool on_progress(void *ctx, int percent)
{
    struct work *work = ctx;
    atomic_store(&work->job->progress, percent);
    return !atomic_load(&work->job->cancel) && !atomic_load(&work->owner->stopping);
}

static int render(struct work *work, const char *temp, struct vg_err *err)
{
    const struct vg_sandbox_job *job = work->job;
    Videogate__V1__SubmitRequest *inputs = NULL;
    if (job->has_inputs && load_inputs(work->owner, job, &inputs, err))
        return -1;
    struct vg_render what = {
        .path = temp, .audio = job->audio, .progress = on_progress, .ctx = work};
    what.scene.width = job->width;
    what.scene.height = job->height;
    what.scene.seconds = job->seconds;
    what.scene.seed = job->index;
    what.scene.prompt = job->prompt ? job->prompt : "";
    what.scene.model = job->model;
    what.scene.font_file = work->owner->config->font;
    if (inputs)
        use_inputs(&what.scene, inputs);
    int rc = vg_render_run(&what, err);
    if (inputs)
        videogate__v1__submit_request__free_unpacked(inputs, NULL);
    return rc;
}

/* Renders under a temporary name; the final name stands for a whole file. */
static int make_video(struct work *work, struct vg_err *err)
{
    char name[VG_ID_SIZE + 8];
    char temp[VG_SANDBOX_PATH_SIZE];
    char path[VG_SANDBOX_PATH_SIZE];
    const char *dir = vg_sandbox_store_dir(work->owner->store);
    (void)snprintf(name, sizeof(name), "%s.mp4", work->job->id);
    vg_sandbox_path(temp, dir, "tmp", name);
    vg_sandbox_path(path, dir, "videos", name);
    if (render(work, temp, err) ||
        vg_sandbox_hash_file(temp, &work->end.bytes, work->end.sha256, err))
        return -1;
    return vg_sandbox_publish(temp, path, err);
}

/* A cancel came first: nobody will ask for the file. */
static void drop_video(struct vg_sandbox *self, const struct vg_sandbox_job *job)
{
    char name[VG_ID_SIZE + 8];
    char path[VG_SANDBOX_PATH_SIZE];
    (void)snprintf(name, sizeof(name), "%s.mp4", job->id);
    vg_sandbox_path(path, vg_sandbox_store_dir(self->store), "videos", name);
    (void)unlink(path); /* a leftover is removed at the next start */
}

static void free_work(struct work *work)
{
    struct vg_sandbox *self = work->owner;
    atomic_fetch_sub(&self->queued, 1);
    vg_metric_add(self->metrics, VG_SANDBOX_M_QUEUE, 0, -1);
    vg_sandbox_store_unref(self->store, work->job);
    free(work);
}

static void ended(struct vg_sandbox_write *write)
{
    struct work *work = VG_CONTAINER(write, struct work, end);
    /* The pictures go only now: until the end is on disk a restart renders again. */
    if (work->job->has_inputs)
        vg_sandbox_drop_inputs(work->owner, work->job->id);
    if (write->state == VG_SANDBOX_FINISHED && !write->applied)
        drop_video(work->owner, work->job);
    vg_sandbox_store_shed(work->owner->store, work->job);
    free_work(work);
}

static void run_work(struct vg_task *task)
{
    struct work *work = VG_CONTAINER(task, struct work, task);
    struct vg_sandbox *self = work->owner;
    struct vg_err err;
    int64_t started = vg_now_ns();
    bool given_up = !on_progress(work, 0);
    int rc = given_up ? -1 : make_video(work, &err);
    bool canceled = atomic_load(&work->job->cancel);
    if (rc && atomic_load(&self->stopping) && !canceled) {
        free_work(work); /* still accepted: the next process renders it */
        return;
    }
    size_t outcome = canceled ? VG_SANDBOX_RENDER_CANCELED
                     : rc     ? VG_SANDBOX_RENDER_FAILED
                              : VG_SANDBOX_RENDER_OK;
    vg_metric_add(self->metrics, VG_SANDBOX_M_RENDERS, outcome, 1);
    if (!rc)
        vg_metric_observe_ns(self->metrics, VG_SANDBOX_M_RENDER_SECONDS, 0, vg_now_ns() - started);
    if (rc && !canceled)
        vg_log(VG_LOG_ERROR, "sandbox could not render", VG_S("id", work->job->id),
               VG_S("error", vg_err_text(&err)));
    work->end.job = work->job;
    work->end.ends = true;
    work->end.state = canceled ? VG_SANDBOX_CANCELED : rc ? VG_SANDBOX_FAILED : VG_SANDBOX_FINISHED;
    work->end.done = ended;
    vg_sandbox_store_write(self->store, &work->end);
}

void vg_sandbox_enqueue(struct vg_sandbox *self, struct vg_sandbox_job *job)
{
    struct work *work = vg_xalloc(sizeof(*work));
    work->owner = self;
    work->job = job;
    work->task.run = run_work;
    atomic_fetch_add(&self->queued, 1);
    vg_metric_add(self->metrics, VG_SANDBOX_M_QUEUE, 0, 1);
    pthread_mutex_lock(&self->mutex);
    bool closed = self->closed;
    if (!closed)
        vg_post(vg_work_pool_executor(self->renderers), &work->task);
    pthread_mutex_unlock(&self->mutex);
    if (closed)
        free_work(work); /* durable already: the next process renders it */
}
