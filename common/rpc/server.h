/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC server over the C core. Handlers are asynchronous: they may answer at once or later from any
 * thread.
 *
 * One or more threads pump completion queues; a handler runs there and must not block. A call is
 * owned by the runtime until the handler is called, then by the handler, which must end it exactly
 * once (reply, fail, or finish for streams); after that the pointer is dead. Beyond `max_in_flight`
 * calls are refused with VG_ERR_OVERLOADED. Unknown methods get UNIMPLEMENTED. Health (Check, List,
 * Watch) and reflection (v1, v1alpha) are always served; so is EdgeService.Batch when `edge_batch`
 * is set. */
#ifndef VG_COMMON_RPC_SERVER_H
#define VG_COMMON_RPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/peer.h"
#include "common/task.h"

struct vg_rpc_server;
struct vg_rpc_call;

typedef void vg_rpc_handler_f(void *ctx, struct vg_rpc_call *call);

struct vg_rpc_method {
    const char *name; /* as in the descriptor: "CreateVideo" */
    vg_rpc_handler_f *handler;
    bool server_streaming;
};

struct vg_rpc_service {
    const ProtobufCServiceDescriptor *descriptor;
    const struct vg_rpc_method *methods; /* borrowed for the server's life; a method of the
                                            descriptor left out is UNIMPLEMENTED */
    size_t method_count;
    void *ctx; /* handed to every handler */
};

struct vg_rpc_tls {
    const char *cert_file; /* PEM chain; NULL: no TLS (server) / no client certificate (client) */
    const char *key_file;
    const char *ca_file; /* server: set means client certificates are demanded; client: roots */
    const char *name_override; /* client, tests only */
};

struct vg_rpc_server_options {
    const char *listen; /* "127.0.0.1:7000"; port 0 chooses */
    struct vg_rpc_tls tls;
    const struct vg_rpc_service *services;
    size_t service_count;
    int threads;       /* pumps; 0: 1 */
    int max_in_flight; /* 0: 4096 */
    /* "/package.Service/Method" whose streams are long and idle: not counted in max_in_flight, the
     * handler bounds them by itself to max_idle. NULL: none. */
    const char *idle_method;
    int max_idle;
    size_t max_message; /* bytes received per message; 0: 4 MiB */
    bool edge_batch;
    /* A client that answers nothing for so long is taken for dead, and its calls are cancelled;
     * 0: 80,000. */
    int peer_dead_ms;
    struct vg_metrics *metrics; /* may be NULL */
};

VG_MUSTCHECK int vg_rpc_server_start(struct vg_rpc_server **out,
                                     const struct vg_rpc_server_options *options,
                                     struct vg_err *err);
int vg_rpc_server_port(const struct vg_rpc_server *server);
/* Health of "" and of every service; SERVING after start. Any thread. */
void vg_rpc_server_set_serving(struct vg_rpc_server *server, bool serving);
/* Stage one: NOT_SERVING, refuse new calls, GOAWAY, wait for calls in flight until the deadline. */
void vg_rpc_server_drain(struct vg_rpc_server *server, int64_t deadline_ns);
/* Stage two: cancels what is left, joins the threads, frees. Handlers that still hold calls must
 * have ended them by the time their own modules are freed; replies after cancellation are dropped
 * silently. */
struct vg_rpc_server *vg_rpc_server_stop(struct vg_rpc_server *server);

/* --- the call, from any thread, by its owner --- */

/* The unpacked request; lives as long as the call. */
const ProtobufCMessage *vg_rpc_call_request(const struct vg_rpc_call *call);
/* Memory that lives as long as the call; one thread at a time. */
struct vg_arena *vg_rpc_call_arena(struct vg_rpc_call *call);
/* First value of a metadata key (lower case); empty view when absent. */
struct vg_view vg_rpc_call_metadata(const struct vg_rpc_call *call, const char *key);
/* The address at the other end of the connection; false, and "": it has none. Not free: the core
 * writes it anew each time. */
bool vg_rpc_call_peer(const struct vg_rpc_call *call, char out[VG_PEER_SIZE]);
/* "/package.Service/Method". */
const char *vg_rpc_call_method(const struct vg_rpc_call *call);
/* Absolute monotonic nanoseconds; VG_NO_DEADLINE when the client set none. */
int64_t vg_rpc_call_deadline(const struct vg_rpc_call *call);
/* True once the client cancelled, hung up or ran out of time. */
bool vg_rpc_call_cancelled(const struct vg_rpc_call *call);
/* `task` is posted to `executor` once when the call is cancelled before its end; not at all
 * otherwise. The call may have been ended by its owner meanwhile: the task must look in the owner's
 * own state first. Set before going asynchronous; vg_rpc_call_clear_cancel gives the task back and
 * returns false when it is already posted. */
void vg_rpc_call_on_cancel(struct vg_rpc_call *call, struct vg_executor *executor,
                           struct vg_task *task);
bool vg_rpc_call_clear_cancel(struct vg_rpc_call *call);

/* Adds a pair of trailing metadata: a lower-case key of at most 39 bytes, printable ASCII of at
 * most 87; at most 8. Before the call's end. */
void vg_rpc_call_set_trailing(struct vg_rpc_call *call, const char *key, const char *value);

/* Unary: ends the call. `response` is packed before return. */
void vg_rpc_call_reply(struct vg_rpc_call *call, const ProtobufCMessage *response);
/* Unary or stream: ends the call with status, text and details (ErrorInfo, BadRequest, RetryInfo)
 * of `err`. */
void vg_rpc_call_fail(struct vg_rpc_call *call, const struct vg_err *err);

/* Stream: sends one message; packed before return. When it has been handed to the transport
 * (back-pressure), `task` is posted to `executor`; only then may the next be sent. With the call
 * cancelled the task still comes. */
void vg_rpc_call_send(struct vg_rpc_call *call, const ProtobufCMessage *message,
                      struct vg_executor *executor, struct vg_task *task);
/* Stream: ends with OK; not while a send is under way. */
void vg_rpc_call_finish(struct vg_rpc_call *call);

#endif
