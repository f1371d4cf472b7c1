/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/atlascloud.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/multipart.h"

#define API "/api/v1/model"

enum {
    MAX_UPLOAD = 64 * 1024 * 1024,
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

static void put(struct vg_json_writer *w, const char *key, const char *value)
{
    vg_json_put_key(w, key);
    vg_json_put_text(w, value);
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "data.id");
    if (id)
        vg_call_accepted(call, id, 0);
    else
        vg_call_nonsense(call, answer, "a prediction without an id");
}

static void create(struct vg_call *call, const struct frames *frames)
{
    static const char *const own[] = {"model",        "prompt",     "duration",
                                      "aspect_ratio", "resolution", "sound",
                                      "image",        "end_image",  NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    put(w, "model",
        vg_call_printf(call, "%s/%s-to-video", s->model, frames->urls[0] ? "image" : "text"));
    put(w, "prompt", s->prompt);
    vg_json_put_key(w, "duration");
    vg_json_put_int(w, s->seconds);
    put(w, "aspect_ratio", vg_call_aspect(call));
    if (is_tier(s->model, "turbo")) {
        put(w, "resolution", vg_call_resolution(call));
    } else {
        vg_json_put_key(w, "sound");
        vg_json_put_bool(w, s->audio);
    }
    if (frames->urls[0])
        put(w, "image", frames->urls[0]);
    if (frames->urls[1])
        put(w, "end_image", frames->urls[1]);
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
    const char *slash = strchr(blob->mime_type, '/');
    const struct vg_form_part part = {
        .name = "file",
        .data = {(const char *)blob->data.data, blob->data.len},
        .filename = vg_call_printf(call, "input.%s", slash ? slash + 1 : "bin"),
        .content_type = blob->mime_type,
    };
    char type[VG_FORM_TYPE_SIZE];
    struct vg_buf body;

    vg_buf_init(&body, MAX_UPLOAD);
    if (vg_form_write(&body, &part, 1, (uint64_t)vg_now_ns(), type) != 0)
        vg_call_refuse(call, "The picture is too large for this provider.");
    else
        vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                                  .url = API "/uploadMedia",
                                                  .body = vg_buf_view(&body),
                                                  .content_type = type,
                                                  .then = on_uploaded});
    vg_buf_fini(&body);
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
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "data.id");
    const char *status = vg_call_text(call, answer->json, "data.status");
    const char *url = vg_call_text(call, answer->json, "data.outputs.0");
    if (!id || !status || strcmp(id, call->upstream_id) != 0) {
        vg_call_nonsense(call, answer, "the prediction answered for is another");
    } else if (strcmp(status, "failed") == 0) {
        vg_call_job_failed(call, vg_call_text(call, answer->json, "data.error_code"),
                           vg_call_text(call, answer->json, "data.error"));
    } else if (strcmp(status, "completed") != 0 && strcmp(status, "succeeded") != 0) {
        vg_call_running(call, -1, 0);
    } else if (url) {
        call->state->result = (char *)url; /* protobuf-c's messages are not const */
        vg_call_finished(call, NULL);
    } else {
        vg_call_nonsense(call, answer, "a finished prediction without a video");
    }
}

static void poll(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, API "/prediction/%s", vg_call_escape(call, call->upstream_id)),
                on_polled);
}

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
