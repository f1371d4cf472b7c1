/* SPDX-License-Identifier: Apache-2.0 */
/* Submit: check, record, then answer; and Lookup, which must know what is on its way. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "workers/providers/sandbox/picture.h"
#include "workers/providers/sandbox/reply.h"
#include "workers/providers/sandbox/sandbox_priv.h"
#include "workers/providers/sandbox/source.h"

#define FIRST_POLL_MS 500
#define FLAKY_RETRY_MS 200
#define BUSY_RETRY_MS 1000
#define ROW 16 /* of the memory of refused generations */
#define MAX_REFERENCES 16

struct submission {
    struct vg_sandbox *owner;                    /* borrowed */
    struct vg_op *op;                            /* until the reply */
    const Videogate__V1__SubmitRequest *request; /* lives as long as op */
    const struct vg_sandbox_script *script;
    struct vg_sandbox_job *job; /* owned until it is given to the store */
    struct vg_sandbox_write write;
    struct vg_sandbox_clip_get clip;
    struct vg_task task;
    struct vg_sandbox_pending pending;
    char inputs[VG_ID_SIZE]; /* pictures saved under this id; "": none */
};

/* Before the answer: the request's strings die with it, and a Lookup that follows shall find the
 * job. */
static void leave_pending(struct submission *s)
{
    pthread_mutex_lock(&s->owner->mutex);
    *s->pending.at = s->pending.next;
    if (s->pending.next)
        s->pending.next->at = s->pending.at;
    pthread_mutex_unlock(&s->owner->mutex);
}

static void free_submission(struct submission *s)
{
    vg_sandbox_job_free(s->job);
    free(s);
}

static void fail(struct submission *s, const struct vg_err *err)
{
    leave_pending(s);
    if (s->inputs[0])
        vg_sandbox_drop_inputs(s->owner, s->inputs);
    vg_op_fail(s->op, err);
    free_submission(s);
}

static void refuse(struct submission *s, Videogate__V1__ProviderError *error)
{
    leave_pending(s);
    vg_sandbox_submit_error(s->op, error);
    free_submission(s);
}

/* From now on Lookup knows that this token is being worked on. */
static struct submission *new_submission(struct vg_sandbox *self, const char *token)
{
    struct submission *s = vg_xalloc(sizeof(*s));
    s->owner = self;
    s->pending.token = token;
    pthread_mutex_lock(&self->mutex);
    s->pending.next = self->pending;
    s->pending.at = &self->pending;
    if (self->pending)
        self->pending->at = &s->pending.next;
    self->pending = &s->pending;
    pthread_mutex_unlock(&self->mutex);
    return s;
}

static int64_t poll_after(const struct vg_sandbox_script *script)
{
    return script->failure ? 0 : FIRST_POLL_MS;
}

/* The answer for a recorded job: the same for the first submission and for a repeated one. */
static void answer_submit(struct vg_op *op, const struct vg_sandbox_job *job,
                          const struct vg_sandbox_script *script,
                          const struct vg_sandbox_clip_get *clip, bool first)
{
    struct vg_err err;
    if (script->loses_answer && first) {
        (void)vg_err_set(&err, VG_ERR_UNAVAILABLE, "The answer was lost.");
        vg_op_fail(op, &err);
    } else if (script->instant) {
        const struct vg_sandbox_result result = {clip->bytes, clip->sha256};
        vg_sandbox_submit_finished(op, job, &result);
    } else {
        vg_sandbox_submit_accepted(op, job, poll_after(script));
    }
}

static void recorded(struct vg_sandbox_write *write)
{
    struct submission *s = VG_CONTAINER(write, struct submission, write);
    struct vg_sandbox *self = s->owner;
    if (!write->ok) {
        fail(s, &write->err);
        return;
    }
    leave_pending(s);
    bool first = !write->existed;
    if (!first && s->inputs[0])
        vg_sandbox_drop_inputs(self, s->inputs); /* those of the job that was there stay */
    if (first)
        vg_metric_add(self->metrics, VG_SANDBOX_M_SUBMISSIONS, 0, 1);
    if (first && s->script->renders)
        vg_sandbox_enqueue(self, vg_sandbox_store_ref(self->store, write->job));
    answer_submit(s->op, write->job, s->script, &s->clip, first);
    vg_sandbox_store_unref(self->store, write->job);
    free_submission(s);
}

static void record(struct submission *s)
{
    s->write.job = s->job;
    s->write.done = recorded;
    s->job = NULL;
    vg_sandbox_store_write(s->owner->store, &s->write);
}

static void got_clip(struct vg_sandbox_clip_get *get)
{
    struct submission *s = VG_CONTAINER(get, struct submission, clip);
    if (get->ok)
        record(s);
    else
        fail(s, &get->err);
}

static int check_picture(const struct submission *s, const Videogate__V1__MediaBlob *blob,
                         enum vg_picture_fit fit, const char *param, struct vg_err *err)
{
    struct vg_picture *picture;
    if (!blob)
        return 0;
    struct vg_view bytes = {(const char *)blob->data.data, blob->data.len};
    if (vg_picture_decode(&picture, bytes, s->job->width, s->job->height, fit, param, err))
        return -1;
    vg_picture_free(picture);
    return 0;
}

static int check_source(const struct submission *s, const Videogate__V1__SourceVideo *source,
                        struct vg_err *err)
{
    struct vg_source *opened;
    if (source->operation != VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EDIT &&
        source->operation != VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "video",
                            "video: the sandbox edits and extends, nothing else.");
    struct vg_view bytes = {0};
    if (source->video)
        bytes = (struct vg_view){(const char *)source->video->data.data, source->video->data.len};
    if (vg_source_open(&opened, bytes, s->job->width, s->job->height, err))
        return -1;
    vg_source_free(opened);
    return 0;
}

static int check_pictures(const struct submission *s, struct vg_err *err)
{
    const Videogate__V1__SubmitRequest *r = s->request;
    if (check_picture(s, r->first_frame, VG_PICTURE_LETTERBOX, "first_frame", err) ||
        check_picture(s, r->last_frame, VG_PICTURE_LETTERBOX, "last_frame", err))
        return -1;
    if (r->source && check_source(s, r->source, err))
        return -1;
    for (size_t i = 0; i < r->n_reference_images; i++) {
        if (check_picture(s, r->reference_images[i], VG_PICTURE_INSET, "reference_images", err))
            return -1;
    }
    return 0;
}

/* On the io pool: what a decoder refuses is refused now, not after acceptance. */
static void take_pictures(struct vg_task *task)
{
    struct submission *s = VG_CONTAINER(task, struct submission, task);
    struct vg_err err;
    if (check_pictures(s, &err)) {
        Videogate__V1__ProviderError error;
        vg_sandbox_error_invalid(&error, &err);
        refuse(s, &error);
        return;
    }
    if (vg_sandbox_save_inputs(s->owner, s->job, s->request, &err)) {
        fail(s, &err);
        return;
    }
    memcpy(s->inputs, s->job->id, sizeof(s->inputs));
    record(s);
}

static uint64_t generation_hash(const char *token)
{
    /* "gen12-3" and "gen12:3" are the third attempt of gen12. */
    size_t len = strlen(token);
    size_t cut = len;
    while (cut > 0 && token[cut - 1] != '-' && token[cut - 1] != ':')
        cut--;
    len = cut > 0 ? cut : len;
    return vg_fnv1a((struct vg_view){token, len}, 0) | 1; /* never 0, which marks a free place */
}

/* Remembers in memory only: after a restart one more refusal does no harm. */
static bool first_of_generation(struct vg_sandbox *self, const char *token)
{
    uint64_t hash = generation_hash(token);
    pthread_mutex_lock(&self->mutex);
    /* The latest of each row stand first. A single place would be taken away in turns by two
     * generations that share it, and both be refused for ever. */
    uint64_t *row = &self->refused[(hash >> 1) % (VG_SANDBOX_MEMORY / ROW) * ROW];
    bool first = true;
    for (int i = 0; i < ROW && first; i++)
        first = row[i] != hash;
    if (first) {
        memmove(row + 1, row, (ROW - 1) * sizeof(*row));
        row[0] = hash;
    }
    pthread_mutex_unlock(&self->mutex);
    return first;
}

static struct vg_sandbox_job *job_of(const Videogate__V1__SubmitRequest *request,
                                     const struct vg_sandbox_script *script)
{
    struct vg_sandbox_job *job = vg_sandbox_job_new();
    vg_id_new(job->id, "sbx");
    job->token = vg_xstrdup(request->token);
    job->model = vg_xstrdup(vg_sandbox_script_model(request));
    job->prompt = vg_xstrdup(request->prompt);
    job->created_ms = vg_wall_ms();
    job->width = request->width;
    job->height = request->height;
    job->seconds = request->seconds;
    job->index = request->index;
    job->audio = request->audio;
    job->has_inputs = script->renders && (request->first_frame || request->last_frame ||
                                          request->n_reference_images > 0 || request->source);
    return job;
}

static void shed_unused_prompt(struct submission *s)
{
    if (!s->script->renders) {
        free(s->job->prompt);
        s->job->prompt = NULL;
    }
}

static int check_submission(const struct submission *s, struct vg_err *err)
{
    if (!s->request->prompt[0])
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "prompt", "prompt: must not be empty.");
    if (s->request->n_reference_images > MAX_REFERENCES)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "reference_images",
                            "reference_images: at most %d.", MAX_REFERENCES);
    return vg_sandbox_job_check(s->job, err);
}

/* Sends a checked submission on its way. */
static void dispatch(struct submission *s)
{
    struct vg_sandbox *self = s->owner;
    if (s->script->instant) {
        s->clip.width = s->job->width;
        s->clip.height = s->job->height;
        s->clip.seconds = s->job->seconds;
        s->clip.audio = s->job->audio;
        s->clip.done = got_clip;
        vg_sandbox_clips_get(self->clips, &s->clip);
    } else if (s->job->has_inputs) {
        s->task.run = take_pictures;
        vg_post(vg_work_pool_executor(self->io), &s->task);
    } else {
        record(s);
    }
}

void vg_sandbox_submit(void *ctx, const Videogate__V1__SubmitRequest *request, struct vg_op *op)
{
    struct vg_sandbox *self = ctx;
    struct vg_err err;
    Videogate__V1__ProviderError error;
    struct submission *s = new_submission(self, request->token);
    s->op = op;
    s->request = request;
    s->script = vg_sandbox_script_of(vg_sandbox_script_model(request));
    s->job = job_of(request, s->script);
    if (check_submission(s, &err)) {
        vg_sandbox_error_invalid(&error, &err);
        refuse(s, &error);
        return;
    }
    shed_unused_prompt(s);
    struct vg_sandbox_job *known = vg_sandbox_store_find_token(self->store, request->token);
    if (known && !s->script->instant) {
        leave_pending(s);
        answer_submit(op, known, s->script, NULL, false);
        vg_sandbox_store_unref(self->store, known);
        free_submission(s);
        return;
    }
    vg_sandbox_store_unref(self->store, known);
    if (!known && s->script->refuses_first && first_of_generation(self, request->token)) {
        vg_sandbox_error_busy(&error, FLAKY_RETRY_MS);
        refuse(s, &error);
    } else if (s->script->renders && atomic_load(&self->queued) >= self->config->queue) {
        vg_sandbox_error_busy(&error, BUSY_RETRY_MS);
        refuse(s, &error);
    } else {
        dispatch(s);
    }
}

/* A submission that is still being recorded is neither found nor absent. */
static bool is_pending(struct vg_sandbox *self, const char *token)
{
    bool found = false;
    pthread_mutex_lock(&self->mutex);
    for (const struct vg_sandbox_pending *p = self->pending; p && !found; p = p->next)
        found = strcmp(p->token, token) == 0;
    pthread_mutex_unlock(&self->mutex);
    return found;
}

void vg_sandbox_lookup(void *ctx, const Videogate__V1__LookupRequest *request, struct vg_op *op)
{
    struct vg_sandbox *self = ctx;
    if (is_pending(self, request->token)) {
        vg_sandbox_lookup_retry(op);
        return;
    }
    struct vg_sandbox_job *job = vg_sandbox_store_find_token(self->store, request->token);
    vg_sandbox_lookup_reply(op, job, FIRST_POLL_MS);
    vg_sandbox_store_unref(self->store, job);
}
