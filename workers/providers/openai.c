/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/openai.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/url.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/multipart.h"

enum { MAX_FIELDS = 40, LIST_LIMIT = 100, MAX_LIST = 8 * 1024 * 1024, SETTLE_MS = 60 * 1000 };

/* --- what it answers --- */

const char *const vg_openai_codes[] = {"error.code", "error.type", "code", NULL};
const char *const vg_openai_messages[] = {"error.message", "message", "detail", "error", NULL};

const struct vg_fault_row vg_openai_faults[VG_OPENAI_FAULTS] = {
    {429, "insufficient_quota", NULL, VG_CLASS(BILLING), 0},
    {429, "billing_*", NULL, VG_CLASS(BILLING), 0},
    {0, "moderation_blocked", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "sentinel_block", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "content_policy_violation", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "content_filter", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "model_not_found", NULL, VG_CLASS(MODEL_GONE), 0},
    {404, NULL, "deprecated", VG_CLASS(MODEL_GONE), 0},
    {400, NULL, "deprecated", VG_CLASS(MODEL_GONE), 0},
    {0, "DeploymentNotFound", NULL, VG_CLASS(MODEL_GONE), 0},
    {403, NULL, "verified", VG_CLASS(AUTH), 0},
    {503, NULL, "no available channel", VG_CLASS(MODEL_GONE), 0},
};

static int64_t header_ms(const struct vg_answer *answer, const char *name, int64_t max)
{
    const char *text = vg_answer_header(answer, name);
    int64_t ms = 0;

    return text && vg_parse_i64(vg_view_of(text), 1, max, &ms) == 0 ? ms : 0;
}

static int64_t poll_hint(const struct vg_answer *answer)
{
    return header_ms(answer, "openai-poll-after-ms", 600000);
}

int64_t vg_openai_retry_after(const struct vg_answer *answer)
{
    return header_ms(answer, "retry-after-ms", 86400000);
}

/* Engines and relays use more words than OpenAI. */
enum word { WORD_QUEUED, WORD_RUNNING, WORD_DONE, WORD_FAILED, WORD_CANCELED, WORD_EXPIRED };

static enum word word_of(const char *status)
{
    static const struct {
        const char *text;
        enum word word;
    } words[] = {
        {"in_progress", WORD_RUNNING}, {"processing", WORD_RUNNING}, {"running", WORD_RUNNING},
        {"generating", WORD_RUNNING},  {"completed", WORD_DONE},     {"succeeded", WORD_DONE},
        {"success", WORD_DONE},        {"done", WORD_DONE},          {"failed", WORD_FAILED},
        {"error", WORD_FAILED},        {"canceled", WORD_CANCELED},  {"cancelled", WORD_CANCELED},
        {"expired", WORD_EXPIRED},
    };

    for (size_t i = 0; status && i < VG_COUNT(words); i++)
        if (strcmp(words[i].text, status) == 0)
            return words[i].word;
    return WORD_QUEUED;
}

static void take_video(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *progress = vg_json_at(answer->json, "progress");
    const char *id = vg_call_text(call, answer->json, "id");

    if (!id || strcmp(id, call->upstream_id) != 0) {
        vg_call_nonsense(call, answer, "the video answered for has another id");
        return;
    }
    switch (word_of(vg_call_text(call, answer->json, "status"))) {
    case WORD_DONE:
        call->state->result =
            (char *)vg_call_printf(call, "/videos/%s/content", vg_call_escape(call, id));
        vg_call_finished(call, NULL);
        return;
    case WORD_FAILED:
        vg_call_job_failed(call, vg_call_text(call, answer->json, "error.code"),
                           vg_call_text(call, answer->json, "error.message"));
        return;
    case WORD_CANCELED:
        vg_call_canceled(call);
        return;
    case WORD_EXPIRED:
        vg_call_expired(call);
        return;
    default:
        vg_call_running(call, progress ? (int)vg_json_number(progress) : -1, poll_hint(answer));
    }
}

/* --- submit --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "id");
    if (!id)
        vg_call_nonsense(call, answer, "a video without an id");
    else if (word_of(vg_call_text(call, answer->json, "status")) == WORD_FAILED)
        vg_call_job_failed(call, vg_call_text(call, answer->json, "error.code"),
                           vg_call_text(call, answer->json, "error.message"));
    else
        vg_call_accepted(call, id, poll_hint(answer));
}

static const char *size_of(struct vg_call *call)
{
    return vg_call_printf(call, "%dx%d", (int)call->submit->width, (int)call->submit->height);
}

static const char *const own_fields[] = {"model",   "prompt",          "size",
                                         "seconds", "input_reference", NULL};

static void submit_json(struct vg_call *call)
{
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_json_put_key(w, "model");
    vg_json_put_text(w, call->submit->model);
    vg_json_put_key(w, "prompt");
    vg_json_put_text(w, call->submit->prompt);
    vg_json_put_key(w, "size");
    vg_json_put_text(w, size_of(call));
    vg_json_put_key(w, "seconds");
    vg_json_put_text(w, vg_call_printf(call, "%d", (int)call->submit->seconds));
    vg_call_put_extra(call, w, own_fields);
    vg_json_object_close(w);
    vg_call_post(call, "/videos", true, on_created);
}

static struct vg_form_part text_part(const char *name, const char *text)
{
    return (struct vg_form_part){.name = name, .data = vg_view_of(text)};
}

static struct vg_form_part file_part(struct vg_call *call, int n,
                                     const Videogate__V1__MediaBlob *blob)
{
    const char *slash = strchr(blob->mime_type, '/');

    return (struct vg_form_part){
        .name = "input_reference",
        .data = {(const char *)blob->data.data, blob->data.len},
        .filename = vg_call_printf(call, "input_reference_%d.%s", n, slash ? slash + 1 : "bin"),
        .content_type = blob->mime_type,
    };
}

/* Texts and numbers of `extra` as parts of their own; forms have no other types. */
static size_t extra_parts(struct vg_call *call, struct vg_form_part *parts, size_t room)
{
    const struct vg_json *extra = vg_call_extra_first(call);
    size_t n = 0;

    for (; extra && n < room; extra = vg_json_next(extra)) {
        enum vg_json_type type = vg_json_type(extra);
        const char *text = vg_json_string(extra);
        if (type == VG_JSON_NUMBER)
            text = vg_call_printf(call, "%.15g", vg_json_number(extra));
        else if (type == VG_JSON_BOOL)
            text = vg_json_bool(extra) ? "true" : "false";
        if (text)
            parts[n++] = text_part(vg_json_key(extra), text);
    }
    return n;
}

static void submit_form(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_form_part parts[MAX_FIELDS];
    size_t n = 0;
    int files = 0;

    parts[n++] = text_part("model", s->model);
    parts[n++] = text_part("prompt", s->prompt);
    parts[n++] = text_part("size", size_of(call));
    parts[n++] = text_part("seconds", vg_call_printf(call, "%d", (int)s->seconds));
    if (s->first_frame)
        parts[n++] = file_part(call, ++files, s->first_frame);
    if (s->last_frame)
        parts[n++] = file_part(call, ++files, s->last_frame);
    for (size_t i = 0; i < s->n_reference_images && i < 16; i++)
        parts[n++] = file_part(call, ++files, s->reference_images[i]);
    n += extra_parts(call, parts + n, MAX_FIELDS - n);
    vg_call_post_form(call, "/videos", parts, n, true, on_created);
}

/* What an extension adds; OpenAI counts that, we the whole. */
static const char *added_seconds(struct vg_call *call)
{
    return vg_call_printf(call, "%d", (int)(call->submit->seconds - call->submit->source->seconds));
}

static void post_derived(struct vg_call *call, struct vg_form_part video, vg_call_then_f *then)
{
    bool extend =
        call->submit->source->operation == VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND;
    struct vg_form_part parts[3];
    size_t n = 0;

    parts[n++] = text_part("prompt", call->submit->prompt);
    if (extend)
        parts[n++] = text_part("seconds", added_seconds(call));
    parts[n++] = video;
    vg_call_post_form(call, extend ? "/videos/extensions" : "/videos/edits", parts, n, true, then);
}

static void post_bytes(struct vg_call *call)
{
    const ProtobufCBinaryData *data = &call->submit->source->video->data;

    post_derived(call,
                 (struct vg_form_part){.name = "video",
                                       .data = {(const char *)data->data, data->len},
                                       .filename = "video.mp4",
                                       .content_type = "video/mp4"},
                 on_created);
}

/* Ids are known to the key that made them alone, and for some time. */
static bool id_refused(struct vg_call *call, const struct vg_answer *answer)
{
    const char *param = answer->json ? vg_call_text(call, answer->json, "error.param") : NULL;

    return !answer->reason &&
           (answer->status == 404 ||
            (answer->status == 400 && param && strncmp(param, "video", strlen("video")) == 0));
}

static void on_derived(struct vg_call *call, const struct vg_answer *answer)
{
    if (id_refused(call, answer)) /* nothing was made */
        post_bytes(call);
    else
        on_created(call, answer);
}

/* From a video of this provider's by its id, from any other by its bytes. */
static void submit_derived(struct vg_call *call)
{
    const char *id = call->submit->source->upstream_id;

    if (*id)
        post_derived(call, text_part("video[id]", id), on_derived);
    else
        post_bytes(call);
}

void vg_openai_submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (s->source)
        submit_derived(call);
    else if (s->first_frame || s->last_frame || s->n_reference_images > 0)
        submit_form(call);
    else
        submit_json(call);
}

/* --- poll, lookup --- */

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (vg_call_ok(call, answer))
        take_video(call, answer);
}

static const char *video_url(struct vg_call *call)
{
    return vg_call_printf(call, "/videos/%s", vg_call_escape(call, call->upstream_id));
}

void vg_openai_poll(struct vg_call *call)
{
    vg_call_get(call, video_url(call), on_polled);
}

/* --- cancel: engines stop a job that is deleted, OpenAI refuses to; both erase one that ended ---
 */

static const char own_api[] = "https://api.openai.com";

static bool cancels(const char *base_url)
{
    return !vg_url_same_origin(base_url, own_api);
}

static void on_deleted(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *deleted = answer->json ? vg_json_get(answer->json, "deleted") : NULL;
    bool refused = answer->status == 400 || answer->status == 404 || answer->status == 405 ||
                   answer->status == 409 || answer->status == 501;

    if (!answer->reason && answer->status >= 200 && answer->status < 300 &&
        (!deleted || vg_json_bool(deleted)))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    else if (!answer->reason && (refused || deleted))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
    else
        (void)vg_call_ok(call, answer); /* ends the call */
}

static void on_asked(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    switch (word_of(vg_call_text(call, answer->json, "status"))) {
    case WORD_QUEUED:
    case WORD_RUNNING:
        vg_call_http(call, &(struct vg_call_http){
                               .method = "DELETE", .url = video_url(call), .then = on_deleted});
        return;
    case WORD_CANCELED:
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
        return;
    default:
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    }
}

static void cancel(struct vg_call *call)
{
    if (cancels(call->state->base_url))
        vg_call_get(call, video_url(call), on_asked);
    else
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
}

/* A listed video that looks like the lost one: nothing in it names our token. */
static bool looks_alike(struct vg_call *call, const struct vg_json *video)
{
    const struct vg_json *created = vg_json_at(video, "created_at");
    const char *model = vg_call_text(call, video, "model");
    const char *size = vg_call_text(call, video, "size");
    const char *prompt = vg_call_text(call, video, "prompt");

    return created &&
           vg_json_number(created) * 1000 >= (double)call->lookup->submitted_at_ms - 5000 &&
           model && strcmp(model, call->submit->model) == 0 && size &&
           strcmp(size, size_of(call)) == 0 && prompt && strcmp(prompt, call->submit->prompt) == 0;
}

/* Certain only when there is one that can be it and no other generation might own it; absence is
 * certain once the list has had time to show it. */
static void on_listed(struct vg_call *call, const struct vg_answer *answer)
{
    const char *found = NULL;
    int count = 0;
    bool oldest_seen = false;

    if (!vg_call_ok(call, answer))
        return;
    for (const struct vg_json *v = vg_json_first(vg_json_at(answer->json, "data")); v;
         v = vg_json_next(v)) {
        const char *id = vg_call_text(call, v, "id");
        const struct vg_json *created = vg_json_at(v, "created_at");
        oldest_seen = created && vg_json_number(created) * 1000 <
                                     (double)call->lookup->submitted_at_ms - 60000;
        if (id && looks_alike(call, v) && !vg_call_taken(call, id)) {
            found = id;
            count++;
        }
    }
    bool whole = oldest_seen || !vg_json_bool(vg_json_at(answer->json, "has_more"));
    if (count == 1 && !call->lookup->taken_incomplete)
        vg_call_found(call, found);
    else if (count > 0 || !whole)
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
    else if (!vg_call_settled(call, SETTLE_MS))
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY);
    else
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT);
}

void vg_openai_lookup(struct vg_call *call)
{
    vg_call_http(call, &(struct vg_call_http){
                           .method = "GET",
                           .url = vg_call_printf(call, "/videos?limit=%d&order=desc", LIST_LIMIT),
                           .max_answer = MAX_LIST,
                           .then = on_listed,
                       });
}

/* One address for the whole project: video.completed, video.failed. */
static const struct vg_event_scheme events = {.sign = VG_EVENT_STANDARD, .id_paths = {"data.id"}};

static const struct vg_adapter adapter = {
    .name = "openai",
    .base_url = "https://api.openai.com/v1",
    .auth = "Authorization: Bearer ",
    .key_optional = true,
    VG_OPENAI_ANSWERS,
    .events = &events,
    .submit = vg_openai_submit,
    .poll = vg_openai_poll,
    .cancel = cancel,
    .cancels = cancels,
    .lookup = vg_openai_lookup,
};

const struct vg_provider *vg_openai_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("openai", "Keys for OpenAI or an engine that speaks its API."),
        VG_ADAPTER_EVENT_ROW("openai", "Secrets of the project's webhook, whsec_...")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
