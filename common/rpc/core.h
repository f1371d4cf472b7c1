/* SPDX-License-Identifier: Apache-2.0 */
/* What every file of common/rpc that touches the gRPC C core shares: tags, the completion queue
 * loop, the gate, and protobuf to byte buffer and back. Private to this folder. */
#ifndef VG_COMMON_RPC_CORE_H
#define VG_COMMON_RPC_CORE_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/rpc/trailing.h"

/* A tag is the first member of (or embedded in) the heap struct that owns everything its batch
 * points at; that struct lives until `done` is called. */
struct vg_rpc_tag {
    void (*done)(struct vg_rpc_tag *tag, bool ok);
    atomic_uint handed; /* orders our writes before the batch with our reads after it */
};

/* Readies the tag for one trip through the core. */
static inline void *vg_rpc_tag_arm(struct vg_rpc_tag *tag, void (*done)(struct vg_rpc_tag *, bool))
{
    tag->done = done;
    atomic_store_explicit(&tag->handed, 1, memory_order_release);
    return tag;
}

/* Starts a batch; anything but OK is a bug of ours. The tag may be back, and its struct gone,
 * before this returns. */
void vg_rpc_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct vg_rpc_tag *tag,
                        void (*done)(struct vg_rpc_tag *, bool));
/* next -> tag->done, until the queue is shut down and empty. */
void vg_rpc_queue_run(grpc_completion_queue *queue);
/* A thread that runs vg_rpc_queue_run(queue), named for ps. */
int vg_rpc_queue_thread(pthread_t *thread, grpc_completion_queue *queue, const char *name);

/* The gate lets threads start batches until it is closed; close returns when none is inside any
 * more. A completion queue must not be shut down under a thread that is just starting a batch on
 * it. */
struct vg_rpc_gate {
    atomic_uint state; /* bit 31: closed; below: threads inside */
};
bool vg_rpc_gate_enter(struct vg_rpc_gate *gate);
void vg_rpc_gate_leave(struct vg_rpc_gate *gate);
void vg_rpc_gate_close(struct vg_rpc_gate *gate);

/* `len` bytes to fill that are overwritten when the core lets them go. */
grpc_slice vg_rpc_secret_slice(size_t len);
/* Packs straight into one slice. */
grpc_slice vg_rpc_pack_slice(const ProtobufCMessage *message);
grpc_byte_buffer *vg_rpc_pack(const ProtobufCMessage *message);
/* Keys are among it: a secret slice. */
grpc_byte_buffer *vg_rpc_pack_secret(const ProtobufCMessage *message);
/* NULL when the bytes are not such a message; also with `strict` when a string is not UTF-8. */
ProtobufCMessage *vg_rpc_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer,
                                bool strict);
/* Borrowed from `slice`, which must stay where it is. */
struct vg_view vg_rpc_slice_view(const grpc_slice *slice);
/* Keeps what was received, whose bytes belong to the core's call. */
void vg_rpc_trailing_from_core(struct vg_rpc_trailing *out, const grpc_metadata_array *received);

/* gpr time <-> absolute monotonic nanoseconds. */
gpr_timespec vg_rpc_time_to_core(int64_t deadline_ns);
int64_t vg_rpc_time_from_core(gpr_timespec time);

/* Credentials from files; NULL with err filled when a file cannot be read or used. */
struct vg_rpc_tls;
grpc_server_credentials *vg_rpc_tls_server(const struct vg_rpc_tls *tls, struct vg_err *err);
grpc_channel_credentials *vg_rpc_tls_client(const struct vg_rpc_tls *tls, struct vg_err *err);

#endif
