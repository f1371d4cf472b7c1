/* SPDX-License-Identifier: Apache-2.0 */
/* MiniMax v1 (Hailuo): a task, whose file is found by its id in a second step. The link of the file
 * lives an hour, so it is asked for when the file is fetched. */
#include <string.h>

#include "workers/providers/minimax_priv.h"

static const char *const own_fields[] = {
    "model",        "prompt", "duration", "resolution", "first_frame_image", "last_frame_image",
    "callback_url", NULL};

/* --- submit --- */

static const char *resolution_of(const struct vg_call *call)
{
    int32_t w = call->submit->width, h = call->submit->height, side = w < h ? w : h;

    return side > 768 ? side > 1080 ? NULL : "1080P" : "768P";
}

static bool check(struct vg_call *call, const char *resolution)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (s->source)
        vg_call_refuse(call, "This model does not change or extend videos.");
    else if (s->n_reference_images + s->n_reference_videos + s->n_reference_audios > 0)
        vg_call_refuse(call, "This model does not take references.");
    else if (s->audio)
        vg_call_refuse(call, "This model makes silent videos only.");
    else if (!resolution || (s->height > s->width && !s->first_frame))
        vg_call_refuse(call, "This model does not make %dx%d.", (int)s->width, (int)s->height);
    else if (s->seconds > 6 && strcmp(resolution, "1080P") == 0)
        vg_call_refuse(call, "A 1080p video of this model has 6 seconds at most.");
    else
        return true;
    return false;
}

static void put_picture(struct vg_json_writer *w, const char *key,
                        const Videogate__V1__MediaBlob *blob)
{
    if (!blob)
        return;
    vg_json_put_key(w, key);
    vg_put_data_url(w, blob);
}

void vg_minimax_v1_submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *resolution = resolution_of(call);

    if (!check(call, resolution))
        return;
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model", s->model);
    vg_put_text(w, "prompt", s->prompt);
    vg_put_int(w, "duration", s->seconds);
    vg_put_text(w, "resolution", resolution);
    put_picture(w, "first_frame_image", s->first_frame);
    put_picture(w, "last_frame_image", s->last_frame);
    if (*s->event_url)
        vg_put_text(w, "callback_url", s->event_url);
    vg_call_put_extra(call, w, own_fields);
    vg_json_object_close(w);
    vg_call_post(call, "/v1/video_generation", true, vg_minimax_created);
}

/* --- poll --- */

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    const char *status = answer->json ? vg_call_text(call, answer->json, "status") : NULL;

    /* A failed task tells why where other answers tell that they are errors. */
    if (is(status, "Fail") && !answer->reason && answer->status < 300) {
        const char *code = vg_call_text(call, answer->json, "base_resp.status_code");
        vg_call_job_failed(call, is(code, "0") ? NULL : code,
                           vg_call_text(call, answer->json, "base_resp.status_msg"));
        return;
    }
    if (!vg_call_about(call, answer, "task_id"))
        return;
    if (!is(status, "Success")) {
        vg_call_running(call, -1, 0);
        return;
    }
    call->state->stage_id = (char *)vg_call_text(call, answer->json, "file_id");
    if (call->state->stage_id)
        vg_call_finished(call, NULL);
    else
        vg_call_nonsense(call, answer, "a finished task without a file");
}

void vg_minimax_v1_poll(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, "/v1/query/video_generation?task_id=%s",
                               vg_call_escape(call, call->upstream_id)),
                on_polled);
}

/* --- fetch --- */

static void on_retrieved(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *url = vg_call_text(call, answer->json, "file.download_url");
    if (url)
        vg_call_stream(call, &(struct vg_call_stream){.url = url});
    else
        vg_call_nonsense(call, answer, "a file without an address");
}

void vg_minimax_v1_fetch(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, "/v1/files/retrieve?file_id=%s",
                               vg_call_escape(call, call->state->stage_id)),
                on_retrieved);
}
