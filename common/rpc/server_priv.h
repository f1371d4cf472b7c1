/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's files share: the server itself, and the entry points of the calls, of health,
 * reflection and batches. Private to this folder. */
#ifndef VG_COMMON_RPC_SERVER_PRIV_H
#define VG_COMMON_RPC_SERVER_PRIV_H

#include "common/rpc/batch.h"
#include "common/rpc/call.h"
#include "common/rpc/core.h"
#include "common/rpc/deadlines.h"
#include "common/rpc/methods.h"

struct vg_rpc_health;

/* Counted: by its owner until vg_rpc_server_stop, and by every call, so that a reply after the stop
 * finds the closed gate instead of freed memory. */
struct vg_rpc_server {
    atomic_int refs;
    grpc_server *core;            /* owned until stop */
    grpc_completion_queue *queue; /* owned until stop */
    pthread_t *threads;           /* owned; pumps */
    int thread_count;
    int port;
    struct vg_rpc_gate gate;       /* closed before the queue goes */
    struct vg_rpc_methods methods; /* owned */
    struct vg_rpc_load load;
    struct vg_rpc_health *health;       /* owned */
    struct vg_rpc_batcher *batcher;     /* owned; NULL without edge_batch */
    struct vg_rpc_deadlines *deadlines; /* owned; as batcher */
    struct vg_rpc_tag shutdown_tag;
    atomic_int live; /* calls that a drain waits for */
    atomic_bool draining;
    pthread_mutex_t lock; /* guards shutdown_done */
    pthread_cond_t idle;  /* live is 0, or the shutdown is done */
    bool shutdown_done;
};

void vg_rpc_server_ref(struct vg_rpc_server *server);
void vg_rpc_server_unref(struct vg_rpc_server *server);
/* A call that a drain must wait for comes / is gone. */
void vg_rpc_server_live(struct vg_rpc_server *server);
void vg_rpc_server_gone(struct vg_rpc_server *server);

/* server_call.c: asks the core for the next call of a method / of an unknown method. Inside the
 * gate. */
void vg_rpc_server_request(struct vg_rpc_server *server, const struct vg_rpc_entry *entry);
void vg_rpc_server_request_unknown(struct vg_rpc_server *server);

/* health.c. `methods` is borrowed and may still grow until the first call. */
struct vg_rpc_health *vg_rpc_health_new(const struct vg_rpc_methods *methods);
struct vg_rpc_health *vg_rpc_health_free(struct vg_rpc_health *health);
void vg_rpc_health_set(struct vg_rpc_health *health, bool serving);
VG_MUSTCHECK int vg_rpc_health_add(struct vg_rpc_health *health, struct vg_rpc_methods *methods,
                                   struct vg_err *err);

/* reflection.c */
VG_MUSTCHECK int vg_rpc_reflection_add(struct vg_rpc_methods *methods, struct vg_err *err);

#endif
