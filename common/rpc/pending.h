/* SPDX-License-Identifier: Apache-2.0 */
/* One unary call of a user, from its start to the delivery of its end, whatever carries it
 * (unary.c: an RPC of its own, or a batch). It ends once, by whoever settles it first: its answer,
 * its deadline, its cancel. Any thread. Private to unary.c.
 *
 * References: its end (until delivered), its transport (queue or carrier), its deadline entry. */
#ifndef VG_COMMON_RPC_PENDING_H
#define VG_COMMON_RPC_PENDING_H

#include <videogate/v1/edge.pb-c.h>

#include "common/rpc/channel.h"

/* What carries it in the core, as far as it knows. */
struct vg_rpc_carrier {
    struct vg_rpc_op op;
    atomic_size_t listeners; /* members not settled; the last that leaves cancels the op */
};

struct vg_rpc_pending {
    struct vg_rpc_waiting waiting;
    const char *path; /* borrowed, a literal */
    int64_t deadline_ns;
    grpc_slice payload;               /* owned; the packed request */
    struct vg_rpc_metadata *metadata; /* in `tail` */
    size_t metadata_count;
    atomic_int refs;
    atomic_bool settled; /* who sets it writes the result and posts */

    /* pending.c's. */
    struct vg_task deliver;
    struct vg_rpc_deadline deadline;
    struct vg_rpc_channel *channel; /* borrowed; not touched once settled and posted */
    struct vg_rpc_unary *call;      /* the user's, ours to fill until delivered */
    struct vg_executor *executor;   /* borrowed */
    atomic_bool armed;              /* deadline was added */
    pthread_mutex_t lock;
    struct vg_rpc_carrier *carrier; /* under lock; NULL while queued and once over */
    grpc_byte_buffer *answer;       /* owned; the response of a plain call */
    uint8_t *bytes;                 /* owned; the response of a batched call */
    size_t byte_count;
    max_align_t tail[]; /* metadata rows, then their strings */
};

/* An answer as it arrived: of an RPC of its own, or in a batch. */
struct vg_rpc_answer {
    grpc_byte_buffer **message;          /* taken over; NULL: none */
    const grpc_metadata_array *trailing; /* NULL: none */
    Videogate__V1__BatchResult *result;  /* its payload is taken over; NULL: no batch */
};

/* Two references: its end's and its transport's. */
struct vg_rpc_pending *vg_rpc_pending_new(struct vg_rpc_channel *channel,
                                          struct vg_rpc_unary *call);
void vg_rpc_pending_unref(struct vg_rpc_pending *pending);
/* The core watches the deadline of a plain call; one that queues is watched here. The caller holds
 * a reference; it may be settled. */
void vg_rpc_pending_watch(struct vg_rpc_pending *pending);
/* From here on it tells the carrier when it leaves; NULL: no more. */
void vg_rpc_pending_board(struct vg_rpc_pending *pending, struct vg_rpc_carrier *carrier);

/* The ends; each does nothing to what is settled. An answer that is too large is a failure. */
void vg_rpc_pending_succeed(struct vg_rpc_pending *pending, const struct vg_rpc_answer *answer);
/* `answer` may be NULL: there is no metadata. */
void vg_rpc_pending_fail(struct vg_rpc_pending *pending, int code, const struct vg_err *err,
                         const struct vg_rpc_answer *answer);
/* Before the transport did: lets go of it. The caller holds a reference. */
void vg_rpc_pending_leave(struct vg_rpc_pending *pending, enum vg_err_kind kind);

#endif
