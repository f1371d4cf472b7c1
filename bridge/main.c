/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/app.h"
#include "common/process.h"

struct app {
    struct vg_bridge_config config;
    struct vg_bridge *bridge;
};

static int check(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    return vg_bridge_check(&app->config, err);
}

static int start(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    app->bridge = vg_bridge_new(&app->config);
    if (vg_bridge_start(app->bridge, err) == 0)
        return 0;
    app->bridge = vg_bridge_free(app->bridge);
    return -1;
}

static void drain(void *ctx, int64_t deadline_ns)
{
    struct app *app = ctx;
    vg_bridge_drain(app->bridge, deadline_ns);
}

static void stop(void *ctx)
{
    struct app *app = ctx;
    vg_bridge_stop(app->bridge);
    app->bridge = vg_bridge_free(app->bridge);
}

int main(int argc, char **argv, char **envp)
{
    struct app app = {0};
    struct vg_process process = {
        .name = "videogate-bridge",
        .summary = "The HTTP face of Videogate: REST over HTTP/1.1, HTTP/2 and TLS, gRPC behind.",
        .config = &app.config,
        .app = &app,
        .check = check,
        .start = start,
        .drain = drain,
        .stop = stop,
    };
    process.keys = vg_bridge_config_keys(&process.key_count);
    return vg_process_main(&process, argc, argv, envp);
}
