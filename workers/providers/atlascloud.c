/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/atlascloud.h"

#include <string.h>

#include "common/mem.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"
#include "workers/upstream/multipart.h"

#define API "/api/v1/model"

enum {
    MIN_SECONDS = 3,
    MAX_SECONDS = 15,
    FRAMES = 2,
};

/* Frames become addresses before the job is made. */
struct frames {
    const Videogate__V1__MediaBlob *blobs[FRAMES]; /* first, last; NULL: none */
    const char *urls[FRAMES];
};

/* --- what it answers --- */

static const char *const code_paths[] = {"code", NULL};
static const char *const message_paths[] = {"msg", "message", NULL};

static const struct vg_fault_row faults[] = {
    {0, "1039", NULL, VG_CLASS(CONTENT_FILTERED), 0}, /* error_code of a job that failed */
    {0, NULL, "moderation", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "real person", VG_CLASS(CONTENT_FILTERED), 0},
    {451, NULL, NULL, VG_CLASS(BILLING), 0}, /* not in our region */
};

/* --- submit --- */

static bool is_tier(const char *model, const char *tier)
{
    static const char family[] = "kwaivgi/kling-v3.0-";

    return strncmp(model, family, strlen(family)) == 0 && strcmp(model + strlen(family), tier) == 0;
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "data.id");
}

static void create(struct vg_call *call, const struct frames *frames)
{
    static const char *const own[] = {"model",        "prompt",     "duration",
                                      "aspect_ratio", "resolution", "sound",
                                      "image",        "end_image",  NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_put_text(
        w, "model",
        vg_call_printf(call, "%s/%s-to-video", s->model, frames->urls[0] ? "image" : "text"));
    vg_put_text(w, "prompt", s->prompt);
    vg_put_int(w, "duration", s->seconds);
    vg_put_text(w, "aspect_ratio", vg_call_aspect(call));
    if (is_tier(s->model, "turbo")) {
        vg_put_text(w, "resolution", vg_call_resolution(call));
    } else {
        vg_put_bool(w, "sound", s->audio);
    }
    if (*s->event_url)
        vg_put_text(w, "webhook_url", s->event_url);
    if (frames->urls[0])
        vg_put_text(w, "image", frames->urls[0]);
    if (frames->urls[1])
        vg_put_text(w, "end_image", frames->urls[1]);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    vg_call_post(call, API "/generateVideo", true, on_created);
}

static void go_on(struct vg_call *call);

static void on_uploaded(struct vg_call *call, const struct vg_answer *answer)
{
    static const char *const paths[] = {"data.download_url", "data.url", "url", NULL};
    struct frames *frames = call->scratch;
    const char *url = NULL;

    if (!vg_call_ok(call, answer))
        return;
    for (const char *const *path = paths; *path && !url; path++)
        url = vg_call_text(call, answer->json, *path);
    if (!url) {
        vg_call_nonsense(call, answer, "an upload without an address");
        return;
    }
    frames->urls[frames->urls[0] ? 1 : 0] = url;
    go_on(call);
}

static void upload(struct vg_call *call, const Videogate__V1__MediaBlob *blob)
{
    const struct vg_form_part part = {
        .name = "file",
        .data = {(const char *)blob->data.data, blob->data.len},
        .filename = vg_picture_name(call, blob),
        .content_type = blob->mime_type,
    };

    vg_call_post_form(call, API "/uploadMedia", &part, 1, false, on_uploaded);
}

static void go_on(struct vg_call *call)
{
    const struct frames *frames = call->scratch;

    for (size_t i = 0; i < FRAMES; i++) {
        if (frames->blobs[i] && !frames->urls[i]) {
            upload(call, frames->blobs[i]);
            return;
        }
    }
    create(call, frames);
}

/* Each tier of Kling has its resolution; turbo is told which. */
static bool makes_size(const struct vg_call *call)
{
    static const struct {
        const char *tier, *resolution;
    } made[] = {
        {"std", "720p"}, {"pro", "1080p"}, {"4k", "4k"}, {"turbo", "720p"}, {"turbo", "1080p"}};
    const char *resolution = vg_call_resolution(call), *shape = vg_call_aspect(call);
    bool fits = false;

    for (size_t i = 0; i < VG_COUNT(made); i++)
        fits = fits || (is_tier(call->submit->model, made[i].tier) &&
                        strcmp(resolution, made[i].resolution) == 0);
    return fits &&
           (strcmp(shape, "16:9") == 0 || strcmp(shape, "9:16") == 0 || strcmp(shape, "1:1") == 0);
}

/* NULL: it can be made. */
static const char *why_not(const struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (!makes_size(call))
        return "This model does not make that size.";
    if (s->seconds < MIN_SECONDS || s->seconds > MAX_SECONDS)
        return "This model makes videos of 3 to 15 seconds.";
    if (!s->audio && is_tier(s->model, "turbo"))
        return "Videos of this model always have sound.";
    if (s->last_frame && !s->first_frame)
        return "A last frame needs a first one.";
    return s->source || s->n_reference_images > 0 || s->n_reference_videos > 0 ||
                   s->n_reference_audios > 0
               ? "This model takes a first and a last frame alone."
               : NULL;
}

static void submit(struct vg_call *call)
{
    const char *why = why_not(call);

    if (why) {
        vg_call_refuse(call, "%s", why);
        return;
    }
    struct frames *frames = vg_arena_alloc(call->arena, sizeof(*frames));
    *frames = (struct frames){.blobs = {call->submit->first_frame, call->submit->last_frame}};
    call->scratch = frames;
    go_on(call);
}

/* --- poll --- */

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "data.id"))
        return;
    const char *status = vg_call_text(call, answer->json, "data.status");
    if (status && strcmp(status, "failed") == 0)
        vg_call_job_failed(call, vg_call_text(call, answer->json, "data.error_code"),
                           vg_call_text(call, answer->json, "data.error"));
    else if (status && (strcmp(status, "completed") == 0 || strcmp(status, "succeeded") == 0))
        vg_call_take_result(call, answer, vg_call_text(call, answer->json, "data.outputs.0"));
    else
        vg_call_running(call, -1, 0);
}

static void poll(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, API "/prediction/%s", vg_call_escape(call, call->upstream_id)),
                on_polled);
}

/* Signed, in a way of its own; once, at the end. */
static const struct vg_event_scheme events = {
    .per_job = true, .id_paths = {"data.id", "data.prediction_id", "prediction_id", "id"}};

static const struct vg_adapter atlascloud = {
    .name = "atlascloud",
    .base_url = "https://api.atlascloud.ai",
    .auth = "Authorization: Bearer ",
    .max_submit_ms = 180000, /* two uploads and the job */
    .first_poll_ms = 10000,
    .poll_ms = 7000,
    .typical_ms = 135000,
    .ok_path = "code",
    .ok_value = "200",
    .ok_is_status = true,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .submit = submit,
    .poll = poll,
};

const struct vg_provider *vg_atlascloud_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("atlascloud", "Keys for AtlasCloud.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(atlascloud, keys, struct vg_adapter_config)};

    return &provider;
}
