/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/host.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/process.h"
#include "common/rpc/client.h"

#define DRAIN_SLICE_MS 100

int vg_host_check(const struct vg_host_config *config, struct vg_err *err)
{
    if (!config->tls_cert != !config->tls_key)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "tls-cert",
                            "tls-cert: goes with tls-key.");
    if (config->tls_client_ca && !config->tls_cert)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "tls-client-ca",
                            "tls-client-ca: needs tls-cert and tls-key.");
    return 0;
}

void vg_host_init(struct vg_host *host)
{
    *host = (struct vg_host){.metrics = vg_metrics_new()};
    vg_rpc_init();
}

int vg_host_start(struct vg_host *host, const struct vg_host_options *options, struct vg_err *err)
{
    const struct vg_host_config *config = options->config;
    const struct vg_rpc_server_options server = {
        .listen = config->listen,
        .tls = {.cert_file = config->tls_cert,
                .key_file = config->tls_key,
                .ca_file = config->tls_client_ca},
        .services = options->service,
        .service_count = 1,
        .threads = 1,
        .max_in_flight = options->max_in_flight,
        .max_message = options->max_message,
        .peer_dead_ms = options->peer_dead_ms,
        .metrics = host->metrics,
    };
    const struct vg_monitor_options monitor = {.listen = config->monitor,
                                               .metrics = host->metrics,
                                               .ready = options->ready,
                                               .ready_ctx = options->ready_ctx};
    if (vg_rpc_server_start(&host->server, &server, err))
        return -1;
    if (config->monitor && *config->monitor && vg_monitor_start(&host->monitor, &monitor, err)) {
        vg_host_stop(host);
        return -1;
    }
    vg_log(VG_LOG_INFO, "listening", VG_S("grpc", config->listen),
           VG_I("port", vg_rpc_server_port(host->server)), VG_S("monitor", config->monitor));
    return 0;
}

void vg_host_drain(struct vg_host *host, int64_t deadline_ns)
{
    int64_t left = vg_deadline_left_ms(deadline_ns);
    while (left > 0 && !vg_process_hurried()) {
        int64_t slice = left < DRAIN_SLICE_MS ? left : DRAIN_SLICE_MS;
        int64_t until = vg_deadline_in_ms(slice);
        vg_rpc_server_drain(host->server, until);
        if (vg_now_ns() < until)
            break; /* nothing runs any more */
        left = vg_deadline_left_ms(deadline_ns);
    }
}

void vg_host_stop(struct vg_host *host)
{
    if (host->server)
        host->server = vg_rpc_server_stop(host->server);
    if (host->monitor)
        host->monitor = vg_monitor_stop(host->monitor);
}

void vg_host_fini(struct vg_host *host)
{
    host->metrics = vg_metrics_free(host->metrics);
    vg_rpc_fini();
}
