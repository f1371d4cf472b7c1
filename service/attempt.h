/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to authenticate: whether one is let through, and what is done about one that failed.
 *
 * The caller's address is that of the connection, or what a bridge says it is: metadata
 * `x-videogate-client`, believed of `trusted-peers` alone. */
#ifndef VG_SERVICE_ATTEMPT_H
#define VG_SERVICE_ATTEMPT_H

#include <stdbool.h>

#include "common/err.h"

struct vg_rpc_call;
struct vg_service;

enum vg_attempt_series { VG_ATTEMPT_MALFORMED, VG_ATTEMPT_UNKNOWN, VG_ATTEMPT_ADMIN };

/* `key_id` may be "". False: VG_ERR_RATE_LIMITED. */
bool vg_attempt_admit(struct vg_service *service, const struct vg_rpc_call *call,
                      const char *key_id, struct vg_err *err);
void vg_attempt_failed(struct vg_service *service, const struct vg_rpc_call *call,
                       enum vg_attempt_series why, const char *key_id);

#endif
