/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are a video: its JSON and the header that tells pollers when to come back. */
#ifndef VG_BRIDGE_API_VIDEO_JSON_H
#define VG_BRIDGE_API_VIDEO_JSON_H

#include "videogate/v1/video.pb-c.h"

struct vg_exchange;

/* NULL (a service that answers without one) gives 502. */
void vg_respond_video(struct vg_exchange *exchange, const Videogate__V1__Video *video);

#endif
