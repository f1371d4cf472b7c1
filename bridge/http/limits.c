/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/limits.h"

const char *const *vg_http_limit_labels(void)
{
    static const char *const names[VG_HTTP_LIMIT_MAX + 1] = {
        [VG_HTTP_LIMIT_HEADERS] = "headers",     [VG_HTTP_LIMIT_HEAD_MEMORY] = "head_memory",
        [VG_HTTP_LIMIT_HEAD_TIME] = "head_time", [VG_HTTP_LIMIT_BODY_TIME] = "body_time",
        [VG_HTTP_LIMIT_STALL] = "stall",         [VG_HTTP_LIMIT_STALLED] = "stalled",
        [VG_HTTP_LIMIT_FRAMING] = "framing",     [VG_HTTP_LIMIT_CONTINUATIONS] = "continuations",
        [VG_HTTP_LIMIT_RESETS] = "resets",       [VG_HTTP_LIMIT_ERRORS] = "errors",
        [VG_HTTP_LIMIT_CONTROL] = "control",     [VG_HTTP_LIMIT_UPDATES] = "updates",
        [VG_HTTP_LIMIT_SMALL] = "small",         [VG_HTTP_LIMIT_FRAME] = "frame",
        [VG_HTTP_LIMIT_STREAM_ID] = "stream_id",
    };
    return names;
}
