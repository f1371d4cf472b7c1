/* SPDX-License-Identifier: Apache-2.0 */
/* One request in the API layer: route, body, the call to the service, the access log. Lives on its
 * loop's thread from the head until its stream is closed and nothing holds it any more (a call
 * under way). */
#ifndef VG_BRIDGE_API_EXCHANGE_H
#define VG_BRIDGE_API_EXCHANGE_H

#include <protobuf-c/protobuf-c.h>

#include "bridge/api/api.h"
#include "bridge/api/routes.h"

#define VG_REQUEST_ID_SIZE 129

struct vg_exchange;

/* Gets the unpacked response, which is freed afterwards; only called while the client is there. */
typedef void vg_reply_f(struct vg_exchange *exchange, const ProtobufCMessage *response);

struct vg_exchange {
    struct vg_api_loop *at;   /* borrowed */
    struct vg_stream *stream; /* borrowed; NULL once closed */
    struct vg_arena
        *arena; /* the stream's; owned once the stream is closed. Holds this struct, too */
    const struct vg_route *route; /* borrowed; NULL: none matched */
    char param[VG_PARAM_SIZE];    /* the decoded {id} */
    char request_id[VG_REQUEST_ID_SIZE];
    struct vg_buf body;
    int64_t body_charged; /* of api->body_held */
    int64_t started_ns;
    bool creating; /* counted in api->creates */
    int status;    /* answered; 0: not yet */
    int holds;

    struct vg_rpc_unary unary;
    struct vg_rpc_trailing *trailing; /* the call's, in the arena; NULL: no call yet */
    vg_reply_f *reply;

    /* A handler's own: called on back-pressure's end and when the client is gone. */
    void *op;
    void (*op_writable)(struct vg_exchange *exchange);
    void (*op_closed)(struct vg_exchange *exchange);
};

/* Keeps the exchange alive / lets it go. */
void vg_exchange_hold(struct vg_exchange *exchange);
void vg_exchange_release(struct vg_exchange *exchange);
/* The first request header of this name; empty when absent. Only while the stream is open. */
struct vg_view vg_exchange_header(const struct vg_exchange *exchange, const char *name);
/* Gives the body's memory back. */
void vg_exchange_drop_body(struct vg_exchange *exchange);

/* A body that has been taken from its exchange, which it may outlive. */
struct vg_body {
    struct vg_buf bytes; /* owned */
    struct vg_api *api;  /* borrowed */
    int64_t charged;     /* of api->body_held */
};
void vg_exchange_take_body(struct vg_exchange *exchange, struct vg_body *out);
/* Any thread; a second time does nothing. */
void vg_body_drop(struct vg_body *body);

/* A call that makes a video begins: false when there are too many. It ends with the call. */
bool vg_exchange_admit(struct vg_exchange *exchange);

#define VG_EXCHANGE_METADATA 4
/* Metadata for a call: authorization (from either header form), x-request-id, the caller's address
 * and, where videos are created, the SDK's count of attempts. The strings live as long as the
 * exchange. Fails with VG_ERR_UNAUTHENTICATED when the credential cannot be one. */
VG_MUSTCHECK int vg_exchange_metadata(struct vg_exchange *exchange,
                                      struct vg_rpc_metadata out[VG_EXCHANGE_METADATA],
                                      size_t *out_count, struct vg_err *err);

/* Prepares exchange->unary; the caller sets `request` (and `alone`) and calls vg_exchange_start. */
VG_MUSTCHECK int vg_exchange_prepare(struct vg_exchange *exchange, const char *method,
                                     const ProtobufCMessageDescriptor *response_type,
                                     vg_reply_f *reply,
                                     struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA],
                                     struct vg_err *err);
/* Starts the call; an error is answered by itself. Any thread: the exchange must be held by the
 * caller until now. */
void vg_exchange_start(struct vg_exchange *exchange);
/* Both for a small call: answers an error by itself. */
void vg_exchange_call(struct vg_exchange *exchange, const char *method,
                      const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *response_type, vg_reply_f *reply);

#endif
