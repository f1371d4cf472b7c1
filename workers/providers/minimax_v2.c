/* SPDX-License-Identifier: Apache-2.0 */
/* MiniMax v2 (H3): ModelArk's task API under other paths. */
#include <string.h>

#include "common/mem.h"
#include "workers/providers/content.h"
#include "workers/providers/minimax_priv.h"
#include "workers/providers/tasks.h"

static const char *const own_fields[] = {"model", "content",      "resolution", "duration",
                                         "ratio", "callback_url", NULL};

static const struct vg_task_api api = {.query = "/v2/query/video_generation",
                                       .erase = "/v2/video_generation",
                                       .task = "task",
                                       .id = "task.id",
                                       .result = "content.url",
                                       .seed = NULL};

/* NULL: there is none. */
static const char *resolution_of(const struct vg_call *call)
{
    static const struct {
        int32_t low, high;
        const char *name;
    } classes[] = {{1, 480, "480P"}, {481, 768, "768P"}, {1440, 1600, "2K"}};
    int32_t w = call->submit->width, h = call->submit->height, side = w < h ? w : h;

    for (size_t i = 0; i < VG_COUNT(classes); i++)
        if (side >= classes[i].low && side <= classes[i].high)
            return classes[i].name;
    return NULL;
}

void vg_minimax_v2_submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *resolution = resolution_of(call), *ratio = vg_call_aspect(call);

    if (!vg_content_check(call))
        return;
    if (!resolution || strcmp(ratio, "3:2") == 0 || strcmp(ratio, "2:3") == 0) {
        vg_call_refuse(call, "This model does not make %dx%d.", (int)s->width, (int)s->height);
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model", s->model);
    vg_content_put(call, w);
    vg_put_text(w, "resolution", resolution);
    vg_put_int(w, "duration", s->seconds);
    vg_put_text(w, "ratio", s->first_frame ? "adaptive" : ratio);
    if (*s->event_url)
        vg_put_text(w, "callback_url", s->event_url);
    vg_call_put_extra(call, w, own_fields);
    vg_json_object_close(w);
    vg_call_post(call, "/v2/video_generation", true, vg_minimax_created);
}

void vg_minimax_v2_poll(struct vg_call *call)
{
    vg_task_poll(call, &api);
}

void vg_minimax_v2_cancel(struct vg_call *call)
{
    vg_task_cancel(call, &api);
}

void vg_minimax_v2_lookup(struct vg_call *call)
{
    vg_task_lookup(call, &api);
}
