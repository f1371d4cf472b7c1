/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's port of a process: GET /healthz, /readyz, /metrics over HTTP/1.1 on its own
 * thread; everything else is 404, other methods 405. Requests are bounded to 8 KiB and 5 s; at most
 * 32 connections. */
#ifndef VG_COMMON_MONITOR_H
#define VG_COMMON_MONITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/metrics.h"

struct vg_monitor;

/* Says whether the process can do its work; when not, writes one line why. Called on the monitor's
 * thread. */
typedef bool vg_ready_f(void *ctx, char *why, size_t why_size);

struct vg_monitor_options {
    const char *listen;         /* "127.0.0.1:9100"; borrowed */
    struct vg_metrics *metrics; /* borrowed */
    vg_ready_f *ready;
    void *ready_ctx;
};

VG_MUSTCHECK int vg_monitor_start(struct vg_monitor **out, const struct vg_monitor_options *options,
                                  struct vg_err *err);
/* The port in use (the one chosen, when `listen` asked for port 0). */
int vg_monitor_port(const struct vg_monitor *monitor);
struct vg_monitor *vg_monitor_stop(struct vg_monitor *monitor);
/* The answers themselves, for a server that carries them on its own port (the bridge): status 200
 * or 503 and a body. */
int vg_monitor_healthz(struct vg_buf *out);
int vg_monitor_readyz(const struct vg_monitor_options *options, struct vg_buf *out);
int vg_monitor_metrics(const struct vg_monitor_options *options, struct vg_buf *out);

#endif
