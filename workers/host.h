/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker process has whatever it does: a gRPC server, the operator's port, metrics. Main
 * thread. */
#ifndef VG_WORKERS_HOST_H
#define VG_WORKERS_HOST_H

#include "common/config.h"
#include "common/err.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/rpc/server.h"

struct vg_host_config {
    char *listen;
    char *monitor;
    char *tls_cert;
    char *tls_key;
    char *tls_client_ca;
};

/* The rows of the configuration table for a struct vg_host_config that is the member `member` of
 * `type`. */
/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a member cannot stand in parentheses */
#define VG_HOST_KEYS(type, member, default_listen, default_monitor) \
    {"listen", VG_CONFIG_ADDRESS, offsetof(type, member.listen), default_listen, 0, 0, false, false, \
     "Address of the gRPC server."}, \
    {"monitor", VG_CONFIG_ADDRESS, offsetof(type, member.monitor), default_monitor, 0, 0, false, false, \
     "Address of /healthz, /readyz and /metrics; empty: none."}, \
    {"tls-cert", VG_CONFIG_TEXT, offsetof(type, member.tls_cert), NULL, 0, 0, false, false, \
     "PEM chain of the gRPC server; unset: no TLS."}, \
    {"tls-client-ca", VG_CONFIG_TEXT, offsetof(type, member.tls_client_ca), NULL, 0, 0, false, false, \
     "PEM roots: clients must show a certificate signed by one of them."}, \
    {"tls-key", VG_CONFIG_TEXT, offsetof(type, member.tls_key), NULL, 0, 0, false, false, \
     "PEM private key of the gRPC server."}
/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

VG_MUSTCHECK int vg_host_check(const struct vg_host_config *config, struct vg_err *err);

struct vg_host {
    struct vg_metrics *metrics;   /* owned; made by vg_host_init */
    struct vg_rpc_server *server; /* owned */
    struct vg_monitor *monitor;   /* owned */
};

struct vg_host_options {
    const struct vg_host_config *config;
    const struct vg_rpc_service *service; /* borrowed */
    size_t max_message;
    int max_in_flight;
    int peer_dead_ms; /* as vg_rpc_server_options has it */
    vg_ready_f *ready;
    void *ready_ctx;
};

void vg_host_init(struct vg_host *host);
VG_MUSTCHECK int vg_host_start(struct vg_host *host, const struct vg_host_options *options,
                               struct vg_err *err);
/* Refuses new calls and waits for those that run, until the deadline or a second signal. */
void vg_host_drain(struct vg_host *host, int64_t deadline_ns);
/* Stops server and monitor; metrics stay until vg_host_fini. */
void vg_host_stop(struct vg_host *host);
void vg_host_fini(struct vg_host *host);

#endif
