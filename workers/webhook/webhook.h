/* SPDX-License-Identifier: Apache-2.0 */
/* WebhookSenderService over the sender: messages in and out, one log line per attempt (host, never
 * the whole URL). */
#ifndef VG_WORKERS_WEBHOOK_WEBHOOK_H
#define VG_WORKERS_WEBHOOK_WEBHOOK_H

#include "common/rpc/server.h"
#include "workers/webhook/sender.h"

/* The service's table row; `sender` is its context and outlives the server. */
struct vg_rpc_service vg_webhook_service(struct vg_sender *sender);

/* The host of a URL for the log, without userinfo; "" when there is none. */
void vg_webhook_host(char *out, size_t size, const char *url);

#endif
