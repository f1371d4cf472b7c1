/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/pending.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/rpc/counted.h"
#include "common/rpc/message.h"

void vg_rpc_pending_unref(struct vg_rpc_pending *pending)
{
    if (!vg_rpc_counted_unref(&pending->refs))
        return;
    for (size_t i = 0; i < pending->metadata_count; i++)
        explicit_bzero((char *)pending->metadata[i].value, strlen(pending->metadata[i].value));
    grpc_slice_unref(pending->payload);
    grpc_byte_buffer_destroy(pending->answer);
    free(pending->bytes);
    (void)pthread_mutex_destroy(&pending->lock);
    vg_rpc_counted_free(pending);
}

/* Runs where the user wants to hear of the end. */
static void deliver(struct vg_task *task)
{
    struct vg_rpc_pending *pending = VG_CONTAINER(task, struct vg_rpc_pending, deliver);
    struct vg_rpc_unary *call = pending->call;

    if (call->grpc_code == VG_GRPC_OK) {
        call->response = pending->answer != NULL
                             ? vg_rpc_unpack(call->response_type, pending->answer, false)
                             : vg_rpc_message_unpack(call->response_type, pending->bytes,
                                                     pending->byte_count, false);
        if (call->response == NULL) {
            call->grpc_code = VG_GRPC_INTERNAL;
            (void)vg_err_set(&call->err, VG_ERR_BAD_GATEWAY, "The answer is no valid %s message.",
                             call->response_type->name);
        }
    }
    call->ok = call->response != NULL;
    call->impl = NULL;
    vg_rpc_pending_unref(pending);
    call->done.run(&call->done);
}

static char *copy_string(char *at, const char *s, const char **out)
{
    size_t size = strlen(s) + 1;

    memcpy(at, s, size);
    *out = at;
    return at + size;
}

struct vg_rpc_pending *vg_rpc_pending_new(struct vg_rpc_channel *channel, struct vg_rpc_unary *call)
{
    size_t size =
        sizeof(struct vg_rpc_pending) + call->metadata_count * sizeof(struct vg_rpc_metadata);
    struct vg_rpc_pending *pending;
    char *at;

    for (size_t i = 0; i < call->metadata_count; i++)
        size += strlen(call->metadata[i].key) + strlen(call->metadata[i].value) + 2;
    pending = vg_xalloc(size);
    pending->channel = channel;
    pending->deliver.run = deliver;
    pending->call = call;
    pending->executor = vg_rpc_channel_executor(channel, call->executor);
    pending->path = call->service_method;
    pending->deadline_ns = call->deadline_ns == 0 ? VG_NO_DEADLINE : call->deadline_ns;
    atomic_init(&pending->refs, 2); /* its end, its transport */
    (void)pthread_mutex_init(&pending->lock, NULL);
    pending->payload = vg_rpc_pack_slice(call->request);
    pending->waiting.bytes = GRPC_SLICE_LENGTH(pending->payload);
    pending->metadata = (struct vg_rpc_metadata *)(void *)pending->tail;
    pending->metadata_count = call->metadata_count;
    at = (char *)(pending->metadata + call->metadata_count);
    for (size_t i = 0; i < call->metadata_count; i++) {
        at = copy_string(at, call->metadata[i].key, &pending->metadata[i].key);
        at = copy_string(at, call->metadata[i].value, &pending->metadata[i].value);
    }
    return pending;
}

/* True: the caller is the one who ends it, and must call post_end. */
static bool settle(struct vg_rpc_pending *pending)
{
    return !atomic_exchange(&pending->settled, true);
}

static void post_end(struct vg_rpc_pending *pending)
{
    struct vg_rpc_channel *channel = pending->channel;

    if (atomic_load(&pending->armed) &&
        vg_rpc_deadline_remove(channel->deadlines, &pending->deadline))
        vg_rpc_pending_unref(pending);
    vg_rpc_channel_ended(channel, pending->call->grpc_code);
    vg_post(pending->executor, &pending->deliver); /* pending is not ours any more */
    vg_rpc_channel_posted(channel);
}

/* Between settling and the end. */
static void take_metadata(struct vg_rpc_pending *pending, const struct vg_rpc_answer *answer)
{
    struct vg_rpc_trailing *out = pending->call->trailing;

    if (out == NULL || answer == NULL)
        return;
    if (answer->trailing != NULL)
        vg_rpc_trailing_from_core(out, answer->trailing);
    for (size_t i = 0; answer->result != NULL && i < answer->result->n_metadata; i++)
        vg_rpc_trailing_add(out, vg_view_of(answer->result->metadata[i]->key),
                            vg_view_of(answer->result->metadata[i]->value));
}

void vg_rpc_pending_fail(struct vg_rpc_pending *pending, int code, const struct vg_err *err,
                         const struct vg_rpc_answer *answer)
{
    if (!settle(pending))
        return;
    take_metadata(pending, answer);
    pending->call->grpc_code = code;
    pending->call->err = *err;
    post_end(pending);
}

void vg_rpc_pending_succeed(struct vg_rpc_pending *pending, const struct vg_rpc_answer *answer)
{
    ProtobufCBinaryData *payload = answer->result != NULL ? &answer->result->payload : NULL;
    size_t size = payload != NULL ? payload->len : grpc_byte_buffer_length(*answer->message);

    if (size > pending->channel->max_message) {
        struct vg_err err = {0};

        (void)vg_err_set(&err, VG_ERR_TOO_LARGE, "The answer is too large.");
        vg_rpc_pending_fail(pending, VG_GRPC_RESOURCE_EXHAUSTED, &err, NULL);
        return;
    }
    if (!settle(pending))
        return;
    take_metadata(pending, answer);
    if (payload != NULL) {
        /* The bytes change hands; NULL is what an empty message leaves. */
        pending->bytes = payload->data;
        pending->byte_count = payload->len;
        *payload = (ProtobufCBinaryData){0, NULL};
    } else {
        pending->answer = *answer->message;
        *answer->message = NULL;
    }
    pending->call->grpc_code = VG_GRPC_OK;
    post_end(pending);
}

void vg_rpc_pending_leave(struct vg_rpc_pending *pending, enum vg_err_kind kind)
{
    struct vg_rpc_channel *channel = pending->channel;

    if (!settle(pending))
        return;
    (void)vg_err_set(&pending->call->err, kind, NULL);
    pending->call->grpc_code = (int)vg_err_info(kind)->grpc;
    if (channel->coalescing && vg_rpc_coalescer_remove(&channel->coalescer, &pending->waiting))
        vg_rpc_pending_unref(pending); /* the queue's */
    (void)pthread_mutex_lock(&pending->lock);
    if (pending->carrier != NULL && atomic_fetch_sub(&pending->carrier->listeners, 1) == 1)
        vg_rpc_op_cancel(&pending->carrier->op);
    (void)pthread_mutex_unlock(&pending->lock);
    post_end(pending);
}

static void expired(struct vg_rpc_deadline *deadline)
{
    struct vg_rpc_pending *pending = VG_CONTAINER(deadline, struct vg_rpc_pending, deadline);

    vg_rpc_pending_leave(pending, VG_ERR_DEADLINE);
    vg_rpc_pending_unref(pending);
}

void vg_rpc_pending_watch(struct vg_rpc_pending *pending)
{
    struct vg_rpc_deadlines *deadlines = pending->channel->deadlines;

    if (pending->deadline_ns == VG_NO_DEADLINE)
        return;
    vg_rpc_counted_ref(&pending->refs);
    atomic_store(&pending->armed, true);
    vg_rpc_deadline_add(deadlines, &pending->deadline, pending->deadline_ns, expired);
    /* Settled before it was armed: its end did not take the entry back. */
    if (atomic_load(&pending->settled) && vg_rpc_deadline_remove(deadlines, &pending->deadline))
        vg_rpc_pending_unref(pending);
}

void vg_rpc_pending_board(struct vg_rpc_pending *pending, struct vg_rpc_carrier *carrier)
{
    (void)pthread_mutex_lock(&pending->lock);
    pending->carrier = carrier;
    (void)pthread_mutex_unlock(&pending->lock);
}
