/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup: what became of a submission whose answer was lost. */
#include "service/jobs/jobs_priv.h"

enum { LOOKUP_MS = 30 * 1000 };

static const enum vg_fsm_event_kind kinds[] = {
    [VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSPECIFIED] = VG_EV_LOOKUP_RETRY,
    [VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND] = VG_EV_ACCEPTED,
    [VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT] = VG_EV_ABSENT,
    [VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED] = VG_EV_NO_LOOKUP,
    [VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY] = VG_EV_LOOKUP_RETRY,
};

static void lookup_answered(struct vg_job *job, const struct vg_rpc_unary *call)
{
    struct vg_fsm_event event = {.kind = VG_EV_LOOKUP_RETRY};
    if (!call->ok) {
        event.reason = vg_err_info(call->err.kind)->reason;
        if (call->grpc_code == VG_GRPC_UNIMPLEMENTED) {
            event.kind = VG_EV_NO_LOOKUP;
        }
        vg_job_event(job, &event);
        return;
    }
    const Videogate__V1__LookupResponse *r =
        (const Videogate__V1__LookupResponse *)(const void *)call->response;
    size_t outcome = (size_t)r->outcome;
    event.kind = outcome < VG_COUNT(kinds) ? kinds[outcome] : VG_EV_LOOKUP_RETRY;
    if (event.kind == VG_EV_ACCEPTED && !r->accepted) {
        event.kind = VG_EV_LOOKUP_RETRY;
    } else if (event.kind == VG_EV_ACCEPTED) {
        vg_event_from_accepted(&event, r->accepted);
    }
    vg_job_event(job, &event);
}

void vg_step_lookup(struct vg_job *job)
{
    if (!job->worker->supports_lookup) {
        vg_job_simple(job, VG_EV_NO_LOOKUP, 0);
        return;
    }
    char token[VG_TOKEN_SIZE];
    vg_spec_token(token, job->row.video_id, job->row.index, job->row.attempts);
    Videogate__V1__LookupRequest request = VIDEOGATE__V1__LOOKUP_REQUEST__INIT;
    request.token = token;
    vg_job_call(job, "/videogate.v1.ProviderWorkerService/Lookup", &request.base,
                &videogate__v1__lookup_response__descriptor, LOOKUP_MS, lookup_answered);
}
