/* SPDX-License-Identifier: Apache-2.0 */
/* The channel's life and what its calls share. */
#include "common/rpc/channel.h"

#include <grpc/grpc_security.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/rpc/status.h"

#define DEFAULT_IN_FLIGHT 8192
#define DEFAULT_MESSAGE (4U << 20)
/* What one answer of EdgeService.Batch may hold: the server fills at most half of it. */
#define BATCH_ANSWER_MAX (64 << 20)

static const char *const outcome_names[] = {"ok", "error", NULL};

static const struct vg_metric_desc metric_table[] = {
    [VG_RPC_METRIC_CALLS] = {"videogate_rpc_client_calls_total", VG_METRIC_COUNTER,
                             "Calls and streams ended, by outcome.", "outcome", outcome_names},
    [VG_RPC_METRIC_BATCHES] = {"videogate_rpc_client_batches_total", VG_METRIC_COUNTER,
                               "EdgeService.Batch calls sent.", NULL, NULL},
    [VG_RPC_METRIC_BATCHED] = {"videogate_rpc_client_batched_calls_total", VG_METRIC_COUNTER,
                               "Calls that travelled inside EdgeService.Batch.", NULL, NULL},
};

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_arg string_arg(const char *key, const char *value)
{
    return (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)key, .value.string = (char *)value};
}

static grpc_channel *core_new(const struct vg_rpc_channel *channel,
                              const struct vg_rpc_channel_options *options,
                              grpc_channel_credentials *credentials)
{
    int receive = (int)channel->max_message;
    grpc_arg args[16];
    size_t count = 0;

    if (channel->coalescing && receive < BATCH_ANSWER_MAX)
        receive = BATCH_ANSWER_MAX; /* single answers are held to max_message in pending.c */
    args[count++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, receive);
    args[count++] = int_arg(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
    /* Its own connection: readiness is of this channel. */
    args[count++] = int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    /* Neither http_proxy of the environment nor DNS TXT records say where our calls go. */
    args[count++] = int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args[count++] = int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    /* A peer that was restarted is seen within a second. */
    args[count++] = int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args[count++] = int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    args[count++] = int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    args[count++] = int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
    args[count++] = int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
    args[count++] = int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    args[count++] = string_arg(GRPC_ARG_PRIMARY_USER_AGENT_STRING, "videogate/" VG_VERSION);
    if (options->stream_window > 0) {
        args[count++] = int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0);
        args[count++] = int_arg(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, (int)options->stream_window);
    }
    if (options->tls.name_override != NULL)
        args[count++] = string_arg(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, options->tls.name_override);
    grpc_channel_args channel_args = {count, args};

    return grpc_channel_create(options->target, credentials, &channel_args);
}

static void run_inbox(struct vg_rpc_channel *channel)
{
    struct vg_task *newest = atomic_exchange(&channel->inbox, NULL);
    struct vg_task *oldest = NULL;

    while (newest != NULL) {
        struct vg_task *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct vg_task *next = oldest->next;

        oldest->run(oldest);
        oldest = next;
    }
}

static void on_wake(struct vg_rpc_tag *tag, bool ok)
{
    (void)ok;
    run_inbox(VG_CONTAINER(tag, struct vg_rpc_channel, wake_tag));
}

static void pump_post(struct vg_executor *self, struct vg_task *task)
{
    struct vg_rpc_channel *channel = VG_CONTAINER(self, struct vg_rpc_channel, pump_executor);
    struct vg_task *head = atomic_load(&channel->inbox);

    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak(&channel->inbox, &head, task));
    if (head == NULL) /* whoever found it empty wakes the pump */
        vg_rpc_start_batch(channel->wake_call, NULL, 0, &channel->wake_tag, on_wake);
}

struct vg_executor *vg_rpc_channel_executor(struct vg_rpc_channel *channel,
                                            struct vg_executor *executor)
{
    return executor != NULL ? executor : &channel->pump_executor;
}

static void channel_destroy(struct vg_rpc_channel *channel)
{
    if (channel->wake_call != NULL)
        grpc_call_unref(channel->wake_call);
    if (channel->core != NULL)
        grpc_channel_destroy(channel->core);
    channel->deadlines = vg_rpc_deadlines_free(channel->deadlines);
    vg_rpc_coalescer_fini(&channel->coalescer);
    (void)pthread_cond_destroy(&channel->idle);
    (void)pthread_mutex_destroy(&channel->lock);
    free(channel);
    vg_rpc_fini();
}

/* With the queue there and, when this succeeds, the pump running on it. */
static int open_core(struct vg_rpc_channel *channel, const struct vg_rpc_channel_options *options,
                     struct vg_err *err)
{
    grpc_channel_credentials *credentials = options->use_tls ? vg_rpc_tls_client(&options->tls, err)
                                                             : grpc_insecure_credentials_create();

    if (credentials == NULL)
        return -1;
    channel->core = core_new(channel, options, credentials);
    grpc_channel_credentials_release(credentials);
    if (channel->coalescing &&
        vg_rpc_deadlines_start(&channel->deadlines, "rpc-deadlines", err) != 0)
        return -1;
    channel->queue = grpc_completion_queue_create_for_next(NULL);
    channel->pump_executor.post = pump_post;
    channel->wake_call = grpc_channel_create_call(
        channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, channel->queue,
        grpc_slice_from_static_string("/wake"), NULL, vg_rpc_time_to_core(VG_NO_DEADLINE), NULL);
    if (vg_rpc_queue_thread(&channel->pump, channel->queue, "rpc-client") == 0)
        return 0;
    if (channel->deadlines != NULL)
        vg_rpc_deadlines_stop(channel->deadlines);
    grpc_completion_queue_shutdown(channel->queue);
    vg_rpc_queue_run(channel->queue);
    grpc_completion_queue_destroy(channel->queue);
    return vg_err_set(err, VG_ERR_INTERNAL, "cannot start a thread");
}

int vg_rpc_channel_new(struct vg_rpc_channel **out, const struct vg_rpc_channel_options *options,
                       struct vg_err *err)
{
    struct vg_rpc_channel *channel = vg_xalloc(sizeof *channel);

    vg_rpc_init();
    channel->max_message = options->max_message ? options->max_message : DEFAULT_MESSAGE;
    channel->max_in_flight = options->max_in_flight ? options->max_in_flight : DEFAULT_IN_FLIGHT;
    channel->coalescing = options->coalesce > 0;
    vg_rpc_coalescer_init(&channel->coalescer, options->coalesce);
    (void)pthread_mutex_init(&channel->lock, NULL);
    (void)pthread_cond_init(&channel->idle, NULL);
    if (options->metrics != NULL)
        channel->metrics =
            vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    if (open_core(channel, options, err) != 0) {
        channel_destroy(channel);
        return -1;
    }
    *out = channel;
    return 0;
}

/* Under channel->lock. */
static void unlink_op(struct vg_rpc_channel *channel, struct vg_rpc_op *op)
{
    if (op->prev != NULL)
        op->prev->next = op->next;
    else
        channel->ops = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
}

static void live_drop(struct vg_rpc_channel *channel)
{
    if (--channel->live == 0)
        (void)pthread_cond_broadcast(&channel->idle);
}

static void cancel_ops(struct vg_rpc_channel *channel)
{
    (void)pthread_mutex_lock(&channel->lock);
    for (struct vg_rpc_op *op = channel->ops; op != NULL; op = op->next) {
        vg_rpc_op_cancel(op);
        if (op->nudge != NULL)
            op->nudge(op);
    }
    (void)pthread_mutex_unlock(&channel->lock);
}

struct vg_rpc_channel *vg_rpc_channel_free(struct vg_rpc_channel *channel)
{
    if (channel == NULL)
        return NULL;
    atomic_store(&channel->closing, true);
    if (channel->coalescing)
        vg_rpc_unary_flush(channel);
    cancel_ops(channel);
    (void)pthread_mutex_lock(&channel->lock);
    while (channel->live > 0)
        (void)pthread_cond_wait(&channel->idle, &channel->lock);
    (void)pthread_mutex_unlock(&channel->lock);
    if (channel->deadlines != NULL)
        vg_rpc_deadlines_stop(channel->deadlines);
    grpc_completion_queue_shutdown(channel->queue);
    (void)pthread_join(channel->pump, NULL);
    grpc_completion_queue_destroy(channel->queue);
    channel_destroy(channel);
    return NULL;
}

bool vg_rpc_channel_ready(struct vg_rpc_channel *channel, bool try_connect)
{
    return grpc_channel_check_connectivity_state(channel->core, try_connect) == GRPC_CHANNEL_READY;
}

bool vg_rpc_channel_enter(struct vg_rpc_channel *channel, struct vg_err *err)
{
    (void)pthread_mutex_lock(&channel->lock);
    channel->live++;
    (void)pthread_mutex_unlock(&channel->lock);
    if (atomic_fetch_add(&channel->in_flight, 1) >= channel->max_in_flight) {
        (void)vg_err_set(err, VG_ERR_OVERLOADED, NULL);
        return false;
    }
    return true;
}

void vg_rpc_channel_ended(struct vg_rpc_channel *channel, int grpc_code)
{
    atomic_fetch_sub(&channel->in_flight, 1);
    vg_metric_add(channel->metrics, VG_RPC_METRIC_CALLS, grpc_code == VG_GRPC_OK ? 0 : 1, 1);
}

void vg_rpc_channel_posted(struct vg_rpc_channel *channel)
{
    (void)pthread_mutex_lock(&channel->lock);
    live_drop(channel);
    (void)pthread_mutex_unlock(&channel->lock);
}

void vg_rpc_op_open(struct vg_rpc_op *op, struct vg_rpc_channel *channel, const char *path,
                    int64_t deadline_ns)
{
    op->channel = channel;
    op->cancelled = false;
    (void)pthread_mutex_init(&op->lock, NULL);
    op->core = grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS,
                                        channel->queue, grpc_slice_from_static_string(path), NULL,
                                        vg_rpc_time_to_core(deadline_ns), NULL);
    (void)pthread_mutex_lock(&channel->lock);
    op->prev = NULL;
    op->next = channel->ops;
    if (op->next != NULL)
        op->next->prev = op;
    channel->ops = op;
    channel->live++;
    (void)pthread_mutex_unlock(&channel->lock);
    /* Opened while the channel goes: nobody will look at the list again. */
    if (atomic_load(&channel->closing))
        vg_rpc_op_cancel(op);
}

void vg_rpc_op_close(struct vg_rpc_op *op)
{
    struct vg_rpc_channel *channel = op->channel;

    (void)pthread_mutex_lock(&op->lock);
    grpc_call *core = op->core;
    op->core = NULL;
    (void)pthread_mutex_unlock(&op->lock);
    grpc_call_unref(core);
    (void)pthread_mutex_lock(&channel->lock);
    unlink_op(channel, op);
    live_drop(channel);
    (void)pthread_mutex_unlock(&channel->lock);
}

void vg_rpc_op_cancel(struct vg_rpc_op *op)
{
    (void)pthread_mutex_lock(&op->lock);
    op->cancelled = true;
    if (op->core != NULL)
        (void)grpc_call_cancel(op->core, NULL); /* fails only on arguments */
    (void)pthread_mutex_unlock(&op->lock);
}

bool vg_rpc_metadata_legal(const struct vg_rpc_metadata *rows, size_t count)
{
    static const char key_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].key);

        if (len == 0 || strspn(rows[i].key, key_chars) != len)
            return false;
        for (const char *at = rows[i].value; *at != '\0'; at++) {
            if (*at < 0x20 || *at > 0x7e)
                return false;
        }
    }
    return true;
}

grpc_metadata *vg_rpc_metadata_new(const struct vg_rpc_metadata *rows, size_t count)
{
    grpc_metadata *metadata = vg_xcalloc(count + 1, sizeof *metadata);

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].value);

        metadata[i].key = grpc_slice_from_copied_string(rows[i].key);
        metadata[i].value = vg_rpc_secret_slice(len); /* a caller's key, perhaps */
        memcpy(GRPC_SLICE_START_PTR(metadata[i].value), rows[i].value, len);
    }
    return metadata;
}

void vg_rpc_metadata_free(grpc_metadata *metadata, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        grpc_slice_unref(metadata[i].key);
        grpc_slice_unref(metadata[i].value);
    }
    free(metadata);
}

static struct vg_view details_of(const grpc_metadata_array *trailing)
{
    struct vg_view details = {NULL, 0};

    for (size_t i = 0; i < trailing->count; i++) {
        if (vg_view_eqs(vg_rpc_slice_view(&trailing->metadata[i].key), "grpc-status-details-bin"))
            details = vg_rpc_slice_view(&trailing->metadata[i].value);
    }
    return details;
}

grpc_status_code vg_rpc_op_status(struct vg_rpc_op *op, grpc_status_code status,
                                  const grpc_metadata_array *trailing)
{
    if (status != GRPC_STATUS_CANCELLED || details_of(trailing).len > 0)
        return status;
    (void)pthread_mutex_lock(&op->lock);
    bool ours = op->cancelled;
    (void)pthread_mutex_unlock(&op->lock);
    return ours ? status : GRPC_STATUS_UNAVAILABLE;
}

void vg_rpc_status_from_core(grpc_status_code status, const grpc_slice *text,
                             const grpc_metadata_array *trailing, struct vg_err *out)
{
    struct vg_view details = details_of(trailing);

    vg_rpc_status_parse((int)status, vg_rpc_slice_view(text), details, out);
}
