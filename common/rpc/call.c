/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/call.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/rpc/methods.h"

enum { METRIC_CALLS, METRIC_IN_FLIGHT, METRIC_REFUSED, METRIC_SECONDS };

static const char *const code_names[] = {"OK",
                                         "CANCELLED",
                                         "UNKNOWN",
                                         "INVALID_ARGUMENT",
                                         "DEADLINE_EXCEEDED",
                                         "NOT_FOUND",
                                         "ALREADY_EXISTS",
                                         "PERMISSION_DENIED",
                                         "RESOURCE_EXHAUSTED",
                                         "FAILED_PRECONDITION",
                                         "ABORTED",
                                         "OUT_OF_RANGE",
                                         "UNIMPLEMENTED",
                                         "INTERNAL",
                                         "UNAVAILABLE",
                                         "DATA_LOSS",
                                         "UNAUTHENTICATED",
                                         NULL};

static const struct vg_metric_desc metric_table[] = {
    [METRIC_CALLS] = {"videogate_rpc_server_calls_total", VG_METRIC_COUNTER,
                      "Calls ended by handlers, by gRPC status.", "code", code_names},
    [METRIC_IN_FLIGHT] = {"videogate_rpc_server_in_flight", VG_METRIC_GAUGE,
                          "Calls that handlers hold now.", NULL, NULL},
    [METRIC_REFUSED] = {"videogate_rpc_server_refused_total", VG_METRIC_COUNTER,
                        "Calls refused because too many were in flight.", NULL, NULL},
    [METRIC_SECONDS] = {"videogate_rpc_server_handling_seconds", VG_METRIC_HISTOGRAM,
                        "Time from a call's arrival to its end.", NULL, NULL},
};

void vg_rpc_load_init(struct vg_rpc_load *load, int max_in_flight, struct vg_metrics *metrics)
{
    atomic_init(&load->in_flight, 0);
    load->max_in_flight = max_in_flight;
    load->metrics =
        metrics ? vg_metrics_register(metrics, metric_table, VG_COUNT(metric_table)) : NULL;
}

bool vg_rpc_load_enter(struct vg_rpc_load *load, struct vg_err *err)
{
    if (atomic_fetch_add(&load->in_flight, 1) >= load->max_in_flight) {
        atomic_fetch_sub(&load->in_flight, 1);
        vg_metric_add(load->metrics, METRIC_REFUSED, 0, 1);
        (void)vg_err_set(err, VG_ERR_OVERLOADED, NULL);
        err->retry_after_ms = 1000;
        return false;
    }
    vg_metric_add(load->metrics, METRIC_IN_FLIGHT, 0, 1);
    return true;
}

void vg_rpc_load_leave(struct vg_rpc_load *load)
{
    atomic_fetch_sub(&load->in_flight, 1);
    vg_metric_add(load->metrics, METRIC_IN_FLIGHT, 0, -1);
}

void vg_rpc_call_init(struct vg_rpc_call *call, const struct vg_rpc_transport *transport,
                      const struct vg_rpc_entry *entry)
{
    call->transport = transport;
    call->entry = entry;
    call->load = NULL;
    call->request = NULL;
    call->arena = NULL;
    call->trailing = NULL;
    call->deadline_ns = VG_NO_DEADLINE;
    call->started_ns = 0;
    atomic_init(&call->cancelled, false);
    atomic_init(&call->cancel_task, NULL);
    call->cancel_executor = NULL;
}

void vg_rpc_call_fini(struct vg_rpc_call *call)
{
    if (call->request != NULL)
        protobuf_c_message_free_unpacked(call->request, NULL);
    call->request = NULL;
    call->arena = vg_arena_free(call->arena);
    free(call->trailing);
    call->trailing = NULL;
}

void vg_rpc_call_cancel(struct vg_rpc_call *call)
{
    atomic_store(&call->cancelled, true);
    struct vg_task *task = atomic_exchange(&call->cancel_task, NULL);
    if (task != NULL)
        vg_post(call->cancel_executor, task);
}

const ProtobufCMessage *vg_rpc_call_request(const struct vg_rpc_call *call)
{
    return call->request;
}

struct vg_arena *vg_rpc_call_arena(struct vg_rpc_call *call)
{
    if (call->arena == NULL)
        call->arena = vg_arena_new();
    return call->arena;
}

struct vg_view vg_rpc_call_metadata(const struct vg_rpc_call *call, const char *key)
{
    return call->transport->metadata(call, key);
}

bool vg_rpc_call_peer(const struct vg_rpc_call *call, char out[VG_PEER_SIZE])
{
    return call->transport->peer(call, out);
}

void vg_rpc_call_set_trailing(struct vg_rpc_call *call, const char *key, const char *value)
{
    if (call->trailing == NULL)
        call->trailing = vg_xalloc(sizeof(*call->trailing));
    vg_rpc_trailing_add(call->trailing, vg_view_of(key), vg_view_of(value));
}

const char *vg_rpc_call_method(const struct vg_rpc_call *call)
{
    return call->entry->path;
}

int64_t vg_rpc_call_deadline(const struct vg_rpc_call *call)
{
    return call->deadline_ns;
}

bool vg_rpc_call_cancelled(const struct vg_rpc_call *call)
{
    return atomic_load(&call->cancelled);
}

void vg_rpc_call_on_cancel(struct vg_rpc_call *call, struct vg_executor *executor,
                           struct vg_task *task)
{
    call->cancel_executor = executor;
    atomic_store(&call->cancel_task, task);
    /* Cancelled just before the store: the canceller found nothing to post, so it is for us. */
    if (atomic_load(&call->cancelled)) {
        struct vg_task *mine = atomic_exchange(&call->cancel_task, NULL);
        if (mine != NULL)
            vg_post(executor, mine);
    }
}

bool vg_rpc_call_clear_cancel(struct vg_rpc_call *call)
{
    return atomic_exchange(&call->cancel_task, NULL) != NULL;
}

static void call_end(struct vg_rpc_call *call, const ProtobufCMessage *response,
                     const struct vg_err *err)
{
    atomic_store(&call->cancel_task, NULL);
    if (call->load != NULL) {
        size_t code = err != NULL ? (size_t)vg_err_info(err->kind)->grpc : VG_GRPC_OK;

        vg_metric_add(call->load->metrics, METRIC_CALLS, code, 1);
        vg_metric_observe_ns(call->load->metrics, METRIC_SECONDS, 0,
                             vg_now_ns() - call->started_ns);
        vg_rpc_load_leave(call->load);
    }
    call->transport->end(call, response, err);
}

void vg_rpc_call_reply(struct vg_rpc_call *call, const ProtobufCMessage *response)
{
    VG_ASSERT(response->descriptor == call->entry->output);
    call_end(call, response, NULL);
}

void vg_rpc_call_fail(struct vg_rpc_call *call, const struct vg_err *err)
{
    call_end(call, NULL, err);
}

void vg_rpc_call_send(struct vg_rpc_call *call, const ProtobufCMessage *message,
                      struct vg_executor *executor, struct vg_task *task)
{
    VG_ASSERT(message->descriptor == call->entry->output);
    call->transport->send(call, message, executor, task);
}

void vg_rpc_call_finish(struct vg_rpc_call *call)
{
    call_end(call, NULL, NULL);
}

void vg_rpc_call_read(struct vg_rpc_call *call, struct vg_executor *executor, struct vg_task *task)
{
    call->transport->read(call, executor, task);
}

static void run_now(struct vg_executor *self, struct vg_task *task)
{
    (void)self;
    task->run(task);
}

struct vg_executor *vg_rpc_inline_executor(void)
{
    static struct vg_executor executor = {run_now};

    return &executor;
}
