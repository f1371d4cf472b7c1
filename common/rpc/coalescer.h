/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives together travels together: decides which small calls leave now and which wait. While
 * fewer than `limit` batches are in flight a call leaves at once; otherwise calls gather until a
 * batch returns, and leave with it, at most 256 and 1 MiB at a time. No timer, so nothing waits
 * while the line is free. Any thread. No gRPC inside. */
#ifndef VG_COMMON_RPC_COALESCER_H
#define VG_COMMON_RPC_COALESCER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define VG_RPC_BATCH_CALLS 256
#define VG_RPC_BATCH_BYTES (1U << 20)
/* A larger payload is not worth copying into a batch: it goes alone. */
#define VG_RPC_BATCH_PAYLOAD (64U << 10)

/* Embedded in the call. */
struct vg_rpc_waiting {
    struct vg_rpc_waiting *prev;
    struct vg_rpc_waiting *next;
    size_t bytes; /* set before adding; at most VG_RPC_BATCH_PAYLOAD or so */
    bool queued;
};

struct vg_rpc_coalescer {
    pthread_mutex_t lock;
    struct vg_rpc_waiting *first;
    struct vg_rpc_waiting *last;
    int in_flight;
    int limit;
};

void vg_rpc_coalescer_init(struct vg_rpc_coalescer *self, int limit);
void vg_rpc_coalescer_fini(struct vg_rpc_coalescer *self);
/* True: the caller takes a place in flight and sends `waiting` alone, now. False: queued. */
bool vg_rpc_coalescer_add(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting);
/* A batch has returned: fills `out` (room for VG_RPC_BATCH_CALLS) with what its place carries next
 * and returns how many; 0 gives the place up. */
size_t vg_rpc_coalescer_next(struct vg_rpc_coalescer *self, struct vg_rpc_waiting **out);
/* Takes it out of the queue; false: it was not there, or not any more. */
bool vg_rpc_coalescer_remove(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting);

/* Empties the queue without touching places: fills `out` like vg_rpc_coalescer_next; 0 when it is
 * empty. */
size_t vg_rpc_coalescer_drain(struct vg_rpc_coalescer *self, struct vg_rpc_waiting **out);

#endif
