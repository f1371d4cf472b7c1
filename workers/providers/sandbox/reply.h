/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's answers as messages, and the check of the state that comes back. Each ends the
 * operation. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_REPLY_H
#define VG_WORKERS_PROVIDERS_SANDBOX_REPLY_H

#include <stdbool.h>

#include "workers/provider.h"
#include "workers/providers/sandbox/job.h"
#include "workers/providers/sandbox/script.h"

struct vg_sandbox_result {
    int64_t bytes;
    const char *sha256;
};

void vg_sandbox_submit_accepted(struct vg_op *op, const struct vg_sandbox_job *job,
                                int64_t poll_after_ms);
void vg_sandbox_submit_finished(struct vg_op *op, const struct vg_sandbox_job *job,
                                const struct vg_sandbox_result *result);
void vg_sandbox_submit_error(struct vg_op *op, Videogate__V1__ProviderError *error);
void vg_sandbox_poll_running(struct vg_op *op, const struct vg_sandbox_job *job, int progress,
                             int64_t poll_after_ms);
void vg_sandbox_poll_finished(struct vg_op *op, const struct vg_sandbox_job *job,
                              const struct vg_sandbox_result *result);
void vg_sandbox_poll_canceled(struct vg_op *op);
void vg_sandbox_poll_error(struct vg_op *op, Videogate__V1__ProviderError *error);
void vg_sandbox_cancel_reply(struct vg_op *op, Videogate__V1__CancelOutcome outcome);
/* `job` NULL: absent. */
void vg_sandbox_lookup_reply(struct vg_op *op, const struct vg_sandbox_job *job,
                             int64_t poll_after_ms);

void vg_sandbox_lookup_retry(struct vg_op *op);

/* Fills an error; texts are borrowed. */
void vg_sandbox_error(Videogate__V1__ProviderError *out, Videogate__V1__ErrorClass class,
                      const char *code, const char *text);
/* The errors that several calls share. */
void vg_sandbox_error_script(Videogate__V1__ProviderError *out,
                             const struct vg_sandbox_script *script);
void vg_sandbox_error_invalid(Videogate__V1__ProviderError *out, const struct vg_err *err);
void vg_sandbox_error_busy(Videogate__V1__ProviderError *out, int64_t retry_after_ms);
void vg_sandbox_error_unknown(Videogate__V1__ProviderError *out);

/* Whether the opaque state is what this provider gave out for this id: callers must hand it back
 * untouched. */
bool vg_sandbox_state_ok(const char *upstream_id, const ProtobufCBinaryData *state);

#endif
