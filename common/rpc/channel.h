/* SPDX-License-Identifier: Apache-2.0 */
/* What the client's files share: the channel and the part every RPC of it has. Private to this
 * folder. */
#ifndef VG_COMMON_RPC_CHANNEL_H
#define VG_COMMON_RPC_CHANNEL_H

#include "common/rpc/client.h"
#include "common/rpc/coalescer.h"
#include "common/rpc/core.h"
#include "common/rpc/deadlines.h"

/* One RPC in the core. Linked from open to close, so that vg_rpc_channel_free finds it. */
struct vg_rpc_op {
    struct vg_rpc_channel *channel; /* borrowed */
    pthread_mutex_t lock;           /* guards core, and what the owner says it guards */
    grpc_call *core;                /* owned; NULL once closed */
    bool cancelled;                 /* by us; under lock */
    /* Called by vg_rpc_channel_free after it cancelled the op, under channel->lock; NULL: nothing
     * to do. A stream whose user holds a message hears nothing more from the core, and must let go
     * of the channel by itself. */
    void (*nudge)(struct vg_rpc_op *op);
    struct vg_rpc_op *prev; /* under channel->lock */
    struct vg_rpc_op *next;
};

struct vg_rpc_channel {
    grpc_channel *core;           /* owned */
    grpc_completion_queue *queue; /* owned */
    pthread_t pump;
    size_t max_message;
    int max_in_flight;
    atomic_int in_flight;              /* calls and streams of users */
    atomic_bool closing;               /* free has begun */
    struct vg_rpc_coalescer coalescer; /* when coalescing */
    bool coalescing;
    struct vg_rpc_deadlines *deadlines; /* owned; for members of batches */
    struct vg_metric_set *metrics;      /* borrowed; may be NULL */
    /* Callbacks without an executor run on the pump: others hand them over here. */
    struct vg_executor pump_executor;
    _Atomic(struct vg_task *) inbox; /* newest first */
    grpc_call *wake_call;            /* owned; a batch without operations on it wakes the pump */
    struct vg_rpc_tag wake_tag;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t idle;
    struct vg_rpc_op *ops;
    int live; /* ops, and calls whose end was not posted */
};

enum { VG_RPC_METRIC_CALLS, VG_RPC_METRIC_BATCHES, VG_RPC_METRIC_BATCHED };

/* Counts the user's call as live and in flight; false: there are too many, the call must end with
 * `err`. */
bool vg_rpc_channel_enter(struct vg_rpc_channel *channel, struct vg_err *err);
/* Where the callbacks of a user's call run. */
struct vg_executor *vg_rpc_channel_executor(struct vg_rpc_channel *channel,
                                            struct vg_executor *executor);
/* The user's call ends: before its end is posted, and after. */
void vg_rpc_channel_ended(struct vg_rpc_channel *channel, int grpc_code);
void vg_rpc_channel_posted(struct vg_rpc_channel *channel);

/* `path` is a literal. `deadline_ns` may be VG_NO_DEADLINE. */
void vg_rpc_op_open(struct vg_rpc_op *op, struct vg_rpc_channel *channel, const char *path,
                    int64_t deadline_ns);
/* Gives the core's call back; later cancels do nothing. `op` is not touched again. */
void vg_rpc_op_close(struct vg_rpc_op *op);
void vg_rpc_op_cancel(struct vg_rpc_op *op);

/* A status as the caller should see it: CANCELLED that neither we nor a handler of the peer made is
 * what the core answers to calls that reach a server in its shutdown, and means UNAVAILABLE. Before
 * vg_rpc_op_close. */
grpc_status_code vg_rpc_op_status(struct vg_rpc_op *op, grpc_status_code status,
                                  const grpc_metadata_array *trailing);

/* Keys [a-z0-9_.-], values printable ASCII; the core asserts on others, and some come from outside.
 */
bool vg_rpc_metadata_legal(const struct vg_rpc_metadata *rows, size_t count);
/* A copy of request metadata. */
grpc_metadata *vg_rpc_metadata_new(const struct vg_rpc_metadata *rows, size_t count);
void vg_rpc_metadata_free(grpc_metadata *metadata, size_t count);
/* Reads a status out of what RECV_STATUS_ON_CLIENT filled; before vg_rpc_op_close, as the array is
 * ours but the bytes it points at are the core call's. */
void vg_rpc_status_from_core(grpc_status_code status, const grpc_slice *text,
                             const grpc_metadata_array *trailing, struct vg_err *out);

/* unary.c: ends queued calls when the channel goes. */
void vg_rpc_unary_flush(struct vg_rpc_channel *channel);

#endif
