/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/avalanche_follow.h"

#include <string.h>

#include "common/str.h"

#define VEO "/api/v1/veo"
#define JOBS "/api/v1/jobs"

enum {
    HD_POLL_MS = 20 * 1000,
    UHD_POLL_MS = 30 * 1000,
    UPGRADE_PROGRESS = 95,
    STAGE_UPGRADE = 1 /* the 720p film is made; stage_id: the task of its 4k version, once known */
};

bool vg_avalanche_is_sora(const struct vg_call *call)
{
    return strncmp(call->state->model, "sora-", 5) == 0;
}

static bool is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

/* The first address of a list, which may be a list, the JSON text of one, or one address. */
static const char *first_url(struct vg_call *call, const struct vg_json *root, const char *path)
{
    const struct vg_json *at = vg_json_at(root, path);
    const char *text = vg_call_text(call, root, path);
    struct vg_json *inner = NULL;

    if (at && vg_json_type(at) == VG_JSON_ARRAY)
        return vg_call_text(call, at, "0");
    if (!text || text[0] != '[')
        return text;
    if (vg_json_parse(&inner, vg_view_of(text), NULL) != 0)
        return NULL;
    text = vg_call_text(call, inner, "0");
    vg_json_free(inner);
    return text;
}

/* The 4k version is a task of its own, and known. */
static bool has_step(const struct vg_call *call)
{
    return call->state->stage == STAGE_UPGRADE && *call->state->stage_id;
}

static bool is_uhd(const struct vg_call *call)
{
    return is(vg_call_resolution(call), "4k");
}

static int64_t code_of(const struct vg_answer *answer)
{
    int64_t code = answer->status;
    const struct vg_json *at = vg_json_at(answer->json, "code");

    if (code < 300 && at)
        (void)vg_json_int(at, &code);
    return code;
}

/* Said of an upgrade that is not done yet; repeating the request starts no second one. */
static bool still_upgrading(const struct vg_answer *answer)
{
    int64_t code = answer->reason || !answer->json ? 0 : code_of(answer);

    return code == 400 || code == 409 || code == 422 || code == 425;
}

static void on_upgraded(struct vg_call *call, const struct vg_answer *answer)
{
    bool waits = still_upgrading(answer);

    if (!waits && !vg_call_ok(call, answer))
        return;
    const char *url = first_url(call, answer->json, "data.resultUrl");
    if (!url)
        url = first_url(call, answer->json, "data.resultUrls");
    const char *id = vg_call_text(call, answer->json, "data.taskId");
    if (is_uhd(call) && id && strcmp(id, call->upstream_id) != 0)
        call->state->stage_id = (char *)id;
    if (url && !waits)
        vg_call_take_result(call, answer, url);
    else
        vg_call_running(call, UPGRADE_PROGRESS, is_uhd(call) ? UHD_POLL_MS : HD_POLL_MS);
}

static void upgrade(struct vg_call *call)
{
    if (!is_uhd(call)) {
        vg_call_get(call,
                    vg_call_printf(call, VEO "/get-1080p-video?taskId=%s&index=0",
                                   vg_call_escape(call, call->upstream_id)),
                    on_upgraded);
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_put_text(w, "taskId", call->upstream_id);
    vg_put_int(w, "index", 0);
    vg_json_object_close(w);
    vg_call_post(call, VEO "/get-4k-video", false, on_upgraded);
}

/* The film itself is made and paid for. */
static void upgrade_failed(struct vg_call *call, const char *message)
{
    struct vg_fault fault;

    vg_fault_of_class(&fault, VG_CLASS(UPSTREAM_INTERNAL));
    fault.retryable = fault.fallback_ok = false;
    fault.charged = true;
    fault.hidden = true;
    (void)vg_strcpy(fault.code, sizeof(fault.code), "upgrade_failed");
    (void)vg_strcpy(fault.message, sizeof(fault.message), message ? message : "");
    vg_call_failed(call, &fault);
}

static void take_film(struct vg_call *call, const struct vg_answer *answer)
{
    const char *wanted = vg_call_resolution(call);
    const char *made = vg_call_text(call, answer->json, "data.response.resolution");
    const char *url = first_url(call, answer->json, "data.response.resultUrls");

    if (!url)
        url = first_url(call, answer->json, "data.response.originUrls");
    if (!url || is(wanted, "720p") || is(made, wanted) || has_step(call)) {
        vg_call_take_result(call, answer, url);
    } else {
        call->state->stage = STAGE_UPGRADE;
        upgrade(call);
    }
}

/* Of the film, or of its 4k version where that is a task of its own. */
static void on_recorded(struct vg_call *call, const struct vg_answer *answer)
{
    const char *asked = has_step(call) ? call->state->stage_id : call->upstream_id;
    bool whole = !answer->reason && answer->status < 300 && answer->json;
    const char *id = whole ? vg_call_text(call, answer->json, "data.taskId") : NULL;
    const char *flag = whole ? vg_call_text(call, answer->json, "data.successFlag") : NULL;
    const char *message = whole ? vg_call_text(call, answer->json, "data.errorMessage") : NULL;

    if (is(id, asked) && (is(flag, "2") || is(flag, "3") || is(flag, "-1"))) {
        if (has_step(call))
            upgrade_failed(call, message);
        else
            vg_call_job_failed(call, vg_call_text(call, answer->json, "data.errorCode"), message);
        return;
    }
    if (!vg_call_ok(call, answer))
        return;
    if (!is(id, asked) || !flag)
        vg_call_nonsense(call, answer, "the task answered for is another");
    else if (is(flag, "1"))
        take_film(call, answer);
    else
        vg_call_running(call, has_step(call) ? UPGRADE_PROGRESS : -1,
                        has_step(call) ? UHD_POLL_MS : 0);
}

static void take_sora_result(struct vg_call *call, const struct vg_answer *answer)
{
    const char *text = vg_call_text(call, answer->json, "data.resultJson");
    struct vg_json *result = NULL;
    const char *url = NULL;

    if (text && vg_json_parse(&result, vg_view_of(text), NULL) == 0) {
        url = first_url(call, result, "resultUrls");
        vg_json_free(result);
    }
    vg_call_take_result(call, answer, url);
}

static void on_job(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_about(call, answer, "data.taskId"))
        return;
    const char *state = vg_call_text(call, answer->json, "data.state");
    int64_t progress = -1;
    if (is(state, "success"))
        take_sora_result(call, answer);
    else if (is(state, "fail"))
        vg_call_job_failed(call, vg_call_text(call, answer->json, "data.failCode"),
                           vg_call_text(call, answer->json, "data.failMsg"));
    else if (vg_json_int(vg_json_at(answer->json, "data.progress"), &progress) && progress > 99)
        vg_call_running(call, 99, 0);
    else
        vg_call_running(call, progress < 0 ? -1 : (int)progress, 0);
}

void vg_avalanche_poll(struct vg_call *call)
{
    const char *id =
        vg_call_escape(call, has_step(call) ? call->state->stage_id : call->upstream_id);

    if (vg_avalanche_is_sora(call))
        vg_call_get(call, vg_call_printf(call, JOBS "/recordInfo?taskId=%s", id), on_job);
    else if (call->state->stage == STAGE_UPGRADE && !has_step(call))
        upgrade(call);
    else
        vg_call_get(call, vg_call_printf(call, VEO "/record-info?taskId=%s", id), on_recorded);
}
