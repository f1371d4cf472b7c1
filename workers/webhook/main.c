/* SPDX-License-Identifier: Apache-2.0 */
/* videogate-webhook: signed delivery attempts behind WebhookSenderService. */
#include <string.h>

#include "common/process.h"
#include "workers/host.h"
#include "workers/webhook/webhook.h"

#define MAX_MESSAGE ((size_t)4 << 20)
/* A service that is stopped (SIGSTOP, a cut network) must not have an attempt under way here when
 * another one takes its delivery: the lease lasts longer (service/jobs/delivery_lease.c). */
#define PEER_DEAD_MS 12000
/* A service that is killed has recorded nothing of the attempts under way. While its lease lasts
 * their ends are worth waiting for, so that the next one is told; nobody begins them elsewhere. It
 * counts from their begin: of a service that is stopped, all are older when it is found dead. */
#define LINGER_MS 10000

struct app_config {
    bool allow_http;
    bool allow_any_port;
    char *allow_nets;
    char *egress;
    int64_t max_attempts;
    struct vg_host_config host;
};

static const struct vg_config_key keys[] = {
    {"allow-http", VG_CONFIG_BOOL, offsetof(struct app_config, allow_http), "false", 0, 0, false,
     false, "Deliver to http:// addresses too."},
    {"allow-any-port", VG_CONFIG_BOOL, offsetof(struct app_config, allow_any_port), "false", 0, 0,
     false, false, "Deliver to ports other than 80 and 443."},
    {"allow-nets", VG_CONFIG_TEXT, offsetof(struct app_config, allow_nets), NULL, 0, 0, false,
     false, "Comma-separated CIDRs that may be reached although they are private."},
    {"egress", VG_CONFIG_TEXT, offsetof(struct app_config, egress), NULL, 0, 0, false, false,
     "Hosts (hooks.example.com), domains (.example.com) and nets that alone may be reached; unset: "
     "every public one."},
    {"max-attempts", VG_CONFIG_INT, offsetof(struct app_config, max_attempts), "1024", 1, 100000,
     false, false, "Attempts in flight; beyond it a call is refused."},
    VG_HOST_KEYS(struct app_config, host, "127.0.0.1:8086", "127.0.0.1:8087"),
};

struct app {
    struct app_config config;
    struct vg_host host;
    struct vg_sender *sender;
    struct vg_rpc_service service;
};

static struct vg_http_guard guard_of(const struct app_config *config)
{
    return (struct vg_http_guard){.allow_http = config->allow_http,
                                  .allow_any_port = config->allow_any_port,
                                  .allow_nets = config->allow_nets,
                                  .egress = config->egress,
                                  .own = {config->host.listen, config->host.monitor}};
}

static int check(void *ctx, struct vg_err *err)
{
    const struct app *app = ctx;
    const struct vg_http_guard guard = guard_of(&app->config);
    if (vg_host_check(&app->config.host, err))
        return -1;
    return vg_http_guard_check(&guard, err);
}

static bool ready(void *ctx, char *why, size_t why_size)
{
    (void)ctx;
    (void)why;
    (void)why_size;
    return true; /* it depends on nothing but itself */
}

static void stop(void *ctx)
{
    struct app *app = ctx;
    vg_host_stop(&app->host);
    app->sender = vg_sender_stop(app->sender);
    vg_host_fini(&app->host);
}

static int start(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    vg_host_init(&app->host);
    const struct vg_sender_options sender = {.guard = guard_of(&app->config),
                                             .max_attempts = (int)app->config.max_attempts,
                                             .linger_ms = LINGER_MS,
                                             .metrics = app->host.metrics};
    if (vg_sender_start(&app->sender, &sender, err)) {
        stop(app);
        return -1;
    }
    app->service = vg_webhook_service(app->sender);
    const struct vg_host_options options = {.config = &app->config.host,
                                            .service = &app->service,
                                            .max_message = MAX_MESSAGE,
                                            .max_in_flight = (int)app->config.max_attempts * 2,
                                            .peer_dead_ms = PEER_DEAD_MS,
                                            .ready = ready};
    if (vg_host_start(&app->host, &options, err)) {
        stop(app);
        return -1;
    }
    return 0;
}

static void drain(void *ctx, int64_t deadline_ns)
{
    struct app *app = ctx;
    vg_host_drain(&app->host, deadline_ns);
}

int main(int argc, char **argv, char **envp)
{
    struct app app;
    memset(&app, 0, sizeof(app));
    const struct vg_process process = {
        .name = "videogate-webhook",
        .summary = "signed webhook deliveries, one attempt per call",
        .keys = keys,
        .key_count = VG_COUNT(keys),
        .config = &app.config,
        .app = &app,
        .check = check,
        .start = start,
        .drain = drain,
        .stop = stop,
    };
    return vg_process_main(&process, argc, argv, envp);
}
