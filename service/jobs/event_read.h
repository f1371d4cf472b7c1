/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's webhook judged by that provider's worker. */
#ifndef VG_SERVICE_JOBS_EVENT_READ_H
#define VG_SERVICE_JOBS_EVENT_READ_H

#include "common/rpc/client.h"
#include "service/jobs/jobs.h"
#include "videogate/v1/worker.pb-c.h"

/* The caller's until vg_jobs_read_event, then the machine's until `done`. */
struct vg_event_read {
    const char *provider;
    Videogate__V1__ReadEventRequest *request; /* borrowed until done */
    int64_t timeout_ms;
    struct vg_executor *executor; /* where done.run is called */
    struct vg_task done;
    /* The worker's answer, owned by the caller: protobuf_c_message_free_unpacked. NULL: the worker
     * is away, or reads no events. */
    Videogate__V1__ReadEventResponse *response;
    /* the machine's */
    struct vg_jobs *jobs;
    struct vg_task start;
    struct vg_rpc_unary call;
};
/* Any thread. */
void vg_jobs_read_event(struct vg_jobs *jobs, struct vg_event_read *read);

#endif
