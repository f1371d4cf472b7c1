/* SPDX-License-Identifier: Apache-2.0 */
/* The network side of one loop: its listeners and connections. Everything runs on the loop's thread
 * unless said.
 *
 * Watches, timers and RPC completions only mark a connection; the work is done once per loop turn,
 * in the turn's end: read, feed the session, produce, one write. */
#ifndef VG_BRIDGE_NET_NET_H
#define VG_BRIDGE_NET_NET_H

#include <stdatomic.h>
#include <stdbool.h>

#include "bridge/http/stream.h"
#include "bridge/net/clients.h"
#include "bridge/net/tls.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/metrics.h"

struct vg_net;

/* Shared by all loops of the process. */
struct vg_net_shared {
    int max_connections;
    atomic_int connections;
    struct vg_clients *clients;    /* borrowed; may be NULL */
    struct vg_metric_set *metrics; /* of vg_net_register; may be NULL */
};

/* Registers the connections' metrics. */
struct vg_metric_set *vg_net_register(struct vg_metrics *metrics);

/* Opens a listening socket "HOST:PORT" (numeric; port 0 chooses) that several loops can share
 * (SO_REUSEPORT). With `first` it fails with VG_ERR_UNAVAILABLE when anything listens there
 * already. */
VG_MUSTCHECK int vg_net_socket(int *out_fd, int *out_port, const char *address, bool first,
                               struct vg_err *err);

/* `handler`, `limits` and `shared` are borrowed (limits are copied). Before the loop runs. */
struct vg_net *vg_net_new(struct vg_loop *loop, const struct vg_http_handler *handler,
                          const struct vg_http_limits *limits, struct vg_net_shared *shared);
/* Takes the socket; `tls` is borrowed, NULL for plain. Before the loop runs or on its thread. */
void vg_net_listen(struct vg_net *net, int fd, struct vg_tls_ctx *tls);
/* Accepts what waits, stops listening, drains every connection. */
void vg_net_drain(struct vg_net *net);
/* After the loop has stopped: closes everything. */
struct vg_net *vg_net_free(struct vg_net *net);

#endif
