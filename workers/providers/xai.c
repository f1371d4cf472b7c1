/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/xai.h"

#include <string.h>

#include "common/mem.h"
#include "workers/upstream/adapter.h"

enum { MAX_REFERENCES = 7, MAX_SECONDS = 15, MAX_REFERENCE_SECONDS = 10 };

static const char *const code_paths[] = {"code", "error.code", NULL};
static const char *const message_paths[] = {"error", "error.message", NULL};

/* Codes are sentences. A wrong key is told with 400, used-up money with 403 or 429. */
static const struct vg_fault_row faults[] = {
    {400, NULL, "incorrect api key", VG_CLASS(AUTH), 0},
    {0, NULL, "used all available credits", VG_CLASS(BILLING), 0},
    {0, NULL, "spending limit", VG_CLASS(BILLING), 0},
    {0, "imagine:content-moderated", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "content moderation", VG_CLASS(CONTENT_FILTERED), 0},
};

static const struct vg_adapter xai;

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* --- submit --- */

static const char *const own_fields[] = {"model",      "prompt", "duration",         "aspect_ratio",
                                         "resolution", "image",  "reference_images", NULL};

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "request_id");
}

static bool check(struct vg_call *call, const char *ratio, const char *resolution)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    size_t references = s->n_reference_images;

    if (s->source)
        vg_call_refuse(call, "This provider takes source videos by address only.");
    else if (s->last_frame || s->n_reference_videos + s->n_reference_audios > 0)
        vg_call_refuse(call, "This provider takes a first frame or reference pictures only.");
    else if (references > 0 && s->first_frame)
        vg_call_refuse(call, "A first frame and reference pictures cannot stand together.");
    else if (references > MAX_REFERENCES)
        vg_call_refuse(call, "This provider takes %d reference pictures at most.", MAX_REFERENCES);
    else if (s->seconds > (references > 0 ? MAX_REFERENCE_SECONDS : MAX_SECONDS))
        vg_call_refuse(call, "This provider does not make %d seconds here.", (int)s->seconds);
    else if (is(ratio, "21:9") ||
             (!is(resolution, "480p") && !is(resolution, "720p") && !is(resolution, "1080p")))
        vg_call_refuse(call, "This provider does not make %dx%d.", (int)s->width, (int)s->height);
    else
        return true;
    return false;
}

static void put_picture(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob)
{
    vg_json_object_open(w);
    vg_json_put_key(w, "url");
    vg_put_data_url(w, blob);
    vg_json_object_close(w);
}

static void put_pictures(struct vg_json_writer *w, const Videogate__V1__SubmitRequest *s)
{
    if (s->first_frame) {
        vg_json_put_key(w, "image");
        put_picture(w, s->first_frame);
    }
    if (s->n_reference_images == 0)
        return;
    vg_json_put_key(w, "reference_images");
    vg_json_array_open(w);
    for (size_t i = 0; i < s->n_reference_images; i++)
        put_picture(w, s->reference_images[i]);
    vg_json_array_close(w);
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *ratio = vg_call_aspect(call), *resolution = vg_call_resolution(call);

    if (!check(call, ratio, resolution))
        return;
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model", s->model);
    vg_put_text(w, "prompt", s->prompt);
    vg_put_int(w, "duration", s->seconds);
    vg_put_text(w, "aspect_ratio", ratio);
    vg_put_text(w, "resolution", resolution);
    put_pictures(w, s);
    vg_call_put_extra(call, w, own_fields);
    vg_json_object_close(w);
    vg_call_post(call, "/videos/generations", true, on_created);
}

/* --- poll --- */

/* A video that was made and then rejected is charged, unless the answer says that it cost nothing.
 */
static void reject(struct vg_call *call, const struct vg_answer *answer, struct vg_fault *fault)
{
    const struct vg_json *cost = vg_json_at(answer->json, "usage.cost_in_usd_ticks");

    fault->charged = !cost || vg_json_number(cost) > 0;
    fault->http_status = answer->status;
    vg_call_failed(call, fault);
}

static bool moderated(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *respected = vg_json_at(answer->json, "video.respect_moderation");
    struct vg_fault fault;

    if (answer->reason || !answer->json)
        return false;
    if (answer->status < 300 && respected && vg_json_type(respected) == VG_JSON_BOOL &&
        !vg_json_bool(respected)) {
        vg_fault_of_job(&fault, &xai, "imagine:content-moderated",
                        "The video was rejected by content moderation.");
        reject(call, answer, &fault);
        return true;
    }
    if (answer->status < 400 || answer->status >= 500)
        return false;
    vg_fault_of_answer(&fault, &xai, answer, VG_PHASE_POLL);
    if (fault.class != VG_CLASS(CONTENT_FILTERED))
        return false;
    reject(call, answer, &fault);
    return true;
}

static const char *text_of(struct vg_call *call, const struct vg_json *json, const char *path,
                           const char *other)
{
    const char *text = vg_call_text(call, json, path);

    return text ? text : vg_call_text(call, json, other);
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (moderated(call, answer) || !vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "request_id");
    const char *status = vg_call_text(call, answer->json, "status");
    const char *url = vg_call_text(call, answer->json, "video.url");
    const struct vg_json *progress = vg_json_at(answer->json, "progress");
    if (id && strcmp(id, call->upstream_id) != 0) {
        vg_call_nonsense(call, answer, "another request");
    } else if (is(status, "failed")) {
        vg_call_job_failed(call, text_of(call, answer->json, "error.code", "code"),
                           text_of(call, answer->json, "error.message", "error"));
    } else if (is(status, "expired")) {
        vg_call_expired(call);
    } else if (!status || is(status, "done")) {
        vg_call_take_result(call, answer, url); /* some finished answers have no status */
    } else {
        vg_call_running(call, progress ? (int)vg_json_number(progress) : -1, 0);
    }
}

static void poll(struct vg_call *call)
{
    vg_call_get(call, vg_call_printf(call, "/videos/%s", vg_call_escape(call, call->upstream_id)),
                on_polled);
}

static const struct vg_adapter xai = {
    .name = "xai",
    .base_url = "https://api.x.ai/v1",
    .auth = "Authorization: Bearer ",
    .first_poll_ms = 5000,
    .poll_ms = 4000,
    .typical_ms = 30000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .submit = submit,
    .poll = poll,
};

const struct vg_provider *vg_xai_provider(void)
{
    static const struct vg_config_key keys[] = {VG_ADAPTER_KEYS_ROW("xai", "Keys for xAI.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(xai, keys, struct vg_adapter_config)};

    return &provider;
}
