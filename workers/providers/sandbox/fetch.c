/* SPDX-License-Identifier: Apache-2.0 */
/* One stream of a finished file: info, then pieces; each piece is read on the io pool when the one
 * before it has been handed to the transport. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/providers/sandbox/reply.h"
#include "workers/providers/sandbox/sandbox_priv.h"

#define PIECE ((size_t)256 << 10)

struct fetch {
    struct vg_sandbox *owner;   /* borrowed */
    struct vg_op *op;           /* the provider's until finish */
    struct vg_sandbox_job *job; /* referenced */
    int fd;                     /* owned */
    int64_t at, end;
    uint8_t *piece; /* owned */
    struct vg_task task;
};

static void end_fetch(struct fetch *self)
{
    vg_sandbox_store_unref(self->owner->store, self->job);
    (void)close(self->fd); /* only read */
    struct vg_op *op = self->op;
    free(self->piece);
    free(self);
    vg_op_finish(op);
}

static void finish_task(struct vg_task *task)
{
    end_fetch(VG_CONTAINER(task, struct fetch, task));
}

static void send(struct fetch *self, Videogate__V1__FetchResponse *message)
{
    vg_op_send(self->op, &message->base, vg_work_pool_executor(self->owner->io), &self->task);
}

static void send_error(struct fetch *self)
{
    Videogate__V1__ProviderError error;
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    vg_sandbox_error(&error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL,
                     "read_failed", "The provider could not read its file.");
    error.retryable = true;
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_ERROR;
    message.error = &error;
    self->task.run = finish_task;
    send(self, &message);
}

static ssize_t read_piece(struct fetch *self)
{
    int64_t left = self->end - self->at;
    size_t want = left < (int64_t)PIECE ? (size_t)left : PIECE;
    ssize_t n;
    do
        n = pread(self->fd, self->piece, want, self->at);
    while (n < 0 && errno == EINTR);
    return n;
}

static void next_piece(struct vg_task *task)
{
    struct fetch *self = VG_CONTAINER(task, struct fetch, task);
    if (self->at == self->end || vg_op_cancelled(self->op)) {
        end_fetch(self);
        return;
    }
    ssize_t n = read_piece(self);
    if (n <= 0) {
        send_error(self);
        return;
    }
    self->at += n;
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA;
    message.data = (ProtobufCBinaryData){(size_t)n, self->piece};
    send(self, &message);
}

void vg_sandbox_fetch_start(struct vg_sandbox *self, struct vg_op *op,
                            const struct vg_sandbox_fetch_desc *desc)
{
    struct fetch *fetch = vg_xalloc(sizeof(*fetch));
    fetch->owner = self;
    fetch->op = op;
    fetch->job = desc->job;
    fetch->fd = desc->fd;
    fetch->end = desc->cut ? desc->bytes / 2 : desc->bytes;
    fetch->piece = vg_xalloc(PIECE);
    fetch->task.run = next_piece;

    Videogate__V1__FetchInfo info = VIDEOGATE__V1__FETCH_INFO__INIT;
    Videogate__V1__FetchResponse message = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    info.mime_type = "video/mp4";
    info.bytes = desc->bytes;
    info.sha256 = (char *)desc->sha256;
    message.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_INFO;
    message.info = &info;
    send(fetch, &message);
}
