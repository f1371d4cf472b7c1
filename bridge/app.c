/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bridge/api/api.h"
#include "bridge/api/cors.h"
#include "bridge/api/events.h"
#include "bridge/net/net.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/peer.h"
#include "common/process.h"

#define MAX_THREADS 64
#define POOL_THREADS 2
#define DRAIN_POLL_MS 20
/* What a download whose client stands still may hold here besides what the client is owed. */
#define STREAM_WINDOW ((size_t)256 * 1024)
#define MAX_CALLS 8192 /* to the service, without the event streams' */
/* Pages of 100 videos with prompts of 32,000 characters; batches of small calls. */
#define MAX_MESSAGE ((size_t)64 * 1024 * 1024)

#define AT(field) offsetof(struct vg_bridge_config, field)

static const struct vg_config_key keys[] = {
    {"access-log", VG_CONFIG_BOOL, AT(access_log), "true", 0, 0, false, false,
     "One log line for each request"},
    {"body-memory", VG_CONFIG_SIZE, AT(body_memory), "512m", 1 << 20, INT64_C(1) << 40, false,
     false, "Bytes of request bodies held at once; beyond it 503"},
    {"body-timeout", VG_CONFIG_DURATION, AT(body_ms), "30s", 100, 3600000, false, false,
     "In this time at least 1 KiB of an unfinished request body must arrive"},
    {"coalesce", VG_CONFIG_INT, AT(coalesce), "2", 0, 64, false, false,
     "Batches of small calls in flight to the service; 0: each call travels alone"},
    {"cors-origins", VG_CONFIG_TEXT, AT(cors_origins), "", 0, 0, false, false,
     "Origins whose pages may read answers in browsers (https://app.example,...), or *"},
    {"h2-continuations", VG_CONFIG_INT, AT(max_continuations), "8", 0, 1000, false, false,
     "CONTINUATION frames of one header block; beyond it GOAWAY"},
    {"h2-error-rate", VG_CONFIG_INT, AT(error_rate), "10", 1, 100000, false, false,
     "RST_STREAM a second that one connection may make us send, at once 10 times as many; beyond "
     "it GOAWAY"},
    {"h2-frame-rate", VG_CONFIG_INT, AT(frame_rate), "100", 1, 100000, false, false,
     "Frames a second of one connection, at once 10 times as many, each of: SETTINGS, PING, "
     "PRIORITY and unknown ones; WINDOW_UPDATE beyond one for each KiB sent; frames with next to "
     "no content. Beyond it GOAWAY"},
    {"h2-reset-rate", VG_CONFIG_INT, AT(reset_rate), "33", 1, 100000, false, false,
     "RST_STREAM a second from one connection, at once 15 times as many; beyond it GOAWAY"},
    {"header-timeout", VG_CONFIG_DURATION, AT(header_ms), "10s", 100, 3600000, false, false,
     "Time for a request head, and for a TLS handshake"},
    {"idle-timeout", VG_CONFIG_DURATION, AT(idle_ms), "75s", 100, 86400000, false, false,
     "Time that a connection may stay open without a request"},
    {"listen", VG_CONFIG_ADDRESS, AT(listen), "127.0.0.1:8080", 0, 0, false, false,
     "Address for HTTP/1.1 and h2c, also /healthz, /readyz, /metrics"},
    {"max-body", VG_CONFIG_SIZE, AT(max_body), "64m", 1024, 1 << 30, false, false,
     "Bytes of one request body; beyond it 413"},
    {"max-client-connections", VG_CONFIG_INT, AT(max_client_connections), "1000", 0, 1000000, false,
     false,
     "Open connections of one client address (IPv6: of one /64); more are hung up. 0: any number, "
     "as behind a proxy"},
    {"max-client-strikes", VG_CONFIG_INT, AT(max_client_strikes), "30", 0, 1000000, false, false,
     "Connections of one client address that end by a limit in 10 s; then it is hung up on until "
     "these are over. 0: off"},
    {"max-connections", VG_CONFIG_INT, AT(max_connections), "20000", 1, 1000000, false, false,
     "Open client connections; more are hung up"},
    {"max-creates", VG_CONFIG_INT, AT(max_creates), "1024", 1, 1000000, false, false,
     "Videos being created at a time; beyond it 503 at once, before the body is read"},
    {"max-head-memory", VG_CONFIG_SIZE, AT(max_head_memory), "512k", 1024, 1 << 30, false, false,
     "Bytes of all request heads of one HTTP/2 connection; beyond it 503"},
    {"max-header-bytes", VG_CONFIG_SIZE, AT(max_header_bytes), "32k", 1024, 45056, false, false,
     "Bytes of one request head, 32 counted for each field besides name and value; beyond it 431"},
    {"max-headers", VG_CONFIG_INT, AT(max_headers), "100", 10, 1000, false, false,
     "Fields of one request head; beyond it 431"},
    {"max-stalled", VG_CONFIG_SIZE, AT(max_stalled), "4m", 65536, 1 << 30, false, false,
     "Bytes of answers that stand still for a second on one HTTP/2 connection; beyond it their "
     "streams are reset"},
    {"max-streams", VG_CONFIG_INT, AT(max_streams), "100", 1, 10000, false, false,
     "Concurrent streams of one HTTP/2 connection"},
    {"max-watchers", VG_CONFIG_INT, AT(max_watchers), "20000", 1, 1000000, false, false,
     "Open event streams; beyond it 503"},
    {"rpc-timeout", VG_CONFIG_DURATION, AT(rpc_ms), "30s", 100, 600000, false, false,
     "Time for one call to the service"},
    {"service", VG_CONFIG_TEXT, AT(service), "127.0.0.1:8082", 0, 0, false, false,
     "gRPC address of videogate-service"},
    {"service-tls-ca", VG_CONFIG_TEXT, AT(service_tls_ca), NULL, 0, 0, false, false,
     "PEM file of the authority that signs the service's certificate; turns TLS on"},
    {"service-tls-cert", VG_CONFIG_TEXT, AT(service_tls_cert), NULL, 0, 0, false, false,
     "PEM chain shown to the service (mutual TLS)"},
    {"service-tls-key", VG_CONFIG_TEXT, AT(service_tls_key), NULL, 0, 0, false, false,
     "PEM key of service-tls-cert"},
    {"sse-heartbeat", VG_CONFIG_DURATION, AT(sse_heartbeat_ms), "15s", 100, 3600000, false, false,
     "Time between two comments on a silent event stream"},
    {"sse-recheck", VG_CONFIG_DURATION, AT(sse_recheck_ms), "10m", 100, 86400000, false, false,
     "Time after which the key of an open event stream is checked again"},
    {"threads", VG_CONFIG_INT, AT(threads), "0", 0, MAX_THREADS, false, false,
     "Event loops; 0: one for each core"},
    {"tls-cert", VG_CONFIG_TEXT, AT(tls_cert), NULL, 0, 0, false, false,
     "PEM chain for tls-listen"},
    {"tls-key", VG_CONFIG_TEXT, AT(tls_key), NULL, 0, 0, false, false, "PEM key for tls-listen"},
    {"tls-listen", VG_CONFIG_ADDRESS, AT(tls_listen), NULL, 0, 0, false, false,
     "Address for HTTPS (HTTP/2 and HTTP/1.1 by ALPN)"},
    {"trusted-proxies", VG_CONFIG_TEXT, AT(trusted_proxies), "", 0, 0, false, false,
     "Nets of the proxies in front (CIDR,...), whose X-Forwarded-For says what a caller's address "
     "is"},
    {"write-timeout", VG_CONFIG_DURATION, AT(stall_ms), "60s", 100, 3600000, false, false,
     "A client that takes no byte of its answer for so long is dropped"},
};

const struct vg_config_key *vg_bridge_config_keys(size_t *out_count)
{
    *out_count = VG_COUNT(keys);
    return keys;
}

/* One loop with its thread. */
struct worker {
    struct vg_loop *loop;   /* owned */
    struct vg_net *net;     /* owned */
    struct vg_api_loop api; /* its handler is borrowed by net */
    struct vg_task drain;
    atomic_int *undrained; /* borrowed from the bridge */
    bool started;
};

struct vg_bridge {
    const struct vg_bridge_config *config; /* borrowed */
    struct vg_metrics *metrics;            /* owned */
    struct vg_tls_ctx *tls;                /* owned; NULL: no TLS */
    struct vg_rpc_channel *channel;        /* owned */
    struct vg_work_pool *pool;             /* owned */
    struct vg_cors *cors;                  /* owned; NULL: off */
    struct vg_clients *clients;            /* owned */
    struct vg_api api;
    struct vg_net_shared shared;
    struct worker *workers; /* owned */
    size_t worker_count;
    int port, tls_port;
    bool rpc_on;
    bool draining;
    atomic_int undrained; /* loops that have not begun to drain */
};

struct vg_bridge *vg_bridge_new(const struct vg_bridge_config *config)
{
    struct vg_bridge *b = vg_xalloc(sizeof(*b));
    b->config = config;
    return b;
}

struct vg_bridge *vg_bridge_free(struct vg_bridge *b)
{
    free(b);
    return NULL;
}

int vg_bridge_check(const struct vg_bridge_config *c, struct vg_err *err)
{
    if (c->tls_listen && (!c->tls_cert || !c->tls_key))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "tls-listen",
                            "tls-listen: needs tls-cert and tls-key");
    if (!c->service_tls_cert != !c->service_tls_key)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "service-tls-cert",
                            "service-tls-cert: goes with service-tls-key");
    if (c->service_tls_cert && !c->service_tls_ca)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "service-tls-ca",
                            "service-tls-ca: is needed for TLS to the service");
    struct vg_cors *cors;
    if (vg_peer_nets_check(c->trusted_proxies, "trusted-proxies", err) != 0 ||
        vg_cors_new(&cors, c->cors_origins, err) != 0)
        return -1;
    cors = vg_cors_free(cors);
    if (c->tls_listen) {
        struct vg_tls_ctx *tls;
        if (vg_tls_ctx_new(&tls, c->tls_cert, c->tls_key, err) != 0)
            return -1;
        tls = vg_tls_ctx_free(tls);
    }
    return 0;
}

static bool service_ready(void *ctx, char *why, size_t size)
{
    struct vg_bridge *b = ctx;
    if (vg_rpc_channel_ready(b->channel, true))
        return true;
    (void)snprintf(why, size, "the service at %s is not reachable", b->config->service);
    return false;
}

static int open_channel(struct vg_bridge *b, struct vg_err *err)
{
    const struct vg_bridge_config *c = b->config;
    const struct vg_rpc_channel_options options = {
        .target = c->service,
        .tls = {.cert_file = c->service_tls_cert,
                .key_file = c->service_tls_key,
                .ca_file = c->service_tls_ca},
        .use_tls = c->service_tls_ca != NULL,
        .max_message = MAX_MESSAGE,
        .stream_window = STREAM_WINDOW,
        .max_in_flight = MAX_CALLS + (int)c->max_watchers,
        .coalesce = (int)c->coalesce,
        .metrics = b->metrics,
    };
    vg_rpc_init();
    b->rpc_on = true;
    if (vg_rpc_channel_new(&b->channel, &options, err) != 0)
        return -1;
    (void)vg_rpc_channel_ready(b->channel, true); /* starts to connect */
    return 0;
}

static void setup_api(struct vg_bridge *b)
{
    const struct vg_bridge_config *c = b->config;
    b->shared.max_connections = (int)c->max_connections;
    b->shared.clients = b->clients;
    b->shared.metrics = vg_net_register(b->metrics);
    b->api.channel = b->channel;
    b->api.pool = b->pool;
    b->api.monitor =
        (struct vg_monitor_options){.metrics = b->metrics, .ready = service_ready, .ready_ctx = b};
    b->api.metrics = vg_api_register(b->metrics);
    b->api.max_body = c->max_body;
    b->api.body_memory = c->body_memory;
    b->api.rpc_ms = c->rpc_ms;
    b->api.heartbeat_ms = c->sse_heartbeat_ms;
    b->api.recheck_ms = c->sse_recheck_ms;
    b->api.max_watchers = c->max_watchers;
    b->api.max_creates = c->max_creates;
    b->api.events_metrics = vg_events_register(b->metrics);
    b->api.cors = b->cors;
    b->api.trusted_proxies = c->trusted_proxies;
    b->api.access_log = c->access_log;
}

static void add_worker(struct vg_bridge *b)
{
    const struct vg_bridge_config *c = b->config;
    struct worker *w = &b->workers[b->worker_count++];
    const struct vg_http_limits limits = {
        .max_headers = (int)c->max_headers,
        .max_header_bytes = (size_t)c->max_header_bytes,
        .max_head_memory = (size_t)c->max_head_memory,
        .max_stalled = (size_t)c->max_stalled,
        .max_continuations = (int)c->max_continuations,
        .frame_rate = (int)c->frame_rate,
        .reset_rate = (int)c->reset_rate,
        .error_rate = (int)c->error_rate,
        .max_streams = (int)c->max_streams,
        .idle_ms = c->idle_ms,
        .header_ms = c->header_ms,
        .body_ms = c->body_ms,
        .stall_ms = c->stall_ms,
    };
    w->loop = vg_loop_new();
    vg_api_loop_init(&w->api, &b->api, w->loop);
    w->net = vg_net_new(w->loop, &w->api.handler, &limits, &b->shared);
}

/* Each loop has its own socket; with port 0 the first chooses for all. */
static int listen_on(struct vg_bridge *b, const char *address, struct vg_tls_ctx *tls,
                     int *out_port, struct vg_err *err)
{
    char chosen[300];
    for (size_t i = 0; i < b->worker_count; i++) {
        int fd, port;
        if (vg_net_socket(&fd, &port, i ? chosen : address, i == 0, err) != 0)
            return -1;
        vg_net_listen(b->workers[i].net, fd, tls);
        const char *colon = strrchr(address, ':');
        (void)snprintf(chosen, sizeof(chosen), "%.*s:%d", (int)(colon - address), address, port);
        *out_port = port;
    }
    return 0;
}

static int start_parts(struct vg_bridge *b, struct vg_err *err)
{
    const struct vg_bridge_config *c = b->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = c->threads ? (size_t)c->threads : cores > 0 ? (size_t)cores : 1;
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    b->metrics = vg_metrics_new();
    b->clients = vg_clients_new((int)c->max_client_connections, (int)c->max_client_strikes);
    if (c->tls_listen && vg_tls_ctx_new(&b->tls, c->tls_cert, c->tls_key, err) != 0)
        return -1;
    if (vg_cors_new(&b->cors, c->cors_origins, err) != 0 || open_channel(b, err) != 0 ||
        vg_work_pool_start(&b->pool, "bridge-pool", POOL_THREADS, err) != 0)
        return -1;
    setup_api(b);
    b->workers = vg_xcalloc(threads, sizeof(*b->workers));
    for (size_t i = 0; i < threads; i++)
        add_worker(b);
    if (listen_on(b, c->listen, NULL, &b->port, err) != 0 ||
        (c->tls_listen && listen_on(b, c->tls_listen, b->tls, &b->tls_port, err) != 0))
        return -1;
    for (size_t i = 0; i < threads; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "bridge-%zu", i);
        if (vg_loop_start(b->workers[i].loop, name, err) != 0)
            return -1;
        b->workers[i].started = true;
    }
    return 0;
}

int vg_bridge_start(struct vg_bridge *b, struct vg_err *err)
{
    if (start_parts(b, err) != 0) {
        vg_bridge_stop(b);
        return -1;
    }
    vg_log(VG_LOG_INFO, "listening", VG_S("address", b->config->listen), VG_I("port", b->port),
           VG_I("tls_port", b->tls_port), VG_I("threads", (int64_t)b->worker_count),
           VG_S("service", b->config->service));
    return 0;
}

int vg_bridge_port(const struct vg_bridge *b)
{
    return b->port;
}

int vg_bridge_tls_port(const struct vg_bridge *b)
{
    return b->tls_port;
}

static void on_drain(struct vg_task *task)
{
    struct worker *w = VG_CONTAINER(task, struct worker, drain);
    vg_events_drain(&w->api);
    vg_net_drain(w->net);
    atomic_fetch_sub(w->undrained, 1);
}

static void begin_drain(struct vg_bridge *b)
{
    if (b->draining)
        return;
    b->draining = true;
    atomic_store(&b->undrained, (int)b->worker_count);
    for (size_t i = 0; i < b->worker_count; i++) {
        b->workers[i].undrained = &b->undrained;
        b->workers[i].drain.run = on_drain;
        vg_post(vg_loop_executor(b->workers[i].loop), &b->workers[i].drain);
    }
}

static bool drained(struct vg_bridge *b)
{
    return atomic_load(&b->undrained) == 0 && atomic_load(&b->shared.connections) == 0;
}

void vg_bridge_drain(struct vg_bridge *b, int64_t deadline_ns)
{
    const struct timespec pause = {.tv_nsec = DRAIN_POLL_MS * VG_NS_PER_MS};
    begin_drain(b);
    while (!drained(b) && vg_now_ns() < deadline_ns && !vg_process_hurried())
        (void)nanosleep(&pause, NULL);
    vg_log(VG_LOG_INFO, "drained", VG_I("connections", atomic_load(&b->shared.connections)));
}

void vg_bridge_stop(struct vg_bridge *b)
{
    for (size_t i = 0; i < b->worker_count; i++)
        if (b->workers[i].started)
            vg_loop_join(b->workers[i].loop);
    /* Clients go first, so that calls that end now find nobody to answer; what the pool and the
     * channel then post is run by vg_loop_free. */
    for (size_t i = 0; i < b->worker_count; i++)
        b->workers[i].net = vg_net_free(b->workers[i].net);
    b->pool = b->pool ? vg_work_pool_stop(b->pool) : NULL;
    b->channel = b->channel ? vg_rpc_channel_free(b->channel) : NULL;
    for (size_t i = 0; i < b->worker_count; i++)
        b->workers[i].loop = vg_loop_free(b->workers[i].loop);
    b->worker_count = 0;
    free(b->workers);
    b->workers = NULL;
    b->tls = vg_tls_ctx_free(b->tls);
    b->cors = vg_cors_free(b->cors);
    b->clients = vg_clients_free(b->clients);
    b->metrics = b->metrics ? vg_metrics_free(b->metrics) : NULL;
    if (b->rpc_on)
        vg_rpc_fini();
    b->rpc_on = false;
    b->draining = false;
}
