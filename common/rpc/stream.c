/* SPDX-License-Identifier: Apache-2.0 */
/* Server streams of the client. Three batches are out at most: the start, one RECV_MESSAGE, and
 * RECV_STATUS; the end is told when all are back and no message is left. Everything below `lock` is
 * guarded by op.lock, as the pump, the user's thread and vg_rpc_channel_free meet here. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/counted.h"

struct stream {
    struct vg_rpc_op op;
    struct vg_rpc_tag start_tag;
    struct vg_rpc_tag status_tag;
    struct vg_rpc_tag message_tag;
    struct vg_task deliver;
    struct vg_task nudge_task;
    struct vg_rpc_channel *channel; /* borrowed until the end is posted or the op abandoned */
    struct vg_rpc_stream *user;
    struct vg_executor *executor; /* borrowed */
    grpc_metadata *metadata;      /* owned */
    size_t metadata_count;
    grpc_byte_buffer *request;    /* owned */
    grpc_byte_buffer *payload;    /* owned; the message just received */
    grpc_metadata_array initial;  /* owned */
    grpc_metadata_array trailing; /* owned */
    grpc_status_code status;
    grpc_slice text;   /* owned */
    struct vg_err err; /* what status, text and trailing say */
    atomic_int refs;   /* until its end is delivered; a nudge */
    bool refused;      /* never started; user->err says why */
    /* Under op.lock: */
    bool started;   /* the start batch is back */
    bool drained;   /* no more messages */
    bool finished;  /* the status is in */
    bool holding;   /* a message is with the user, who has not asked for the next */
    bool abandoned; /* the channel is gone; the end waits for the user's next */
    bool closed;    /* the end was posted */
    bool broken;    /* a message could not be unpacked; the rest is read away */
};

static void stream_unref(struct stream *stream)
{
    if (!vg_rpc_counted_unref(&stream->refs))
        return;
    vg_rpc_metadata_free(stream->metadata, stream->metadata_count);
    grpc_byte_buffer_destroy(stream->request);
    grpc_byte_buffer_destroy(stream->payload);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->text);
    (void)pthread_mutex_destroy(&stream->op.lock);
    vg_rpc_counted_free(stream);
}

static void on_message(struct vg_rpc_tag *tag, bool ok);

/* Under op.lock. */
static void read_message(struct stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

    op.data.recv_message.recv_message = &stream->payload;
    vg_rpc_start_batch(stream->op.core, &op, 1, &stream->message_tag, on_message);
}

/* Runs where the user listens: the last event. */
static void deliver_end(struct vg_task *task)
{
    struct stream *stream = VG_CONTAINER(task, struct stream, deliver);
    struct vg_rpc_stream *user = stream->user;

    user->message = NULL;
    user->ended = true;
    if (stream->broken) {
        user->grpc_code = VG_GRPC_INTERNAL;
        (void)vg_err_set(&user->err, VG_ERR_BAD_GATEWAY, "A message is no valid %s.",
                         user->response_type->name);
    } else if (!stream->refused) {
        user->grpc_code = (int)stream->status;
        user->err = stream->err;
    }
    user->ok = user->grpc_code == VG_GRPC_OK;
    user->impl = NULL;
    stream_unref(stream);
    user->event.run(&user->event);
}

/* As above: a message. */
static void deliver_message(struct vg_task *task)
{
    struct stream *stream = VG_CONTAINER(task, struct stream, deliver);
    struct vg_rpc_stream *user = stream->user;

    user->message = vg_rpc_unpack(user->response_type, stream->payload, false);
    grpc_byte_buffer_destroy(stream->payload);
    stream->payload = NULL;
    if (user->message != NULL) {
        user->event.run(&user->event);
        return;
    }
    (void)pthread_mutex_lock(&stream->op.lock);
    stream->broken = true;
    (void)pthread_mutex_unlock(&stream->op.lock);
    vg_rpc_op_cancel(&stream->op);
    vg_rpc_stream_next(user);
}

static void post_end(struct stream *stream, int code)
{
    struct vg_rpc_channel *channel = stream->channel;

    vg_rpc_channel_ended(channel, code);
    stream->deliver.run = deliver_end;
    vg_post(stream->executor, &stream->deliver); /* stream is not ours any more */
    vg_rpc_channel_posted(channel);
}

/* The channel goes while the user holds a message: it lets go of the stream, whose end comes with
 * the user's next. */
static void leave_channel(struct stream *stream)
{
    struct vg_rpc_channel *channel = stream->channel;

    vg_rpc_channel_ended(channel, (int)stream->status);
    vg_rpc_op_close(&stream->op);
    vg_rpc_channel_posted(channel);
    stream_unref(stream);
}

/* On the pump, whenever something changed that may have been the last thing to wait for. */
static void check_end(struct stream *stream)
{
    (void)pthread_mutex_lock(&stream->op.lock);
    bool back = stream->started && stream->finished && !stream->abandoned;
    bool over = back && stream->drained && !stream->closed;
    stream->closed = stream->closed || over;
    bool leave = back && stream->holding && atomic_load(&stream->channel->closing);
    if (leave) {
        stream->abandoned = true;
        vg_rpc_counted_ref(&stream->refs); /* the user may end it at once */
    }
    (void)pthread_mutex_unlock(&stream->op.lock);
    if (over) {
        vg_rpc_op_close(&stream->op);
        post_end(stream, (int)stream->status);
    } else if (leave) {
        leave_channel(stream);
    }
}

static void on_message(struct vg_rpc_tag *tag, bool ok)
{
    struct stream *stream = VG_CONTAINER(tag, struct stream, message_tag);

    (void)pthread_mutex_lock(&stream->op.lock);
    if (ok && stream->payload != NULL && stream->broken) {
        grpc_byte_buffer_destroy(stream->payload);
        stream->payload = NULL;
        read_message(stream);
        (void)pthread_mutex_unlock(&stream->op.lock);
        return;
    }
    bool message = ok && stream->payload != NULL;
    stream->drained = !message;
    stream->holding = message;
    if (message)
        vg_rpc_counted_ref(&stream->refs);
    (void)pthread_mutex_unlock(&stream->op.lock);
    if (!message) {
        check_end(stream);
        return;
    }
    stream->deliver.run = deliver_message;
    vg_post(stream->executor, &stream->deliver);
    if (atomic_load(&stream->channel->closing))
        check_end(stream);
    stream_unref(stream);
}

static void on_started(struct vg_rpc_tag *tag, bool ok)
{
    struct stream *stream = VG_CONTAINER(tag, struct stream, start_tag);

    (void)ok; /* false: the status tells why */
    (void)pthread_mutex_lock(&stream->op.lock);
    stream->started = true;
    (void)pthread_mutex_unlock(&stream->op.lock);
    check_end(stream);
}

static void on_status(struct vg_rpc_tag *tag, bool ok)
{
    struct stream *stream = VG_CONTAINER(tag, struct stream, status_tag);

    (void)ok; /* always true */
    stream->status = vg_rpc_op_status(&stream->op, stream->status, &stream->trailing);
    /* Now, as the bytes of trailing metadata are the core call's, and go with it. */
    if (stream->status != GRPC_STATUS_OK)
        vg_rpc_status_from_core(stream->status, &stream->text, &stream->trailing, &stream->err);
    if (stream->user->trailing != NULL)
        vg_rpc_trailing_from_core(stream->user->trailing, &stream->trailing);
    (void)pthread_mutex_lock(&stream->op.lock);
    stream->finished = true;
    (void)pthread_mutex_unlock(&stream->op.lock);
    check_end(stream);
}

static void nudged(struct vg_task *task)
{
    struct stream *stream = VG_CONTAINER(task, struct stream, nudge_task);

    check_end(stream);
    stream_unref(stream);
}

static void stream_nudge(struct vg_rpc_op *op)
{
    struct stream *stream = VG_CONTAINER(op, struct stream, op);

    vg_rpc_counted_ref(&stream->refs);
    stream->nudge_task.run = nudged;
    vg_post(&stream->channel->pump_executor, &stream->nudge_task);
}

static void start_batches(struct stream *stream)
{
    grpc_op ops[4] = {0};
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};

    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.metadata = stream->metadata;
    ops[0].data.send_initial_metadata.count = stream->metadata_count;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = stream->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    status.data.recv_status_on_client.trailing_metadata = &stream->trailing;
    status.data.recv_status_on_client.status = &stream->status;
    status.data.recv_status_on_client.status_details = &stream->text;
    /* No end can be seen before the message batch, the last one, is back. */
    vg_rpc_start_batch(stream->op.core, ops, VG_COUNT(ops), &stream->start_tag, on_started);
    vg_rpc_start_batch(stream->op.core, &status, 1, &stream->status_tag, on_status);
    (void)pthread_mutex_lock(&stream->op.lock);
    read_message(stream);
    (void)pthread_mutex_unlock(&stream->op.lock);
}

void vg_rpc_stream_start(struct vg_rpc_channel *channel, struct vg_rpc_stream *stream)
{
    struct stream *self = vg_xalloc(sizeof *self);

    self->channel = channel;
    self->user = stream;
    self->executor = vg_rpc_channel_executor(channel, stream->executor);
    atomic_init(&self->refs, 1);
    grpc_metadata_array_init(&self->initial);
    grpc_metadata_array_init(&self->trailing);
    self->text = grpc_empty_slice();
    stream->impl = self;
    stream->message = NULL;
    stream->ended = stream->ok = false;
    stream->grpc_code = VG_GRPC_OK;
    self->refused = !vg_rpc_channel_enter(channel, &stream->err);
    if (!self->refused && !vg_rpc_metadata_legal(stream->metadata, stream->metadata_count)) {
        (void)vg_err_set(&stream->err, VG_ERR_INVALID_REQUEST,
                         "A metadata value is not printable ASCII.");
        self->refused = true;
    }
    if (self->refused) {
        (void)pthread_mutex_init(&self->op.lock, NULL);
        stream->grpc_code = (int)vg_err_info(stream->err.kind)->grpc;
        post_end(self, stream->grpc_code);
        return;
    }
    self->request = vg_rpc_pack(stream->request);
    self->metadata = vg_rpc_metadata_new(stream->metadata, stream->metadata_count);
    self->metadata_count = stream->metadata_count;
    self->op.nudge = stream_nudge;
    vg_rpc_op_open(&self->op, channel, stream->service_method, stream->deadline_ns);
    start_batches(self);
}

void vg_rpc_stream_next(struct vg_rpc_stream *stream)
{
    struct stream *self = stream->impl;

    (void)pthread_mutex_lock(&self->op.lock);
    bool abandoned = self->abandoned;
    self->holding = false;
    if (!abandoned)
        read_message(self);
    (void)pthread_mutex_unlock(&self->op.lock);
    if (!abandoned)
        return;
    self->deliver.run = deliver_end;
    if (stream->executor != NULL)
        vg_post(stream->executor, &self->deliver);
    else
        deliver_end(&self->deliver); /* the pump is gone with the channel */
}

void vg_rpc_stream_cancel(struct vg_rpc_stream *stream)
{
    vg_rpc_op_cancel(&((struct stream *)stream->impl)->op);
}
