/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/event_read.h"

#include "common/clock.h"
#include "service/jobs/jobs_priv.h"

static void end_read(struct vg_event_read *read)
{
    struct vg_jobs *jobs = read->jobs;

    vg_post(read->executor, &read->done); /* it is the caller's again */
    vg_jobs_busy(jobs, -1);
}

static void answered(struct vg_task *task)
{
    struct vg_event_read *read = VG_CONTAINER(task, struct vg_event_read, call.done);

    read->response = (Videogate__V1__ReadEventResponse *)(void *)read->call.response;
    end_read(read);
}

/* The call is short: a drain waits for it. */
static void start_read(struct vg_task *task)
{
    struct vg_event_read *read = VG_CONTAINER(task, struct vg_event_read, start);
    struct vg_jobs *jobs = read->jobs;
    struct vg_worker *worker = vg_workers_find(jobs->workers, read->provider);

    if (jobs->dying || !worker || !vg_worker_up(worker)) {
        end_read(read);
        return;
    }
    read->call = (struct vg_rpc_unary){
        .service_method = "/videogate.v1.ProviderWorkerService/ReadEvent",
        .request = &read->request->base,
        .response_type = &videogate__v1__read_event_response__descriptor,
        .deadline_ns = vg_deadline_in_ms(read->timeout_ms),
        .alone = true,
        .executor = jobs->executor,
        .done = {.run = answered},
    };
    vg_rpc_unary_start(worker->channel, &read->call);
}

void vg_jobs_read_event(struct vg_jobs *jobs, struct vg_event_read *read)
{
    read->jobs = jobs;
    read->response = NULL;
    read->start.run = start_read;
    vg_jobs_busy(jobs, 1);
    vg_post(jobs->executor, &read->start);
}
