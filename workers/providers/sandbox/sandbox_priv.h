/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox's own files share.
 *
 * Threads: calls come on the RPC pumps and must not block; pictures are checked, shared clips made
 * and files read on `io`; clips are rendered on `renderers`; the store writes on its own thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_SANDBOX_PRIV_H
#define VG_WORKERS_PROVIDERS_SANDBOX_SANDBOX_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/work_pool.h"
#include "workers/providers/sandbox/clips.h"
#include "workers/providers/sandbox/sandbox.h"
#include "workers/providers/sandbox/store.h"

#define VG_SANDBOX_MEMORY 1024

/* A submission on its way to the journal; embedded in it. */
struct vg_sandbox_pending {
    const char *token; /* the request's */
    struct vg_sandbox_pending *next, **at;
};

struct vg_sandbox {
    const struct vg_sandbox_config *config; /* borrowed */
    struct vg_metric_set *metrics;          /* the registry's; may be NULL */
    struct vg_sandbox_store *store;         /* owned */
    struct vg_sandbox_clips *clips;         /* owned */
    struct vg_work_pool *io, *renderers;    /* owned */
    atomic_int queued;                      /* jobs waiting for a renderer or being rendered */
    atomic_bool stopping;

    pthread_mutex_t mutex; /* guards what follows; taken before the store's */
    struct vg_sandbox_pending *pending;
    bool closed; /* no more tasks for the renderers */
    uint64_t
        refused[VG_SANDBOX_MEMORY]; /* hashes of generations whose first submission was refused */
};

enum vg_sandbox_metric {
    VG_SANDBOX_M_SUBMISSIONS,
    VG_SANDBOX_M_RENDERS,
    VG_SANDBOX_M_RENDER_SECONDS,
    VG_SANDBOX_M_QUEUE
};
enum { VG_SANDBOX_RENDER_OK, VG_SANDBOX_RENDER_FAILED, VG_SANDBOX_RENDER_CANCELED };

/* Pictures of a submission, kept beside the journal until the clip is rendered (sandbox_work.c). */
VG_MUSTCHECK int vg_sandbox_save_inputs(struct vg_sandbox *self, const struct vg_sandbox_job *job,
                                        const Videogate__V1__SubmitRequest *request,
                                        struct vg_err *err);
void vg_sandbox_drop_inputs(struct vg_sandbox *self, const char *id);
/* Hands a job to the renderers; takes over the reference. */
void vg_sandbox_enqueue(struct vg_sandbox *self, struct vg_sandbox_job *job);

/* The fetch stream (sandbox_fetch.c). Takes over the reference and the fd; ends the operation. */
struct vg_sandbox_fetch_desc {
    struct vg_sandbox_job *job;
    int fd;
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
    bool cut; /* end half way */
};
void vg_sandbox_fetch_start(struct vg_sandbox *self, struct vg_op *op,
                            const struct vg_sandbox_fetch_desc *desc);

/* The vtable's calls (sandbox_submit.c, sandbox_follow.c). */
vg_provider_submit_f vg_sandbox_submit;
vg_provider_poll_f vg_sandbox_poll;
vg_provider_fetch_f vg_sandbox_fetch;
vg_provider_cancel_f vg_sandbox_cancel;
vg_provider_lookup_f vg_sandbox_lookup;

#endif
