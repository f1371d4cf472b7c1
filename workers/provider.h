/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider is: one vtable, asynchronous, one instance per process.
 *
 * Each call is an operation (vg_op): the provider gets the unpacked request and must end the
 * operation exactly once, at once or later, from any thread: vg_op_reply or vg_op_fail for unary
 * calls; any number of vg_op_send, then vg_op_finish, for fetch. Calls come on the RPC pump's
 * threads and must not block; a provider that needs a loop, an HTTP client or a pool makes its own
 * in `start`. What the upstream did wrong is an answer (ProviderError in the response); vg_op_fail
 * says that this worker could not do its work. */
#ifndef VG_WORKERS_PROVIDER_H
#define VG_WORKERS_PROVIDER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/config.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/task.h"

struct vg_op;
struct vg_adapter;
struct vg_provider;
struct vg_upstream_config;

/* How an operation ends: over gRPC in the worker, recorded in tests. */
struct vg_op_sink {
    void (*reply)(struct vg_op *op, const ProtobufCMessage *response);
    void (*fail)(struct vg_op *op, const struct vg_err *err);
    void (*send)(struct vg_op *op, const ProtobufCMessage *message, struct vg_executor *executor,
                 struct vg_task *task);
    void (*finish)(struct vg_op *op);
    bool (*cancelled)(const struct vg_op *op);
};

struct vg_op {
    const struct vg_op_sink *sink;
    struct vg_arena
        *arena; /* lives as long as the operation, as does the request; one thread at a time */
    int64_t deadline_ns; /* monotonic; VG_NO_DEADLINE: none */
    const char *job;     /* token or upstream id, for log lines; lives as long as the request */
};

/* These end the operation; afterwards `op` and its request are dead. Messages are packed before
 * return. */
static inline void vg_op_reply(struct vg_op *op, const ProtobufCMessage *response)
{
    op->sink->reply(op, response);
}
static inline void vg_op_fail(struct vg_op *op, const struct vg_err *err)
{
    op->sink->fail(op, err);
}
static inline void vg_op_finish(struct vg_op *op)
{
    op->sink->finish(op);
}
/* One message of a stream; the next only after `task` ran on `executor` (back-pressure). */
static inline void vg_op_send(struct vg_op *op, const ProtobufCMessage *message,
                              struct vg_executor *executor, struct vg_task *task)
{
    op->sink->send(op, message, executor, task);
}
/* The caller does not want the answer any more; the operation must be ended all the same. */
static inline bool vg_op_cancelled(const struct vg_op *op)
{
    return op->sink->cancelled(op);
}

struct vg_provider_env {
    const struct vg_provider *provider;
    const struct vg_upstream_config *upstream; /* what all HTTP providers have */
    const void *config; /* the provider's own config struct, loaded; outlives the provider */
    struct vg_metrics *metrics;   /* outlives the provider; may be NULL */
    const char *listen, *monitor; /* our own addresses; may be NULL */
};

typedef int vg_provider_check_f(const void *config, struct vg_err *err);
typedef int vg_provider_start_f(void **out_self, const struct vg_provider_env *env,
                                struct vg_err *err);
typedef bool vg_provider_ready_f(void *self, char *why, size_t why_size);
typedef void vg_provider_stop_f(void *self);
typedef void vg_provider_describe_f(void *self, Videogate__V1__DescribeResponse *response);
typedef void vg_provider_submit_f(void *self, const Videogate__V1__SubmitRequest *request,
                                  struct vg_op *op);
typedef void vg_provider_poll_f(void *self, const Videogate__V1__PollRequest *request,
                                struct vg_op *op);
typedef void vg_provider_fetch_f(void *self, const Videogate__V1__FetchRequest *request,
                                 struct vg_op *op);
typedef void vg_provider_cancel_f(void *self, const Videogate__V1__CancelRequest *request,
                                  struct vg_op *op);
typedef void vg_provider_lookup_f(void *self, const Videogate__V1__LookupRequest *request,
                                  struct vg_op *op);
typedef void vg_provider_read_event_f(void *self, const Videogate__V1__ReadEventRequest *request,
                                      struct vg_op *op);

struct vg_provider {
    const char *name;                 /* --provider NAME; NULL: the adapter's */
    const struct vg_adapter *adapter; /* of an HTTP provider (workers/upstream); else NULL */
    /* Its rows of the worker's configuration table; offsets count from its own config struct. Names
     * start with the provider's name; no row may be `required`, since another provider may run:
     * that is what check is for. */
    const struct vg_config_key *keys;
    size_t key_count;
    size_t config_size;

    vg_provider_check_f
        *check; /* files and values, before start and for --check-config; may be NULL */
    vg_provider_start_f *start;
    vg_provider_ready_f *ready;
    vg_provider_stop_f
        *stop; /* every operation has ended or been cancelled; ends what is left, frees */
    vg_provider_describe_f *describe; /* strings are the provider's */
    vg_provider_submit_f *submit;
    vg_provider_poll_f *poll;
    vg_provider_fetch_f *fetch;
    vg_provider_cancel_f *cancel;
    vg_provider_lookup_f *lookup;
    vg_provider_read_event_f *read_event; /* NULL: the provider sends no webhooks */
};

#endif
