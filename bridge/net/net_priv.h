/* SPDX-License-Identifier: Apache-2.0 */
/* What conn.c, listener.c and net.c share. */
#ifndef VG_BRIDGE_NET_NET_PRIV_H
#define VG_BRIDGE_NET_NET_PRIV_H

#include "bridge/http/session.h"
#include "bridge/net/net.h"
#include "bridge/net/turn.h"

enum vg_net_metric {
    VG_NET_CONNECTIONS,
    VG_NET_ACCEPTED,
    VG_NET_SHED,
    VG_NET_CLIENT_FULL,
    VG_NET_HANDSHAKE_FAILED,
    VG_NET_BYTES_IN,
    VG_NET_BYTES_OUT,
    VG_NET_LIMITS,
    VG_NET_METRIC_MAX
};

#define VG_NET_SCRATCH 65536
#define VG_NET_BACKLOG 1024

struct vg_conn;
struct vg_listener;

struct vg_net {
    struct vg_loop *loop; /* borrowed */
    struct vg_http_env env;
    struct vg_net_shared *shared;  /* borrowed */
    struct vg_listener *listeners; /* owned */
    struct vg_conn *conns;         /* owned */
    struct vg_turn turn;           /* those with something to do */
    struct vg_conn *doomed;        /* owned; freed at the end of the turn */
    struct vg_timer sweep;
    int64_t bitten[VG_HTTP_LIMIT_MAX]; /* not logged yet */
    int64_t hung_up;                   /* connections over a cap, not logged yet */
    int64_t told_ns;                   /* when limits were last logged */
    struct vg_task nudge;              /* makes another turn */
    bool nudged;
    bool draining;
    char *scratch; /* owned; VG_NET_SCRATCH bytes, for reads */
};

/* Takes the accepted socket, which the caller has counted in shared->connections and as one of
 * `client`'s (may be NULL). -1: it is not taken; the kernel has no memory, or no room among its
 * watches (fs.epoll.max_user_watches). */
VG_MUSTCHECK int vg_conn_open(struct vg_net *net, int fd, struct vg_tls_ctx *tls,
                              struct vg_client *client);
/* Does what there is to do, for a slice: handshake, read, feed, produce, write. Takes env.now_ns
 * along. */
void vg_conn_run(struct vg_turn_entry *entry);
void vg_conn_tick(struct vg_conn *conn);
void vg_conn_drain(struct vg_conn *conn);
/* Closes at once; the memory goes with vg_conn_reap. */
void vg_conn_kill(struct vg_conn *conn);
/* It has something to do. */
void vg_conn_mark(struct vg_conn *conn);
void vg_conn_reap(struct vg_net *net);
struct vg_conn *vg_conn_next(const struct vg_conn *conn);

struct vg_listener *vg_listener_new(struct vg_net *net, int fd, struct vg_tls_ctx *tls);
struct vg_listener *vg_listener_next(const struct vg_listener *listener);
/* Accepts what waits, so many at most. */
void vg_listener_accept(struct vg_listener *listener, int most);
struct vg_listener *vg_listener_free(struct vg_listener *listener);

void vg_net_count(struct vg_net *net, enum vg_net_metric metric, int64_t n);

#endif
