/* SPDX-License-Identifier: Apache-2.0 */
/* The server's call as its transports see it. A call that came as its own RPC (server_call.c) and
 * one that came inside EdgeService.Batch (batch.c) are the same struct to handlers; what differs
 * stands in the transport's vtable. No gRPC core inside. Private to this folder. */
#ifndef VG_COMMON_RPC_CALL_H
#define VG_COMMON_RPC_CALL_H

#include <stdatomic.h>

#include "common/rpc/server.h"
#include "common/rpc/trailing.h"

struct vg_rpc_entry;
struct vg_rpc_load;

/* How a call ends: `response` (unary OK), `err`, or neither (stream OK). Borrowed for the call of
 * `end`. */
struct vg_rpc_transport {
    void (*end)(struct vg_rpc_call *call, const ProtobufCMessage *response,
                const struct vg_err *err);
    void (*send)(struct vg_rpc_call *call, const ProtobufCMessage *message,
                 struct vg_executor *executor, struct vg_task *task);
    /* Bidirectional streams: reads the next request, then posts `task`; vg_rpc_call_request is NULL
     * at the end. */
    void (*read)(struct vg_rpc_call *call, struct vg_executor *executor, struct vg_task *task);
    struct vg_view (*metadata)(const struct vg_rpc_call *call, const char *key);
    bool (*peer)(const struct vg_rpc_call *call, char out[VG_PEER_SIZE]);
};

struct vg_rpc_call {
    const struct vg_rpc_transport *transport;
    const struct vg_rpc_entry *entry; /* borrowed from the method table */
    struct vg_rpc_load *load;         /* counted there until the end; NULL: not counted */
    ProtobufCMessage *request;        /* owned */
    struct vg_arena *arena;           /* owned; NULL until asked for */
    struct vg_rpc_trailing *trailing; /* owned; NULL: none */
    int64_t deadline_ns;
    int64_t started_ns;
    atomic_bool cancelled;
    _Atomic(struct vg_task *) cancel_task; /* armed; whoever exchanges it out decides */
    struct vg_executor *cancel_executor;   /* written before cancel_task */
};

/* How many calls run, how many may, and their metrics. */
struct vg_rpc_load {
    atomic_int in_flight;
    int max_in_flight;
    struct vg_metric_set *metrics; /* borrowed; may be NULL */
};
/* False: too many; `err` says so. */
bool vg_rpc_load_enter(struct vg_rpc_load *load, struct vg_err *err);
void vg_rpc_load_leave(struct vg_rpc_load *load);
void vg_rpc_load_init(struct vg_rpc_load *load, int max_in_flight, struct vg_metrics *metrics);

void vg_rpc_call_init(struct vg_rpc_call *call, const struct vg_rpc_transport *transport,
                      const struct vg_rpc_entry *entry);
/* After the owner has ended it and the transport is done with it. */
void vg_rpc_call_fini(struct vg_rpc_call *call);
/* By the transport, at most once: the peer is gone or its time is over. */
void vg_rpc_call_cancel(struct vg_rpc_call *call);
/* Asks for the next message of a bidirectional stream. */
void vg_rpc_call_read(struct vg_rpc_call *call, struct vg_executor *executor, struct vg_task *task);

/* Runs tasks where they are posted; for the runtime's own short steps alone. */
struct vg_executor *vg_rpc_inline_executor(void);

#endif
