/* SPDX-License-Identifier: Apache-2.0 */
/* One Deliver call: opens the secrets, asks the webhook sender, forgets the secrets. Any thread. */
#ifndef VG_SERVICE_JOBS_WEBHOOK_CALL_H
#define VG_SERVICE_JOBS_WEBHOOK_CALL_H

#include "common/buf.h"
#include "common/keyring.h"
#include "common/rpc/client.h"

struct vg_webhook_call {
    const char *id, *url;
    struct vg_view body;
    const struct vg_keyring *keyring;
    const char *aad;              /* what the secrets were sealed with */
    const struct vg_view *sealed; /* newest first; at least one, at most 11 */
    size_t sealed_count;
    int64_t timeout_ms;
    int32_t attempt, round; /* as DeliverRequest has them; 0: always made */
    struct vg_executor *executor;
};

/* Starts `unary` (zeroed but for what the caller's `done` needs). Old secrets that cannot be read
 * are left out; -1: nothing was started, the newest cannot be read. */
VG_MUSTCHECK int vg_webhook_call_start(struct vg_rpc_channel *channel,
                                       const struct vg_webhook_call *call,
                                       void (*done)(struct vg_task *task),
                                       struct vg_rpc_unary *unary);

#endif
