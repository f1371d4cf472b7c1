/* SPDX-License-Identifier: Apache-2.0 */
/* A call that came as its own RPC.
 *
 * References: one is the handler's, which the final batch takes over; one is the close batch's
 * (RECV_CLOSE_ON_SERVER stands alone in it, so that a hang-up is heard at once). A send or a read
 * needs none: the handler may not end the call while one is under way. */
#include <stdlib.h>
#include <string.h>

#include <grpc/support/alloc.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/rpc/counted.h"
#include "common/rpc/server_priv.h"
#include "common/rpc/status.h"

/* What a SEND_STATUS op points at. */
struct status_out {
    grpc_slice text; /* owned */
    /* Keys and values owned. */
    grpc_metadata metadata[1 + VG_RPC_TRAILING_MAX];
    size_t count;
};

static void status_init(struct status_out *status)
{
    status->text = grpc_empty_slice();
    status->count = 0;
}

static void status_fini(struct status_out *status)
{
    grpc_slice_unref(status->text);
    for (size_t i = 0; i < status->count; i++) {
        grpc_slice_unref(status->metadata[i].key);
        grpc_slice_unref(status->metadata[i].value);
    }
}

static void status_add(struct status_out *status, grpc_slice key, grpc_slice value)
{
    VG_ASSERT(status->count < VG_COUNT(status->metadata));
    status->metadata[status->count++] = (grpc_metadata){.key = key, .value = value};
}

/* `err` NULL: OK; `trailing` may be NULL. */
static grpc_op *add_status(struct status_out *status, grpc_op *op, const struct vg_err *err,
                           const struct vg_rpc_trailing *trailing)
{
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    for (size_t i = 0; trailing != NULL && i < trailing->count; i++)
        status_add(status, grpc_slice_from_copied_string(trailing->pairs[i].key),
                   grpc_slice_from_copied_string(trailing->pairs[i].value));
    if (err != NULL) {
        struct vg_buf details;

        vg_buf_init(&details, VG_RPC_DETAILS_MAX);
        vg_rpc_status_details(err, &details);
        status_add(status, grpc_slice_from_static_string("grpc-status-details-bin"),
                   grpc_slice_from_copied_buffer(details.data, details.len));
        vg_buf_fini(&details);
        status->text = grpc_slice_from_copied_string(vg_err_text(err));
        op->data.send_status_from_server.status = (grpc_status_code)vg_err_info(err->kind)->grpc;
        op->data.send_status_from_server.status_details = &status->text;
    }
    op->data.send_status_from_server.trailing_metadata = status->metadata;
    op->data.send_status_from_server.trailing_metadata_count = status->count;
    return op + 1;
}

struct direct_call {
    struct vg_rpc_tag request_tag;
    struct vg_rpc_call base;
    struct vg_rpc_server *server; /* counted once accepted */
    atomic_int refs;
    bool live;       /* a drain waits for this one */
    grpc_call *core; /* owned */
    gpr_timespec core_deadline;
    grpc_metadata_array metadata; /* owned */
    grpc_byte_buffer *payload;    /* owned; the message just received */

    struct vg_rpc_tag close_tag;
    int peer_cancelled;

    struct vg_rpc_tag io_tag; /* the send, read or end under way */
    bool headers_sent;
    grpc_byte_buffer *out; /* owned */
    struct status_out status;
    struct vg_executor *executor; /* borrowed; where io_task goes */
    struct vg_task *io_task;      /* borrowed */
};

static struct direct_call *direct_of(const struct vg_rpc_call *base)
{
    return VG_CONTAINER(base, struct direct_call, base);
}

static void direct_free(struct direct_call *call)
{
    vg_rpc_call_fini(&call->base);
    grpc_byte_buffer_destroy(call->payload);
    grpc_byte_buffer_destroy(call->out);
    status_fini(&call->status);
    grpc_metadata_array_destroy(&call->metadata);
    if (call->core != NULL)
        grpc_call_unref(call->core);
    vg_rpc_counted_free(call);
}

static void direct_unref(struct direct_call *call)
{
    struct vg_rpc_server *server = call->server;
    bool live = call->live;

    if (!vg_rpc_counted_unref(&call->refs))
        return;
    direct_free(call);
    if (live)
        vg_rpc_server_gone(server);
    vg_rpc_server_unref(server);
}

static void on_closed(struct vg_rpc_tag *tag, bool ok)
{
    struct direct_call *call = VG_CONTAINER(tag, struct direct_call, close_tag);

    if (!ok || call->peer_cancelled)
        vg_rpc_call_cancel(&call->base);
    direct_unref(call);
}

static void on_ended(struct vg_rpc_tag *tag, bool ok)
{
    struct direct_call *call = VG_CONTAINER(tag, struct direct_call, io_tag);

    (void)ok; /* false: the peer is gone; nobody is left to tell */
    vg_crash_point("answer", call->base.entry->path, "after");
    direct_unref(call);
}

static grpc_op *add_headers(struct direct_call *call, grpc_op *op)
{
    if (call->headers_sent)
        return op;
    call->headers_sent = true;
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    return op + 1;
}

static grpc_op *add_message(struct direct_call *call, grpc_op *op, const ProtobufCMessage *message)
{
    grpc_byte_buffer_destroy(call->out);
    call->out = vg_rpc_pack(message);
    op->op = GRPC_OP_SEND_MESSAGE;
    op->data.send_message.send_message = call->out;
    return op + 1;
}

static void direct_end(struct vg_rpc_call *base, const ProtobufCMessage *response,
                       const struct vg_err *err)
{
    struct direct_call *call = direct_of(base);
    struct vg_rpc_server *server = call->server;
    grpc_op ops[3] = {0};
    grpc_op *op = ops;

    if (!vg_rpc_gate_enter(&server->gate)) {
        direct_unref(call);
        return;
    }
    vg_crash_point("answer", base->entry->path, "before");
    op = add_headers(call, op);
    if (response != NULL)
        op = add_message(call, op, response);
    op = add_status(&call->status, op, err, base->trailing);
    vg_rpc_start_batch(call->core, ops, (size_t)(op - ops), &call->io_tag, on_ended);
    vg_rpc_gate_leave(&server->gate); /* the call may be gone; the server is not, inside the gate */
}

static void post_io(struct direct_call *call)
{
    struct vg_executor *executor = call->executor;
    struct vg_task *task = call->io_task;

    call->io_task = NULL;
    vg_post(executor, task); /* the call may be gone after this */
}

static void on_sent(struct vg_rpc_tag *tag, bool ok)
{
    (void)ok; /* a cancelled call is told so through its flag; the task comes all the same */
    post_io(VG_CONTAINER(tag, struct direct_call, io_tag));
}

static void begin_io(struct direct_call *call, struct vg_executor *executor, struct vg_task *task)
{
    VG_ASSERT(call->io_task == NULL);
    call->executor = executor;
    call->io_task = task;
}

static void direct_send(struct vg_rpc_call *base, const ProtobufCMessage *message,
                        struct vg_executor *executor, struct vg_task *task)
{
    struct direct_call *call = direct_of(base);
    struct vg_rpc_server *server = call->server;
    grpc_op ops[2] = {0};
    grpc_op *op = ops;

    begin_io(call, executor, task);
    if (!vg_rpc_gate_enter(&server->gate)) {
        post_io(call);
        return;
    }
    op = add_headers(call, op);
    op = add_message(call, op, message);
    vg_rpc_start_batch(call->core, ops, (size_t)(op - ops), &call->io_tag, on_sent);
    vg_rpc_gate_leave(&server->gate); /* the call may be gone; the server is not, inside the gate */
}

/* A message that is not one ends the stream like the peer's own end. */
static void on_read(struct vg_rpc_tag *tag, bool ok)
{
    struct direct_call *call = VG_CONTAINER(tag, struct direct_call, io_tag);

    if (ok && call->payload != NULL)
        call->base.request = vg_rpc_unpack(call->base.entry->input, call->payload, true);
    post_io(call);
}

static void direct_read(struct vg_rpc_call *base, struct vg_executor *executor,
                        struct vg_task *task)
{
    struct direct_call *call = direct_of(base);
    struct vg_rpc_server *server = call->server;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

    begin_io(call, executor, task);
    if (base->request != NULL)
        protobuf_c_message_free_unpacked(base->request, NULL);
    base->request = NULL;
    grpc_byte_buffer_destroy(call->payload);
    call->payload = NULL;
    if (!vg_rpc_gate_enter(&server->gate)) {
        post_io(call);
        return;
    }
    op.data.recv_message.recv_message = &call->payload;
    vg_rpc_start_batch(call->core, &op, 1, &call->io_tag, on_read);
    vg_rpc_gate_leave(&server->gate); /* the call may be gone; the server is not, inside the gate */
}

static struct vg_view direct_metadata(const struct vg_rpc_call *base, const char *key)
{
    const struct direct_call *call = direct_of(base);

    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];

        if (vg_view_eqs(vg_rpc_slice_view(&entry->key), key))
            return vg_rpc_slice_view(&entry->value);
    }
    return (struct vg_view){NULL, 0};
}

static bool direct_peer(const struct vg_rpc_call *base, char out[VG_PEER_SIZE])
{
    char *text = grpc_call_get_peer(direct_of(base)->core);
    bool known = text && vg_peer_of_core(text, out);

    if (!known)
        out[0] = '\0';
    gpr_free(text);
    return known;
}

static const struct vg_rpc_transport direct_transport = {
    .end = direct_end,
    .send = direct_send,
    .read = direct_read,
    .metadata = direct_metadata,
    .peer = direct_peer,
};

/* Hands an accepted call to its handler, or refuses it. */
static void dispatch(struct direct_call *call)
{
    struct vg_rpc_call *base = &call->base;
    const struct vg_rpc_entry *entry = base->entry;
    struct vg_err err = {0};

    if (!entry->builtin && !entry->idle) {
        if (!vg_rpc_load_enter(&call->server->load, &err)) {
            vg_rpc_call_fail(base, &err);
            return;
        }
        base->load = &call->server->load;
    }
    if (entry->kind != VG_RPC_BIDI) {
        base->request = vg_rpc_unpack(entry->input, call->payload, true);
        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
        if (base->request == NULL) {
            (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The request is no valid %s message.",
                             entry->input->name);
            vg_rpc_call_fail(base, &err);
            return;
        }
    }
    entry->handler(entry->ctx, base);
}

static void on_request(struct vg_rpc_tag *tag, bool ok)
{
    struct direct_call *call = VG_CONTAINER(tag, struct direct_call, request_tag);
    struct vg_rpc_server *server = call->server;
    const struct vg_rpc_entry *entry = call->base.entry;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};

    if (!ok || !vg_rpc_gate_enter(&server->gate)) {
        direct_free(call); /* shutting down */
        return;
    }
    vg_rpc_server_request(server, entry);
    vg_rpc_server_ref(server);
    call->live = !entry->builtin || entry->kind == VG_RPC_UNARY;
    if (call->live)
        vg_rpc_server_live(server);
    call->base.started_ns = vg_now_ns();
    call->base.deadline_ns = vg_rpc_time_from_core(call->core_deadline);
    op.data.recv_close_on_server.cancelled = &call->peer_cancelled;
    vg_rpc_start_batch(call->core, &op, 1, &call->close_tag, on_closed);
    vg_rpc_gate_leave(&server->gate);
    dispatch(call);
}

void vg_rpc_server_request(struct vg_rpc_server *server, const struct vg_rpc_entry *entry)
{
    struct direct_call *call = vg_xalloc(sizeof *call);

    vg_rpc_call_init(&call->base, &direct_transport, entry);
    call->server = server;
    atomic_init(&call->refs, 2);
    status_init(&call->status);
    grpc_metadata_array_init(&call->metadata);
    void *tag = vg_rpc_tag_arm(&call->request_tag, on_request);
    grpc_call_error rc = grpc_server_request_registered_call(
        server->core, entry->core_data, &call->core, &call->core_deadline, &call->metadata,
        entry->kind == VG_RPC_BIDI ? NULL : &call->payload, server->queue, server->queue, tag);
    VG_ASSERT(rc == GRPC_CALL_OK);
}

/* A call of a method that nobody registered: without an answer the client would wait for its
 * deadline. */
struct unknown_call {
    struct vg_rpc_tag tag;
    struct vg_rpc_server *server; /* borrowed: these end before the queue does */
    grpc_call *core;              /* owned */
    grpc_call_details details;    /* owned */
    grpc_metadata_array metadata; /* owned */
    struct status_out status;
    int cancelled;
};

static void unknown_free(struct unknown_call *call)
{
    if (call->core != NULL)
        grpc_call_unref(call->core);
    status_fini(&call->status);
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    free(call);
}

static void on_unknown_ended(struct vg_rpc_tag *tag, bool ok)
{
    (void)ok;
    unknown_free(VG_CONTAINER(tag, struct unknown_call, tag));
}

static void on_unknown(struct vg_rpc_tag *tag, bool ok)
{
    struct unknown_call *call = VG_CONTAINER(tag, struct unknown_call, tag);
    struct vg_rpc_server *server = call->server;
    grpc_op ops[3] = {0};
    struct vg_err err = {0};

    if (!ok || !vg_rpc_gate_enter(&server->gate)) {
        unknown_free(call);
        return;
    }
    vg_rpc_server_request_unknown(server);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    (void)vg_err_set(&err, VG_ERR_UNIMPLEMENTED, "Unknown method.");
    (void)add_status(&call->status, &ops[1], &err, NULL);
    ops[2].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[2].data.recv_close_on_server.cancelled = &call->cancelled;
    vg_rpc_start_batch(call->core, ops, VG_COUNT(ops), &call->tag, on_unknown_ended);
    vg_rpc_gate_leave(&server->gate);
}

void vg_rpc_server_request_unknown(struct vg_rpc_server *server)
{
    struct unknown_call *call = vg_xalloc(sizeof *call);

    call->server = server;
    status_init(&call->status);
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    void *tag = vg_rpc_tag_arm(&call->tag, on_unknown);
    grpc_call_error rc =
        grpc_server_request_call(server->core, &call->core, &call->details, &call->metadata,
                                 server->queue, server->queue, tag);
    VG_ASSERT(rc == GRPC_CALL_OK);
}
