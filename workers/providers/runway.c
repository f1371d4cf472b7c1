/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/runway.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/multipart.h"

enum {
    MAX_INLINE = 3500 * 1000, /* Runway takes data URIs of 5 MB: so many bytes in base64 */
    MAX_PICTURES = 12,
    MAX_FIELDS = 32
};

static const char *const headers[] = {"X-Runway-Version: 2024-11-06", NULL};
static const char *const code_paths[] = {"code", "issues.0.code", NULL};
static const char *const message_paths[] = {"error", "message", "issues.0.message", NULL};

/* Runway keeps the money of a task whose input is refused; of one whose output is, it gives it
 * back. */
static const struct vg_fault_row faults[] = {
    {400, NULL, "enough credits", VG_CLASS(BILLING), 0},
    {400, NULL, "no longer available", VG_CLASS(MODEL_GONE), 0},
    {429, NULL, "daily", VG_CLASS(RATE_LIMITED), VG_FAULT_FINAL},
    {0, "SAFETY.INPUT*", NULL, VG_CLASS(CONTENT_FILTERED), VG_FAULT_CHARGED},
    {0, "SAFETY*", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "INPUT_PREPROCESSING.SAFETY.TEXT", NULL, VG_CLASS(CONTENT_FILTERED), VG_FAULT_CHARGED},
    {0, "INPUT_PREPROCESSING.SAFETY*", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "ASSET.INVALID*", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "THIRD_PARTY.INPUT_VALIDATION*", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "THIRD_PARTY.UNAVAILABLE*", NULL, VG_CLASS(OVERLOADED), 0},
};

/* --- what its models take --- */

enum {
    FROM_TEXT = 1,
    FIRST = 2,
    LAST = 4,
    PICTURES = 8, /* references: pictures without a position, and sounds */
    SOUND = 16    /* `audio` switches it */
};

/* What differs; models not named here are asked as the last row says. */
static unsigned abilities(const char *model)
{
    static const struct {
        const char *model;
        unsigned can;
    } rows[] = {
        {"gen4.5", FROM_TEXT | FIRST},
        {"gen4_turbo", FIRST},
        {"gemini_omni_flash", FROM_TEXT | FIRST},
        {"seedance2", FROM_TEXT | FIRST | LAST | PICTURES | SOUND},
        {"seedance2_fast", FROM_TEXT | FIRST | LAST | PICTURES | SOUND},
        {"seedance2_mini", FROM_TEXT | FIRST | LAST | PICTURES | SOUND},
        {"veo3.1", FROM_TEXT | FIRST | LAST | SOUND},
        {"veo3.1_fast", FROM_TEXT | FIRST | LAST | SOUND},
        {NULL, FROM_TEXT | FIRST | LAST},
    };
    size_t i = 0;

    while (rows[i].model && strcmp(rows[i].model, model) != 0)
        i++;
    return rows[i].can;
}

/* The sentence for the caller when this model cannot make what is asked; NULL: it can. */
static const char *objection(const Videogate__V1__SubmitRequest *s)
{
    unsigned can = abilities(s->model);

    if (s->source)
        return "This provider does not take a source video here.";
    if (s->n_reference_videos > 0)
        return "This provider does not take reference videos.";
    if (s->last_frame && !(can & LAST))
        return "This model does not take a last frame.";
    if (s->last_frame && !s->first_frame)
        return "A last frame needs a first frame here.";
    if ((s->n_reference_images > 0 || s->n_reference_audios > 0) && !(can & PICTURES))
        return "This model does not take references.";
    if (s->n_reference_images > 0 && s->first_frame)
        return "Reference pictures and frames cannot be mixed here.";
    if (s->n_reference_audios > 0 && s->n_reference_images == 0 && !s->first_frame)
        return "Reference sounds need a picture here.";
    if (s->n_reference_images > MAX_PICTURES)
        return "These are too many reference pictures.";
    if (!s->first_frame && s->n_reference_images == 0 && !(can & FROM_TEXT))
        return "This model needs a first frame.";
    return NULL;
}

/* --- submit --- */

struct picture {
    const Videogate__V1__MediaBlob *blob;
    const char *position; /* NULL: a reference */
    const char *uri;      /* where it was uploaded to; NULL: inline */
};

struct plan {
    struct picture pictures[MAX_PICTURES];
    size_t count;
    struct picture *uploading; /* borrowed from `pictures` */
};

static void go_on(struct vg_call *call);

static void add_picture(struct plan *plan, const Videogate__V1__MediaBlob *blob,
                        const char *position)
{
    if (blob)
        plan->pictures[plan->count++] = (struct picture){.blob = blob, .position = position};
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "id");
}

static void put_pictures(struct vg_json_writer *w, const struct plan *plan)
{
    vg_json_put_key(w, "promptImage");
    vg_json_array_open(w);
    for (size_t i = 0; i < plan->count; i++) {
        const struct picture *p = &plan->pictures[i];
        vg_json_object_open(w);
        vg_json_put_key(w, "uri");
        if (p->uri)
            vg_json_put_text(w, p->uri);
        else
            vg_put_data_url(w, p->blob);
        if (p->position) {
            vg_json_put_key(w, "position");
            vg_json_put_text(w, p->position);
        }
        vg_json_object_close(w);
    }
    vg_json_array_close(w);
}

static void put_sounds(struct vg_json_writer *w, const Videogate__V1__SubmitRequest *s)
{
    vg_json_put_key(w, "referenceAudio");
    vg_json_array_open(w);
    for (size_t i = 0; i < s->n_reference_audios; i++) {
        vg_json_object_open(w);
        vg_json_put_key(w, "type");
        vg_json_put_text(w, "audio");
        vg_json_put_key(w, "uri");
        vg_json_put_text(w, s->reference_audios[i]);
        vg_json_object_close(w);
    }
    vg_json_array_close(w);
}

static void create(struct vg_call *call, const struct plan *plan)
{
    static const char *const own[] = {"model", "promptText",  "ratio",          "duration",
                                      "audio", "promptImage", "referenceAudio", NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_json_put_key(w, "model");
    vg_json_put_text(w, s->model);
    vg_json_put_key(w, "promptText");
    vg_json_put_text(w, s->prompt);
    vg_json_put_key(w, "ratio");
    vg_json_put_text(w, vg_call_printf(call, "%d:%d", (int)s->width, (int)s->height));
    vg_json_put_key(w, "duration");
    vg_json_put_int(w, s->seconds);
    if (abilities(s->model) & SOUND) {
        vg_json_put_key(w, "audio");
        vg_json_put_bool(w, s->audio);
    }
    if (plan->count > 0)
        put_pictures(w, plan);
    if (s->n_reference_audios > 0)
        put_sounds(w, s);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    vg_call_post(call, plan->count > 0 ? "/image_to_video" : "/text_to_video", true, on_created);
}

/* --- pictures too large for the request go up beforehand --- */

static void on_uploaded(struct vg_call *call, const struct vg_answer *answer)
{
    if (answer->reason || answer->status < 200 || answer->status >= 300)
        vg_call_nonsense(call, answer, "the storage did not take a picture");
    else
        go_on(call);
}

static void send_picture(struct vg_call *call, const char *url, const struct vg_json *fields)
{
    struct plan *plan = call->scratch;
    const Videogate__V1__MediaBlob *blob = plan->uploading->blob;
    struct vg_form_part parts[MAX_FIELDS + 1];
    size_t n = 0;

    for (const struct vg_json *f = vg_json_first(fields); f && n < MAX_FIELDS; f = vg_json_next(f))
        if (vg_json_string(f))
            parts[n++] = (struct vg_form_part){.name = vg_json_key(f),
                                               .data = vg_view_of(vg_json_string(f))};
    parts[n++] = (struct vg_form_part){.name = "file",
                                       .data = {(const char *)blob->data.data, blob->data.len},
                                       .filename = vg_picture_name(call, blob),
                                       .content_type = blob->mime_type};
    vg_call_post_form(call, url, parts, n, false, on_uploaded);
}

static void on_place(struct vg_call *call, const struct vg_answer *answer)
{
    struct plan *plan = call->scratch;

    if (!vg_call_ok(call, answer))
        return;
    const char *url = vg_call_text(call, answer->json, "uploadUrl");
    const char *uri = vg_call_text(call, answer->json, "runwayUri");
    if (!url || !uri || strncmp(uri, "runway://", 9) != 0) {
        vg_call_nonsense(call, answer, "an upload without a place");
        return;
    }
    plan->uploading->uri = uri;
    send_picture(call, url, vg_json_at(answer->json, "fields"));
}

static void go_on(struct vg_call *call)
{
    struct plan *plan = call->scratch;
    size_t i = 0;

    while (i < plan->count &&
           (plan->pictures[i].uri || plan->pictures[i].blob->data.len <= MAX_INLINE))
        i++;
    if (i == plan->count) {
        create(call, plan);
        return;
    }
    plan->uploading = &plan->pictures[i];
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_json_put_key(w, "filename");
    vg_json_put_text(w, vg_picture_name(call, plan->uploading->blob));
    vg_json_put_key(w, "type");
    vg_json_put_text(w, "ephemeral");
    vg_json_object_close(w);
    vg_call_post(call, "/uploads", false, on_place);
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *no = objection(s);

    if (no) {
        vg_call_refuse(call, "%s", no);
        return;
    }
    struct plan *plan = vg_arena_alloc(call->arena, sizeof(*plan));
    *plan = (struct plan){.count = 0};
    add_picture(plan, s->first_frame, "first");
    add_picture(plan, s->last_frame, "last");
    for (size_t i = 0; i < s->n_reference_images; i++)
        add_picture(plan, s->reference_images[i], NULL);
    call->scratch = plan;
    go_on(call);
}

/* --- poll, cancel --- */

/* PENDING and THROTTLED are QUEUED */
enum word { WORD_QUEUED, WORD_RUNNING, WORD_DONE, WORD_FAILED, WORD_CANCELED };

static enum word word_of(struct vg_call *call, const struct vg_answer *answer)
{
    static const struct vg_word words[] = {{"RUNNING", WORD_RUNNING},
                                           {"SUCCEEDED", WORD_DONE},
                                           {"FAILED", WORD_FAILED},
                                           {"CANCELLED", WORD_CANCELED},
                                           {"CANCELED", WORD_CANCELED}};

    return (enum word)vg_word_of(words, VG_COUNT(words),
                                 vg_call_text(call, answer->json, "status"));
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    const struct vg_json *progress = vg_json_at(answer->json, "progress");
    enum word word = word_of(call, answer);
    if (word == WORD_FAILED)
        vg_call_job_failed(call, vg_call_text(call, answer->json, "failureCode"),
                           vg_call_text(call, answer->json, "failure"));
    else if (word == WORD_CANCELED)
        vg_call_canceled(call);
    else if (word == WORD_DONE)
        vg_call_take_result(call, answer, vg_call_text(call, answer->json, "output.0"));
    else
        vg_call_running(call, progress ? (int)(vg_json_number(progress) * 100) : -1, 0);
}

static const char *task_url(struct vg_call *call)
{
    return vg_call_printf(call, "/tasks/%s", vg_call_escape(call, call->upstream_id));
}

static void poll(struct vg_call *call)
{
    vg_call_get(call, task_url(call), on_polled);
}

static void on_deleted(struct vg_call *call, const struct vg_answer *answer)
{
    bool empty = !answer->reason && answer->status == 204;

    if (empty || vg_call_ok(call, answer))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
}

/* DELETE stops a task, but deletes a finished one with its video: asked only while it runs. */
static void on_state(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    enum word word = word_of(call, answer);
    if (word == WORD_CANCELED)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    else if (word == WORD_DONE || word == WORD_FAILED)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    else
        vg_call_http(call, &(struct vg_call_http){
                               .method = "DELETE", .url = task_url(call), .then = on_deleted});
}

static void cancel(struct vg_call *call)
{
    vg_call_get(call, task_url(call), on_state);
}

static const struct vg_adapter adapter = {
    .name = "runway",
    .base_url = "https://api.dev.runwayml.com/v1",
    .auth = "Authorization: Bearer ",
    .headers = headers,
    .first_poll_ms = 10000,
    .poll_ms = 5000,
    .typical_ms = 60000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
};

const struct vg_provider *vg_runway_provider(void)
{
    static const struct vg_config_key keys[] = {VG_ADAPTER_KEYS_ROW("runway", "Keys for Runway.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
