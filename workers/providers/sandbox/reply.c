/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/reply.h"

#include <stdio.h>
#include <string.h>

#define STATE_PREFIX "sandbox/1 "
#define STATE_SIZE (sizeof(STATE_PREFIX) + VG_ID_SIZE)

static ProtobufCBinaryData state_of(char text[STATE_SIZE], const char *id)
{
    int len = snprintf(text, STATE_SIZE, STATE_PREFIX "%s", id);
    return (ProtobufCBinaryData){(size_t)len, (uint8_t *)text};
}

bool vg_sandbox_state_ok(const char *upstream_id, const ProtobufCBinaryData *state)
{
    char text[STATE_SIZE];
    if (strnlen(upstream_id, VG_ID_SIZE) >= VG_ID_SIZE)
        return false;
    ProtobufCBinaryData own = state_of(text, upstream_id);
    return own.len == state->len && memcmp(own.data, state->data, own.len) == 0;
}

static void fill_accepted(Videogate__V1__Accepted *out, char state[STATE_SIZE],
                          const struct vg_sandbox_job *job, int64_t poll_after_ms)
{
    videogate__v1__accepted__init(out);
    out->upstream_id = (char *)job->id;
    out->poll_state = state_of(state, job->id);
    out->poll_after_ms = poll_after_ms;
}

static void fill_finished(Videogate__V1__Finished *out, char state[STATE_SIZE],
                          const struct vg_sandbox_job *job, const struct vg_sandbox_result *result)
{
    videogate__v1__finished__init(out);
    out->upstream_id = (char *)job->id;
    out->poll_state = state_of(state, job->id);
    out->mime_type = "video/mp4";
    out->bytes = result->bytes;
    out->sha256 = (char *)result->sha256;
}

void vg_sandbox_submit_accepted(struct vg_op *op, const struct vg_sandbox_job *job,
                                int64_t poll_after_ms)
{
    char state[STATE_SIZE];
    Videogate__V1__Accepted accepted;
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    fill_accepted(&accepted, state, job, poll_after_ms);
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED;
    response.accepted = &accepted;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_submit_finished(struct vg_op *op, const struct vg_sandbox_job *job,
                                const struct vg_sandbox_result *result)
{
    char state[STATE_SIZE];
    Videogate__V1__Finished finished;
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    fill_finished(&finished, state, job, result);
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_FINISHED;
    response.finished = &finished;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_submit_error(struct vg_op *op, Videogate__V1__ProviderError *error)
{
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR;
    response.error = error;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_poll_running(struct vg_op *op, const struct vg_sandbox_job *job, int progress,
                             int64_t poll_after_ms)
{
    char state[STATE_SIZE];
    Videogate__V1__Running running = VIDEOGATE__V1__RUNNING__INIT;
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    running.progress = progress < 0 ? 0 : progress > 99 ? 99 : progress;
    running.poll_after_ms = poll_after_ms;
    running.poll_state = state_of(state, job->id);
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING;
    response.running = &running;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_poll_finished(struct vg_op *op, const struct vg_sandbox_job *job,
                              const struct vg_sandbox_result *result)
{
    char state[STATE_SIZE];
    Videogate__V1__Finished finished;
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    fill_finished(&finished, state, job, result);
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_FINISHED;
    response.finished = &finished;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_poll_canceled(struct vg_op *op)
{
    Videogate__V1__Canceled canceled = VIDEOGATE__V1__CANCELED__INIT;
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED;
    response.canceled = &canceled;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_poll_error(struct vg_op *op, Videogate__V1__ProviderError *error)
{
    Videogate__V1__PollResponse response = VIDEOGATE__V1__POLL_RESPONSE__INIT;
    response.state_case = VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR;
    response.error = error;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_cancel_reply(struct vg_op *op, Videogate__V1__CancelOutcome outcome)
{
    Videogate__V1__CancelResponse response = VIDEOGATE__V1__CANCEL_RESPONSE__INIT;
    response.outcome = outcome;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_lookup_reply(struct vg_op *op, const struct vg_sandbox_job *job,
                             int64_t poll_after_ms)
{
    char state[STATE_SIZE];
    Videogate__V1__Accepted accepted;
    Videogate__V1__LookupResponse response = VIDEOGATE__V1__LOOKUP_RESPONSE__INIT;
    response.outcome = VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT;
    if (job) {
        fill_accepted(&accepted, state, job, poll_after_ms);
        response.outcome = VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND;
        response.accepted = &accepted;
    }
    vg_op_reply(op, &response.base);
}

void vg_sandbox_lookup_retry(struct vg_op *op)
{
    Videogate__V1__LookupResponse response = VIDEOGATE__V1__LOOKUP_RESPONSE__INIT;
    response.outcome = VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY;
    vg_op_reply(op, &response.base);
}

void vg_sandbox_error(Videogate__V1__ProviderError *out, Videogate__V1__ErrorClass class,
                      const char *code, const char *text)
{
    videogate__v1__provider_error__init(out);
    out->class_ = class;
    out->upstream_code = (char *)code;
    out->upstream_message = (char *)text;
    out->public_message = (char *)text;
}

void vg_sandbox_error_script(Videogate__V1__ProviderError *out,
                             const struct vg_sandbox_script *script)
{
    vg_sandbox_error(out, script->failure, script->code, script->text);
    out->fallback_ok = script->fallback_ok;
}

void vg_sandbox_error_invalid(Videogate__V1__ProviderError *out, const struct vg_err *err)
{
    vg_sandbox_error(out, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_INVALID_REQUEST,
                     "invalid_request", vg_err_text(err));
    out->http_status = 400;
}

void vg_sandbox_error_busy(Videogate__V1__ProviderError *out, int64_t retry_after_ms)
{
    vg_sandbox_error(out, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_OVERLOADED, "overloaded",
                     "The provider is busy.");
    out->retryable = true;
    out->fallback_ok = true;
    out->retry_after_ms = retry_after_ms;
    out->http_status = 503;
}

void vg_sandbox_error_unknown(Videogate__V1__ProviderError *out)
{
    vg_sandbox_error(out, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_NOT_FOUND, "not_found",
                     "The provider does not know this job.");
    out->http_status = 404;
}
