/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge as a whole: configuration table, start, drain, stop. All calls come from one thread
 * (main's). */
#ifndef VG_BRIDGE_APP_H
#define VG_BRIDGE_APP_H

#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"

struct vg_bridge_config {
    char *listen;
    char *tls_listen;
    char *tls_cert;
    char *tls_key;
    char *cors_origins;
    char *trusted_proxies;
    char *service;
    char *service_tls_ca;
    char *service_tls_cert;
    char *service_tls_key;
    int64_t threads;
    int64_t coalesce;
    int64_t max_body;
    int64_t body_memory;
    int64_t max_connections;
    int64_t max_streams;
    int64_t max_client_connections;
    int64_t max_client_strikes;
    int64_t max_headers;
    int64_t max_header_bytes;
    int64_t max_head_memory;
    int64_t max_stalled;
    int64_t max_continuations;
    int64_t frame_rate;
    int64_t reset_rate;
    int64_t error_rate;
    int64_t max_watchers;
    int64_t max_creates;
    int64_t sse_heartbeat_ms;
    int64_t sse_recheck_ms;
    int64_t idle_ms;
    int64_t header_ms;
    int64_t body_ms;
    int64_t stall_ms;
    int64_t rpc_ms;
    bool access_log;
};

/* Rows that fill the struct above. */
const struct vg_config_key *vg_bridge_config_keys(size_t *out_count);

struct vg_bridge;
struct vg_bridge *vg_bridge_new(const struct vg_bridge_config *config); /* borrowed */
struct vg_bridge *vg_bridge_free(struct vg_bridge *bridge);
/* What the table cannot check. */
VG_MUSTCHECK int vg_bridge_check(const struct vg_bridge_config *config, struct vg_err *err);
/* Binds, connects, starts the loops; on failure nothing is left running. */
VG_MUSTCHECK int vg_bridge_start(struct vg_bridge *bridge, struct vg_err *err);
/* The ports in use, 0: none. After start. */
int vg_bridge_port(const struct vg_bridge *bridge);
int vg_bridge_tls_port(const struct vg_bridge *bridge);
/* Stops accepting, lets requests end; returns when none is left, at the deadline, or when hurried.
 */
void vg_bridge_drain(struct vg_bridge *bridge, int64_t deadline_ns);
/* Ends what is left, joins the loops. */
void vg_bridge_stop(struct vg_bridge *bridge);

#endif
