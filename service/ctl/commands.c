/* SPDX-License-Identifier: Apache-2.0 */
#include "service/ctl/commands.h"

#include "common/mem.h"

const struct vg_ctl_command *vg_ctl_command(size_t at)
{
    static const struct vg_ctl_command *(*const files[])(size_t) = {
        vg_ctl_video_command,   vg_ctl_create_command, vg_ctl_download_command,
        vg_ctl_trace_command,   vg_ctl_admin_command,  vg_ctl_account_command,
        vg_ctl_webhook_command, vg_ctl_secret_command,
    };
    for (size_t i = 0; i < VG_COUNT(files); i++) {
        size_t count = 0;
        while (files[i](count))
            count++;
        if (at < count)
            return files[i](at);
        at -= count;
    }
    return NULL;
}
