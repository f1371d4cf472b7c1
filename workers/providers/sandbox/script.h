/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox does with a job, by its model id. Pure, any thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_SCRIPT_H
#define VG_WORKERS_PROVIDERS_SANDBOX_SCRIPT_H

#include <stdbool.h>
#include <videogate/v1/worker.pb-c.h>

struct vg_sandbox_script {
    const char *model;
    bool instant;       /* finished within Submit with a shared clip */
    bool renders;       /* takes its turn in the render queue */
    bool waits;         /* not finished before the configured time has passed */
    bool refuses_first; /* the first submission of a generation is refused */
    bool loses_answer;  /* accepted, but the caller gets an RPC error */
    bool cuts_first_fetch;
    /* How it fails once accepted; UNSPECIFIED: it does not. */
    Videogate__V1__ErrorClass failure;
    bool fallback_ok;
    const char *code, *text; /* of the failure */
};

/* The model id that one output is made as: sandbox-partial stands for two others, and what starts
 * from a video cannot be a shared clip. */
const char *vg_sandbox_script_model(const Videogate__V1__SubmitRequest *request);
/* The script of a model id; any unknown id is rendered. Never NULL. */
const struct vg_sandbox_script *vg_sandbox_script_of(const char *model);

#endif
