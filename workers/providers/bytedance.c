/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/bytedance.h"

#include <string.h>

#include "common/mem.h"
#include "workers/providers/content.h"
#include "workers/providers/tasks.h"
#include "workers/providers/traces.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"

#define TASKS "/contents/generations/tasks"

/* --- what it answers --- */

static const char *const code_paths[] = {"error.code", NULL};
static const char *const message_paths[] = {"error.message", NULL};

/* Moderation is told by codes that hold "SensitiveContentDetected", which the base knows. */
static const struct vg_fault_row faults[] = {
    {0, "AccountOverdueError*", NULL, VG_CLASS(BILLING), 0},
    {0, "SetLimitExceeded", NULL, VG_CLASS(BILLING), 0},
    {0, "ModelNotOpen", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "InvalidEndpoint*", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "ModelNotFound", NULL, VG_CLASS(MODEL_GONE), 0},
    {0, "InputTextRiskDetection", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "InputImageRiskDetection", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "ContentSecurityDetectionError", NULL, VG_CLASS(OVERLOADED), 0},
    {429, "QuotaExceeded", NULL, VG_CLASS(CONCURRENCY_FULL), 0},
    {429, "InflightBatchsizeExceeded", NULL, VG_CLASS(CONCURRENCY_FULL), 0},
    {429, "ServerOverloaded", NULL, VG_CLASS(OVERLOADED), 0},
    {429, "RequestBurstTooFast", NULL, VG_CLASS(OVERLOADED), 0},
};

/* --- submit --- */

static const char *const own_fields[] = {"model", "content",        "duration",
                                         "ratio", "generate_audio", "callback_url",
                                         "seed",  "resolution",     NULL};

static bool has_sound(const char *model)
{
    return strncmp(model, "seedance-1-0-", 13) != 0;
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "id");
}

static bool check_shape(struct vg_call *call, const char *ratio, const char *resolution)
{
    static const char *const ratios[] = {"16:9", "9:16", "1:1", "4:3", "3:4", "21:9"};
    static const char *const resolutions[] = {"480p", "720p", "1080p"};
    bool shape = false, size = false;

    for (size_t i = 0; i < VG_COUNT(ratios); i++)
        shape = shape || strcmp(ratio, ratios[i]) == 0;
    for (size_t i = 0; i < VG_COUNT(resolutions); i++)
        size = size || strcmp(resolution, resolutions[i]) == 0;
    if (!shape || !size)
        vg_call_refuse(call, "This provider does not make %dx%d.", (int)call->submit->width,
                       (int)call->submit->height);
    return shape && size;
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *ratio = vg_call_aspect(call), *resolution = vg_call_resolution(call);

    if (s->audio && !has_sound(s->model)) {
        vg_call_refuse(call, "This model makes silent videos only.");
        return;
    }
    if (!vg_content_check(call) || !check_shape(call, ratio, resolution))
        return;
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "model", s->model);
    vg_content_put(call, w);
    vg_put_int(w, "duration", s->seconds);
    vg_put_text(w, "ratio", ratio);
    vg_put_text(w, "resolution", resolution);
    if (has_sound(s->model))
        vg_put_bool(w, "generate_audio", s->audio);
    vg_put_int(w, "seed", vg_trace_seed(call));
    if (*s->event_url)
        vg_put_text(w, "callback_url", s->event_url);
    vg_call_put_extra(call, w, own_fields);
    vg_json_object_close(w);
    vg_call_post(call, TASKS, true, on_created);
}

/* --- the rest is the task API's --- */

static const struct vg_task_api api = {.query = TASKS,
                                       .erase = TASKS,
                                       .task = "",
                                       .id = "id",
                                       .result = "content.video_url",
                                       .seed = "seed"};

static void poll(struct vg_call *call)
{
    vg_task_poll(call, &api);
}

static void cancel(struct vg_call *call)
{
    vg_task_cancel(call, &api);
}

static void lookup(struct vg_call *call)
{
    vg_task_lookup(call, &api);
}

/* Unsigned, at each change of state. */
static const struct vg_event_scheme events = {.per_job = true, .id_paths = {"id"}};

static const struct vg_adapter bytedance = {
    .name = "bytedance",
    .base_url = "https://ark.ap-southeast.bytepluses.com/api/v3",
    .auth = "Authorization: Bearer ",
    .max_concurrency = 10,
    .first_poll_ms = 10000,
    .poll_ms = 7000,
    .typical_ms = 105000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
    .lookup = lookup,
};

const struct vg_provider *vg_bytedance_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("bytedance", "Keys for BytePlus ModelArk.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(bytedance, keys, struct vg_adapter_config)};

    return &provider;
}
