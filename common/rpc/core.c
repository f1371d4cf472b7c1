/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/core.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/time.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/rpc/message.h"

#define GATE_CLOSED 0x80000000U

void vg_rpc_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct vg_rpc_tag *tag,
                        void (*done)(struct vg_rpc_tag *, bool))
{
    grpc_call_error rc = grpc_call_start_batch(call, ops, count, vg_rpc_tag_arm(tag, done), NULL);

    VG_ASSERT(rc == GRPC_CALL_OK);
}

void vg_rpc_queue_run(grpc_completion_queue *queue)
{
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return;
        struct vg_rpc_tag *tag = event.tag;
        (void)atomic_load_explicit(&tag->handed, memory_order_acquire);
        tag->done(tag, event.success != 0);
    }
}

static void *queue_thread(void *queue)
{
    vg_rpc_queue_run(queue);
    return NULL;
}

int vg_rpc_queue_thread(pthread_t *thread, grpc_completion_queue *queue, const char *name)
{
    if (pthread_create(thread, NULL, queue_thread, queue) != 0)
        return -1;
    (void)pthread_setname_np(*thread, name); /* only for ps */
    return 0;
}

bool vg_rpc_gate_enter(struct vg_rpc_gate *gate)
{
    if ((atomic_fetch_add(&gate->state, 1) & GATE_CLOSED) == 0)
        return true;
    atomic_fetch_sub(&gate->state, 1);
    return false;
}

void vg_rpc_gate_leave(struct vg_rpc_gate *gate)
{
    atomic_fetch_sub(&gate->state, 1);
}

void vg_rpc_gate_close(struct vg_rpc_gate *gate)
{
    unsigned state = atomic_fetch_or(&gate->state, GATE_CLOSED) | GATE_CLOSED;

    /* Inside is only the start of a batch, microseconds. */
    while (state != GATE_CLOSED) {
        (void)sched_yield();
        state = atomic_load(&gate->state);
    }
}

struct secret_bytes {
    size_t len;
    uint8_t bytes[];
};

static void free_secret_bytes(void *user)
{
    struct secret_bytes *secret = user;

    explicit_bzero(secret->bytes, secret->len);
    free(secret);
}

grpc_slice vg_rpc_secret_slice(size_t len)
{
    struct secret_bytes *secret = vg_xalloc(sizeof *secret + len);

    secret->len = len;
    return grpc_slice_new_with_user_data(secret->bytes, len, free_secret_bytes, secret);
}

grpc_slice vg_rpc_pack_slice(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));

    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    return slice;
}

/* Takes the slice. */
static grpc_byte_buffer *buffer_of(grpc_slice slice)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

    grpc_slice_unref(slice); /* the buffer has its own reference */
    return buffer;
}

grpc_byte_buffer *vg_rpc_pack(const ProtobufCMessage *message)
{
    return buffer_of(vg_rpc_pack_slice(message));
}

grpc_byte_buffer *vg_rpc_pack_secret(const ProtobufCMessage *message)
{
    grpc_slice slice = vg_rpc_secret_slice(protobuf_c_message_get_packed_size(message));

    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    return buffer_of(slice);
}

struct vg_view vg_rpc_slice_view(const grpc_slice *slice)
{
    return (struct vg_view){(const char *)GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)};
}

void vg_rpc_trailing_from_core(struct vg_rpc_trailing *out, const grpc_metadata_array *received)
{
    for (size_t i = 0; i < received->count; i++)
        vg_rpc_trailing_add(out, vg_rpc_slice_view(&received->metadata[i].key),
                            vg_rpc_slice_view(&received->metadata[i].value));
}

ProtobufCMessage *vg_rpc_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer,
                                bool strict)
{
    grpc_byte_buffer_reader reader;
    ProtobufCMessage *message = NULL;

    if (buffer == NULL || !grpc_byte_buffer_reader_init(&reader, buffer))
        return NULL;
    if (buffer->data.raw.slice_buffer.count == 1) {
        grpc_slice *slice; /* borrowed */

        if (grpc_byte_buffer_reader_peek(&reader, &slice)) {
            struct vg_view bytes = vg_rpc_slice_view(slice);
            message = vg_rpc_message_unpack(type, bytes.data, bytes.len, strict);
        }
    } else {
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        struct vg_view bytes = vg_rpc_slice_view(&all);

        message = vg_rpc_message_unpack(type, bytes.data, bytes.len, strict);
        grpc_slice_unref(all);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return message;
}

gpr_timespec vg_rpc_time_to_core(int64_t deadline_ns)
{
    if (deadline_ns == VG_NO_DEADLINE || deadline_ns == 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos(deadline_ns - vg_now_ns(), GPR_TIMESPAN));
}

int64_t vg_rpc_time_from_core(gpr_timespec time)
{
    gpr_timespec left;

    if (gpr_time_cmp(time, gpr_inf_future(time.clock_type)) == 0)
        return VG_NO_DEADLINE;
    left = gpr_time_sub(time, gpr_now(time.clock_type));
    if (left.tv_sec > VG_NO_DEADLINE / VG_NS_PER_S / 2)
        return VG_NO_DEADLINE;
    return vg_now_ns() + left.tv_sec * VG_NS_PER_S + left.tv_nsec;
}
