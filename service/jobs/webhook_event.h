/* SPDX-License-Identifier: Apache-2.0 */
/* What webhooks say: the event types and the one builder of bodies. Pure, any thread. */
#ifndef VG_SERVICE_JOBS_WEBHOOK_EVENT_H
#define VG_SERVICE_JOBS_WEBHOOK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "db/video_store.h"
#include "videogate/v1/video.pb-c.h"

/* What an endpoint can ask for, sorted; an end with the status `status` comes under this name, or
 * as "video.failed" where an endpoint asks for that alone. */
struct vg_webhook_type {
    const char *name;
    enum vg_video_status status;
};
/* Their names, for messages. */
#define VG_WEBHOOK_TYPE_NAMES "video.canceled, video.completed, video.expired, video.failed"
const struct vg_webhook_type *vg_webhook_types(size_t *out_count);
/* NULL: there is no such type. */
const struct vg_webhook_type *vg_webhook_type_find(const char *name);

/* The type of a video's own callback: "video.completed" or "video.failed". */
const char *vg_webhook_plain_type(enum vg_video_status status);

struct vg_webhook_event {
    const char *id; /* webhook-id */
    const char *type;
    int64_t created_at; /* Unix seconds */
};

/* {"id","object":"event","type","created_at","data":VIDEO}: OpenAI's event with the whole video in
 * `data`, where OpenAI has its id alone. -1: the bound of `out` is reached. */
VG_MUSTCHECK int vg_webhook_event_write(const struct vg_webhook_event *event,
                                        const Videogate__V1__Video *video, struct vg_buf *out);

#endif
