/* SPDX-License-Identifier: Apache-2.0 */
/* First line: configured origins; second: an Origin; the rest: Access-Control-Request-Headers. What
 * goes out has no byte that could end a header. */
#include <stdlib.h>
#include <string.h>

#include "bridge/api/cors.h"

static struct vg_view line(struct vg_view *rest)
{
    const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t n = end ? (size_t)(end - rest->data) : rest->len;
    struct vg_view out = {rest->data, n};
    n += end != NULL;
    *rest = (struct vg_view){rest->data + n, rest->len - n};
    return out;
}

static bool clean(struct vg_view text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_view rest = {(const char *)data, size};
    struct vg_view configured = line(&rest), origin = line(&rest);
    char *text = strndup(size ? configured.data : "", configured.len);
    struct vg_cors *cors = NULL;
    struct vg_header out[VG_CORS_ANSWER];
    if (vg_cors_new(&cors, text, NULL) == 0 && cors) {
        size_t n = vg_cors_answer(cors, origin, out);
        if (n > VG_CORS_ANSWER)
            abort();
        if (clean(configured) && out[0].value.len > 1 && n == VG_CORS_ANSWER &&
            !clean(out[0].value))
            abort();
    }
    cors = vg_cors_free(cors);
    free(text);
    char names[VG_CORS_NAMES];
    struct vg_header preflight[VG_CORS_PREFLIGHT];
    (void)vg_cors_preflight(rest, VG_VIEW("GET"), names, preflight);
    if (preflight[1].value.len >= VG_CORS_NAMES || !clean(preflight[1].value))
        abort();
    return 0;
}
