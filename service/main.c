/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process.h"
#include "service/app.h"

int main(int argc, char **argv, char **envp)
{
    struct vg_app *app = vg_app_new();
    size_t key_count = 0;
    const struct vg_config_key *keys = vg_app_config_keys(&key_count);
    const struct vg_process process = {
        .name = "videogate-service",
        .summary = "authenticates, validates, records, dispatches and serves videos over gRPC",
        .keys = keys,
        .key_count = key_count,
        .config = vg_app_config(app),
        .app = app,
        .check = vg_app_check,
        .start = vg_app_start,
        .reload = vg_app_reload,
        .drain = vg_app_drain,
        .stop = vg_app_stop,
    };
    int status = vg_process_main(&process, argc, argv, envp);

    (void)vg_app_free(app);
    return status;
}
