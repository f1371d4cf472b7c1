/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/workers/recorder.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void end_call(struct call *call)
{
    pthread_mutex_lock(&mutex);
    assert_false(call->ended);
    call->ended = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
}

static void on_reply(struct vg_op *op, const ProtobufCMessage *response)
{
    struct call *call = (struct call *)op;
    call->packed = malloc(protobuf_c_message_get_packed_size(response) + 1);
    call->packed_size = protobuf_c_message_pack(response, call->packed);
    end_call(call);
}

static void on_fail(struct vg_op *op, const struct vg_err *err)
{
    struct call *call = (struct call *)op;
    call->failed = true;
    call->err = *err;
    end_call(call);
}

static void on_send(struct vg_op *op, const ProtobufCMessage *message, struct vg_executor *executor,
                    struct vg_task *task)
{
    struct call *call = (struct call *)op;
    const Videogate__V1__FetchResponse *m = (const void *)message;
    if (m->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_INFO) {
        assert_int_equal(call->messages, 0);
        call->announced = m->info->bytes;
        (void)snprintf(call->sha256, sizeof(call->sha256), "%s", m->info->sha256);
    } else if (m->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA) {
        assert_true(m->data.len <= 256 << 10);
        assert_int_equal(vg_buf_add(&call->data, m->data.data, m->data.len), 0);
    } else {
        call->fetch_error = (int)m->error->class_;
    }
    call->messages++;
    vg_post(executor, task);
}

static void on_finish(struct vg_op *op)
{
    end_call((struct call *)op);
}

static bool is_cancelled(const struct vg_op *op)
{
    (void)op;
    return false;
}

static const struct vg_op_sink sink = {on_reply, on_fail, on_send, on_finish, is_cancelled};

void call_init(struct call *call)
{
    memset(call, 0, sizeof(*call));
    call->op.sink = &sink;
    call->op.arena = vg_arena_new();
    call->op.deadline_ns = VG_NO_DEADLINE;
    vg_buf_init(&call->data, 64 << 20);
}

void call_fini(struct call *call)
{
    vg_arena_free(call->op.arena);
    vg_buf_fini(&call->data);
    free(call->packed);
}

void call_wait(struct call *call)
{
    pthread_mutex_lock(&mutex);
    while (!call->ended)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

void *call_unpack(const struct call *call, const ProtobufCMessageDescriptor *descriptor)
{
    void *message = protobuf_c_message_unpack(descriptor, NULL, call->packed_size, call->packed);
    assert_non_null(message);
    return message;
}
