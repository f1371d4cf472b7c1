/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/kling.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "workers/providers/kling_legacy.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"
#include "workers/upstream/jwt.h"

enum {
    TOKEN_LIFE_S = 1800,
    TOKEN_EARLY_S = 5,
    MAX_TOKEN = 4096,
    MAX_REFERENCES = 7,
    MIN_SECONDS = 3,
    MAX_SECONDS = 15,
    SETTLE_MS = 60 * 1000 /* by then a task that was accepted is shown */
};

/* --- what it answers --- */

static const char *const code_paths[] = {"code", NULL};
static const char *const message_paths[] = {"message", NULL};

static const struct vg_fault_row faults[] = {
    {0, "100*", NULL, VG_CLASS(AUTH), 0},
    {0, "110*", NULL, VG_CLASS(BILLING), 0}, /* no money, no package, no right */
    {0, "1203", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "120*", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "1300", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "1301", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "1302", NULL, VG_CLASS(RATE_LIMITED), 0},
    {0, "1303", NULL, VG_CLASS(CONCURRENCY_FULL), 0},
    {0, "1304", NULL, VG_CLASS(AUTH), 0}, /* our address is not on the account's list */
    {0, "5001", NULL, VG_CLASS(OVERLOADED), 0},
    {0, "5002", NULL, VG_CLASS(TIMEOUT), VG_FAULT_UNSURE},
    {0, NULL, "risk control", VG_CLASS(CONTENT_FILTERED), 0}, /* of jobs that failed */
};

/* --- keys --- */

static void authorize(struct vg_call *call, const char *key)
{
    const char *colon = strchr(key, ':');
    struct vg_json_writer w;
    struct vg_buf claims, token;

    if (!colon) {
        vg_call_authorized(call, vg_call_printf(call, "Authorization: Bearer %s", key));
        return;
    }
    int64_t now = vg_wall_ms() / 1000;
    vg_buf_init(&claims, MAX_TOKEN);
    vg_buf_init(&token, MAX_TOKEN);
    vg_json_begin(&w, &claims);
    vg_json_object_open(&w);
    vg_json_put_key(&w, "iss");
    vg_json_put_string(&w, key, (size_t)(colon - key));
    vg_json_put_key(&w, "exp");
    vg_json_put_int(&w, now + TOKEN_LIFE_S);
    vg_json_put_key(&w, "nbf");
    vg_json_put_int(&w, now - TOKEN_EARLY_S);
    vg_json_object_close(&w);
    vg_jwt_put_hs256(&token, vg_buf_view(&claims), vg_view_of(colon + 1));
    const char *header = vg_call_printf(call, "Authorization: Bearer %.*s", (int)token.len,
                                        token.data ? token.data : "");
    vg_buf_fini(&claims);
    vg_buf_fini(&token);
    vg_call_authorized(call, header);
}

/* --- submit --- */

static bool is_omni(const char *model)
{
    return strstr(model, "omni") != NULL;
}

static bool is_turbo(const char *model)
{
    return strstr(model, "turbo") != NULL;
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "data.id");
}

static void put_picture(struct vg_json_writer *w, const char *type, const char *id,
                        const Videogate__V1__MediaBlob *blob)
{
    if (!blob)
        return;
    vg_json_object_open(w);
    vg_put_text(w, "type", type);
    vg_json_put_key(w, "url");
    vg_put_base64(w, blob); /* bare, without data: */
    if (id)
        vg_put_text(w, "id", id);
    vg_json_object_close(w);
}

static void put_contents(struct vg_call *call, struct vg_json_writer *w)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_put_key(w, "contents");
    vg_json_array_open(w);
    if (*s->prompt) {
        vg_json_object_open(w);
        vg_put_text(w, "type", "prompt");
        vg_put_text(w, "text", s->prompt);
        vg_json_object_close(w);
    }
    put_picture(w, "first_frame", NULL, s->first_frame);
    put_picture(w, "last_frame", NULL, s->last_frame);
    for (size_t i = 0; i < s->n_reference_images; i++)
        put_picture(w, "refer_image", vg_call_printf(call, "image_%zu", i + 1),
                    s->reference_images[i]);
    for (size_t i = 0; i < s->n_reference_videos; i++) {
        vg_json_object_open(w);
        vg_put_text(w, "type", "feature_video");
        vg_put_text(w, "url", s->reference_videos[i]);
        vg_json_object_close(w);
    }
    vg_json_array_close(w);
}

static void put_settings(struct vg_call *call, struct vg_json_writer *w)
{
    static const char *const own[] = {"resolution", "aspect_ratio", "duration", "audio", NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_put_key(w, "settings");
    vg_json_object_open(w);
    vg_put_text(w, "resolution", vg_call_resolution(call));
    if (!s->first_frame) /* a first frame has a shape of its own */
        vg_put_text(w, "aspect_ratio", vg_call_aspect(call));
    vg_put_int(w, "duration", s->seconds);
    if (!is_turbo(s->model))
        vg_put_text(w, "audio", s->audio ? "native" : "off");
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
}

static void put_options(struct vg_call *call, struct vg_json_writer *w)
{
    vg_json_put_key(w, "options");
    vg_json_object_open(w);
    vg_put_text(w, "external_task_id", call->submit->token);
    if (*call->submit->event_url)
        vg_put_text(w, "callback_url", call->submit->event_url);
    vg_json_put_key(w, "watermark_info");
    vg_json_object_open(w);
    vg_put_bool(w, "enabled", false);
    vg_json_object_close(w);
    vg_json_object_close(w);
}

/* NULL: it can be made. */
static const char *why_not(const struct vg_call *call)
{
    static const char *const shapes[] = {"16:9", "9:16", "1:1"};
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *shape = vg_call_aspect(call), *resolution = vg_call_resolution(call);
    bool known = false;

    for (size_t i = 0; i < VG_COUNT(shapes); i++)
        known = known || strcmp(shape, shapes[i]) == 0;
    if (!known || (strcmp(resolution, "720p") != 0 && strcmp(resolution, "1080p") != 0 &&
                   (strcmp(resolution, "4k") != 0 || is_turbo(s->model))))
        return "This model does not make that size.";
    if (s->seconds < MIN_SECONDS || s->seconds > MAX_SECONDS)
        return "This model makes videos of 3 to 15 seconds.";
    if (!s->audio && is_turbo(s->model))
        return "Videos of this model always have sound.";
    if (s->last_frame && (!s->first_frame || is_turbo(s->model)))
        return s->first_frame ? "This model takes no last frame."
                              : "A last frame needs a first one.";
    if (s->source || s->n_reference_audios > 0)
        return "This model takes neither source videos nor reference sounds.";
    if ((s->n_reference_images > 0 || s->n_reference_videos > 0) && !is_omni(s->model))
        return "This model takes no references.";
    return s->n_reference_images > MAX_REFERENCES || s->n_reference_videos > 1
               ? "This model takes 7 reference pictures and one reference video at most."
               : NULL;
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *path = is_omni(s->model) ? "omni-video"
                       : s->first_frame  ? "image-to-video"
                                         : "text-to-video";
    const char *why;

    if (vg_kling_is_legacy(s->model)) {
        vg_kling_legacy_submit(call);
        return;
    }
    if ((why = why_not(call)) != NULL) {
        vg_call_refuse(call, "%s", why);
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    if (strcmp(path, "text-to-video") == 0)
        vg_put_text(w, "prompt", s->prompt);
    else
        put_contents(call, w);
    put_settings(call, w);
    put_options(call, w);
    vg_json_object_close(w);
    vg_call_post(call, vg_call_printf(call, "/%s/%s", path, vg_call_escape(call, s->model)), true,
                 on_created);
}

/* --- poll --- */

static const char *first_text(struct vg_call *call, const struct vg_json *json,
                              const char *const *paths)
{
    const char *text = NULL;

    for (; *paths && !text; paths++)
        text = vg_call_text(call, json, *paths);
    return text;
}

static const char *video_of(struct vg_call *call, const struct vg_json *task)
{
    const struct vg_json *output = vg_json_first(vg_json_at(task, "outputs"));

    for (; output; output = vg_json_next(output)) {
        const char *type = vg_call_text(call, output, "type");
        if (!type || strcmp(type, "video") == 0)
            return vg_call_text(call, output, "url");
    }
    return NULL;
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    static const char *const reasons[] = {"message", "status_msg", "task_status_msg",
                                          "error.message", NULL};

    if (!vg_call_about(call, answer, "data.0.id"))
        return;
    const struct vg_json *task = vg_json_at(answer->json, "data.0");
    const char *status = vg_call_text(call, task, "status");
    if (status && strcmp(status, "failed") == 0)
        vg_call_job_failed(call, vg_call_text(call, task, "code"), first_text(call, task, reasons));
    else if (status && strcmp(status, "succeeded") == 0)
        vg_call_take_result(call, answer, video_of(call, task));
    else
        vg_call_running(call, -1, 0);
}

static void poll(struct vg_call *call)
{
    if (vg_kling_is_legacy(call->state->model))
        vg_kling_legacy_poll(call);
    else
        vg_call_get(
            call,
            vg_call_printf(call, "/tasks?task_ids=%s", vg_call_escape(call, call->upstream_id)),
            on_polled);
}

/* --- lookup: our token is the task's external id --- */

void vg_kling_absent(struct vg_call *call)
{
    bool settled = vg_call_settled(call, SETTLE_MS);

    vg_call_lookup_ended(call, settled ? VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT
                                       : VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY);
}

static void on_found(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const struct vg_json *tasks = vg_json_at(answer->json, "data");
    const char *id = vg_call_text(call, tasks, "0.id");
    const char *token = vg_call_text(call, tasks, "0.external_id");
    if (!token)
        token = vg_call_text(call, tasks, "0.external_task_id");
    if (!tasks || vg_json_type(tasks) != VG_JSON_ARRAY || (vg_json_count(tasks) > 0 && !id) ||
        (token && strcmp(token, call->submit->token) != 0))
        vg_call_nonsense(call, answer, "the tasks listed are others");
    else if (id)
        vg_call_found(call, id);
    else
        vg_kling_absent(call);
}

static void lookup(struct vg_call *call)
{
    if (vg_kling_is_legacy(call->submit->model))
        vg_kling_legacy_lookup(call);
    else
        vg_call_get(call,
                    vg_call_printf(call, "/tasks?external_task_ids=%s",
                                   vg_call_escape(call, call->submit->token)),
                    on_found);
}

/* Unsigned, at each change of state. */
static const struct vg_event_scheme events = {
    .per_job = true, .id_paths = {"data.id", "id", "task_id", "data.task_id"}};

static const struct vg_adapter kling = {
    .name = "kling",
    .base_url = "https://api-singapore.klingai.com",
    .authorize = authorize,
    .first_poll_ms = 10000,
    .poll_ms = 7000,
    .typical_ms = 135000,
    .ok_path = "code",
    .ok_value = "0",
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .submit = submit,
    .poll = poll,
    .lookup = lookup,
};

const struct vg_provider *vg_kling_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("kling", "Keys for Kling, or ACCESSKEY:SECRETKEY.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(kling, keys, struct vg_adapter_config)};

    return &provider;
}
