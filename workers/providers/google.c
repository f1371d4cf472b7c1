/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google.h"

#include "common/mem.h"
#include "workers/providers/google_error.h"
#include "workers/providers/google_omni.h"
#include "workers/providers/google_veo.h"
#include "workers/upstream/adapter.h"

#define SAMPLE "response.generateVideoResponse.generatedSamples.0.video"
#define INLINE_KEY "encodedVideo"
#define MODELS "models/"

/* state->stage: where the file is */
enum { AT_ADDRESS, INSIDE_OPERATION };

/* --- submit --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *name = vg_veo_operation(call, answer, MODELS);
    if (!name)
        vg_call_nonsense(call, answer, "the answer names no operation");
    else
        vg_call_accepted(call, name, 0);
}

static void create(struct vg_call *call, const char *source_uri)
{
    vg_veo_write(call, &(struct vg_veo_request){.api = VG_VEO_GEMINI, .source_uri = source_uri});
    vg_call_post(call,
                 vg_call_printf(call, "/models/%s:predictLongRunning",
                                vg_call_escape(call, call->submit->model)),
                 true, on_created);
}

/* A video of this provider's is named by its file's address while that lives; else it is sent. */
static void on_source(struct vg_call *call, const struct vg_answer *answer)
{
    const char *uri = NULL;

    if (answer->status == 200 && answer->json)
        uri = vg_call_text(call, answer->json, SAMPLE ".uri");
    create(call, uri);
}

static void submit(struct vg_call *call)
{
    if (vg_omni_is_model(call->submit->model)) {
        vg_omni_submit(call);
        return;
    }
    const char *refusal = vg_veo_refusal(call, VG_VEO_GEMINI);
    const Videogate__V1__SourceVideo *source = call->submit->source;
    if (refusal)
        vg_call_refuse(call, "%s", refusal);
    else if (source && vg_veo_is_operation(source->upstream_id, MODELS))
        vg_call_http(call,
                     &(struct vg_call_http){.method = "GET",
                                            .url = vg_call_printf(call, "/%s", source->upstream_id),
                                            .elide = true,
                                            .then = on_source});
    else
        create(call, NULL);
}

/* --- poll, fetch --- */

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_veo_done(call, answer))
        return;
    const struct vg_json *made = vg_json_at(answer->json, "response.generateVideoResponse");
    const struct vg_json *video = made ? vg_json_at(made, "generatedSamples.0") : NULL;
    const char *uri = vg_call_text(call, answer->json, SAMPLE ".uri");
    if (!video) {
        vg_veo_without_video(call, made);
        return;
    }
    if (!uri && !vg_json_at(answer->json, SAMPLE "." INLINE_KEY)) {
        vg_call_nonsense(call, answer, "a video without address or bytes");
        return;
    }
    call->state->stage = uri ? AT_ADDRESS : INSIDE_OPERATION;
    call->state->result = (char *)(uri ? uri : "");
    vg_call_finished(call, NULL);
}

static void poll(struct vg_call *call)
{
    if (vg_omni_is_model(call->state->model))
        vg_omni_poll(call);
    else if (!vg_veo_is_operation(call->upstream_id, MODELS))
        vg_call_nonsense(call, NULL, "the job's state cannot be read");
    else
        vg_call_http(call,
                     &(struct vg_call_http){.method = "GET",
                                            .url = vg_call_printf(call, "/%s", call->upstream_id),
                                            .elide = true,
                                            .then = on_polled});
}

static void fetch(struct vg_call *call)
{
    if (vg_omni_is_model(call->state->model))
        vg_omni_fetch(call);
    else if (call->state->stage == INSIDE_OPERATION)
        vg_call_stream(
            call, &(struct vg_call_stream){.url = vg_call_printf(call, "/%s", call->upstream_id),
                                           .inline_key = INLINE_KEY});
    else
        vg_call_stream(call, &(struct vg_call_stream){.url = call->state->result});
}

/* --- the provider --- */

static const char *const code_paths[] = {VG_GOOGLE_CODE_PATHS};
static const char *const message_paths[] = {VG_GOOGLE_MESSAGE_PATHS};
static const struct vg_fault_row faults[] = {VG_GOOGLE_FAULTS};

/* What comes to the address of a request is signed by a token, what comes to the account's by its
 * secret. */
static const struct vg_event_scheme events = {
    .sign = VG_EVENT_STANDARD,
    .per_job = true,
    .tokens = true,
    .id_paths = {"data.name", "data.id", "name"},
};

static const struct vg_adapter google = {
    .name = "google",
    .base_url = "https://generativelanguage.googleapis.com/v1beta",
    .auth = "x-goog-api-key: ",
    .result_needs_key = true,
    .max_submit_ms = VG_OMNI_SUBMIT_MS,
    .first_poll_ms = 10000,
    .poll_ms = 10000,
    .typical_ms = 90000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .retry_after = vg_google_retry_after,
    .events = &events,
    .submit = submit,
    .poll = poll,
    .fetch = fetch,
};

const struct vg_provider *vg_google_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_AUDIENCE_ROW(
            "google", "Whom tokens of its webhooks are for; empty: good at a job's address alone."),
        VG_ADAPTER_EVENT_ROW("google", "Signing secrets of the account's webhook."),
        VG_ADAPTER_JWKS_ROW("google",
                            "https://generativelanguage.googleapis.com/.well-known/jwks.json"),
        VG_ADAPTER_KEYS_ROW("google", "Keys of the Gemini API."),
    };
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(google, keys, struct vg_adapter_config)};

    return &provider;
}
