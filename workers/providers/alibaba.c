/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/alibaba.h"

#include <string.h>

#include "common/mem.h"
#include "workers/providers/traces.h"
#include "workers/upstream/adapter.h"

enum { LIST_LIMIT = 100 };

static const char *const async[] = {"X-DashScope-Async: enable", NULL};

static const char *const code_paths[] = {"code", "output.code", NULL};
static const char *const message_paths[] = {"message", "output.message", NULL};

/* "DataInspectionFailed" and "Green net check failed" are known to the base. */
static const struct vg_fault_row faults[] = {
    {0, "IPInfringementSuspect", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "Arrearage", NULL, VG_CLASS(BILLING), 0},
    {0, "AccessDenied.Unpurchased", NULL, VG_CLASS(BILLING), 0},
    {0, "AllocationQuota.FreeTierOnly", NULL, VG_CLASS(BILLING), 0},
    {0, "Model.AccessDenied", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "ModelNotFound", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "InvalidParameter", "model not exist", VG_CLASS(MODEL_GONE), 0},
    {0, "Throttling.Concurrency*", NULL, VG_CLASS(CONCURRENCY_FULL), 0},
    {0, "Throttling*", NULL, VG_CLASS(RATE_LIMITED), 0},
    {0, "InternalError.Timeout", NULL, VG_CLASS(TIMEOUT), VG_FAULT_UNSURE},
};

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* --- submit: three ways of saying the same, by the model's age and task --- */

enum form {
    FORM_TEXT,   /* up to wan2.6, text: a size */
    FORM_FRAME,  /* up to wan2.6, first frame: img_url and a resolution */
    FORM_FRAMES, /* first and last frame: a service of its own */
    FORM_MEDIA   /* from wan2.7 on: a list of media, resolution and ratio */
};

static enum form form_of(const char *model)
{
    if (strstr(model, "-kf2v"))
        return FORM_FRAMES;
    if (strncmp(model, "wan2.7", 6) == 0 || strncmp(model, "wan3", 4) == 0)
        return FORM_MEDIA;
    return strstr(model, "-i2v") ? FORM_FRAME : FORM_TEXT;
}

static bool check_inputs(struct vg_call *call, enum form form)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    size_t references = s->n_reference_images + s->n_reference_videos + s->n_reference_audios;

    if (s->source)
        vg_call_refuse(call, "This provider takes source videos by address only.");
    else if (references > 0 && (form != FORM_MEDIA || s->first_frame || s->last_frame))
        vg_call_refuse(call, "This model takes no references here.");
    else if (form == FORM_TEXT && (s->first_frame || s->last_frame))
        vg_call_refuse(call, "This model takes text only.");
    else if (form == FORM_FRAME && (!s->first_frame || s->last_frame))
        vg_call_refuse(call, "This model needs a first frame and takes no last one.");
    else if (form == FORM_FRAMES && (!s->first_frame || !s->last_frame))
        vg_call_refuse(call, "This model needs a first and a last frame.");
    else if (s->last_frame && !s->first_frame)
        vg_call_refuse(call, "A last frame needs a first frame.");
    else
        return true;
    return false;
}

/* "720P" and the like; NULL: there is none. */
static const char *resolution_of(const struct vg_call *call)
{
    const char *name = vg_call_resolution(call);

    return is(name, "480p")    ? "480P"
           : is(name, "720p")  ? "720P"
           : is(name, "1080p") ? "1080P"
                               : NULL;
}

static bool has_shape(const struct vg_call *call, enum form form)
{
    const char *ratio = vg_call_aspect(call);

    return resolution_of(call) && (form != FORM_MEDIA || call->submit->first_frame ||
                                   (!is(ratio, "21:9") && !is(ratio, "3:2") && !is(ratio, "2:3")));
}

static void put_medium(struct vg_json_writer *w, const char *type, const char *url,
                       const Videogate__V1__MediaBlob *blob)
{
    vg_json_object_open(w);
    vg_put_text(w, "type", type);
    vg_json_put_key(w, "url");
    if (blob)
        vg_put_data_url(w, blob);
    else
        vg_json_put_text(w, url);
    vg_json_object_close(w);
}

static void put_media(struct vg_json_writer *w, const Videogate__V1__SubmitRequest *s)
{
    if (!s->first_frame && s->n_reference_images + s->n_reference_videos == 0)
        return;
    vg_json_put_key(w, "media");
    vg_json_array_open(w);
    if (s->first_frame)
        put_medium(w, "first_frame", NULL, s->first_frame);
    if (s->last_frame)
        put_medium(w, "last_frame", NULL, s->last_frame);
    for (size_t i = 0; i < s->n_reference_images; i++)
        put_medium(w, "reference_image", NULL, s->reference_images[i]);
    for (size_t i = 0; i < s->n_reference_videos; i++)
        put_medium(w, "reference_video", s->reference_videos[i], NULL);
    for (size_t i = 0; i < s->n_reference_audios; i++)
        put_medium(w, "reference_audio", s->reference_audios[i], NULL);
    vg_json_array_close(w);
}

static void put_frame(struct vg_json_writer *w, const char *key,
                      const Videogate__V1__MediaBlob *blob)
{
    vg_json_put_key(w, key);
    vg_put_data_url(w, blob);
}

static void put_input(struct vg_call *call, struct vg_json_writer *w, enum form form)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *unwanted = vg_json_string(vg_call_extra(call, "negative_prompt"));

    vg_json_put_key(w, "input");
    vg_json_object_open(w);
    vg_put_text(w, "prompt", s->prompt);
    if (unwanted)
        vg_put_text(w, "negative_prompt", unwanted);
    if (form == FORM_FRAME) {
        put_frame(w, "img_url", s->first_frame);
    } else if (form == FORM_FRAMES) {
        put_frame(w, "first_frame_url", s->first_frame);
        put_frame(w, "last_frame_url", s->last_frame);
    } else if (form == FORM_MEDIA) {
        put_media(w, s);
    }
    vg_json_object_close(w);
}

static const char *const own_parameters[] = {"size",  "resolution",      "ratio", "duration",
                                             "audio", "negative_prompt", NULL};

static void put_parameters(struct vg_call *call, struct vg_json_writer *w, enum form form)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_put_key(w, "parameters");
    vg_json_object_open(w);
    if (form == FORM_TEXT) {
        vg_put_text(w, "size", vg_call_printf(call, "%d*%d", (int)s->width, (int)s->height));
    } else {
        vg_put_text(w, "resolution", resolution_of(call));
    }
    if (form == FORM_MEDIA && !s->first_frame)
        vg_put_text(w, "ratio", vg_call_aspect(call));
    vg_put_int(w, "duration", s->seconds);
    if (form == FORM_FRAME && strstr(s->model, "-flash")) {
        vg_json_put_key(w, "audio"); /* others have no such switch */
        vg_json_put_bool(w, s->audio);
    }
    vg_call_put_extra(call, w, own_parameters);
    vg_json_object_close(w);
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "output.task_id");
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    enum form form = form_of(s->model);

    if (!check_inputs(call, form))
        return;
    if (!has_shape(call, form)) {
        vg_call_refuse(call, "This provider does not make %dx%d.", (int)s->width, (int)s->height);
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model", s->model);
    put_input(call, w, form);
    put_parameters(call, w, form);
    vg_json_object_close(w);
    vg_call_http(
        call, &(struct vg_call_http){.method = "POST",
                                     .url = form == FORM_FRAMES
                                                ? "/services/aigc/image2video/video-synthesis"
                                                : "/services/aigc/video-generation/video-synthesis",
                                     .body = vg_buf_view(w->out),
                                     .headers = async,
                                     .creates = true,
                                     .then = on_created});
}

/* --- poll --- */

enum { RUNNING, SUCCEEDED, FAILED, CANCELED, LOST };

static const char *task_url(struct vg_call *call, const char *more)
{
    return vg_call_printf(call, "/tasks/%s%s", vg_call_escape(call, call->upstream_id), more);
}

/* Ids live a day; for later ones, and unknown ones, the status is UNKNOWN. */
static void lose(struct vg_call *call)
{
    struct vg_fault fault;

    vg_fault_of_class(&fault, VG_CLASS(NOT_FOUND));
    fault.retryable = true;
    vg_call_failed(call, &fault);
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    static const struct vg_word words[] = {
        {"SUCCEEDED", SUCCEEDED}, {"FAILED", FAILED}, {"CANCELED", CANCELED}, {"UNKNOWN", LOST}};

    if (!vg_call_about(call, answer, "output.task_id"))
        return;
    const char *status = vg_call_text(call, answer->json, "output.task_status");
    switch (vg_word_of(words, VG_COUNT(words), status)) {
    case SUCCEEDED:
        vg_call_take_result(call, answer, vg_call_text(call, answer->json, "output.video_url"));
        return;
    case FAILED:
        vg_call_job_failed(call, vg_call_text(call, answer->json, "output.code"),
                           vg_call_text(call, answer->json, "output.message"));
        return;
    case CANCELED:
        vg_call_canceled(call);
        return;
    case LOST:
        lose(call);
        return;
    default:
        vg_call_running(call, -1, 0);
    }
}

static void poll(struct vg_call *call)
{
    vg_call_get(call, task_url(call, ""), on_polled);
}

/* --- cancel: what waits alone --- */

static void on_canceled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!answer->reason && answer->json && answer->status == 400 &&
        is(vg_call_text(call, answer->json, "code"), "UnsupportedOperation"))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
    else if (vg_call_ok(call, answer))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
}

static void cancel(struct vg_call *call)
{
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = task_url(call, "/cancel"),
                                              .then = on_canceled});
}

/* --- lookup: certain of absence alone --- */

static void on_listed(struct vg_call *call, const struct vg_answer *answer)
{
    vg_trace_judge(call, answer,
                   &(struct vg_trace_list){.items = "data",
                                           .id = "task_id",
                                           .created = "gmt_create",
                                           .unit_ms = 1,
                                           .limit = LIST_LIMIT});
}

static void lookup(struct vg_call *call)
{
    vg_call_get(call,
                vg_call_printf(call, "/tasks/?page_no=1&page_size=%d&model_name=%s", LIST_LIMIT,
                               vg_call_escape(call, call->submit->model)),
                on_listed);
}

static const struct vg_adapter alibaba = {
    .name = "alibaba",
    .base_url = "https://dashscope-intl.aliyuncs.com/api/v1",
    .auth = "Authorization: Bearer ",
    .first_poll_ms = 10000,
    .poll_ms = 10000,
    .typical_ms = 120000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
    .lookup = lookup,
};

const struct vg_provider *vg_alibaba_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("alibaba", "Keys for Alibaba's DashScope.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(alibaba, keys, struct vg_adapter_config)};

    return &provider;
}
