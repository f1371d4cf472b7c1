/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/net/net.h"

#include <stdlib.h>

#include "bridge/net/net_priv.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define SWEEP_MS 250
#define TELL_MS 5000

static struct vg_metric_desc metrics_table[VG_NET_METRIC_MAX] = {
    [VG_NET_CONNECTIONS] = {"videogate_bridge_connections", VG_METRIC_GAUGE, "Open connections.",
                            NULL, NULL},
    [VG_NET_ACCEPTED] = {"videogate_bridge_connections_accepted_total", VG_METRIC_COUNTER,
                         "Connections accepted.", NULL, NULL},
    [VG_NET_SHED] = {"videogate_bridge_connections_shed_total", VG_METRIC_COUNTER,
                     "Connections hung up at once: over the cap or out of descriptors.", NULL,
                     NULL},
    [VG_NET_CLIENT_FULL] =
        {"videogate_bridge_client_connections_shed_total", VG_METRIC_COUNTER,
         "Connections hung up at once: their address has its share, or its strikes.", NULL, NULL},
    [VG_NET_HANDSHAKE_FAILED] = {"videogate_bridge_tls_handshakes_failed_total", VG_METRIC_COUNTER,
                                 "TLS handshakes that failed.", NULL, NULL},
    [VG_NET_BYTES_IN] = {"videogate_bridge_received_bytes_total", VG_METRIC_COUNTER,
                         "Bytes read from clients.", NULL, NULL},
    [VG_NET_BYTES_OUT] = {"videogate_bridge_sent_bytes_total", VG_METRIC_COUNTER,
                          "Bytes written to clients.", NULL, NULL},
    [VG_NET_LIMITS] = {"videogate_bridge_limits_total", VG_METRIC_COUNTER,
                       "How often a limit on what a peer may do bit, by limit.", "limit", NULL},
};

struct vg_metric_set *vg_net_register(struct vg_metrics *metrics)
{
    metrics_table[VG_NET_LIMITS].values = vg_http_limit_labels();
    return vg_metrics_register(metrics, metrics_table, VG_COUNT(metrics_table));
}

void vg_net_count(struct vg_net *net, enum vg_net_metric metric, int64_t n)
{
    vg_metric_add(net->shared->metrics, metric, 0, n);
}

static void set_time(struct vg_net *net)
{
    net->env.now_ns = vg_now_ns();
    net->env.wall_s = vg_wall_ms() / 1000;
}

static void on_nudge(struct vg_task *task)
{
    struct vg_net *net = VG_CONTAINER(task, struct vg_net, nudge);
    net->nudged = false;
}

static void nudge(struct vg_net *net)
{
    if (net->nudged)
        return;
    net->nudged = true;
    vg_post(vg_loop_executor(net->loop), &net->nudge);
}

/* The one place where connections work. */
static void on_turn_end(void *ctx)
{
    struct vg_net *net = ctx;
    set_time(net);
    vg_turn_begin(&net->turn);
    struct vg_turn_entry *entry;
    while ((entry = vg_turn_next(&net->turn, net->env.now_ns)))
        vg_conn_run(entry);
    vg_conn_reap(net);
    if (vg_turn_waits(&net->turn))
        nudge(net);
}

/* One line for all of them, every few seconds at most. */
static void tell_limits(struct vg_net *net)
{
    if (net->env.now_ns - net->told_ns < TELL_MS * VG_NS_PER_MS)
        return;
    for (int i = 0; i < VG_HTTP_LIMIT_MAX; i++) {
        if (net->bitten[i] == 0)
            continue;
        vg_log(VG_LOG_WARN, "a limit was reached", VG_S("limit", vg_http_limit_labels()[i]),
               VG_I("times", net->bitten[i]));
        net->bitten[i] = 0;
        net->told_ns = net->env.now_ns;
    }
    if (net->hung_up == 0)
        return;
    vg_log(VG_LOG_WARN, "connections over a cap were hung up", VG_I("times", net->hung_up));
    net->hung_up = 0;
    net->told_ns = net->env.now_ns;
}

static void take_limits(struct vg_net *net)
{
    for (size_t i = 0; i < VG_HTTP_LIMIT_MAX; i++) {
        if (net->env.bitten[i] == 0)
            continue;
        vg_metric_add(net->shared->metrics, VG_NET_LIMITS, i, net->env.bitten[i]);
        net->bitten[i] += net->env.bitten[i];
        net->env.bitten[i] = 0;
    }
    tell_limits(net);
}

static void on_sweep(struct vg_timer *timer)
{
    struct vg_net *net = VG_CONTAINER(timer, struct vg_net, sweep);
    set_time(net);
    struct vg_conn *next;
    for (struct vg_conn *conn = net->conns; conn; conn = next) {
        next = vg_conn_next(conn);
        vg_conn_tick(conn);
    }
    take_limits(net);
    vg_timer_start(timer, vg_deadline_in_ms(SWEEP_MS));
}

struct vg_net *vg_net_new(struct vg_loop *loop, const struct vg_http_handler *handler,
                          const struct vg_http_limits *limits, struct vg_net_shared *shared)
{
    struct vg_net *net = vg_xalloc(sizeof(*net));
    net->loop = loop;
    net->shared = shared;
    net->env.handler = handler;
    net->env.limits = *limits;
    vg_turn_init(&net->turn);
    net->nudge.run = on_nudge;
    net->scratch = vg_xalloc(VG_NET_SCRATCH);
    set_time(net);
    vg_loop_on_turn_end(loop, on_turn_end, net);
    vg_timer_init(&net->sweep, loop, on_sweep);
    vg_timer_start(&net->sweep, vg_deadline_in_ms(SWEEP_MS));
    return net;
}

void vg_net_listen(struct vg_net *net, int fd, struct vg_tls_ctx *tls)
{
    net->listeners = vg_listener_new(net, fd, tls);
}

static void close_listeners(struct vg_net *net)
{
    while (net->listeners) {
        struct vg_listener *l = net->listeners;
        net->listeners = vg_listener_next(l);
        vg_listener_free(l);
    }
}

void vg_net_drain(struct vg_net *net)
{
    set_time(net);
    /* What the kernel has accepted already would be reset by the close. */
    for (struct vg_listener *l = net->listeners; l; l = vg_listener_next(l))
        vg_listener_accept(l, VG_NET_BACKLOG);
    close_listeners(net);
    net->draining = true;
    struct vg_conn *next;
    for (struct vg_conn *conn = net->conns; conn; conn = next) {
        next = vg_conn_next(conn);
        vg_conn_drain(conn);
    }
}

struct vg_net *vg_net_free(struct vg_net *net)
{
    if (!net)
        return NULL;
    set_time(net);
    vg_timer_stop(&net->sweep);
    close_listeners(net);
    while (net->conns)
        vg_conn_kill(net->conns);
    vg_turn_drop(&net->turn);
    vg_conn_reap(net);
    free(net->scratch);
    free(net);
    return NULL;
}
