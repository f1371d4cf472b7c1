/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, each a row of a table beside the functions that run them. */
#ifndef VG_SERVICE_CTL_COMMANDS_H
#define VG_SERVICE_CTL_COMMANDS_H

#include "service/ctl/ctl.h"
#include "videogate/v1/video.pb-c.h"

/* The command at this place as --help lists them; NULL behind the last. */
const struct vg_ctl_command *vg_ctl_command(size_t at);
/* The same for one file's commands. */
const struct vg_ctl_command *vg_ctl_account_command(size_t at);
const struct vg_ctl_command *vg_ctl_admin_command(size_t at);
const struct vg_ctl_command *vg_ctl_create_command(size_t at);
const struct vg_ctl_command *vg_ctl_download_command(size_t at);
const struct vg_ctl_command *vg_ctl_secret_command(size_t at);
const struct vg_ctl_command *vg_ctl_trace_command(size_t at);
const struct vg_ctl_command *vg_ctl_video_command(size_t at);
const struct vg_ctl_command *vg_ctl_webhook_command(size_t at);

/* Follows a video to its terminal state, over broken streams and restarts of the service; `show`
 * sees each change. Fails with ctl->err when the video cannot be watched or ended other than
 * completed. */
typedef void vg_ctl_show_f(struct vg_ctl *ctl, const Videogate__V1__Video *video, bool last);
VG_MUSTCHECK int vg_ctl_follow(struct vg_ctl *ctl, const char *id, vg_ctl_show_f *show);

#endif
