/* SPDX-License-Identifier: Apache-2.0 */
/* The server's life: start, drain, stop. Calls are in server_call.c. */
#include "common/rpc/server.h"

#include <grpc/grpc_security.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/rpc/accept.h"
#include "common/rpc/client.h"
#include "common/rpc/counted.h"
#include "common/rpc/server_priv.h"

#define DEFAULT_IN_FLIGHT 4096
#define DEFAULT_MESSAGE (4U << 20)
#define DEFAULT_PEER_DEAD_MS 80000
/* Requests posted ahead for each method; each accepted call posts the next. */
#define POSTED_AHEAD 8
/* Over the cap, so that a client hears RESOURCE_EXHAUSTED instead of queueing silently in its own
 * library. */
#define STREAMS_OVER_CAP 100

void vg_rpc_server_ref(struct vg_rpc_server *server)
{
    vg_rpc_counted_ref(&server->refs);
}

void vg_rpc_server_unref(struct vg_rpc_server *server)
{
    if (!vg_rpc_counted_unref(&server->refs))
        return;
    server->health = vg_rpc_health_free(server->health);
    server->deadlines = vg_rpc_deadlines_free(server->deadlines);
    free(server->batcher);
    vg_rpc_methods_fini(&server->methods);
    free(server->threads);
    (void)pthread_cond_destroy(&server->idle);
    (void)pthread_mutex_destroy(&server->lock);
    vg_rpc_counted_free(server);
    vg_rpc_fini();
}

void vg_rpc_server_live(struct vg_rpc_server *server)
{
    atomic_fetch_add(&server->live, 1);
}

void vg_rpc_server_gone(struct vg_rpc_server *server)
{
    if (atomic_fetch_sub(&server->live, 1) != 1 || !atomic_load(&server->draining))
        return;
    (void)pthread_mutex_lock(&server->lock);
    (void)pthread_cond_broadcast(&server->idle);
    (void)pthread_mutex_unlock(&server->lock);
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_server *core_new(const struct vg_rpc_server_options *options, int max_in_flight)
{
    size_t max_message = options->max_message ? options->max_message : DEFAULT_MESSAGE;
    int dead_ms = options->peer_dead_ms ? options->peer_dead_ms : DEFAULT_PEER_DEAD_MS;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)max_message),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                max_in_flight + options->max_idle + STREAMS_OVER_CAP),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10),
        /* Two servers on one port would share its connections at random. */
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000),
        /* A dead peer is noticed; a client's own pings (every 10 s at most) do not count as abuse.
         */
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, dead_ms / 2),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, dead_ms / 2),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000),
    };
    grpc_channel_args channel_args = {VG_COUNT(args), args};

    return grpc_server_create(&channel_args, NULL);
}

static int listen_on(struct vg_rpc_server *server, const struct vg_rpc_server_options *options,
                     struct vg_err *err)
{
    grpc_server_credentials *credentials = options->tls.cert_file
                                               ? vg_rpc_tls_server(&options->tls, err)
                                               : grpc_insecure_server_credentials_create();

    if (credentials == NULL)
        return -1;
    vg_rpc_accept_guard();
    server->port = grpc_server_add_http2_port(server->core, options->listen, credentials);
    grpc_server_credentials_release(credentials);
    if (server->port == 0)
        return vg_err_set(err, VG_ERR_UNAVAILABLE, "cannot listen on %s", options->listen);
    return 0;
}

static int add_methods(struct vg_rpc_server *server, const struct vg_rpc_server_options *options,
                       struct vg_err *err)
{
    vg_rpc_methods_init(&server->methods);
    for (size_t i = 0; i < options->service_count; i++) {
        if (vg_rpc_methods_add(&server->methods, &options->services[i], false, err) != 0)
            return -1;
    }
    server->health = vg_rpc_health_new(&server->methods);
    if (vg_rpc_health_add(server->health, &server->methods, err) != 0 ||
        vg_rpc_reflection_add(&server->methods, err) != 0)
        return -1;
    if (options->edge_batch) {
        if (vg_rpc_deadlines_start(&server->deadlines, "rpc-deadlines", err) != 0)
            return -1;
        server->batcher = vg_xalloc(sizeof *server->batcher);
        *server->batcher =
            (struct vg_rpc_batcher){&server->methods, &server->load, server->deadlines};
        if (vg_rpc_batch_add(server->batcher, &server->methods, err) != 0)
            return -1;
    }
    vg_rpc_methods_seal(&server->methods);
    if (options->idle_method != NULL) {
        struct vg_rpc_entry *idle = vg_rpc_methods_find(&server->methods, options->idle_method);

        if (idle == NULL)
            return vg_err_set(err, VG_ERR_INTERNAL, "no method %s", options->idle_method);
        idle->idle = true;
    }
    return 0;
}

static void register_methods(struct vg_rpc_server *server)
{
    for (size_t i = 0; i < server->methods.count; i++) {
        struct vg_rpc_entry *entry = &server->methods.entries[i];

        entry->core_data = grpc_server_register_method(
            server->core, entry->path, NULL,
            entry->kind == VG_RPC_BIDI ? GRPC_SRM_PAYLOAD_NONE
                                       : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
            0);
        VG_ASSERT(entry->core_data != NULL); /* NULL: twice the same path */
    }
}

static int start_threads(struct vg_rpc_server *server, int count, struct vg_err *err)
{
    server->threads = vg_xcalloc((size_t)count, sizeof *server->threads);
    for (; server->thread_count < count; server->thread_count++) {
        if (vg_rpc_queue_thread(&server->threads[server->thread_count], server->queue,
                                "rpc-server") != 0)
            return vg_err_set(err, VG_ERR_INTERNAL, "cannot start a thread");
    }
    return 0;
}

static void sync_init(struct vg_rpc_server *server)
{
    pthread_condattr_t attr;

    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->idle, &attr);
    (void)pthread_condattr_destroy(&attr);
}

/* Everything that can fail comes before the core starts; from then on failure goes through
 * vg_rpc_server_stop. */
static int prepare(struct vg_rpc_server *server, const struct vg_rpc_server_options *options,
                   struct vg_err *err)
{
    int max_in_flight = options->max_in_flight ? options->max_in_flight : DEFAULT_IN_FLIGHT;

    vg_rpc_load_init(&server->load, max_in_flight, options->metrics);
    server->core = core_new(options, max_in_flight);
    server->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server->core, server->queue, NULL);
    if (add_methods(server, options, err) != 0)
        return -1;
    register_methods(server);
    return listen_on(server, options, err);
}

int vg_rpc_server_start(struct vg_rpc_server **out, const struct vg_rpc_server_options *options,
                        struct vg_err *err)
{
    struct vg_rpc_server *server = vg_xalloc(sizeof *server);

    vg_rpc_init();
    atomic_init(&server->refs, 1);
    sync_init(server);
    if (prepare(server, options, err) != 0 ||
        start_threads(server, options->threads ? options->threads : 1, err) != 0) {
        (void)vg_rpc_server_stop(server);
        return -1;
    }
    grpc_server_start(server->core);
    for (int ahead = 0; ahead < POSTED_AHEAD; ahead++) {
        for (size_t i = 0; i < server->methods.count; i++)
            vg_rpc_server_request(server, &server->methods.entries[i]);
        vg_rpc_server_request_unknown(server);
    }
    vg_rpc_health_set(server->health, true);
    *out = server;
    return 0;
}

int vg_rpc_server_port(const struct vg_rpc_server *server)
{
    return server->port;
}

void vg_rpc_server_set_serving(struct vg_rpc_server *server, bool serving)
{
    vg_rpc_health_set(server->health, serving);
}

static void on_shutdown(struct vg_rpc_tag *tag, bool ok)
{
    struct vg_rpc_server *server = VG_CONTAINER(tag, struct vg_rpc_server, shutdown_tag);

    (void)ok;
    (void)pthread_mutex_lock(&server->lock);
    server->shutdown_done = true;
    (void)pthread_cond_broadcast(&server->idle);
    (void)pthread_mutex_unlock(&server->lock);
}

static void begin_shutdown(struct vg_rpc_server *server)
{
    if (atomic_exchange(&server->draining, true))
        return;
    grpc_server_shutdown_and_notify(server->core, server->queue,
                                    vg_rpc_tag_arm(&server->shutdown_tag, on_shutdown));
}

void vg_rpc_server_drain(struct vg_rpc_server *server, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = deadline_ns / VG_NS_PER_S,
                             .tv_nsec = deadline_ns % VG_NS_PER_S};

    vg_rpc_health_set(server->health, false);
    begin_shutdown(server);
    (void)pthread_mutex_lock(&server->lock);
    /* Streams of the runtime's own (Watch, reflection) may last for ever: not counted, so not
     * waited for. */
    while (!server->shutdown_done && atomic_load(&server->live) > 0 && vg_now_ns() < deadline_ns)
        (void)pthread_cond_timedwait(&server->idle, &server->lock, &until);
    (void)pthread_mutex_unlock(&server->lock);
}

/* Until the core has let go of every connection. */
static void wait_shutdown(struct vg_rpc_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    while (!server->shutdown_done)
        (void)pthread_cond_wait(&server->idle, &server->lock);
    (void)pthread_mutex_unlock(&server->lock);
}

struct vg_rpc_server *vg_rpc_server_stop(struct vg_rpc_server *server)
{
    if (server == NULL)
        return NULL;
    if (server->health != NULL)
        vg_rpc_health_set(server->health, false);
    begin_shutdown(server);
    grpc_server_cancel_all_calls(server->core);
    if (server->thread_count > 0)
        wait_shutdown(server);
    vg_rpc_gate_close(&server->gate);
    grpc_completion_queue_shutdown(server->queue);
    if (server->thread_count == 0)
        vg_rpc_queue_run(server->queue); /* never started */
    for (int i = 0; i < server->thread_count; i++)
        (void)pthread_join(server->threads[i], NULL);
    grpc_server_destroy(server->core);
    grpc_completion_queue_destroy(server->queue);
    if (server->deadlines != NULL)
        vg_rpc_deadlines_stop(server->deadlines);
    vg_rpc_server_unref(server);
    return NULL;
}
