/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/minimax.h"

#include <ctype.h>
#include <string.h>

#include "common/mem.h"
#include "workers/providers/minimax_priv.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"

/* v1 tells errors in base_resp, with HTTP 200; v2 in OpenAI's form, the same codes in parentheses
 * at the end of the text. */
static const char *const code_paths[] = {"base_resp.status_code", "error.code", "error.type", NULL};
static const char *const message_paths[] = {"base_resp.status_msg", "error.message", NULL};

static const struct vg_fault_row faults[] = {
    {0, "1001", NULL, VG_CLASS(TIMEOUT), VG_FAULT_UNSURE},
    {0, "1002", NULL, VG_CLASS(RATE_LIMITED), 0},
    {0, "1004", NULL, VG_CLASS(AUTH), 0},
    {0, "1008", NULL, VG_CLASS(BILLING), 0},
    {0, "1026", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "1027", NULL, VG_CLASS(CONTENT_FILTERED), 0},
    {0, "1039", NULL, VG_CLASS(RATE_LIMITED), 0},
    {0, "1041", NULL, VG_CLASS(CONCURRENCY_FULL), 0},
    {0, "2013", "model not exist", VG_CLASS(MODEL_GONE), 0},
    {0, "2013", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "2045", NULL, VG_CLASS(RATE_LIMITED), 0},
    {0, "2049", NULL, VG_CLASS(AUTH), 0},
    {0, "2056", NULL, VG_CLASS(BILLING), 0},
    {0, "2067", NULL, VG_CLASS(BILLING), 0},
    {0, NULL, "(1001)", VG_CLASS(TIMEOUT), VG_FAULT_UNSURE},
    {0, NULL, "(1008)", VG_CLASS(BILLING), 0},
    {0, NULL, "(1026)", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "(1027)", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "(1041)", VG_CLASS(CONCURRENCY_FULL), 0},
    {0, NULL, "(2049)", VG_CLASS(AUTH), 0},
    {0, NULL, "(2056)", VG_CLASS(BILLING), 0},
    {0, NULL, "(2067)", VG_CLASS(BILLING), 0},
    {0, NULL, "model not exist", VG_CLASS(MODEL_GONE), 0},
};

/* MiniMax-H3 and later; not MiniMax-Hailuo. */
static bool is_v2(const struct vg_call *call)
{
    static const char family[] = "MiniMax-H";
    size_t len = sizeof(family) - 1;

    return strncmp(call->state->model, family, len) == 0 &&
           isdigit((unsigned char)call->state->model[len]);
}

void vg_minimax_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "task_id");
}

static void submit(struct vg_call *call)
{
    if (is_v2(call))
        vg_minimax_v2_submit(call);
    else
        vg_minimax_v1_submit(call);
}

static void poll(struct vg_call *call)
{
    if (is_v2(call))
        vg_minimax_v2_poll(call);
    else
        vg_minimax_v1_poll(call);
}

static void fetch(struct vg_call *call)
{
    if (is_v2(call))
        vg_call_stream(call, &(struct vg_call_stream){.url = call->state->result});
    else
        vg_minimax_v1_fetch(call);
}

static void cancel(struct vg_call *call)
{
    if (is_v2(call))
        vg_minimax_v2_cancel(call);
    else
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
}

static void lookup(struct vg_call *call)
{
    if (is_v2(call))
        vg_minimax_v2_lookup(call);
    else
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
}

/* Unsigned; before the first one the address must send a challenge back within 3 s. */
static const struct vg_event_scheme events = {
    .per_job = true, .id_paths = {"task_id", "task.id", "id"}, .challenge = "challenge"};

static const struct vg_adapter minimax = {
    .name = "minimax",
    .base_url = "https://api.minimax.io",
    .auth = "Authorization: Bearer ",
    .max_concurrency = 30,
    .first_poll_ms = 10000,
    .poll_ms = 10000,
    .typical_ms = 120000,
    .ok_path = "base_resp.status_code",
    .ok_value = "0",
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .submit = submit,
    .poll = poll,
    .fetch = fetch,
    .cancel = cancel,
    .lookup = lookup,
};

const struct vg_provider *vg_minimax_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("minimax", "Keys for MiniMax's video APIs.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(minimax, keys, struct vg_adapter_config)};

    return &provider;
}
