/* SPDX-License-Identifier: Apache-2.0 */
/* Poll, Fetch and Cancel of recorded jobs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/providers/sandbox/files.h"
#include "workers/providers/sandbox/reply.h"
#include "workers/providers/sandbox/sandbox_priv.h"

#define POLL_MS 500
#define NEVER_FULL_MS                                                                              \
    600000 /* progress of a job that never ends creeps towards 95 over this time */

/* The job of a call, referenced; NULL with `error` filled. */
static struct vg_sandbox_job *job_for(struct vg_sandbox *self, const char *upstream_id,
                                      const ProtobufCBinaryData *state,
                                      Videogate__V1__ProviderError *error)
{
    struct vg_err err;
    struct vg_sandbox_job *job = NULL;
    if (vg_id_valid(upstream_id, strlen(upstream_id), "sbx"))
        job = vg_sandbox_store_find(self->store, upstream_id);
    if (!job) {
        vg_sandbox_error_unknown(error);
    } else if (!vg_sandbox_state_ok(upstream_id, state)) {
        job = vg_sandbox_store_unref(self->store, job);
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "poll_state: is not what was given out.");
        vg_sandbox_error(error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_INVALID_REQUEST,
                         "poll_state", "The provider's state did not come back as it was given.");
    }
    return job;
}

static int64_t age_ms(const struct vg_sandbox_job *job)
{
    int64_t age = vg_wall_ms() - job->created_ms;
    return age < 0 ? 0 : age;
}

/* Finished as the caller may know it. */
static bool shows_finished(const struct vg_sandbox *self, const struct vg_sandbox_job *job,
                           const struct vg_sandbox_view *view)
{
    const struct vg_sandbox_script *script = vg_sandbox_script_of(job->model);
    if (script->instant)
        return view->state != VG_SANDBOX_CANCELED;
    return view->state == VG_SANDBOX_FINISHED &&
           !(script->waits && age_ms(job) < self->config->slow_ms);
}

static int progress_of(const struct vg_sandbox *self, const struct vg_sandbox_job *job)
{
    const struct vg_sandbox_script *script = vg_sandbox_script_of(job->model);
    int64_t age = age_ms(job);
    if (script->waits)
        return age >= self->config->slow_ms ? 99 : (int)(age * 99 / self->config->slow_ms);
    if (!script->renders)
        return age >= NEVER_FULL_MS ? 95 : (int)(age * 95 / NEVER_FULL_MS);
    return atomic_load(&job->progress);
}

struct instant_poll {
    struct vg_sandbox *owner;   /* borrowed */
    struct vg_op *op;           /* until the reply */
    struct vg_sandbox_job *job; /* referenced */
    bool fetch;
    struct vg_sandbox_clip_get clip;
};

static void fetch_path(struct vg_sandbox *self, struct vg_op *op, struct vg_sandbox_job *job,
                       const char *path, const struct vg_sandbox_result *result);

static void got_instant(struct vg_sandbox_clip_get *get)
{
    struct instant_poll *p = VG_CONTAINER(get, struct instant_poll, clip);
    struct vg_sandbox *self = p->owner;
    const struct vg_sandbox_result result = {get->bytes, get->sha256};
    if (!get->ok) {
        vg_op_fail(p->op, &get->err);
        vg_sandbox_store_unref(self->store, p->job);
    } else if (p->fetch) {
        char path[VG_SANDBOX_PATH_SIZE];
        vg_sandbox_clip_path(path, vg_sandbox_store_dir(self->store), get->width, get->height,
                             get->seconds, get->audio);
        fetch_path(self, p->op, p->job, path, &result);
    } else {
        vg_sandbox_poll_finished(p->op, p->job, &result);
        vg_sandbox_store_unref(self->store, p->job);
    }
    free(p);
}

/* A shared clip may have to be made again after a restart. */
static void with_instant(struct vg_sandbox *self, struct vg_op *op, struct vg_sandbox_job *job,
                         bool fetch)
{
    struct instant_poll *p = vg_xalloc(sizeof(*p));
    p->owner = self;
    p->op = op;
    p->job = job;
    p->fetch = fetch;
    p->clip.width = job->width;
    p->clip.height = job->height;
    p->clip.seconds = job->seconds;
    p->clip.audio = job->audio;
    p->clip.done = got_instant;
    vg_sandbox_clips_get(self->clips, &p->clip);
}

static void poll_open(struct vg_sandbox *self, struct vg_op *op, const struct vg_sandbox_job *job)
{
    const struct vg_sandbox_script *script = vg_sandbox_script_of(job->model);
    Videogate__V1__ProviderError error;
    if (script->failure) {
        vg_sandbox_error_script(&error, script);
        vg_sandbox_poll_error(op, &error);
    } else {
        vg_sandbox_poll_running(op, job, progress_of(self, job), POLL_MS);
    }
}

void vg_sandbox_poll(void *ctx, const Videogate__V1__PollRequest *request, struct vg_op *op)
{
    struct vg_sandbox *self = ctx;
    Videogate__V1__ProviderError error;
    struct vg_sandbox_view view;
    struct vg_sandbox_job *job = job_for(self, request->upstream_id, &request->poll_state, &error);
    if (!job) {
        vg_sandbox_poll_error(op, &error);
        return;
    }
    vg_sandbox_store_view(self->store, job, &view);
    if (shows_finished(self, job, &view) && vg_sandbox_script_of(job->model)->instant) {
        with_instant(self, op, job, false);
        return;
    }
    if (shows_finished(self, job, &view)) {
        const struct vg_sandbox_result result = {view.bytes, view.sha256};
        vg_sandbox_poll_finished(op, job, &result);
    } else if (view.state == VG_SANDBOX_CANCELED) {
        vg_sandbox_poll_canceled(op);
    } else if (view.state == VG_SANDBOX_FAILED) {
        vg_sandbox_error(&error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL,
                         "render_failed", "The provider failed to make this video.");
        error.fallback_ok = true;
        vg_sandbox_poll_error(op, &error);
    } else {
        poll_open(self, op, job);
    }
    vg_sandbox_store_unref(self->store, job);
}

struct refused_fetch {
    struct vg_op *op; /* until finish */
    struct vg_task task;
};

static void finish_refused(struct vg_task *task)
{
    struct refused_fetch *r = VG_CONTAINER(task, struct refused_fetch, task);
    vg_op_finish(r->op);
    free(r);
}

static void refuse_fetch(struct vg_sandbox *self, struct vg_op *op,
                         Videogate__V1__ProviderError *error)
{
    struct refused_fetch *r = vg_xalloc(sizeof(*r));
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    r->op = op;
    r->task.run = finish_refused;
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_ERROR;
    message.error = error;
    vg_op_send(op, &message.base, vg_work_pool_executor(self->io), &r->task);
}

/* Takes over the reference. */
static void fetch_path(struct vg_sandbox *self, struct vg_op *op, struct vg_sandbox_job *job,
                       const char *path, const struct vg_sandbox_result *result)
{
    struct vg_sandbox_fetch_desc desc = {.job = job, .bytes = result->bytes};
    Videogate__V1__ProviderError error;
    memcpy(desc.sha256, result->sha256, sizeof(desc.sha256));
    desc.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (desc.fd < 0) {
        bool gone = errno == ENOENT;
        vg_sandbox_store_unref(self->store, job);
        if (gone)
            vg_sandbox_error(&error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_RESULT_EXPIRED,
                             "file_gone", "The provider does not have the file any more.");
        else
            vg_sandbox_error(&error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_OVERLOADED, "not_now",
                             "The provider cannot read the file now.");
        error.retryable = !gone;
        refuse_fetch(self, op, &error);
        return;
    }
    desc.cut =
        vg_sandbox_script_of(job->model)->cuts_first_fetch && !atomic_exchange(&job->fetched, true);
    vg_sandbox_fetch_start(self, op, &desc);
}

void vg_sandbox_fetch(void *ctx, const Videogate__V1__FetchRequest *request, struct vg_op *op)
{
    struct vg_sandbox *self = ctx;
    Videogate__V1__ProviderError error;
    struct vg_sandbox_view view;
    struct vg_sandbox_job *job = job_for(self, request->upstream_id, &request->poll_state, &error);
    if (!job) {
        refuse_fetch(self, op, &error);
        return;
    }
    vg_sandbox_store_view(self->store, job, &view);
    if (!shows_finished(self, job, &view)) {
        vg_sandbox_store_unref(self->store, job);
        vg_sandbox_error(&error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL,
                         "not_finished", "The video is not finished.");
        error.retryable = view.state == VG_SANDBOX_ACCEPTED;
        refuse_fetch(self, op, &error);
    } else if (vg_sandbox_script_of(job->model)->instant) {
        with_instant(self, op, job, true);
    } else {
        char name[VG_ID_SIZE + 8];
        char path[VG_SANDBOX_PATH_SIZE];
        const struct vg_sandbox_result result = {view.bytes, view.sha256};
        (void)snprintf(name, sizeof(name), "%s.mp4", job->id);
        vg_sandbox_path(path, vg_sandbox_store_dir(self->store), "videos", name);
        fetch_path(self, op, job, path, &result);
    }
}

struct cancelation {
    struct vg_sandbox *owner; /* borrowed */
    struct vg_op *op;         /* until the reply */
    struct vg_sandbox_write write;
};

static void canceled(struct vg_sandbox_write *write)
{
    struct cancelation *c = VG_CONTAINER(write, struct cancelation, write);
    if (write->ok)
        vg_sandbox_cancel_reply(
            c->op, write->applied ? VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED
                                  : VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    else
        vg_op_fail(c->op, &write->err);
    vg_sandbox_store_unref(c->owner->store, write->job);
    free(c);
}

static void start_cancel(struct vg_sandbox *self, struct vg_op *op, struct vg_sandbox_job *job)
{
    struct cancelation *c = vg_xalloc(sizeof(*c));
    c->owner = self;
    c->op = op;
    c->write.job = job;
    c->write.ends = true;
    c->write.state = VG_SANDBOX_CANCELED;
    c->write.done = canceled;
    atomic_store(&job->cancel, true);
    vg_sandbox_store_write(self->store, &c->write);
}

void vg_sandbox_cancel(void *ctx, const Videogate__V1__CancelRequest *request, struct vg_op *op)
{
    struct vg_sandbox *self = ctx;
    Videogate__V1__ProviderError error;
    struct vg_sandbox_view view;
    struct vg_sandbox_job *job = job_for(self, request->upstream_id, &request->poll_state, &error);
    if (!job) {
        vg_sandbox_cancel_reply(op, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_NOT_FOUND);
        return;
    }
    vg_sandbox_store_view(self->store, job, &view);
    bool ended = view.state == VG_SANDBOX_FAILED || shows_finished(self, job, &view) ||
                 vg_sandbox_script_of(job->model)->failure;
    if (!ended && view.state != VG_SANDBOX_CANCELED) {
        start_cancel(self, op, job);
        return;
    }
    vg_sandbox_cancel_reply(op, ended ? VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE
                                      : VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    vg_sandbox_store_unref(self->store, job);
}
