/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup: what became of a submission whose answer was lost. */
#include <stdlib.h>

#include "common/clock.h"
#include "db/trace_store.h"
#include "service/jobs/jobs_priv.h"

enum {
    LOOKUP_MS = 30 * 1000,
    NEAR_MS = 10 * 1000,
    SKEW_MS = 60 * 1000,
    BUSY_LOOKUPS = 8 /* some minutes, with their backoff */
};

/* What the database says of other submissions, asked for before the worker is. */
struct vg_lookup {
    struct vg_submissions_near op;
    struct vg_job *job;
    struct vg_arena *arena; /* owned */
};

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
    if (event.kind == VG_EV_NO_LOOKUP && job->others_open) {
        event.kind = VG_EV_LOOKUP_RETRY; /* what is found may be theirs; soon they know */
        event.reason = "another submission is open";
    }
    if (event.kind == VG_EV_ACCEPTED && !r->accepted) {
        event.kind = VG_EV_LOOKUP_RETRY;
    } else if (event.kind == VG_EV_ACCEPTED) {
        vg_event_from_accepted(&event, r->accepted);
    }
    vg_job_event(job, &event);
}

/* When the lost Submit was over at the latest: sent under its lease, begun and ended in time. */
static int64_t over_by_ms(const struct vg_job *job)
{
    int64_t sent_by = job->row.sent_by_ms > 0 ? job->row.sent_by_ms : vg_wall_ms();

    return sent_by + vg_submit_start_ms(job) + job->worker->max_submit_ms;
}

/* What the provider made is compared with this. */
static void ask(struct vg_job *job, const struct vg_submissions_near *near)
{
    char token[VG_TOKEN_SIZE];
    Videogate__V1__SubmitRequest submit;
    Videogate__V1__SourceVideo source = VIDEOGATE__V1__SOURCE_VIDEO__INIT;
    Videogate__V1__LookupRequest request = VIDEOGATE__V1__LOOKUP_REQUEST__INIT;
    vg_submit_describe(job, token, &submit);
    if (vg_submit_source(job, &source)) {
        submit.source = &source;
    }
    request.token = token;
    request.submit = &submit;
    request.submitted_at_ms = job->row.submitted_at_ms;
    request.over_by_ms = over_by_ms(job);
    request.taken = (char **)near->ids; /* packing only reads */
    request.n_taken = near->count;
    request.taken_incomplete = near->more || near->open;
    job->others_open = near->open || (near->busy && job->row.poll_errors < BUSY_LOOKUPS);
    vg_job_call(job, "/videogate.v1.ProviderWorkerService/Lookup", &request.base,
                &videogate__v1__lookup_response__descriptor, LOOKUP_MS, lookup_answered);
}

static void near_done(struct vg_task *task)
{
    struct vg_lookup *lookup = VG_CONTAINER(task, struct vg_lookup, op.op.done);
    struct vg_job *job = lookup->job;
    job->lookup = NULL;
    if (job->lost || job->ended || job->jobs->dying) {
        vg_job_end(job);
    } else if (job->jobs->draining) {
        vg_job_simple(job, VG_EV_PUT_OFF, 0);
    } else if (!lookup->op.op.ok) {
        struct vg_fsm_event event = {.kind = VG_EV_LOOKUP_RETRY,
                                     .reason = "the other submissions could not be read"};
        vg_job_event(job, &event);
    } else {
        ask(job, &lookup->op);
    }
    vg_arena_free(lookup->arena);
    free(lookup);
}

void vg_step_lookup(struct vg_job *job)
{
    if (!job->worker->supports_lookup) {
        vg_job_simple(job, VG_EV_NO_LOOKUP, 0);
        return;
    }
    struct vg_lookup *lookup = vg_xalloc(sizeof(*lookup));
    lookup->job = job;
    lookup->arena = vg_arena_new();
    lookup->op = (struct vg_submissions_near){
        .op = {.executor = job->jobs->executor,
               .done = {.run = near_done},
               .deadline_ns = vg_deadline_in_ms(NEAR_MS),
               .arena = lookup->arena},
        .generation_id = job->row.id,
        .provider = job->worker->name,
        .submitted_at_ms = job->row.submitted_at_ms,
        .before_ms = job->worker->max_submit_ms + SKEW_MS,
    };
    job->lookup = lookup;
    vg_submissions_near(job->jobs->db, &lookup->op);
}
