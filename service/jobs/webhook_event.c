/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/webhook_event.h"

#include <string.h>

#include "common/json_pb.h"
#include "common/mem.h"

/* The same words stand in db/generation_change_store.c, which chooses among them. */
static const struct vg_webhook_type types[] = {
    {"video.canceled", VG_VIDEO_CANCELED},
    {"video.completed", VG_VIDEO_COMPLETED},
    {"video.expired", VG_VIDEO_EXPIRED},
    {"video.failed", VG_VIDEO_FAILED},
};

const struct vg_webhook_type *vg_webhook_types(size_t *out_count)
{
    *out_count = VG_COUNT(types);
    return types;
}

const struct vg_webhook_type *vg_webhook_type_find(const char *name)
{
    for (size_t i = 0; i < VG_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const char *vg_webhook_plain_type(enum vg_video_status status)
{
    return status == VG_VIDEO_COMPLETED ? "video.completed" : "video.failed";
}

int vg_webhook_event_write(const struct vg_webhook_event *event, const Videogate__V1__Video *video,
                           struct vg_buf *out)
{
    struct vg_json_writer w;

    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    vg_json_put_key(&w, "id");
    vg_json_put_text(&w, event->id);
    vg_json_put_key(&w, "object");
    vg_json_put_text(&w, "event");
    vg_json_put_key(&w, "type");
    vg_json_put_text(&w, event->type);
    vg_json_put_key(&w, "created_at");
    vg_json_put_int(&w, event->created_at);
    vg_json_put_key(&w, "data");
    vg_pb_to_json(&video->base, vg_api_shape(), &w);
    vg_json_object_close(&w);
    return vg_buf_ok(out) ? 0 : -1;
}
