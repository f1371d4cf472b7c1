/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/rpc/client.h"
#include "service/ctl/ctl.h"

#define CALL_TIMEOUT_MS 60000
#define MESSAGE_MAX (64u << 20)

static int open_channel(struct vg_ctl *ctl)
{
    if (ctl->channel)
        return 0;
    const struct vg_rpc_channel_options options = {
        .target = ctl->config.service,
        .tls = {.ca_file = ctl->config.tls_ca,
                .cert_file = ctl->config.tls_cert,
                .key_file = ctl->config.tls_key},
        .use_tls = ctl->config.tls_ca != NULL,
        .max_message = MESSAGE_MAX,
    };
    return vg_rpc_channel_new(&ctl->channel, &options, &ctl->err);
}

/* gRPC aborts on metadata that is not printable ASCII. */
static bool is_printable(const char *s)
{
    for (; *s; s++) {
        if (*s < ' ' || *s > '~')
            return false;
    }
    return true;
}

/* "Bearer KEY", owned by the caller (vg_free_secret); NULL with ctl->err. */
static char *bearer(struct vg_ctl *ctl, bool admin)
{
    const char *key = admin ? ctl->config.admin_key : ctl->config.api_key;
    const char *variable = admin ? "VIDEOGATE_ADMIN_KEY" : "VIDEOGATE_API_KEY";
    if (!key || !*key) {
        (void)vg_err_set(&ctl->err, VG_ERR_UNAUTHENTICATED, "%s is not set.", variable);
        return NULL;
    }
    if (!is_printable(key)) {
        (void)vg_err_set(&ctl->err, VG_ERR_UNAUTHENTICATED, "%s holds characters that no key has.",
                         variable);
        return NULL;
    }
    struct vg_buf text;
    vg_buf_init(&text, strlen(key) + sizeof "Bearer ");
    (void)vg_buf_addf(&text, "Bearer %s", key);
    return vg_buf_take(&text, NULL);
}

/* Says which service: the commonest trouble is talking to the wrong one. */
static int fail(struct vg_ctl *ctl, const struct vg_err *err)
{
    if (err->kind == VG_ERR_UNAVAILABLE)
        return vg_err_set(&ctl->err, err->kind, "%s (service %s)", vg_err_text(err),
                          ctl->config.service);
    ctl->err = *err;
    return -1;
}

int vg_ctl_call(struct vg_ctl *ctl, const struct vg_ctl_rpc *rpc, const ProtobufCMessage *request,
                ProtobufCMessage **out_response)
{
    char *authorization = bearer(ctl, rpc->admin);
    if (!authorization || open_channel(ctl) != 0) {
        vg_free_secret(authorization);
        return -1;
    }
    const struct vg_rpc_metadata metadata = {"authorization", authorization};
    struct vg_rpc_unary call = {
        .service_method = rpc->method,
        .request = request,
        .response_type = rpc->response_type,
        .metadata = &metadata,
        .metadata_count = 1,
        .deadline_ns = vg_deadline_in_ms(CALL_TIMEOUT_MS),
        .alone = true,
    };
    int rc = vg_rpc_unary_wait(ctl->channel, &call);
    vg_free_secret(authorization);
    if (rc != 0)
        return fail(ctl, &call.err);
    *out_response = call.response;
    return 0;
}

void *vg_ctl_message_free(void *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
    return NULL;
}

/* Events arrive on the channel's pump thread; the command's thread waits for them here. */
struct vg_ctl_stream {
    struct vg_rpc_stream rpc;
    pthread_mutex_t lock;
    pthread_cond_t cond; /* on the monotonic clock */
    bool event;          /* guarded by lock: an event came and was not taken yet */
    bool delivered;      /* a message was taken: the next event must be asked for */
    bool ended;
};

static void on_event(struct vg_task *task)
{
    struct vg_rpc_stream *rpc = VG_CONTAINER(task, struct vg_rpc_stream, event);
    struct vg_ctl_stream *stream = VG_CONTAINER(rpc, struct vg_ctl_stream, rpc);
    VG_ASSERT(pthread_mutex_lock(&stream->lock) == 0);
    stream->event = true;
    VG_ASSERT(pthread_cond_signal(&stream->cond) == 0);
    VG_ASSERT(pthread_mutex_unlock(&stream->lock) == 0);
}

static void stream_init(struct vg_ctl_stream *stream)
{
    pthread_condattr_t attributes;
    VG_ASSERT(pthread_mutex_init(&stream->lock, NULL) == 0);
    VG_ASSERT(pthread_condattr_init(&attributes) == 0);
    VG_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    VG_ASSERT(pthread_cond_init(&stream->cond, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes);
}

int vg_ctl_stream_open(struct vg_ctl *ctl, const struct vg_ctl_rpc *rpc,
                       const ProtobufCMessage *request, struct vg_ctl_stream **out)
{
    char *authorization = bearer(ctl, rpc->admin);
    if (!authorization || open_channel(ctl) != 0) {
        vg_free_secret(authorization);
        return -1;
    }
    const struct vg_rpc_metadata metadata = {"authorization", authorization};
    struct vg_ctl_stream *stream = vg_xalloc(sizeof *stream);
    stream_init(stream);
    stream->rpc = (struct vg_rpc_stream){
        .service_method = rpc->method,
        .request = request,
        .response_type = rpc->response_type,
        .metadata = &metadata,
        .metadata_count = 1,
        .deadline_ns = VG_NO_DEADLINE,
        .event = {.run = on_event},
    };
    vg_rpc_stream_start(ctl->channel, &stream->rpc);
    vg_free_secret(authorization);
    *out = stream;
    return 0;
}

/* Takes the next event; false when it did not come in time. */
static bool stream_wait(struct vg_ctl_stream *stream, int64_t idle_ms)
{
    int64_t until = vg_deadline_in_ms(idle_ms);
    if (until == VG_NO_DEADLINE)
        until = INT64_C(1) << 62; /* a century: what timespec can hold */
    const struct timespec ts = {.tv_sec = until / VG_NS_PER_S, .tv_nsec = until % VG_NS_PER_S};
    int rc = 0;
    VG_ASSERT(pthread_mutex_lock(&stream->lock) == 0);
    while (!stream->event && rc == 0)
        rc = pthread_cond_timedwait(&stream->cond, &stream->lock, &ts);
    bool came = stream->event;
    stream->event = false;
    VG_ASSERT(pthread_mutex_unlock(&stream->lock) == 0);
    return came;
}

int vg_ctl_stream_read(struct vg_ctl *ctl, struct vg_ctl_stream *stream, int64_t idle_ms,
                       ProtobufCMessage **out)
{
    if (stream->delivered) {
        stream->delivered = false;
        vg_rpc_stream_next(&stream->rpc);
    }
    if (!stream_wait(stream, idle_ms))
        return vg_err_set(&ctl->err, VG_ERR_DEADLINE, "The service has gone silent.");
    if (stream->rpc.message) {
        *out = stream->rpc.message;
        stream->rpc.message = NULL;
        stream->delivered = true;
        return 1;
    }
    stream->ended = true;
    return stream->rpc.ok ? 0 : fail(ctl, &stream->rpc.err);
}

struct vg_ctl_stream *vg_ctl_stream_close(struct vg_ctl_stream *stream)
{
    if (!stream)
        return NULL;
    if (!stream->ended)
        vg_rpc_stream_cancel(&stream->rpc);
    while (!stream->ended) {
        if (stream->delivered)
            vg_rpc_stream_next(&stream->rpc);
        (void)stream_wait(stream, INT64_MAX);
        stream->delivered = stream->rpc.message != NULL;
        stream->ended = !stream->delivered;
        stream->rpc.message = vg_ctl_message_free(stream->rpc.message);
    }
    (void)pthread_cond_destroy(&stream->cond);
    (void)pthread_mutex_destroy(&stream->lock);
    free(stream);
    return NULL;
}
