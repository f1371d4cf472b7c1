/* SPDX-License-Identifier: Apache-2.0 */
/* videogate-worker: one provider behind ProviderWorkerService. */
#include <stdlib.h>
#include <string.h>

#include "common/process.h"
#include "workers/host.h"
#include "workers/providers.h"
#include "workers/upstream/upstream.h"
#include "workers/worker.h"

/* Five pictures of 20 MiB travel in one Submit. */
#define MAX_MESSAGE ((size_t)128 << 20)

struct app_config {
    char *provider;
    int64_t max_calls;
    struct vg_host_config host;
    struct vg_upstream_config upstream;
};

static const struct vg_config_key own_keys[] = {
    {"provider", VG_CONFIG_TEXT, offsetof(struct app_config, provider), NULL, 0, 0, false, true,
     "The provider this process speaks for."},
    {"max-calls", VG_CONFIG_INT, offsetof(struct app_config, max_calls), "4096", 1, 1000000, false,
     false, "Calls in flight; beyond it a call is refused."},
    VG_HOST_KEYS(struct app_config, host, "127.0.0.1:8084", "127.0.0.1:8085"),
    VG_UPSTREAM_KEYS(struct app_config, upstream),
};

struct app {
    struct app_config *config;  /* owned; the providers' own configs stand behind it in one block */
    struct vg_config_key *keys; /* owned: ours, then each provider's with shifted offsets */
    size_t key_count;
    struct vg_host host;
    const struct vg_provider *provider;
    void *self; /* owned: the running provider */
    struct vg_worker *worker;
};

static size_t aligned(size_t size)
{
    return (size + 15) / 16 * 16;
}

/* Where a provider's config stands in the block. */
static size_t config_offset(const struct vg_provider *provider)
{
    size_t at = aligned(sizeof(struct app_config));
    const struct vg_provider *p;
    for (size_t i = 0; (p = vg_provider_at(i)) != NULL && p != provider; i++)
        at += aligned(p->config_size);
    return at;
}

static void make_table(struct app *app)
{
    size_t count = VG_COUNT(own_keys);
    const struct vg_provider *p;
    for (size_t i = 0; (p = vg_provider_at(i)) != NULL; i++)
        count += p->key_count;
    app->keys = vg_xcalloc(count, sizeof(*app->keys));
    memcpy(app->keys, own_keys, sizeof(own_keys));
    app->key_count = VG_COUNT(own_keys);
    for (size_t i = 0; (p = vg_provider_at(i)) != NULL; i++) {
        for (size_t k = 0; k < p->key_count; k++) {
            struct vg_config_key *key = &app->keys[app->key_count++];
            *key = p->keys[k];
            key->offset += config_offset(p);
        }
    }
    app->config = vg_xalloc(config_offset(NULL));
}

static const void *provider_config(const struct app *app)
{
    return (const char *)app->config + config_offset(app->provider);
}

static int check(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    app->provider = vg_provider_find(app->config->provider);
    if (!app->provider)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "provider",
                            "provider: there is no provider \"%.40s\".", app->config->provider);
    if (vg_host_check(&app->config->host, err))
        return -1;
    if (app->provider->adapter)
        return vg_upstream_check(app->provider->adapter, &app->config->upstream,
                                 provider_config(app), err);
    return app->provider->check ? app->provider->check(provider_config(app), err) : 0;
}

static bool ready(void *ctx, char *why, size_t why_size)
{
    struct app *app = ctx;
    return app->provider->ready(app->self, why, why_size);
}

static void stop(void *ctx)
{
    struct app *app = ctx;
    vg_host_stop(&app->host);
    if (app->self)
        app->provider->stop(app->self);
    app->self = NULL;
    app->worker = vg_worker_free(app->worker);
    vg_host_fini(&app->host);
}

static int start(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    vg_host_init(&app->host);
    const struct vg_provider_env env = {.provider = app->provider,
                                        .upstream = &app->config->upstream,
                                        .config = provider_config(app),
                                        .metrics = app->host.metrics,
                                        .listen = app->config->host.listen,
                                        .monitor = app->config->host.monitor};
    if (app->provider->start(&app->self, &env, err)) {
        stop(app);
        return -1;
    }
    app->worker = vg_worker_new(app->provider, app->self, app->host.metrics);
    const struct vg_host_options options = {.config = &app->config->host,
                                            .service = vg_worker_service(app->worker),
                                            .max_message = MAX_MESSAGE,
                                            .max_in_flight = (int)app->config->max_calls,
                                            .ready = ready,
                                            .ready_ctx = app};
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
    struct app app = {0};
    make_table(&app);
    const struct vg_process process = {
        .name = "videogate-worker",
        .summary = "one video provider behind ProviderWorkerService",
        .keys = app.keys,
        .key_count = app.key_count,
        .config = app.config,
        .app = &app,
        .check = check,
        .start = start,
        .drain = drain,
        .stop = stop,
    };
    int rc = vg_process_main(&process, argc, argv, envp);
    free(app.keys);
    free(app.config);
    return rc;
}
