/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/fal.h"

#include <string.h>

#include "common/http/url.h"
#include "common/mem.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"

static const struct vg_adapter adapter; /* below */

static const char *const code_paths[] = {"detail.0.type", "error_type", NULL};
static const char *const message_paths[] = {"detail", "detail.0.msg", "error", "message", NULL};

static const struct vg_fault_row faults[] = {
    {403, NULL, "balance", VG_CLASS(BILLING), 0},
    {403, NULL, "locked", VG_CLASS(BILLING), 0},
    {429, NULL, "concurren", VG_CLASS(CONCURRENCY_FULL), 0},
    {0, "content_policy_violation", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "generation_timeout", NULL, VG_CLASS(TIMEOUT), 0},
    {0, "downstream_service_unavailable", NULL, VG_CLASS(OVERLOADED), 0},
    {0, "runner_scheduling_failure", NULL, VG_CLASS(OVERLOADED), 0},
};

/* --- what its models take --- */

/* Models that are called alike; paths are endpoints below the model, NULL: not offered. */
struct input {
    const char *text, *image, *frames, *references;
    const char *first, *first_of_two, *last; /* members for the frames */
    bool sound;                              /* can be had: `generate_audio` switches it */
    bool unit;                               /* seconds are "8s", not "8" */
    bool resolution;                         /* is said; else the model has one */
    bool shaped;                             /* the aspect ratio is said with a picture, too */
    bool media;                              /* references may be videos and sounds */
};

static const struct input veo = {
    .text = "",
    .image = "/image-to-video",
    .frames = "/first-last-frame-to-video",
    .references = "/reference-to-video",
    .first = "image_url",
    .first_of_two = "first_frame_url",
    .last = "last_frame_url",
    .sound = true,
    .unit = true,
    .resolution = true,
    .shaped = true,
};
static const struct input kling = {
    .text = "/text-to-video",
    .image = "/image-to-video",
    .frames = "/image-to-video",
    .first = "start_image_url",
    .first_of_two = "start_image_url",
    .last = "end_image_url",
    .sound = true,
};
static const struct input seedance = {
    .text = "/text-to-video",
    .image = "/image-to-video",
    .frames = "/image-to-video",
    .references = "/reference-to-video",
    .first = "image_url",
    .first_of_two = "image_url",
    .last = "end_image_url",
    .sound = true,
    .resolution = true,
    .shaped = true,
    .media = true,
};
static const struct input seedance_1 = {
    .text = "/text-to-video",
    .image = "/image-to-video",
    .frames = "/image-to-video",
    .first = "image_url",
    .first_of_two = "image_url",
    .last = "end_image_url",
    .resolution = true,
    .shaped = true,
};

static const struct input *input_of(const char *model)
{
    static const struct {
        const char *model;
        const struct input *input;
    } models[] = {
        {"bytedance/seedance-2.0", &seedance},
        {"bytedance/seedance-2.0/fast", &seedance},
        {"fal-ai/bytedance/seedance/v1/pro", &seedance_1},
        {"fal-ai/kling-video/v2.6/pro", &kling},
        {"fal-ai/kling-video/v3/pro", &kling},
        {"fal-ai/kling-video/v3/standard", &kling},
        {"fal-ai/veo3.1", &veo},
        {"fal-ai/veo3.1/fast", &veo},
    };

    for (size_t i = 0; i < VG_COUNT(models); i++)
        if (strcmp(models[i].model, model) == 0)
            return models[i].input;
    return NULL;
}

static bool has_references(const Videogate__V1__SubmitRequest *s)
{
    return s->n_reference_images + s->n_reference_videos + s->n_reference_audios > 0;
}

/* The endpoint below the model for what is asked; NULL: there is none. */
static const char *endpoint_of(const struct input *input, const Videogate__V1__SubmitRequest *s)
{
    if (has_references(s))
        return s->first_frame || s->last_frame ? NULL : input->references;
    if (s->last_frame)
        return s->first_frame ? input->frames : NULL;
    return s->first_frame ? input->image : input->text;
}

/* The sentence for the caller when the model cannot make what is asked; NULL: it can. */
static const char *objection(const struct input *input, const Videogate__V1__SubmitRequest *s)
{
    if (!input)
        return "This model is not known here.";
    if (s->source)
        return "This provider does not take a source video here.";
    if (!endpoint_of(input, s))
        return "This model does not take this combination of frames and references.";
    if (s->n_reference_videos + s->n_reference_audios > 0 && !input->media)
        return "This model takes no reference videos or sounds.";
    return NULL;
}

/* --- submit --- */

/* Addresses the queue gives are followed where they are the base's: the key goes along. Others, of
 * a relay that passes on fal's own, are made from the base. */
static char *address_of(struct vg_call *call, const struct vg_answer *answer, const char *member,
                        const char *suffix)
{
    const char *given = vg_call_text(call, answer->json, member);
    const char *id = vg_call_text(call, answer->json, "request_id");
    const char *model = call->state->model;
    size_t app = strcspn(model, "/");

    /* Of an endpoint's path the queue keeps owner and app. */
    app += model[app] ? 1 + strcspn(model + app + 1, "/") : 0;
    if (!given || !vg_url_same_origin(call->state->base_url, given))
        given = vg_call_printf(call, "/%.*s/requests/%s%s", (int)app, model,
                               vg_call_escape(call, id), suffix);
    return (char *)given; /* protobuf-c's messages are not const */
}

static void on_queued(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "request_id");
    if (!id) {
        vg_call_nonsense(call, answer, "a request without an id");
        return;
    }
    call->state->status_url = address_of(call, answer, "status_url", "/status");
    call->state->response_url = address_of(call, answer, "response_url", "");
    call->state->cancel_url = address_of(call, answer, "cancel_url", "/cancel");
    vg_call_accepted(call, id, 0);
}

static void put_picture(struct vg_json_writer *w, const char *name,
                        const Videogate__V1__MediaBlob *blob)
{
    vg_json_put_key(w, name);
    vg_put_data_url(w, blob);
}

static void put_media(struct vg_json_writer *w, const struct input *input,
                      const Videogate__V1__SubmitRequest *s)
{
    if (s->first_frame)
        put_picture(w, s->last_frame ? input->first_of_two : input->first, s->first_frame);
    if (s->last_frame)
        put_picture(w, input->last, s->last_frame);
    if (s->n_reference_images > 0) {
        vg_json_put_key(w, "image_urls");
        vg_json_array_open(w);
        for (size_t i = 0; i < s->n_reference_images; i++)
            vg_put_data_url(w, s->reference_images[i]);
        vg_json_array_close(w);
    }
    vg_put_texts(w, "video_urls", s->reference_videos, s->n_reference_videos);
    vg_put_texts(w, "audio_urls", s->reference_audios, s->n_reference_audios);
}

static void write_input(struct vg_call *call, const struct input *input)
{
    static const char *const own[] = {"prompt",          "duration",
                                      "resolution",      "aspect_ratio",
                                      "generate_audio",  "image_url",
                                      "end_image_url",   "start_image_url",
                                      "first_frame_url", "last_frame_url",
                                      "image_urls",      "video_urls",
                                      "audio_urls",      NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_json_put_key(w, "prompt");
    vg_json_put_text(w, s->prompt);
    vg_json_put_key(w, "duration");
    vg_json_put_text(w, vg_call_printf(call, "%d%s", (int)s->seconds, input->unit ? "s" : ""));
    if (input->resolution) {
        vg_json_put_key(w, "resolution");
        vg_json_put_text(w, vg_call_resolution(call));
    }
    if (input->shaped || !s->first_frame) {
        vg_json_put_key(w, "aspect_ratio");
        vg_json_put_text(w, vg_call_aspect(call));
    }
    if (input->sound) {
        vg_json_put_key(w, "generate_audio");
        vg_json_put_bool(w, s->audio);
    }
    put_media(w, input, s);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const struct input *input = input_of(s->model);
    const char *no = objection(input, s);

    if (no) {
        vg_call_refuse(call, "%s", no);
        return;
    }
    const char *url = vg_call_printf(call, "/%s%s", s->model, endpoint_of(input, s));
    if (*s->event_url)
        url = vg_call_printf(call, "%s?fal_webhook=%s", url, vg_call_escape(call, s->event_url));
    write_input(call, input);
    vg_call_post(call, url, true, on_queued);
}

/* --- poll: the status, then what came out --- */

/* Failures of the job are HTTP errors of its result: they carry `error_type` or a list of details.
 * All else is a failure to ask. */
static bool is_verdict(struct vg_call *call, const struct vg_answer *answer)
{
    return !answer->reason && answer->json && answer->status >= 400 && answer->status != 401 &&
           answer->status != 429 &&
           (vg_call_text(call, answer->json, "error_type") || vg_json_at(answer->json, "detail.0"));
}

static void take_verdict(struct vg_call *call, const struct vg_answer *answer)
{
    const char *type = vg_call_text(call, answer->json, "error_type");
    struct vg_fault fault;

    if (type && strcmp(type, "client_cancelled") == 0) {
        vg_call_canceled(call);
        return;
    }
    vg_fault_of_answer(&fault, &adapter, answer, VG_PHASE_BEFORE);
    fault.retryable = false; /* this job is over */
    vg_call_failed(call, &fault);
}

static void on_result(struct vg_call *call, const struct vg_answer *answer)
{
    if (is_verdict(call, answer)) {
        take_verdict(call, answer);
        return;
    }
    if (!vg_call_ok(call, answer))
        return;
    const char *url = vg_call_text(call, answer->json, "video.url");
    if (!url)
        url = vg_call_text(call, answer->json, "videos.0.url");
    vg_call_take_result(call, answer, url);
}

static void on_status(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "request_id");
    const char *status = vg_call_text(call, answer->json, "status");
    if (id && strcmp(id, call->upstream_id) != 0)
        vg_call_nonsense(call, answer, "the request answered for has another id");
    else if (status && strcmp(status, "COMPLETED") == 0)
        vg_call_get(call, call->state->response_url, on_result);
    else
        vg_call_running(call, -1, 0); /* IN_QUEUE, IN_PROGRESS */
}

static void poll(struct vg_call *call)
{
    vg_call_get(call, call->state->status_url, on_status);
}

/* --- cancel --- */

static void on_cancel(struct vg_call *call, const struct vg_answer *answer)
{
    const char *status = vg_call_text(call, answer->json, "status");

    if (!answer->reason && status && strcmp(status, "ALREADY_COMPLETED") == 0)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    else if (!answer->reason && status && strcmp(status, "NOT_FOUND") == 0)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_NOT_FOUND);
    else if (vg_call_ok(call, answer))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
}

static void cancel(struct vg_call *call)
{
    vg_call_http(call, &(struct vg_call_http){.method = "PUT",
                                              .url = call->state->cancel_url,
                                              .repeatable = true,
                                              .then = on_cancel});
}

/* Its keys stand at https://rest.fal.ai/.well-known/jwks.json. */
static const struct vg_event_scheme events = {
    .sign = VG_EVENT_ED25519, .per_job = true, .id_paths = {"request_id", NULL}};

static const struct vg_adapter adapter = {
    .name = "fal",
    .base_url = "https://queue.fal.run",
    .auth = "Authorization: Key ",
    .first_poll_ms = 5000,
    .poll_ms = 3000,
    .typical_ms = 90000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
};

const struct vg_provider *vg_fal_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("fal", "Keys for fal.ai."),
        VG_ADAPTER_EVENT_ROW("fal",
                             "Public keys of fal.ai's webhooks, x of each, instead of its JWKS."),
        VG_ADAPTER_JWKS_ROW("fal", "https://rest.fal.ai/.well-known/jwks.json")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
