/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/kling_legacy.h"

#include <string.h>

#define TEXT "text2video"
#define PICTURE "image2video"

bool vg_kling_is_legacy(const char *model)
{
    return strncmp(model, "kling-v", 7) == 0;
}

static bool has_sound(const char *model)
{
    return strncmp(model, "kling-v2-6", 10) == 0 || strncmp(model, "kling-v3", 8) == 0;
}

static const char *url_of(struct vg_call *call, const char *kind, const char *id)
{
    return vg_call_printf(call, "/v1/videos/%s/%s", kind, vg_call_escape(call, id));
}

/* --- submit --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "data.task_id");
}

/* NULL: it can be made. */
static const char *why_not(const struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *resolution = vg_call_resolution(call);

    if (strcmp(resolution, "720p") != 0 && strcmp(resolution, "1080p") != 0)
        return "This model makes 720p and 1080p.";
    if (s->seconds != 5 && s->seconds != 10)
        return "This model makes videos of 5 or 10 seconds.";
    if (s->audio && !has_sound(s->model))
        return "This model makes silent videos only.";
    if (s->last_frame && !s->first_frame)
        return "A last frame needs a first one.";
    return s->source || s->n_reference_images > 0 || s->n_reference_videos > 0 ||
                   s->n_reference_audios > 0
               ? "This model takes a first and a last frame alone."
               : NULL;
}

static void put_frame(struct vg_json_writer *w, const char *key,
                      const Videogate__V1__MediaBlob *blob)
{
    if (!blob)
        return;
    vg_json_put_key(w, key);
    vg_put_base64(w, blob);
}

void vg_kling_legacy_submit(struct vg_call *call)
{
    static const char *const own[] = {"model_name",       "prompt",       "mode",  "duration",
                                      "aspect_ratio",     "sound",        "image", "image_tail",
                                      "external_task_id", "callback_url", NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *why = why_not(call);

    if (why) {
        vg_call_refuse(call, "%s", why);
        return;
    }
    call->state->operation = s->first_frame ? PICTURE : TEXT;
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model_name", s->model);
    vg_put_text(w, "prompt", s->prompt);
    vg_put_text(w, "mode", strcmp(vg_call_resolution(call), "720p") == 0 ? "std" : "pro");
    vg_put_text(w, "duration", vg_call_printf(call, "%d", (int)s->seconds));
    if (!s->first_frame)
        vg_put_text(w, "aspect_ratio", vg_call_aspect(call));
    if (has_sound(s->model))
        vg_put_text(w, "sound", s->audio ? "on" : "off");
    put_frame(w, "image", s->first_frame);
    put_frame(w, "image_tail", s->last_frame);
    vg_put_text(w, "external_task_id", s->token);
    if (*s->event_url)
        vg_put_text(w, "callback_url", s->event_url);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    vg_call_post(call, vg_call_printf(call, "/v1/videos/%s", call->state->operation), true,
                 on_created);
}

/* --- poll --- */

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "data.task_id"))
        return;
    const char *status = vg_call_text(call, answer->json, "data.task_status");
    if (status && strcmp(status, "failed") == 0)
        vg_call_job_failed(call, NULL, vg_call_text(call, answer->json, "data.task_status_msg"));
    else if (status && strcmp(status, "succeed") == 0)
        vg_call_take_result(call, answer,
                            vg_call_text(call, answer->json, "data.task_result.videos.0.url"));
    else
        vg_call_running(call, -1, 0);
}

void vg_kling_legacy_poll(struct vg_call *call)
{
    vg_call_get(call, url_of(call, call->state->operation, call->upstream_id), on_polled);
}

/* --- lookup: a task's external id stands in the place of its id --- */

static void ask(struct vg_call *call, char *kind);

static void on_found(struct vg_call *call, const struct vg_answer *answer)
{
    const char *code = answer->json ? vg_call_text(call, answer->json, "code") : NULL;

    if (!answer->reason && answer->status == 404 && code && strcmp(code, "1203") == 0) {
        if (strcmp(call->state->operation, TEXT) == 0)
            ask(call, PICTURE);
        else
            vg_kling_absent(call);
        return;
    }
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "data.task_id");
    const char *token = vg_call_text(call, answer->json, "data.task_info.external_task_id");
    if (id && token && strcmp(token, call->submit->token) == 0)
        vg_call_found(call, id);
    else
        vg_call_nonsense(call, answer, "the task answered for is another");
}

static void ask(struct vg_call *call, char *kind)
{
    call->state->operation = kind;
    vg_call_get(call, url_of(call, kind, call->submit->token), on_found);
}

/* Pictures do not come with a lookup: it may be either. */
void vg_kling_legacy_lookup(struct vg_call *call)
{
    ask(call, TEXT);
}
