/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/replicate.h"

#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/str.h"
#include "workers/providers/traces.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"
#include "workers/upstream/multipart.h"

enum {
    MAX_INLINE = 180 * 1024, /* Replicate takes data URLs of 256 kB: so many bytes in base64 */
    MAX_PICTURES = 16,
    SETTLE_MS = 60 * 1000, /* by then the list shows what was accepted */
    SLACK_MS = 5000        /* between the two clocks */
};

static const char *const code_paths[] = {"title", NULL};
static const char *const message_paths[] = {"detail", "error", "title", NULL};

/* Failed predictions have a text alone, with a number at its end. */
static const struct vg_fault_row faults[] = {
    {0, NULL, "flagged as sensitive", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "(E005)", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "content policy", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "(E003)", VG_CLASS(OVERLOADED), 0},
    {0, NULL, "high demand", VG_CLASS(OVERLOADED), 0},
    {0, NULL, "interrupted", VG_CLASS(OVERLOADED), 0},
    {0, NULL, "timed out", VG_CLASS(TIMEOUT), 0},
    {0, NULL, "(E006)", VG_CLASS(INVALID_REQUEST), 0},
};

/* Where the header says nothing. */
static int64_t retry_after(const struct vg_answer *answer)
{
    const struct vg_json *seconds = answer->json ? vg_json_at(answer->json, "retry_after") : NULL;
    double value = seconds ? vg_json_number(seconds) : 0;

    return answer->retry_after_ms == 0 && value > 0 && value < 86400 ? (int64_t)(value * 1000) : 0;
}

/* --- what its models take --- */

/* Every one has `prompt`, `duration` and `resolution`. */
struct input {
    const char *model;
    const char *first, *last; /* members for the frames; NULL: not taken */
    bool pictures;            /* `reference_images` */
    bool media;               /* `reference_videos`, `reference_audios` */
    bool shaped;              /* `aspect_ratio` */
    bool sound;               /* `generate_audio` */
    bool seeded;              /* `seed` */
};

static const struct input *input_of(const char *model)
{
    static const struct input inputs[] = {
        {"bytedance/seedance-1-pro", "image", "last_frame_image", false, false, true, false, true},
        {"bytedance/seedance-2.0", "image", "last_frame_image", true, true, true, true, true},
        {"bytedance/seedance-2.0-fast", "image", "last_frame_image", true, true, true, true, true},
        {"google/veo-3.1", "image", "last_frame", true, false, true, true, true},
        {"google/veo-3.1-fast", "image", "last_frame", false, false, true, true, true},
        {"minimax/hailuo-2.3", "first_frame_image", NULL, false, false, false, false, false},
    };
    size_t len = strcspn(model, ":");

    for (size_t i = 0; i < VG_COUNT(inputs); i++)
        if (strlen(inputs[i].model) == len && strncmp(inputs[i].model, model, len) == 0)
            return &inputs[i];
    return NULL;
}

/* The sentence for the caller when the model cannot make what is asked; NULL: it can. */
static const char *objection(const struct input *input, const Videogate__V1__SubmitRequest *s)
{
    if (!input)
        return "This model is not known here.";
    if (s->source)
        return "This provider does not take a source video here.";
    if (s->last_frame && (!input->last || !s->first_frame))
        return input->last ? "A last frame needs a first frame here."
                           : "This model does not take a last frame.";
    if (s->n_reference_images > 0 && !input->pictures)
        return "This model takes no reference pictures.";
    if (s->n_reference_videos + s->n_reference_audios > 0 && !input->media)
        return "This model takes no reference videos or sounds.";
    if (s->n_reference_images > 0 && s->first_frame)
        return "Reference pictures and frames cannot be mixed here.";
    if (s->n_reference_images > MAX_PICTURES)
        return "These are too many reference pictures.";
    return NULL;
}

/* --- submit --- */

struct picture {
    const Videogate__V1__MediaBlob *blob;
    const char *url; /* where it was uploaded to; NULL: inline */
};

struct plan {
    const struct input *input;
    struct picture first, last, references[MAX_PICTURES];
    struct picture *uploading; /* one of these */
};

static void go_on(struct vg_call *call);

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "id");
}

static void put_picture(struct vg_json_writer *w, const struct picture *p)
{
    if (p->url)
        vg_json_put_text(w, p->url);
    else
        vg_put_data_url(w, p->blob);
}

static void put_media(struct vg_json_writer *w, const struct plan *plan,
                      const Videogate__V1__SubmitRequest *s)
{
    if (plan->first.blob) {
        vg_json_put_key(w, plan->input->first);
        put_picture(w, &plan->first);
    }
    if (plan->last.blob) {
        vg_json_put_key(w, plan->input->last);
        put_picture(w, &plan->last);
    }
    if (s->n_reference_images > 0) {
        vg_json_put_key(w, "reference_images");
        vg_json_array_open(w);
        for (size_t i = 0; i < s->n_reference_images; i++)
            put_picture(w, &plan->references[i]);
        vg_json_array_close(w);
    }
    vg_put_texts(w, "reference_videos", s->reference_videos, s->n_reference_videos);
    vg_put_texts(w, "reference_audios", s->reference_audios, s->n_reference_audios);
}

static void put_input(struct vg_call *call, struct vg_json_writer *w, const struct plan *plan)
{
    static const char *const own[] = {"prompt",
                                      "duration",
                                      "resolution",
                                      "aspect_ratio",
                                      "generate_audio",
                                      "seed",
                                      "image",
                                      "last_frame_image",
                                      "last_frame",
                                      "first_frame_image",
                                      "reference_images",
                                      "reference_videos",
                                      "reference_audios",
                                      NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_object_open(w);
    vg_json_put_key(w, "prompt");
    vg_json_put_text(w, s->prompt);
    vg_json_put_key(w, "duration");
    vg_json_put_int(w, s->seconds);
    vg_json_put_key(w, "resolution");
    vg_json_put_text(w, vg_call_resolution(call));
    if (plan->input->shaped) {
        vg_json_put_key(w, "aspect_ratio");
        vg_json_put_text(w, vg_call_aspect(call));
    }
    if (plan->input->sound) {
        vg_json_put_key(w, "generate_audio");
        vg_json_put_bool(w, s->audio);
    }
    if (plan->input->seeded) {
        vg_json_put_key(w, "seed");
        vg_json_put_int(w, vg_trace_seed(call));
    }
    put_media(w, plan, s);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
}

static void create(struct vg_call *call, const struct plan *plan)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *version = strchr(s->model, ':');
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    if (version) {
        vg_json_put_key(w, "version");
        vg_json_put_text(w, version + 1);
    }
    vg_json_put_key(w, "input");
    put_input(call, w, plan);
    if (*s->event_url) {
        vg_json_put_key(w, "webhook");
        vg_json_put_text(w, s->event_url);
        vg_json_put_key(w, "webhook_events_filter");
        vg_json_array_open(w);
        vg_json_put_text(w, "completed");
        vg_json_array_close(w);
    }
    vg_json_object_close(w);
    vg_call_post(
        call, version ? "/predictions" : vg_call_printf(call, "/models/%s/predictions", s->model),
        true, on_created);
}

/* --- pictures too large for the request go up beforehand --- */

static void on_uploaded(struct vg_call *call, const struct vg_answer *answer)
{
    struct plan *plan = call->scratch;

    if (!vg_call_ok(call, answer))
        return;
    plan->uploading->url = vg_call_text(call, answer->json, "urls.get");
    if (plan->uploading->url)
        go_on(call);
    else
        vg_call_nonsense(call, answer, "a file without an address");
}

static void upload(struct vg_call *call, const Videogate__V1__MediaBlob *blob)
{
    const struct vg_form_part part = {.name = "content",
                                      .data = {(const char *)blob->data.data, blob->data.len},
                                      .filename = vg_picture_name(call, blob),
                                      .content_type = blob->mime_type};

    vg_call_post_form(call, "/files", &part, 1, false, on_uploaded);
}

static bool waits(const struct picture *p)
{
    return p->blob && !p->url && p->blob->data.len > MAX_INLINE;
}

static struct picture *next_upload(struct plan *plan)
{
    if (waits(&plan->first))
        return &plan->first;
    if (waits(&plan->last))
        return &plan->last;
    for (size_t i = 0; i < MAX_PICTURES; i++)
        if (waits(&plan->references[i]))
            return &plan->references[i];
    return NULL;
}

static void go_on(struct vg_call *call)
{
    struct plan *plan = call->scratch;

    plan->uploading = next_upload(plan);
    if (plan->uploading)
        upload(call, plan->uploading->blob);
    else
        create(call, plan);
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
    struct plan *plan = vg_arena_alloc(call->arena, sizeof(*plan));
    *plan = (struct plan){.input = input, .first.blob = s->first_frame, .last.blob = s->last_frame};
    for (size_t i = 0; i < s->n_reference_images; i++)
        plan->references[i].blob = s->reference_images[i];
    call->scratch = plan;
    go_on(call);
}

/* --- poll, cancel --- */

/* starting and processing are RUNNING */
enum word { WORD_RUNNING, WORD_DONE, WORD_FAILED, WORD_CANCELED, WORD_ABORTED };

static enum word word_of(struct vg_call *call, const struct vg_answer *answer)
{
    static const struct vg_word words[] = {{"succeeded", WORD_DONE},
                                           {"failed", WORD_FAILED},
                                           {"canceled", WORD_CANCELED},
                                           {"aborted", WORD_ABORTED}};

    return (enum word)vg_word_of(words, VG_COUNT(words),
                                 vg_call_text(call, answer->json, "status"));
}

static void take_output(struct vg_call *call, const struct vg_answer *answer)
{
    const char *url = vg_call_text(call, answer->json, "output");
    struct vg_fault gone;

    if (!url)
        url = vg_call_text(call, answer->json, "output.0");
    if (!url && vg_json_bool(vg_json_at(answer->json, "data_removed"))) {
        vg_fault_of_class(&gone, VG_CLASS(RESULT_EXPIRED)); /* after an hour, for good */
        gone.charged = true;
        (void)vg_strcpy(gone.code, sizeof(gone.code), "data_removed");
        vg_call_failed(call, &gone);
    } else {
        vg_call_take_result(call, answer, url);
    }
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    enum word word = word_of(call, answer);
    if (word == WORD_DONE)
        take_output(call, answer);
    else if (word == WORD_FAILED)
        vg_call_job_failed(call, NULL, vg_call_text(call, answer->json, "error"));
    else if (word == WORD_CANCELED)
        vg_call_canceled(call);
    else if (word == WORD_ABORTED)
        vg_call_expired(call);
    else
        vg_call_running(call, -1, 0);
}

static const char *address_of(struct vg_call *call, const char *suffix)
{
    return vg_call_printf(call, "/predictions/%s%s", vg_call_escape(call, call->upstream_id),
                          suffix);
}

static void poll(struct vg_call *call)
{
    vg_call_get(call, address_of(call, ""), on_polled);
}

static void on_cancel(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "id"))
        return;
    enum word word = word_of(call, answer);
    vg_call_cancel_ended(call, word == WORD_DONE || word == WORD_FAILED
                                   ? VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE
                                   : VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
}

static void cancel(struct vg_call *call)
{
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = address_of(call, "/cancel"),
                                              .repeatable = true,
                                              .then = on_cancel});
}

/* --- lookup: the list shows inputs, and in them the seed --- */

static void on_listed(struct vg_call *call, const struct vg_answer *answer)
{
    bool unknown = false;
    int64_t seed = 0;

    if (!vg_call_ok(call, answer))
        return;
    const struct vg_json *results = vg_json_at(answer->json, "results");
    if (!results || vg_json_type(results) != VG_JSON_ARRAY) {
        vg_call_nonsense(call, answer, "no list");
        return;
    }
    for (const struct vg_json *p = vg_json_first(results); p; p = vg_json_next(p)) {
        const char *id = vg_call_text(call, p, "id");
        const struct vg_json *told = vg_json_at(p, "input.seed");
        if (id && vg_json_int(told, &seed) && seed == vg_trace_seed(call) &&
            !vg_call_taken(call, id)) {
            vg_call_found(call, id);
            return;
        }
        unknown = unknown || !id || vg_json_bool(vg_json_at(p, "data_removed"));
    }
    if (!vg_call_settled(call, SETTLE_MS)) {
        struct vg_fault unsure;
        vg_fault_of_class(&unsure, VG_CLASS(OVERLOADED));
        vg_call_failed(call, &unsure); /* what the next key's list says; in the end, ask again */
    } else {
        vg_call_lookup_ended(call, unknown || vg_call_text(call, answer->json, "next")
                                       ? VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED
                                       : VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT);
    }
}

/* A seed of the caller's own names nothing. */
static void lookup(struct vg_call *call)
{
    const struct input *input = input_of(call->submit->model);
    time_t since = (time_t)((call->lookup->submitted_at_ms - SLACK_MS) / 1000);
    char text[32];
    struct tm tm;

    if (!input || !input->seeded || vg_call_extra(call, "seed") || !gmtime_r(&since, &tm) ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
    else
        vg_call_get(
            call, vg_call_printf(call, "/predictions?created_after=%s", vg_call_escape(call, text)),
            on_listed);
}

static const struct vg_event_scheme events = {
    .sign = VG_EVENT_STANDARD, .per_job = true, .id_paths = {"id"}};

static const struct vg_adapter adapter = {
    .name = "replicate",
    .base_url = "https://api.replicate.com/v1",
    .auth = "Authorization: Bearer ",
    .first_poll_ms = 5000,
    .poll_ms = 3000,
    .typical_ms = 90000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .retry_after = retry_after,
    .events = &events,
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
    .lookup = lookup,
};

const struct vg_provider *vg_replicate_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("replicate", "Keys for Replicate."),
        VG_ADAPTER_EVENT_ROW("replicate", "Signing secrets of Replicate's webhooks, whsec_...")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
