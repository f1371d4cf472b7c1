/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_omni.h"

#include <string.h>

#include "common/mem.h"
#include "workers/providers/google_error.h"
#include "workers/upstream/adapter.h"

#define MODELS "gemini-omni-"
#define INLINE_KEY "data"

enum { ANSWER_MS = 5 * 1000, FILE_POLL_MS = 5 * 1000, MAX_FILE_ID = 128 };

/* state->stage: what is waited for, or where the file is. */
enum { WAIT_FOR_INTERACTION, WAIT_FOR_FILE, FILE_IS_THERE, INSIDE_INTERACTION };

bool vg_omni_is_model(const char *model)
{
    return strncmp(model, MODELS, strlen(MODELS)) == 0;
}

/* --- what is asked --- */

static const char *refusal_of(const struct vg_call *call)
{
    static const struct {
        int32_t longer, shorter;
    } sizes[] = {{640, 360}, {1280, 720}, {1920, 1080}, {3840, 2160}};
    const Videogate__V1__SubmitRequest *s = call->submit;
    bool fits = false;

    for (size_t i = 0; i < VG_COUNT(sizes); i++)
        fits = fits || (s->width == sizes[i].longer && s->height == sizes[i].shorter) ||
               (s->width == sizes[i].shorter && s->height == sizes[i].longer);
    if (!fits)
        return "Gemini Omni makes 640x360, 1280x720, 1920x1080 and 3840x2160, either way up.";
    if (!s->audio)
        return "Gemini Omni always makes a sound track.";
    if (s->last_frame)
        return "Gemini Omni takes no last frame.";
    if (s->first_frame && s->n_reference_images)
        return "Gemini Omni takes a first frame or reference pictures, not both.";
    if (s->source && (s->first_frame || s->n_reference_images))
        return "Gemini Omni takes no pictures beside a source video.";
    if (s->n_reference_videos || s->n_reference_audios)
        return "Gemini Omni takes no reference videos or sounds.";
    return NULL;
}

static const char *task_of(const Videogate__V1__SubmitRequest *s)
{
    if (s->source)
        return s->source->operation == VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND
                   ? "extend"
                   : "edit";
    if (s->n_reference_images)
        return "reference_to_video";
    return s->first_frame ? "image_to_video" : "text_to_video";
}

static void put_part(struct vg_json_writer *w, const char *type,
                     const Videogate__V1__MediaBlob *blob)
{
    vg_json_object_open(w);
    vg_put_text(w, "type", type);
    vg_json_put_key(w, "data");
    vg_put_base64(w, blob);
    vg_put_text(w, "mime_type", blob->mime_type);
    vg_json_object_close(w);
}

static void put_input(struct vg_call *call, struct vg_json_writer *w)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *prompt = s->prompt;

    /* There is no parameter for the length: the model reads it. An edit keeps its own. */
    if (!s->source ||
        s->source->operation == VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND)
        prompt =
            vg_call_printf(call, "%s\n\nThe video is %d seconds long.", prompt, (int)s->seconds);
    vg_json_put_key(w, "input");
    vg_json_array_open(w);
    vg_json_object_open(w);
    vg_put_text(w, "type", "text");
    vg_put_text(w, "text", prompt);
    vg_json_object_close(w);
    if (s->first_frame)
        put_part(w, "image", s->first_frame);
    for (size_t i = 0; i < s->n_reference_images; i++)
        put_part(w, "image", s->reference_images[i]);
    if (s->source)
        put_part(w, "video", s->source->video);
    vg_json_array_close(w);
}

static void write_body(struct vg_call *call)
{
    static const char *const own[] = {"model",           "input",      "generation_config",
                                      "response_format", "background", "stream",
                                      "store",           NULL};
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_put_text(w, "model", call->submit->model);
    put_input(call, w);
    vg_json_put_key(w, "generation_config");
    vg_json_object_open(w);
    vg_json_put_key(w, "video_config");
    vg_json_object_open(w);
    vg_put_text(w, "task", task_of(call->submit));
    vg_json_object_close(w);
    vg_json_object_close(w);
    vg_json_put_key(w, "response_format");
    vg_json_object_open(w);
    vg_put_text(w, "type", "video");
    vg_put_text(w, "aspect_ratio", call->submit->width > call->submit->height ? "16:9" : "9:16");
    vg_put_text(w, "resolution", vg_call_resolution(call));
    vg_put_text(w, "delivery", "uri"); /* inline holds some 4 MB only */
    vg_json_object_close(w);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
}

/* --- what is answered --- */

/* The video among what the model put out; NULL: none. */
static const struct vg_json *video_of(const struct vg_json *interaction)
{
    const struct vg_json *step = vg_json_first(vg_json_get(interaction, "steps"));

    for (; step; step = vg_json_next(step)) {
        const char *type = vg_json_string(vg_json_get(step, "type"));
        const struct vg_json *part = vg_json_first(vg_json_get(step, "content"));
        for (; type && strcmp(type, "model_output") == 0 && part; part = vg_json_next(part)) {
            const char *kind = vg_json_string(vg_json_get(part, "type"));
            if (kind && strcmp(kind, "video") == 0)
                return part;
        }
    }
    return NULL;
}

/* What the model says instead; for operators. */
static const char *words_of(struct vg_call *call, const struct vg_json *interaction)
{
    const struct vg_json *step = vg_json_first(vg_json_get(interaction, "steps"));

    for (; step; step = vg_json_next(step)) {
        const char *type = vg_json_string(vg_json_get(step, "type"));
        const char *text = vg_call_text(call, step, "content.0.text");
        if (type && strcmp(type, "model_output") == 0 && text)
            return text;
    }
    return NULL;
}

/* The id in ".../files/ID:download?alt=media" or ".../files/ID"; NULL: none. */
static const char *file_of(struct vg_call *call, const char *uri)
{
    const char *at = uri ? strstr(uri, "/files/") : NULL;

    if (!at)
        return NULL;
    at += strlen("/files/");
    size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return len > 0 && len <= MAX_FILE_ID ? vg_call_printf(call, "%.*s", (int)len, at) : NULL;
}

/* The interaction is completed; `id` may be NULL. */
static void take_video(struct vg_call *call, const struct vg_answer *answer, const char *id)
{
    const struct vg_json *video = video_of(answer->json);
    const char *file = video ? file_of(call, vg_call_text(call, video, "uri")) : NULL;

    if (!video) {
        vg_call_job_failed(call, VG_GOOGLE_EMPTY, words_of(call, answer->json));
        return;
    }
    if (!file && (!id || !vg_json_get(video, INLINE_KEY))) {
        vg_call_nonsense(call, answer, "a video without address or bytes");
        return;
    }
    call->state->stage = file ? WAIT_FOR_FILE : INSIDE_INTERACTION;
    call->state->stage_id = (char *)(file ? file : "");
    if (call->kind == VG_CALL_SUBMIT && file)
        vg_call_accepted(call, id ? id : file, ANSWER_MS);
    else if (file)
        vg_call_running(call, 95, FILE_POLL_MS);
    else
        vg_call_finished(call, id);
}

enum { STATUS_UNKNOWN, STATUS_RUNNING, STATUS_DONE, STATUS_FAILED, STATUS_CANCELED };
static const struct vg_word statuses[] = {
    {"in_progress", STATUS_RUNNING}, {"completed", STATUS_DONE},     {"failed", STATUS_FAILED},
    {"incomplete", STATUS_FAILED},   {"cancelled", STATUS_CANCELED},
};

static void take_interaction(struct vg_call *call, const struct vg_answer *answer)
{
    const char *status = vg_call_text(call, answer->json, "status");
    const char *id = vg_call_text(call, answer->json, "id");
    const char *code = vg_call_text(call, answer->json, "error.code");
    int word = vg_word_of(statuses, VG_COUNT(statuses), status);
    bool polled = call->kind != VG_CALL_SUBMIT;

    if (word == STATUS_DONE)
        take_video(call, answer, id);
    else if (word == STATUS_FAILED)
        vg_call_job_failed(call, code ? code : status,
                           vg_call_text(call, answer->json, "error.message"));
    else if (word == STATUS_CANCELED && polled)
        vg_call_canceled(call);
    else if (word == STATUS_RUNNING && polled)
        vg_call_running(call, -1, 0);
    else if (word == STATUS_RUNNING && id)
        vg_call_accepted(call, id, 0);
    else
        vg_call_nonsense(call, answer, "an interaction in no state that is known");
}

static void on_interaction(struct vg_call *call, const struct vg_answer *answer)
{
    if (call->kind == VG_CALL_SUBMIT ? vg_call_ok(call, answer) : vg_call_about(call, answer, "id"))
        take_interaction(call, answer);
}

void vg_omni_submit(struct vg_call *call)
{
    const char *refusal = refusal_of(call);

    if (refusal) {
        vg_call_refuse(call, "%s", refusal);
        return;
    }
    write_body(call);
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = "/interactions",
                                              .body = vg_call_body(call),
                                              .timeout_ms = VG_OMNI_SUBMIT_MS - ANSWER_MS,
                                              .elide = true,
                                              .creates = true,
                                              .then = on_interaction});
}

/* --- the file --- */

static void on_file(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *name = vg_call_text(call, answer->json, "name");
    const char *state = vg_call_text(call, answer->json, "state");
    if (!name || strcmp(name, vg_call_printf(call, "files/%s", call->state->stage_id)) != 0) {
        vg_call_nonsense(call, answer, "the file answered for has another name");
    } else if (state && strcmp(state, "ACTIVE") == 0) {
        call->state->stage = FILE_IS_THERE;
        vg_call_finished(call, NULL);
    } else if (state && strcmp(state, "FAILED") == 0) {
        vg_call_job_failed(call, "file_failed", vg_call_text(call, answer->json, "error.message"));
    } else {
        vg_call_running(call, 95, FILE_POLL_MS);
    }
}

void vg_omni_poll(struct vg_call *call)
{
    if (call->state->stage == WAIT_FOR_FILE || call->state->stage == FILE_IS_THERE)
        vg_call_get(call, vg_call_printf(call, "/files/%s", call->state->stage_id), on_file);
    else
        vg_call_http(call, &(struct vg_call_http){
                               .method = "GET",
                               .url = vg_call_printf(call, "/interactions/%s",
                                                     vg_call_escape(call, call->upstream_id)),
                               .elide = true,
                               .then = on_interaction});
}

void vg_omni_fetch(struct vg_call *call)
{
    if (call->state->stage == INSIDE_INTERACTION)
        vg_call_stream(call, &(struct vg_call_stream){
                                 .url = vg_call_printf(call, "/interactions/%s",
                                                       vg_call_escape(call, call->upstream_id)),
                                 .inline_key = INLINE_KEY});
    else
        vg_call_stream(call, &(struct vg_call_stream){
                                 .url = vg_call_printf(call, "/files/%s:download?alt=media",
                                                       call->state->stage_id)});
}
