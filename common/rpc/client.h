/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC client over the C core: channels, unary calls (alone or coalesced, the caller cannot tell)
 * and server streams. A channel may be used from any thread; callbacks run on the executor given,
 * or on the channel's pump thread. */
#ifndef VG_COMMON_RPC_CLIENT_H
#define VG_COMMON_RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "common/rpc/trailing.h"
#include "common/task.h"

struct vg_rpc_channel;

struct vg_rpc_channel_options {
    const char *target; /* "127.0.0.1:7000" */
    struct vg_rpc_tls tls;
    bool use_tls;
    size_t max_message; /* bytes received; 0: 4 MiB */
    /* Bytes that the peer may send ahead on a stream whose reader stands still. 0: the core
     * measures the line and decides, up to several MiB. */
    size_t stream_window;
    int max_in_flight; /* calls; beyond it a call fails at once with VG_ERR_OVERLOADED; 0: 8192 */
    /* Coalescing into EdgeService.Batch (design.md section 8): while fewer than `coalesce` batches
     * are in flight a call is sent at once, otherwise calls gather (at most 256) until one returns.
     * 0: every call travels alone. */
    int coalesce;
    struct vg_metrics *metrics; /* may be NULL */
};

VG_MUSTCHECK int vg_rpc_channel_new(struct vg_rpc_channel **out,
                                    const struct vg_rpc_channel_options *options,
                                    struct vg_err *err);
/* Cancels what is in flight, waits until every callback was posted, frees. */
struct vg_rpc_channel *vg_rpc_channel_free(struct vg_rpc_channel *channel);
/* Whether the channel is connected now; with `try_connect` it starts to connect when idle. Any
 * thread. */
bool vg_rpc_channel_ready(struct vg_rpc_channel *channel, bool try_connect);

struct vg_rpc_metadata {
    const char *key;   /* lower case */
    const char *value; /* ASCII */
};

/* Metadata: keys [a-z0-9_.-], values printable ASCII; anything else fails the call with
 * VG_ERR_INVALID_REQUEST. `deadline_ns`: VG_NO_DEADLINE or 0: none. */

/* One unary call. Embed it or allocate it; it belongs to the runtime from start until `done` has
 * been posted. The caller fills the upper part; strings and the request are read during
 * vg_rpc_unary_start only. */
struct vg_rpc_unary {
    const char *service_method; /* "/videogate.v1.VideoService/GetVideo"; a literal */
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    const struct vg_rpc_metadata *metadata;
    size_t metadata_count;
    int64_t deadline_ns;
    bool alone;                   /* never coalesce: large or slow */
    struct vg_executor *executor; /* where `done.run` is called; NULL: pump thread */
    struct vg_task done;

    /* Results, valid in done.run. */
    bool ok;
    struct vg_rpc_trailing
        *trailing; /* the caller's, set before the start and valid until done, to get the trailing
                      metadata of an answer that came; NULL: not wanted */
    ProtobufCMessage
        *response; /* owned by the caller: protobuf_c_message_free_unpacked; NULL on error */
    struct vg_err err;
    int grpc_code; /* status as received or made locally */

    void *impl; /* the runtime's */
};
/* Never fails synchronously: errors come through `done`. */
void vg_rpc_unary_start(struct vg_rpc_channel *channel, struct vg_rpc_unary *call);
/* Hurries the end; `done` still comes. Between start and done only: on the executor's own thread,
 * or where the caller knows otherwise that done has not run. */
void vg_rpc_unary_cancel(struct vg_rpc_unary *call);
/* Starts and waits; for command-line tools and start-up checks. Returns 0 or -1 with call->err
 * filled. */
int vg_rpc_unary_wait(struct vg_rpc_channel *channel, struct vg_rpc_unary *call);

/* One server stream. As above; `event` comes once per message and once for the end, never two at a
 * time: the next message is read only after vg_rpc_stream_next (back-pressure). */
struct vg_rpc_stream {
    const char *service_method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    const struct vg_rpc_metadata *metadata;
    size_t metadata_count;
    int64_t deadline_ns;
    struct vg_executor *executor;
    struct vg_task event;
    struct vg_rpc_trailing *trailing; /* as in vg_rpc_unary; filled when the stream has ended */

    /* State, valid in event.run. */
    ProtobufCMessage *
        message; /* owned by the caller when set: take it and free it; NULL: the stream has ended */
    bool ended;
    bool ok;
    struct vg_err err;
    int grpc_code;

    void *impl;
};
/* Reads the first message without being asked. */
void vg_rpc_stream_start(struct vg_rpc_channel *channel, struct vg_rpc_stream *stream);
/* After a message event: ask for the next event. */
void vg_rpc_stream_next(struct vg_rpc_stream *stream);
/* Hurries the end. When no event is owed (a message was delivered and next not called), also call
 * next once. */
void vg_rpc_stream_cancel(struct vg_rpc_stream *stream);

/* Process-wide start and stop of the C core (counted); before the first and after the last use of
 * common/rpc. */
void vg_rpc_init(void);
void vg_rpc_fini(void);

#endif
