/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the supervisor how far the process is, as sd_notify(3) describes it: one datagram to the
 * socket that NOTIFY_SOCKET names. Units of Type=notify wait for it. */
#ifndef VG_COMMON_NOTIFY_H
#define VG_COMMON_NOTIFY_H

#include "common/err.h"

/* `state` is "READY=1", "STOPPING=1", ... 0 also when nobody asked (no NOTIFY_SOCKET). Does not
 * wait: a supervisor that does not read is an error. */
int vg_notify(const char *state, struct vg_err *err);

#endif
