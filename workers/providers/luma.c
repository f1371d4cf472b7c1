/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/luma.h"

#include <string.h>

#include "common/mem.h"
#include "workers/upstream/adapter.h"

enum { LONG_SECONDS = 10, FRAMES_PER_SECOND = 24 };

static const char *const code_paths[] = {"failure_code", NULL};
static const char *const message_paths[] = {"detail", "detail.0.msg", "message", NULL};

static const struct vg_fault_row faults[] = {
    {429, NULL, "concurren", VG_CLASS(CONCURRENCY_FULL), 0},
    {400, NULL, "moderat", VG_CLASS(CONTENT_FILTERED), 0},
    {422, NULL, "moderat", VG_CLASS(CONTENT_FILTERED), 0},
    {0, "content_moderated", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "budget_exhausted", NULL, VG_CLASS(BILLING), 0},
    {0, "image_too_large", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "unsupported_format", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "corrupt_input", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "invalid_request", NULL, VG_CLASS(INVALID_REQUEST), 0},
};

/* --- submit --- */

/* Further parameters that stand inside `video`. */
static const char *const switches[] = {"loop", "hdr", "exr_export", NULL};

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "id");
}

static bool among(const char *text, const char *const *list)
{
    while (*list && strcmp(*list, text) != 0)
        list++;
    return *list;
}

/* The sentence for the caller when Ray cannot make what is asked; NULL: it can. */
static const char *objection(const struct vg_call *call)
{
    static const char *const shapes[] = {"9:16", "3:4", "1:1", "4:3", "16:9", "21:9", NULL};
    static const char *const resolutions[] = {"360p", "540p", "720p", "1080p", NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (s->source)
        return "This provider does not take a source video here.";
    if (s->n_reference_images + s->n_reference_videos + s->n_reference_audios > 0)
        return "This model does not take references.";
    if (s->seconds != 5 && s->seconds != LONG_SECONDS)
        return "This model makes videos of 5 or 10 seconds.";
    if (!among(vg_call_aspect(call), shapes) || !among(vg_call_resolution(call), resolutions))
        return "This model does not make this size.";
    return NULL;
}

static void put_picture(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob)
{
    vg_json_object_open(w);
    vg_json_put_key(w, "media_type");
    vg_json_put_text(w, blob->mime_type);
    vg_json_put_key(w, "data");
    vg_put_base64(w, blob);
    vg_json_object_close(w);
}

static void put_frame(struct vg_json_writer *w, const char *name,
                      const Videogate__V1__MediaBlob *blob)
{
    if (!blob)
        return;
    vg_json_put_key(w, name);
    put_picture(w, blob);
}

/* Videos of 10 s take no start and end frame, but pictures at any place. */
static void put_keyframes(struct vg_json_writer *w, const Videogate__V1__SubmitRequest *s)
{
    vg_json_put_key(w, "keyframes");
    vg_json_array_open(w);
    if (s->first_frame)
        put_picture(w, s->first_frame);
    if (s->last_frame)
        put_picture(w, s->last_frame);
    vg_json_array_close(w);
    vg_json_put_key(w, "keyframe_indexes");
    vg_json_array_open(w);
    if (s->first_frame)
        vg_json_put_int(w, 0);
    if (s->last_frame)
        vg_json_put_int(w, (int64_t)s->seconds * FRAMES_PER_SECOND);
    vg_json_array_close(w);
}

static void put_switches(struct vg_call *call, struct vg_json_writer *w)
{
    for (const char *const *name = switches; *name; name++) {
        const struct vg_json *value = vg_call_extra(call, *name);
        if (!value)
            continue;
        vg_json_put_key(w, *name);
        vg_json_put_bool(w, vg_json_bool(value));
    }
}

static void put_video(struct vg_call *call, struct vg_json_writer *w)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_put_key(w, "video");
    vg_json_object_open(w);
    vg_json_put_key(w, "resolution");
    vg_json_put_text(w, vg_call_resolution(call));
    vg_json_put_key(w, "duration");
    vg_json_put_text(w, s->seconds == LONG_SECONDS ? "10s" : "5s");
    if (s->seconds == LONG_SECONDS && (s->first_frame || s->last_frame)) {
        put_keyframes(w, s);
    } else {
        put_frame(w, "start_frame", s->first_frame);
        put_frame(w, "end_frame", s->last_frame);
    }
    put_switches(call, w);
    vg_json_object_close(w);
}

static void submit(struct vg_call *call)
{
    static const char *const own[] = {
        "model", "type", "prompt", "aspect_ratio", "video", "loop", "hdr", "exr_export", NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *no = objection(call);

    if (no) {
        vg_call_refuse(call, "%s", no);
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_json_put_key(w, "model");
    vg_json_put_text(w, s->model);
    vg_json_put_key(w, "type");
    vg_json_put_text(w, "video");
    vg_json_put_key(w, "prompt");
    vg_json_put_text(w, s->prompt);
    vg_json_put_key(w, "aspect_ratio");
    vg_json_put_text(w, vg_call_aspect(call));
    put_video(call, w);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    vg_call_post(call, "/generations", true, on_created);
}

/* --- poll --- */

/* The first output that is a video. */
static const char *video_of(struct vg_call *call, const struct vg_json *output)
{
    for (const struct vg_json *o = vg_json_first(output); o; o = vg_json_next(o)) {
        const char *type = vg_call_text(call, o, "type");
        if (!type || strcmp(type, "video") == 0)
            return vg_call_text(call, o, "url");
    }
    return NULL;
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    const char *state = vg_call_text(call, answer->json, "state");
    if (state && strcmp(state, "failed") == 0)
        vg_call_job_failed(call, vg_call_text(call, answer->json, "failure_code"),
                           vg_call_text(call, answer->json, "failure_reason"));
    else if (state && strcmp(state, "completed") == 0)
        vg_call_take_result(call, answer, video_of(call, vg_json_at(answer->json, "output")));
    else
        vg_call_running(call, -1, 0); /* queued, processing */
}

static void poll(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, "/generations/%s", vg_call_escape(call, call->upstream_id)),
                on_polled);
}

static const struct vg_adapter adapter = {
    .name = "luma",
    .base_url = "https://agents.lumalabs.ai/v1",
    .auth = "Authorization: Bearer ",
    .first_poll_ms = 10000,
    .poll_ms = 5000,
    .typical_ms = 90000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .submit = submit,
    .poll = poll,
};

const struct vg_provider *vg_luma_provider(void)
{
    static const struct vg_config_key keys[] = {VG_ADAPTER_KEYS_ROW("luma", "Keys for Luma.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
