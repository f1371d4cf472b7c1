/* SPDX-License-Identifier: Apache-2.0 */
/* EdgeService.Batch, the server's side: each member is a vg_rpc_call of its own that reaches the
 * very handler a direct call reaches; the last one to end answers the outer call. No gRPC core
 * inside.
 *
 * References on the batch: the run (until the answer), the outer call's cancel subscription, the
 * deadline entry. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <videogate/v1/edge.pb-c.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/rpc/batch.h"
#include "common/rpc/counted.h"
#include "common/rpc/message.h"
#include "common/rpc/status.h"

#define MEMBERS_MAX 256
/* What all results together may hold; a client that batches receives up to 64 MiB (channel.c). */
#define RESULTS_MAX (32U << 20)

struct batch;

struct member {
    struct vg_rpc_call base;
    struct batch *batch;
    const Videogate__V1__BatchCall *source; /* borrowed from the outer request */
    Videogate__V1__BatchResult result;      /* its bytes are owned, and the message when `failed` */
    bool failed;
    struct member_trailing *trailing; /* owned; what result.metadata points at */
};

struct member_trailing {
    struct vg_rpc_trailing *pairs; /* owned */
    Videogate__V1__BatchMetadata rows[VG_RPC_TRAILING_MAX];
    Videogate__V1__BatchMetadata *row_ptrs[VG_RPC_TRAILING_MAX];
};

struct batch {
    atomic_int refs;
    struct vg_rpc_batcher *batcher; /* borrowed from the server, which the outer call keeps */
    struct vg_rpc_call *outer;      /* ours to end */
    struct vg_task cancel_task;     /* on the outer call */
    struct vg_rpc_deadline deadline;
    pthread_mutex_t lock; /* guards finished, and arming the deadline */
    bool finished;
    atomic_size_t left; /* members not ended, and 1 while they are being started */
    atomic_size_t bytes;
    size_t count;
    struct member members[];
};

static void batch_unref(struct batch *batch)
{
    if (!vg_rpc_counted_unref(&batch->refs))
        return;
    (void)pthread_mutex_destroy(&batch->lock);
    vg_rpc_counted_free(batch);
}

static void result_fini(struct member *member)
{
    free(member->result.payload.data);
    if (member->trailing != NULL)
        free(member->trailing->pairs);
    free(member->trailing);
    if (member->failed) {
        free(member->result.message);
        free(member->result.details.data);
    }
}

/* No later cancellation or deadline concerns us; their references come back unless they are on
 * their way. */
static void unsubscribe(struct batch *batch)
{
    (void)pthread_mutex_lock(&batch->lock);
    batch->finished = true;
    bool removed = vg_rpc_deadline_remove(batch->batcher->deadlines, &batch->deadline);
    (void)pthread_mutex_unlock(&batch->lock);
    if (removed)
        batch_unref(batch);
    if (vg_rpc_call_clear_cancel(batch->outer))
        batch_unref(batch);
}

static void batch_finish(struct batch *batch)
{
    Videogate__V1__BatchResponse response = VIDEOGATE__V1__BATCH_RESPONSE__INIT;
    Videogate__V1__BatchResult *results[MEMBERS_MAX];

    unsubscribe(batch);
    for (size_t i = 0; i < batch->count; i++)
        results[i] = &batch->members[i].result;
    response.results = results;
    response.n_results = batch->count;
    vg_rpc_call_reply(batch->outer, &response.base);
    for (size_t i = 0; i < batch->count; i++)
        result_fini(&batch->members[i]);
    batch_unref(batch);
}

static void batch_left(struct batch *batch)
{
    if (atomic_fetch_sub(&batch->left, 1) == 1)
        batch_finish(batch);
}

static void result_fail(struct member *member, const struct vg_err *err)
{
    struct vg_buf details;

    vg_buf_init(&details, VG_RPC_DETAILS_MAX);
    vg_rpc_status_details(err, &details);
    member->failed = true;
    member->result.code = (int32_t)vg_err_info(err->kind)->grpc;
    member->result.message = vg_xstrdup(vg_err_text(err));
    member->result.details.data = (uint8_t *)vg_buf_take(&details, &member->result.details.len);
}

static void result_pack(struct member *member, const ProtobufCMessage *response)
{
    size_t size = protobuf_c_message_get_packed_size(response);
    struct vg_err err = {0};

    if (atomic_fetch_add(&member->batch->bytes, size) + size > RESULTS_MAX) {
        (void)vg_err_set(&err, VG_ERR_OVERLOADED, "The answer is too large to travel with others.");
        result_fail(member, &err);
        return;
    }
    if (size == 0)
        return;
    member->result.payload.data = vg_xalloc(size);
    member->result.payload.len = protobuf_c_message_pack(response, member->result.payload.data);
}

static void result_take_trailing(struct member *member)
{
    struct vg_rpc_trailing *pairs = member->base.trailing;

    if (pairs == NULL)
        return;
    member->base.trailing = NULL;
    member->trailing = vg_xalloc(sizeof(*member->trailing));
    member->trailing->pairs = pairs;
    for (size_t i = 0; i < pairs->count; i++) {
        Videogate__V1__BatchMetadata *row = &member->trailing->rows[i];

        videogate__v1__batch_metadata__init(row);
        row->key = pairs->pairs[i].key;
        row->value = pairs->pairs[i].value;
        member->trailing->row_ptrs[i] = row;
    }
    member->result.metadata = member->trailing->row_ptrs;
    member->result.n_metadata = pairs->count;
}

static void member_end(struct vg_rpc_call *base, const ProtobufCMessage *response,
                       const struct vg_err *err)
{
    struct member *member = VG_CONTAINER(base, struct member, base);

    vg_crash_point("answer", base->entry->path, "before");
    if (err != NULL)
        result_fail(member, err);
    else if (response != NULL)
        result_pack(member, response);
    result_take_trailing(member);
    vg_rpc_call_fini(base); /* a canceller may still touch the flags, which stay */
    batch_left(member->batch);
}

static struct vg_view member_metadata(const struct vg_rpc_call *base, const char *key)
{
    const struct member *member = VG_CONTAINER(base, struct member, base);

    for (size_t i = 0; i < member->source->n_metadata; i++) {
        if (strcmp(member->source->metadata[i]->key, key) == 0)
            return vg_view_of(member->source->metadata[i]->value);
    }
    return (struct vg_view){NULL, 0};
}

/* Streams do not travel in batches: no send, no read. */
static bool member_peer(const struct vg_rpc_call *base, char out[VG_PEER_SIZE])
{
    return vg_rpc_call_peer(VG_CONTAINER(base, struct member, base)->batch->outer, out);
}

static const struct vg_rpc_transport member_transport = {
    .end = member_end,
    .metadata = member_metadata,
    .peer = member_peer,
};

static void batch_cancelled(struct vg_task *task)
{
    struct batch *batch = VG_CONTAINER(task, struct batch, cancel_task);

    for (size_t i = 0; i < batch->count; i++)
        vg_rpc_call_cancel(&batch->members[i].base);
    batch_unref(batch);
}

/* Members whose own time is over. Returns the next member's time. */
static int64_t cancel_passed(struct batch *batch)
{
    int64_t next = VG_NO_DEADLINE;
    int64_t now = vg_now_ns();

    for (size_t i = 0; i < batch->count; i++) {
        int64_t at = batch->members[i].base.deadline_ns;

        if (at <= now)
            vg_rpc_call_cancel(&batch->members[i].base);
        else if (at < next)
            next = at;
    }
    return next;
}

static void batch_expired(struct vg_rpc_deadline *deadline)
{
    struct batch *batch = VG_CONTAINER(deadline, struct batch, deadline);
    int64_t next = cancel_passed(batch);
    bool again;

    (void)pthread_mutex_lock(&batch->lock);
    again = !batch->finished && next != VG_NO_DEADLINE;
    if (again)
        vg_rpc_deadline_add(batch->batcher->deadlines, &batch->deadline, next, batch_expired);
    (void)pthread_mutex_unlock(&batch->lock);
    if (!again)
        batch_unref(batch);
}

static void member_refuse(struct member *member, enum vg_err_kind kind, const char *text)
{
    struct vg_err err = {0};

    (void)vg_err_set(&err, kind, "%s", text);
    member_end(&member->base, NULL, &err);
}

static void member_start(struct member *member, int64_t now)
{
    const struct vg_rpc_entry *entry =
        vg_rpc_methods_find(member->batch->batcher->methods, member->source->method);
    const ProtobufCBinaryData *payload = &member->source->payload;
    struct vg_err err = {0};

    if (entry == NULL || entry->kind != VG_RPC_UNARY ||
        entry == member->batch->outer->entry) { /* no batch in a batch */
        member_refuse(member, VG_ERR_UNIMPLEMENTED, "Unknown method.");
        return;
    }
    member->base.entry = entry;
    member->base.started_ns = now;
    if (!entry->builtin) {
        if (!vg_rpc_load_enter(member->batch->batcher->load, &err)) {
            member_end(&member->base, NULL, &err);
            return;
        }
        member->base.load = member->batch->batcher->load;
    }
    member->base.request = vg_rpc_message_unpack(entry->input, payload->data, payload->len, true);
    if (member->base.request == NULL) {
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The request is no valid %s message.",
                         entry->input->name);
        vg_rpc_call_fail(&member->base, &err);
        return;
    }
    entry->handler(entry->ctx, &member->base);
}

static struct batch *batch_new(struct vg_rpc_batcher *batcher, struct vg_rpc_call *outer,
                               const Videogate__V1__BatchRequest *request, int64_t now)
{
    struct batch *batch = vg_xalloc(sizeof *batch + request->n_calls * sizeof batch->members[0]);

    atomic_init(&batch->refs, 2); /* the run, the cancel subscription */
    atomic_init(&batch->left, request->n_calls + 1);
    (void)pthread_mutex_init(&batch->lock, NULL);
    batch->batcher = batcher;
    batch->outer = outer;
    batch->count = request->n_calls;
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        int64_t timeout_ms = request->calls[i]->timeout_ms;
        int64_t deadline_ns = timeout_ms > 0 ? vg_deadline_in_ms(timeout_ms) : VG_NO_DEADLINE;

        vg_rpc_call_init(&member->base, &member_transport, outer->entry);
        videogate__v1__batch_result__init(&member->result);
        member->base.deadline_ns =
            deadline_ns < outer->deadline_ns ? deadline_ns : outer->deadline_ns;
        member->base.started_ns = now;
        member->batch = batch;
        member->source = request->calls[i];
    }
    return batch;
}

/* Watches members whose time ends before the outer call's, which the core watches. */
static void watch_deadlines(struct batch *batch)
{
    int64_t earliest = VG_NO_DEADLINE;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->members[i].base.deadline_ns < earliest)
            earliest = batch->members[i].base.deadline_ns;
    }
    if (earliest >= batch->outer->deadline_ns)
        return;
    vg_rpc_counted_ref(&batch->refs);
    vg_rpc_deadline_add(batch->batcher->deadlines, &batch->deadline, earliest, batch_expired);
}

static void handle_batch(void *ctx, struct vg_rpc_call *call)
{
    const Videogate__V1__BatchRequest *request =
        (const Videogate__V1__BatchRequest *)vg_rpc_call_request(call);
    int64_t now = vg_now_ns();
    struct vg_err err = {0};

    if (request->n_calls == 0 || request->n_calls > MEMBERS_MAX) {
        (void)vg_err_param(&err, VG_ERR_INVALID_REQUEST, "calls", "A batch has 1 to %d calls.",
                           MEMBERS_MAX);
        vg_rpc_call_fail(call, &err);
        return;
    }
    struct batch *batch = batch_new(ctx, call, request, now);
    batch->cancel_task.run = batch_cancelled;
    vg_rpc_call_on_cancel(call, vg_rpc_inline_executor(), &batch->cancel_task);
    watch_deadlines(batch);
    for (size_t i = 0; i < batch->count; i++)
        member_start(&batch->members[i], now);
    batch_left(batch);
}

int vg_rpc_batch_add(struct vg_rpc_batcher *batcher, struct vg_rpc_methods *methods,
                     struct vg_err *err)
{
    static const struct vg_rpc_method rows[] = {{"Batch", handle_batch, false}};
    const struct vg_rpc_service service = {&videogate__v1__edge_service__descriptor, rows,
                                           VG_COUNT(rows), batcher};

    return vg_rpc_methods_add(methods, &service, true, err);
}
