/* SPDX-License-Identifier: Apache-2.0 */
/* Poll and Cancel of a submitted generation. */
#include "common/clock.h"
#include "service/jobs/jobs_priv.h"

enum { POLL_MS = 30 * 1000, CANCEL_MS = 15 * 1000 };

static void from_running(struct vg_fsm_event *event, const Videogate__V1__Running *running)
{
    event->kind = VG_EV_RUNNING;
    event->progress = running->progress;
    event->wait_ms = running->poll_after_ms;
    event->poll_state = running->poll_state.data;
    event->poll_state_size = running->poll_state.len;
}

static void poll_answered(struct vg_job *job, const struct vg_rpc_unary *call)
{
    struct vg_fsm_event event = {.kind = VG_EV_LOST, .wait_ms = vg_worker_wait_ms(job->worker)};
    if (!call->ok) {
        event.reason = vg_err_info(call->err.kind)->reason;
        vg_job_event(job, &event);
        return;
    }
    const Videogate__V1__PollResponse *r =
        (const Videogate__V1__PollResponse *)(const void *)call->response;
    switch (r->state_case) {
    case VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING:
        from_running(&event, r->running);
        if (event.poll_state_size > VG_POLL_STATE_MAX) {
            event.kind = VG_EV_LOST;
        }
        break;
    case VIDEOGATE__V1__POLL_RESPONSE__STATE_FINISHED:
        vg_event_from_finished(&event, r->finished);
        break;
    case VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR:
        vg_event_from_error(&event, r->error, vg_job_stealth(job), job->arena);
        break;
    case VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED:
        event.kind = VG_EV_UP_CANCELED;
        break;
    case VIDEOGATE__V1__POLL_RESPONSE__STATE_EXPIRED:
        event.kind = VG_EV_UP_EXPIRED;
        break;
    default:
        event.reason = "the worker's answer is empty";
        break;
    }
    vg_job_event(job, &event);
}

static const char *upstream_id(const struct vg_job *job)
{
    return job->row.upstream_id ? job->row.upstream_id : "";
}

static ProtobufCBinaryData poll_state(const struct vg_job *job)
{
    /* protobuf-c's requests are not const; packing does not write */
    return (ProtobufCBinaryData){job->row.poll_state_size, (uint8_t *)job->row.poll_state};
}

void vg_step_poll(struct vg_job *job)
{
    Videogate__V1__PollRequest request = VIDEOGATE__V1__POLL_REQUEST__INIT;
    request.upstream_id = (char *)upstream_id(job);
    request.poll_state = poll_state(job);
    vg_job_call(job, "/videogate.v1.ProviderWorkerService/Poll", &request.base,
                &videogate__v1__poll_response__descriptor, POLL_MS, poll_answered);
}

static void cancel_answered(struct vg_job *job, const struct vg_rpc_unary *call)
{
    struct vg_fsm_event event = {.kind = call->ok ? VG_EV_CANCEL_DONE : VG_EV_CANCEL_LOST};
    vg_job_event(job, &event);
}

static void stop_answered(struct vg_job *job, const struct vg_rpc_unary *call)
{
    (void)call;
    vg_job_end(job);
}

static void call_cancel(struct vg_job *job,
                        void (*answered)(struct vg_job *job, const struct vg_rpc_unary *call))
{
    Videogate__V1__CancelRequest request = VIDEOGATE__V1__CANCEL_REQUEST__INIT;
    request.upstream_id = (char *)upstream_id(job);
    request.poll_state = poll_state(job);
    vg_job_call(job, "/videogate.v1.ProviderWorkerService/Cancel", &request.base,
                &videogate__v1__cancel_response__descriptor, CANCEL_MS, answered);
}

void vg_step_cancel(struct vg_job *job)
{
    call_cancel(job, cancel_answered);
}

void vg_step_stop_upstream(struct vg_job *job)
{
    if (!job->worker || !job->worker->supports_cancel || !vg_worker_up(job->worker)) {
        vg_job_end(job);
        return;
    }
    job->step = VG_STEP_CANCEL;
    job->step_ns = vg_now_ns();
    call_cancel(job, stop_answered);
}
