/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/fault.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/adapter.h"

enum { MAX_WAIT_MS = 24 * 3600 * 1000 };

/* What a class means unless a row says otherwise. */
static const struct {
    bool retryable, fallback_ok;
} meanings[] = {
    [VG_CLASS(UNSPECIFIED)] = {false, true},
    [VG_CLASS(INVALID_REQUEST)] = {false, true},
    [VG_CLASS(CONTENT_FILTERED)] = {false, false},
    [VG_CLASS(AUTH)] = {false, true},
    [VG_CLASS(BILLING)] = {false, true},
    [VG_CLASS(MODEL_GONE)] = {false, true},
    [VG_CLASS(RATE_LIMITED)] = {true, true},
    [VG_CLASS(CONCURRENCY_FULL)] = {true, true},
    [VG_CLASS(OVERLOADED)] = {true, true},
    [VG_CLASS(UPSTREAM_INTERNAL)] = {true, true},
    [VG_CLASS(TIMEOUT)] = {true, true},
    [VG_CLASS(NETWORK)] = {true, true},
    [VG_CLASS(RESULT_EXPIRED)] = {false, false},
    [VG_CLASS(NOT_FOUND)] = {false, false},
};

/* What a status says where no row of the adapter's knows better. */
static const struct {
    int status;
    Videogate__V1__ErrorClass class;
} statuses[] = {
    {401, VG_CLASS(AUTH)},         {402, VG_CLASS(BILLING)},
    {403, VG_CLASS(AUTH)},         {404, VG_CLASS(MODEL_GONE)},
    {408, VG_CLASS(TIMEOUT)},      {409, VG_CLASS(UPSTREAM_INTERNAL)},
    {410, VG_CLASS(MODEL_GONE)},   {425, VG_CLASS(OVERLOADED)},
    {429, VG_CLASS(RATE_LIMITED)}, {451, VG_CLASS(CONTENT_FILTERED)},
    {503, VG_CLASS(OVERLOADED)},   {504, VG_CLASS(TIMEOUT)},
    {529, VG_CLASS(OVERLOADED)},
};

void vg_fault_of_class(struct vg_fault *out, Videogate__V1__ErrorClass class)
{
    *out = (struct vg_fault){.class = class};
    out->retryable = meanings[class].retryable;
    out->fallback_ok = meanings[class].fallback_ok;
}

bool vg_fault_says_filtered(const char *text)
{
    static const char *const signals[] = {
        "ResponsibleAIPolicyViolation",
        "SensitiveContentDetected",
        "data_inspection_failed",
        "DataInspectionFailed",
        "inappropriate content",
        "Green net check failed",
        "content management policy",
        "ContentFiltered",
        "content_filter",
        "content_policy",
        "rejected by the safety system",
        "content-moderated",
        "content moderation",
        "moderation_blocked",
        "sentinel_block",
        "unsafe or sensitive content",
        "violates usage guidelines",
        "usage guidelines",
        "safety filter",
    };

    for (size_t i = 0; text && i < VG_COUNT(signals); i++)
        if (strcasestr(text, signals[i]))
            return true;
    return false;
}

static const struct vg_fault_row filtered = {.class = VG_CLASS(CONTENT_FILTERED)};

static bool code_matches(const char *pattern, const char *code)
{
    size_t len = strlen(pattern);

    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(pattern, code, len - 1) == 0;
    return strcmp(pattern, code) == 0;
}

static const struct vg_fault_row *find_row(const struct vg_adapter *adapter, int status,
                                           const char *code, const char *message)
{
    for (size_t i = 0; i < adapter->fault_count; i++) {
        const struct vg_fault_row *row = &adapter->faults[i];
        if ((row->status == 0 || row->status == status) &&
            (!row->code || code_matches(row->code, code)) &&
            (!row->text || strcasestr(message, row->text)))
            return row;
    }
    return NULL;
}

static void apply_row(struct vg_fault *out, const struct vg_fault_row *row)
{
    out->class = row->class;
    out->retryable = meanings[row->class].retryable && !(row->flags & VG_FAULT_FINAL);
    out->fallback_ok = meanings[row->class].fallback_ok && !(row->flags & VG_FAULT_NO_FALLBACK);
    out->charged = row->flags & VG_FAULT_CHARGED;
}

static Videogate__V1__ErrorClass class_of_status(int status, enum vg_fault_phase phase)
{
    if (phase == VG_PHASE_FETCH &&
        (status == 401 || status == 403 || status == 404 || status == 410))
        return VG_CLASS(RESULT_EXPIRED);
    if (phase == VG_PHASE_POLL && (status == 404 || status == 410))
        return VG_CLASS(NOT_FOUND);
    for (size_t i = 0; i < VG_COUNT(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].class;
    return status >= 400 && status < 500 ? VG_CLASS(INVALID_REQUEST) : VG_CLASS(UPSTREAM_INTERNAL);
}

/* No answer, or one whose end or form is missing. */
static void of_broken(struct vg_fault *out, const struct vg_answer *answer,
                      enum vg_fault_phase phase)
{
    const char *reason = answer->reason ? answer->reason : "malformed";
    bool no_answer = answer->status == 0;
    bool slow = strcmp(reason, "timeout") == 0;

    vg_fault_of_class(out, slow        ? VG_CLASS(TIMEOUT)
                           : no_answer ? VG_CLASS(NETWORK)
                                       : VG_CLASS(UPSTREAM_INTERNAL));
    (void)vg_strcpy(out->code, sizeof(out->code), reason);
    out->maybe_submitted = phase == VG_PHASE_CREATE && (answer->sent || !no_answer);
    if (phase == VG_PHASE_POLL || phase == VG_PHASE_FETCH)
        out->fallback_ok = false;
}

/* A text or whole number at one of the paths. */
static void read_first(char *out, size_t size, const struct vg_json *root, const char *const *paths)
{
    int64_t number = 0;

    out[0] = '\0';
    for (; root && paths && *paths && !out[0]; paths++) {
        const struct vg_json *value = vg_json_at(root, *paths);
        const char *text = value ? vg_json_string(value) : NULL;
        if (text)
            (void)vg_strcpy(out, size, text);
        else if (value && vg_json_int(value, &number))
            (void)snprintf(out, size, "%lld", (long long)number);
    }
}

static int disguised_status(const struct vg_adapter *adapter, const struct vg_answer *answer)
{
    int64_t value = 0;
    const struct vg_json *at =
        adapter->ok_is_status && answer->json ? vg_json_at(answer->json, adapter->ok_path) : NULL;

    if (answer->status < 300 && at && vg_json_int(at, &value) && value >= 400 && value < 600)
        return (int)value;
    return answer->status;
}

/* Gateways in front of the provider answer these for requests that may have gone through. */
static bool unsure(const struct vg_answer *answer, int status)
{
    return status == 408 || status == 502 || status == 504 ||
           (status >= 500 && status != 503 && status != 529 && !answer->json) ||
           (status >= 300 && status < 400);
}

void vg_fault_of_answer(struct vg_fault *out, const struct vg_adapter *adapter,
                        const struct vg_answer *answer, enum vg_fault_phase phase)
{
    bool broken = answer->reason || answer->status == 0;

    if (broken || (answer->status < 300 && !answer->json)) {
        of_broken(out, answer, phase);
        out->http_status = answer->status;
        return;
    }
    int status = disguised_status(adapter, answer);
    vg_fault_of_class(out, class_of_status(status, phase));
    out->http_status = status;
    out->hidden = adapter->hidden;
    read_first(out->code, sizeof(out->code), answer->json, adapter->code_paths);
    read_first(out->message, sizeof(out->message), answer->json, adapter->message_paths);
    const struct vg_fault_row *row = find_row(adapter, status, out->code, out->message);
    if (row)
        apply_row(out, row);
    else if (status < 500 && status != 401 &&
             (vg_fault_says_filtered(out->code) || vg_fault_says_filtered(out->message)))
        apply_row(out, &filtered);
    out->retry_after_ms = answer->retry_after_ms;
    int64_t wanted = adapter->retry_after ? adapter->retry_after(answer) : 0;
    if (wanted > 0)
        out->retry_after_ms = wanted < MAX_WAIT_MS ? wanted : MAX_WAIT_MS;
    out->maybe_submitted =
        phase == VG_PHASE_CREATE && (row ? row->flags & VG_FAULT_UNSURE : unsure(answer, status));
    /* A job that exists is not lost by one bad answer about it. */
    if (phase == VG_PHASE_POLL && out->class != VG_CLASS(CONTENT_FILTERED))
        out->retryable = true;
    if (phase == VG_PHASE_POLL || phase == VG_PHASE_FETCH)
        out->fallback_ok = false;
}

void vg_fault_of_job(struct vg_fault *out, const struct vg_adapter *adapter, const char *code,
                     const char *message)
{
    vg_fault_of_class(out, VG_CLASS(UPSTREAM_INTERNAL));
    out->hidden = adapter->hidden;
    (void)vg_strcpy(out->code, sizeof(out->code), code ? code : "");
    (void)vg_strcpy(out->message, sizeof(out->message), message ? message : "");
    const struct vg_fault_row *row = find_row(adapter, 0, out->code, out->message);
    if (row)
        apply_row(out, row);
    else if (vg_fault_says_filtered(code) || vg_fault_says_filtered(message))
        apply_row(out, &filtered);
    out->retryable = false; /* this job is over */
}
