/* SPDX-License-Identifier: Apache-2.0 */
/* Unary calls of the client. A *pending* (pending.h) is one call of a user; an *exchange* is one
 * RPC in the core and carries one pending as plain unary or up to 256 inside EdgeService.Batch. The
 * two part ways when a pending settles first (its cancel, its deadline): its end is posted at once,
 * the exchange goes on for the others, or is cancelled with the last. */
#include <stdlib.h>
#include <videogate/v1/edge.pb-c.h>

#include "common/clock.h"
#include "common/rpc/counted.h"
#include "common/rpc/pending.h"
#include "common/rpc/status.h"

struct exchange {
    struct vg_rpc_tag tag;
    struct vg_rpc_carrier carrier;
    bool placed;             /* holds a place of the coalescer */
    grpc_metadata *metadata; /* owned */
    size_t metadata_count;
    grpc_byte_buffer *request;    /* owned */
    grpc_byte_buffer *response;   /* owned */
    grpc_metadata_array initial;  /* owned */
    grpc_metadata_array trailing; /* owned */
    grpc_status_code status;
    grpc_slice text; /* owned */
    size_t count;
    struct vg_rpc_pending *members[]; /* each counted */
};

/* --- exchange --- */

static void exchange_free(struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->count; i++)
        vg_rpc_pending_unref(exchange->members[i]);
    vg_rpc_metadata_free(exchange->metadata, exchange->metadata_count);
    grpc_byte_buffer_destroy(exchange->request);
    grpc_byte_buffer_destroy(exchange->response);
    grpc_metadata_array_destroy(&exchange->initial);
    grpc_metadata_array_destroy(&exchange->trailing);
    grpc_slice_unref(exchange->text);
    (void)pthread_mutex_destroy(&exchange->carrier.op.lock);
    vg_rpc_counted_free(exchange);
}

/* NULL when nobody waits any more. Takes over the transport references. */
static struct exchange *exchange_new(struct vg_rpc_waiting **list, size_t count, bool placed)
{
    struct exchange *exchange =
        vg_xalloc(sizeof *exchange + count * sizeof(struct vg_rpc_pending *));

    for (size_t i = 0; i < count; i++) {
        struct vg_rpc_pending *pending = VG_CONTAINER(list[i], struct vg_rpc_pending, waiting);

        if (atomic_load(&pending->settled))
            vg_rpc_pending_unref(pending);
        else
            exchange->members[exchange->count++] = pending;
    }
    if (exchange->count == 0) {
        free(exchange);
        return NULL;
    }
    exchange->placed = placed;
    atomic_init(&exchange->carrier.listeners, exchange->count);
    grpc_metadata_array_init(&exchange->initial);
    grpc_metadata_array_init(&exchange->trailing);
    exchange->text = grpc_empty_slice();
    return exchange;
}

/* From here on a member that leaves tells the exchange; NULL: no more. */
static void board_members(struct exchange *exchange, struct vg_rpc_carrier *carrier)
{
    for (size_t i = 0; i < exchange->count; i++)
        vg_rpc_pending_board(exchange->members[i], carrier);
}

static int64_t latest_deadline(const struct exchange *exchange)
{
    int64_t latest = 0;

    for (size_t i = 0; i < exchange->count; i++) {
        if (exchange->members[i]->deadline_ns > latest)
            latest = exchange->members[i]->deadline_ns;
    }
    return latest;
}

static size_t metadata_total(const struct exchange *exchange)
{
    size_t total = 0;

    for (size_t i = 0; i < exchange->count; i++)
        total += exchange->members[i]->metadata_count;
    return total;
}

/* Fills one BatchCall; `rows` and `row_ptrs` have room for its metadata. */
static void fill_call(Videogate__V1__BatchCall *out, struct vg_rpc_pending *pending,
                      Videogate__V1__BatchMetadata *rows, Videogate__V1__BatchMetadata **row_ptrs)
{
    videogate__v1__batch_call__init(out);
    out->method = (char *)pending->path; /* protobuf-c only reads it */
    if (pending->deadline_ns != VG_NO_DEADLINE) {
        int64_t left = vg_deadline_left_ms(pending->deadline_ns);

        out->timeout_ms = left > 0 ? left : 1;
    }
    out->payload = (ProtobufCBinaryData){GRPC_SLICE_LENGTH(pending->payload),
                                         GRPC_SLICE_START_PTR(pending->payload)};
    out->n_metadata = pending->metadata_count;
    out->metadata = row_ptrs;
    for (size_t i = 0; i < pending->metadata_count; i++) {
        videogate__v1__batch_metadata__init(&rows[i]);
        rows[i].key = (char *)pending->metadata[i].key;
        rows[i].value = (char *)pending->metadata[i].value;
        row_ptrs[i] = &rows[i];
    }
}

/* The members as one packed BatchRequest. */
static grpc_byte_buffer *pack_members(const struct exchange *exchange)
{
    Videogate__V1__BatchRequest request = VIDEOGATE__V1__BATCH_REQUEST__INIT;
    Videogate__V1__BatchCall *call_ptrs[VG_RPC_BATCH_CALLS];
    size_t total = metadata_total(exchange);
    Videogate__V1__BatchCall *calls = vg_xcalloc(exchange->count, sizeof *calls);
    Videogate__V1__BatchMetadata *rows = vg_xcalloc(total + 1, sizeof *rows);
    Videogate__V1__BatchMetadata **row_ptrs =
        vg_xcalloc(total + 1, sizeof(Videogate__V1__BatchMetadata *));
    size_t used = 0;

    for (size_t i = 0; i < exchange->count; i++) {
        fill_call(&calls[i], exchange->members[i], rows + used, row_ptrs + used);
        used += exchange->members[i]->metadata_count;
        call_ptrs[i] = &calls[i];
    }
    request.calls = call_ptrs;
    request.n_calls = exchange->count;
    grpc_byte_buffer *packed = vg_rpc_pack_secret(&request.base);
    free(row_ptrs);
    free(rows);
    free(calls);
    return packed;
}

static void prepare_plain(struct exchange *exchange, struct vg_rpc_channel *channel)
{
    struct vg_rpc_pending *pending = exchange->members[0];

    exchange->request = grpc_raw_byte_buffer_create(&pending->payload, 1);
    exchange->metadata = vg_rpc_metadata_new(pending->metadata, pending->metadata_count);
    exchange->metadata_count = pending->metadata_count;
    vg_rpc_op_open(&exchange->carrier.op, channel, pending->path, pending->deadline_ns);
}

static void prepare_batch(struct exchange *exchange, struct vg_rpc_channel *channel)
{
    exchange->request = pack_members(exchange);
    exchange->metadata = vg_rpc_metadata_new(NULL, 0);
    vg_rpc_op_open(&exchange->carrier.op, channel, "/videogate.v1.EdgeService/Batch",
                   latest_deadline(exchange));
    vg_metric_add(channel->metrics, VG_RPC_METRIC_BATCHES, 0, 1);
    vg_metric_add(channel->metrics, VG_RPC_METRIC_BATCHED, 0, (int64_t)exchange->count);
}

static void on_exchanged(struct vg_rpc_tag *tag, bool ok);

static void exchange_start(struct exchange *exchange, struct vg_rpc_channel *channel)
{
    grpc_op ops[6] = {0};

    if (exchange->count == 1)
        prepare_plain(exchange, channel);
    else
        prepare_batch(exchange, channel);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.metadata = exchange->metadata;
    ops[0].data.send_initial_metadata.count = exchange->metadata_count;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = exchange->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &exchange->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &exchange->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &exchange->trailing;
    ops[5].data.recv_status_on_client.status = &exchange->status;
    ops[5].data.recv_status_on_client.status_details = &exchange->text;
    board_members(exchange, &exchange->carrier);
    vg_rpc_start_batch(exchange->carrier.op.core, ops, VG_COUNT(ops), &exchange->tag, on_exchanged);
}

/* A place in flight is free: the calls that gathered meanwhile leave with it. */
static void send_next(struct vg_rpc_channel *channel)
{
    struct vg_rpc_waiting *list[VG_RPC_BATCH_CALLS];
    size_t count;

    while ((count = vg_rpc_coalescer_next(&channel->coalescer, list)) > 0) {
        struct exchange *exchange = exchange_new(list, count, true);

        if (exchange != NULL) {
            exchange_start(exchange, channel);
            return;
        }
    }
}

static void finish_plain(struct exchange *exchange)
{
    struct vg_rpc_pending *pending = exchange->members[0];

    if (exchange->response == NULL) { /* OK without a message: not a unary answer */
        struct vg_err err = {0};

        (void)vg_err_set(&err, VG_ERR_BAD_GATEWAY, NULL);
        vg_rpc_pending_fail(pending, VG_GRPC_INTERNAL, &err, NULL);
    } else {
        const struct vg_rpc_answer answer = {.message = &exchange->response,
                                             .trailing = &exchange->trailing};

        vg_rpc_pending_succeed(pending, &answer);
    }
}

/* The trailing metadata of a batch is no member's. */
static void fail_members(struct exchange *exchange, int code, const struct vg_err *err)
{
    const struct vg_rpc_answer answer = {.trailing =
                                             exchange->count == 1 ? &exchange->trailing : NULL};

    for (size_t i = 0; i < exchange->count; i++)
        vg_rpc_pending_fail(exchange->members[i], code, err, &answer);
}

static void finish_member(struct vg_rpc_pending *pending, Videogate__V1__BatchResult *result)
{
    const struct vg_rpc_answer answer = {.result = result};
    struct vg_err err = {0};

    if (result->code != VG_GRPC_OK) {
        struct vg_view details = {(const char *)result->details.data, result->details.len};

        vg_rpc_status_parse(result->code, vg_view_of(result->message), details, &err);
        vg_rpc_pending_fail(pending, result->code, &err, &answer);
    } else {
        vg_rpc_pending_succeed(pending, &answer);
    }
}

static void finish_batch(struct exchange *exchange)
{
    Videogate__V1__BatchResponse *response = (Videogate__V1__BatchResponse *)vg_rpc_unpack(
        &videogate__v1__batch_response__descriptor, exchange->response, false);

    if (response == NULL || response->n_results != exchange->count) {
        struct vg_err err = {0};

        (void)vg_err_set(&err, VG_ERR_BAD_GATEWAY, "The batch was not answered as it should.");
        fail_members(exchange, VG_GRPC_INTERNAL, &err);
    } else {
        for (size_t i = 0; i < exchange->count; i++)
            finish_member(exchange->members[i], response->results[i]);
    }
    if (response != NULL)
        protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void on_exchanged(struct vg_rpc_tag *tag, bool ok)
{
    struct exchange *exchange = VG_CONTAINER(tag, struct exchange, tag);
    struct vg_rpc_channel *channel = exchange->carrier.op.channel;

    (void)ok; /* a batch with RECV_STATUS_ON_CLIENT always succeeds; the status tells */
    if (exchange->placed)
        send_next(channel);
    board_members(exchange, NULL);
    exchange->status =
        vg_rpc_op_status(&exchange->carrier.op, exchange->status, &exchange->trailing);
    if (exchange->status != GRPC_STATUS_OK) {
        struct vg_err err;

        vg_rpc_status_from_core(exchange->status, &exchange->text, &exchange->trailing, &err);
        fail_members(exchange, (int)exchange->status, &err);
    } else if (exchange->count == 1) {
        finish_plain(exchange);
    } else {
        finish_batch(exchange);
    }
    vg_rpc_op_close(&exchange->carrier.op);
    exchange_free(exchange);
}

/* --- the interface --- */

static void send_alone(struct vg_rpc_channel *channel, struct vg_rpc_pending *pending, bool placed)
{
    struct vg_rpc_waiting *list[] = {&pending->waiting};
    struct exchange *exchange = exchange_new(list, 1, placed);

    if (exchange != NULL)
        exchange_start(exchange, channel);
    else if (placed)
        send_next(channel);
}

static void send_coalesced(struct vg_rpc_channel *channel, struct vg_rpc_pending *pending)
{
    vg_rpc_counted_ref(&pending->refs); /* ours: queued, it may be over before we are done */
    if (vg_rpc_coalescer_add(&channel->coalescer, &pending->waiting))
        send_alone(channel, pending, true);
    else
        vg_rpc_pending_watch(pending);
    vg_rpc_pending_unref(pending);
}

void vg_rpc_unary_start(struct vg_rpc_channel *channel, struct vg_rpc_unary *call)
{
    struct vg_rpc_pending *pending = vg_rpc_pending_new(channel, call);
    struct vg_err err = {0};
    bool entered;

    call->impl = pending;
    call->ok = false;
    call->response = NULL;
    call->grpc_code = VG_GRPC_OK;
    entered = vg_rpc_channel_enter(channel, &err);
    if (entered && !vg_rpc_metadata_legal(pending->metadata, pending->metadata_count)) {
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "A metadata value is not printable ASCII.");
        entered = false;
    }
    if (!entered) {
        vg_rpc_pending_fail(pending, (int)vg_err_info(err.kind)->grpc, &err, NULL);
        vg_rpc_pending_unref(pending); /* it has no transport */
    } else if (channel->coalescing && !call->alone &&
               pending->waiting.bytes <= VG_RPC_BATCH_PAYLOAD) {
        send_coalesced(channel, pending);
    } else {
        send_alone(channel, pending, false);
    }
}

void vg_rpc_unary_cancel(struct vg_rpc_unary *call)
{
    vg_rpc_pending_leave(call->impl, VG_ERR_CANCELLED);
}

void vg_rpc_unary_flush(struct vg_rpc_channel *channel)
{
    struct vg_rpc_waiting *list[VG_RPC_BATCH_CALLS];
    struct vg_err err = {0};
    size_t count;

    (void)vg_err_set(&err, VG_ERR_CANCELLED, NULL);
    while ((count = vg_rpc_coalescer_drain(&channel->coalescer, list)) > 0) {
        for (size_t i = 0; i < count; i++) {
            struct vg_rpc_pending *pending = VG_CONTAINER(list[i], struct vg_rpc_pending, waiting);

            vg_rpc_pending_fail(pending, VG_GRPC_CANCELLED, &err, NULL);
            vg_rpc_pending_unref(pending);
        }
    }
}

/* An executor whose one task runs on the thread that waits. */
struct waiter {
    struct vg_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct vg_task *task;
};

static void waiter_post(struct vg_executor *self, struct vg_task *task)
{
    struct waiter *waiter = VG_CONTAINER(self, struct waiter, executor);

    (void)pthread_mutex_lock(&waiter->lock);
    waiter->task = task;
    (void)pthread_cond_signal(&waiter->posted);
    (void)pthread_mutex_unlock(&waiter->lock);
}

static void waiter_done(struct vg_task *task)
{
    (void)task;
}

int vg_rpc_unary_wait(struct vg_rpc_channel *channel, struct vg_rpc_unary *call)
{
    struct waiter waiter = {.executor = {waiter_post}};

    (void)pthread_mutex_init(&waiter.lock, NULL);
    (void)pthread_cond_init(&waiter.posted, NULL);
    call->executor = &waiter.executor;
    call->done.run = waiter_done;
    vg_rpc_unary_start(channel, call);
    (void)pthread_mutex_lock(&waiter.lock);
    while (waiter.task == NULL)
        (void)pthread_cond_wait(&waiter.posted, &waiter.lock);
    (void)pthread_mutex_unlock(&waiter.lock);
    waiter.task->run(waiter.task);
    call->executor = NULL;
    (void)pthread_cond_destroy(&waiter.posted);
    (void)pthread_mutex_destroy(&waiter.lock);
    return call->ok ? 0 : -1;
}
