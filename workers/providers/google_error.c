/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_error.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/call.h"

enum { DAY_MS = 24 * 3600 * 1000, PACIFIC_MS = 8 * 3600 * 1000, MAX_WAIT_S = 24 * 3600 };

const char *vg_google_operation_code(int64_t code)
{
    static const char *const names[] = {
        "operation:OK",
        "operation:CANCELLED",
        "operation:UNKNOWN",
        "operation:INVALID_ARGUMENT",
        "operation:DEADLINE_EXCEEDED",
        "operation:NOT_FOUND",
        "operation:ALREADY_EXISTS",
        "operation:PERMISSION_DENIED",
        "operation:RESOURCE_EXHAUSTED",
        "operation:FAILED_PRECONDITION",
        "operation:ABORTED",
        "operation:OUT_OF_RANGE",
        "operation:UNIMPLEMENTED",
        "operation:INTERNAL",
        "operation:UNAVAILABLE",
        "operation:DATA_LOSS",
        "operation:UNAUTHENTICATED",
    };

    return code >= 0 && code < (int64_t)VG_COUNT(names) ? names[code] : names[2];
}

/* A protobuf Duration, "36.962849995s", rounded up; 0: not one. */
static int64_t duration_ms(const char *text)
{
    struct vg_view whole = vg_view_of(text);
    int64_t seconds = 0, thousandths = 0;

    if (whole.len < 2 || whole.data[whole.len - 1] != 's')
        return 0;
    whole.len--;
    const char *dot = memchr(whole.data, '.', whole.len);
    struct vg_view fraction = {"", 0};
    if (dot) {
        fraction = (struct vg_view){dot + 1, whole.len - (size_t)(dot + 1 - whole.data)};
        whole.len = (size_t)(dot - whole.data);
    }
    if (vg_parse_i64(whole, 0, MAX_WAIT_S, &seconds) != 0)
        return 0;
    size_t kept = fraction.len < 3 ? fraction.len : 3;
    if (kept && vg_parse_i64((struct vg_view){fraction.data, kept}, 0, 999, &thousandths) != 0)
        return 0;
    for (; kept && kept < 3; kept++)
        thousandths *= 10;
    return seconds * 1000 + thousandths + (fraction.len > 3);
}

static bool is_of_type(const struct vg_json *detail, const char *name)
{
    const char *type = vg_json_string(vg_json_get(detail, "@type"));
    const char *last = type ? strrchr(type, '.') : NULL;

    return last && strcmp(last + 1, name) == 0;
}

static bool says_per_day(const struct vg_json *detail)
{
    const struct vg_json *v = vg_json_first(vg_json_get(detail, "violations"));

    for (; v; v = vg_json_next(v)) {
        const char *id = vg_json_string(vg_json_get(v, "quotaId"));
        if (id && strstr(id, "PerDay"))
            return true;
    }
    return false;
}

int64_t vg_google_wait(const struct vg_json *root, int64_t wall_ms)
{
    const struct vg_json *detail = vg_json_first(vg_json_at(root, "error.details"));
    int64_t wait = 0;

    for (; detail; detail = vg_json_next(detail)) {
        const char *delay = vg_json_string(vg_json_get(detail, "retryDelay"));
        if (is_of_type(detail, "QuotaFailure") && says_per_day(detail))
            return DAY_MS - (wall_ms - PACIFIC_MS) % DAY_MS; /* in summer an hour too late */
        if (is_of_type(detail, "RetryInfo") && delay)
            wait = duration_ms(delay);
    }
    return wait;
}

int64_t vg_google_retry_after(const struct vg_answer *answer)
{
    return vg_google_wait(answer->json, vg_wall_ms());
}
