/* SPDX-License-Identifier: Apache-2.0 */
/* Submit: reads the input files from the blob store, then hands the generation to the worker.
 * The state `submitting` has been committed before. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "service/event_address.h"
#include "service/jobs/jobs_priv.h"

enum { MAX_FILE = 64 * 1024 * 1024, STORE_RETRY_MS = 5000 };

/* The input files of one submission, read on a disk thread. */
struct vg_inputs {
    struct vg_task task;
    struct vg_job *job;
    struct vg_blob_store *blobs;
    struct vg_executor *back;
    const Videogate__Store__V1__MediaRef *refs[VG_SPEC_MAX_FILES];
    size_t count;
    void *data[VG_SPEC_MAX_FILES]; /* owned */
    size_t size[VG_SPEC_MAX_FILES];
    bool ok;
    struct vg_err err;
};

static struct vg_inputs *free_inputs(struct vg_inputs *in)
{
    for (size_t i = 0; in && i < in->count; i++) {
        free(in->data[i]);
    }
    free(in);
    return NULL;
}

static void submit_answered(struct vg_job *job, const struct vg_rpc_unary *call)
{
    struct vg_fsm_event event = {.kind = VG_EV_LOST};
    if (!call->ok) {
        job->timed_out = call->grpc_code == VG_GRPC_DEADLINE_EXCEEDED;
        if (vg_rpc_malformed(call->grpc_code)) {
            event.kind = VG_EV_ERROR;
            event.error.fallback_ok = true;
            event.reason = "the worker refused the form of the request";
        } else if (vg_rpc_refused(call->grpc_code)) {
            event.kind = VG_EV_NOT_SENT;
        } else {
            event.reason = vg_err_info(call->err.kind)->reason;
        }
        vg_job_event(job, &event);
        return;
    }
    const Videogate__V1__SubmitResponse *r =
        (const Videogate__V1__SubmitResponse *)(const void *)call->response;
    if (r->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED) {
        vg_event_from_accepted(&event, r->accepted);
    } else if (r->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_FINISHED) {
        vg_event_from_finished(&event, r->finished);
    } else if (r->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR) {
        vg_event_from_error(&event, r->error, vg_job_stealth(job), job->arena);
    }
    vg_job_event(job, &event);
}

/* Where the provider's webhook about this submission goes; NULL: none is asked for. */
static char *event_url(const struct vg_job *job, const char *token)
{
    const struct vg_event_addresses *addresses = job->jobs->options.event_addresses;

    return addresses && job->worker->supports_events
               ? vg_event_address(addresses, job->worker->name, token, job->arena)
               : NULL;
}

void vg_submit_describe(struct vg_job *job, char token[VG_TOKEN_SIZE],
                        Videogate__V1__SubmitRequest *out)
{
    const Videogate__Store__V1__JobSpec *spec = job->spec.message;
    vg_spec_token(token, job->row.video_id, job->row.index, job->row.attempts);
    videogate__v1__submit_request__init(out);
    out->token = token;
    out->model = spec->routes[job->row.route]->model;
    out->prompt = spec->prompt;
    out->width = spec->width;
    out->height = spec->height;
    out->seconds = spec->seconds;
    out->audio = spec->audio;
    out->index = job->row.index;
    out->reference_videos = spec->reference_videos;
    out->n_reference_videos = spec->n_reference_videos;
    out->reference_audios = spec->reference_audios;
    out->n_reference_audios = spec->n_reference_audios;
    out->event_url = event_url(job, token);
    out->extra = spec->routes[job->row.route]->extra;
}

bool vg_submit_source(const struct vg_job *job, Videogate__V1__SourceVideo *out)
{
    const Videogate__Store__V1__JobSpec *spec = job->spec.message;
    videogate__v1__source_video__init(out);
    if (!spec->source) {
        return false;
    }
    out->operation = (Videogate__V1__SourceOperation)spec->source->operation;
    out->seconds = spec->source->seconds;
    if (strcmp(spec->source->provider, spec->routes[job->row.route]->provider) == 0) {
        out->upstream_id = spec->source->upstream_id;
        out->poll_state = spec->source->poll_state;
    }
    return true;
}

int64_t vg_submit_start_ms(const struct vg_job *job)
{
    return vg_workers_start_ms(job->jobs->options.lease_ms);
}

/* The files in `in` are only lent to the request. */
static void send(struct vg_job *job, struct vg_inputs *in)
{
    char token[VG_TOKEN_SIZE];
    Videogate__V1__SubmitRequest request;
    vg_submit_describe(job, token, &request);
    /* The lease is good for half of its time: vg_heartbeat_fresh has just said so. */
    request.start_by_ms = vg_wall_ms() + vg_submit_start_ms(job);

    Videogate__V1__MediaBlob blobs[VG_SPEC_MAX_FILES];
    Videogate__V1__MediaBlob *references[VG_SPEC_MAX_FILES];
    for (size_t i = 0; in && i < in->count; i++) {
        videogate__v1__media_blob__init(&blobs[i]);
        blobs[i].data.data = in->data[i];
        blobs[i].data.len = in->size[i];
        blobs[i].mime_type = in->refs[i]->mime_type;
        references[i] = &blobs[i];
    }
    size_t at = 0;
    request.first_frame = vg_spec_has_first(&job->spec) ? &blobs[at++] : NULL;
    request.last_frame = vg_spec_has_last(&job->spec) ? &blobs[at++] : NULL;
    Videogate__V1__SourceVideo source;
    if (in && vg_submit_source(job, &source)) { /* stands last */
        source.video = &blobs[in->count - 1];
        request.source = &source;
    }
    request.n_reference_images = in ? in->count - at - (request.source ? 1 : 0) : 0;
    request.reference_images = in ? &references[at] : NULL;
    vg_job_call(job, "/videogate.v1.ProviderWorkerService/Submit", &request.base,
                &videogate__v1__submit_response__descriptor, job->worker->max_submit_ms,
                submit_answered);
}

static void inputs_back(struct vg_task *task)
{
    struct vg_inputs *in = VG_CONTAINER(task, struct vg_inputs, task);
    struct vg_job *job = in->job;
    job->inputs = NULL;
    if (job->lost || job->ended || job->jobs->dying) {
        vg_gate_leave(job);
        vg_job_end(job);
    } else if (!in->ok) {
        vg_gate_leave(job);
        struct vg_fsm_event event = {.kind = VG_EV_NOT_SENT, .wait_ms = STORE_RETRY_MS};
        if (in->err.kind == VG_ERR_NOT_FOUND || in->err.kind == VG_ERR_INVALID_REQUEST ||
            in->err.kind == VG_ERR_TOO_LARGE) {
            event.kind = VG_EV_ERROR;
            event.reason = "an input file is not in the store";
            event.error.public_message = "An input file could not be read.";
        }
        vg_job_event(job, &event);
    } else if (!vg_heartbeat_fresh(job, VG_STEP_SUBMIT)) {
        vg_gate_leave(job); /* this step comes again after the renewal */
    } else {
        send(job, in);
    }
    free_inputs(in);
}

static void read_inputs(struct vg_task *task)
{
    struct vg_inputs *in = VG_CONTAINER(task, struct vg_inputs, task);
    in->ok = true;
    for (size_t i = 0; i < in->count && in->ok; i++) {
        in->ok = vg_blob_get(in->blobs, in->refs[i]->blob, MAX_FILE, &in->data[i], &in->size[i],
                             &in->err) == 0;
    }
    in->task.run = inputs_back;
    vg_post(in->back, &in->task);
}

static void with_pictures(struct vg_job *job)
{
    if (job->jobs->draining || job->lost) {
        vg_gate_leave(job);
        vg_job_simple(job, VG_EV_NOT_SENT, 0);
        return;
    }
    if (vg_outcome_holds_back(job)) {
        return;
    }
    struct vg_inputs *in = vg_xalloc(sizeof(*in));
    in->task.run = read_inputs;
    in->job = job;
    in->blobs = job->jobs->options.blobs;
    in->back = job->jobs->executor;
    in->count = vg_spec_files(&job->spec, in->refs);
    job->inputs = in;
    vg_post(job->jobs->disk, &in->task);
}

void vg_step_submit(struct vg_job *job)
{
    const Videogate__Store__V1__MediaRef *refs[VG_SPEC_MAX_FILES];
    if (vg_spec_files(&job->spec, refs) == 0) {
        send(job, NULL);
    } else {
        vg_gate_enter(&job->worker->pictures, job, with_pictures);
    }
}
