/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, queries and paths: whatever is found is text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bridge/api/routes.h"
#include "bridge/http/request.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_view text = {(const char *)data, size}, path, query, name, value;
    char buf[64], param[VG_PARAM_SIZE], allow[VG_ALLOW_SIZE];
    const struct vg_route *route;
    if (vg_http_target(text, VG_VIEW("GET"), &path, &query, NULL) == 0) {
        VG_ASSERT(path.len > 0 && path.data[0] == '/');
        if (vg_route_find(VG_VIEW("GET"), path, &route, param, allow) == VG_ROUTE_FOUND)
            VG_ASSERT(strlen(param) < VG_PARAM_SIZE && vg_utf8_valid(param, strlen(param)));
    }
    for (struct vg_view rest = text; vg_http_query_next(&rest, &name, &value);)
        VG_ASSERT(name.len + value.len <= size);
    static const char *const keys[] = {"limit", "after", "order", "index", ""};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        long n = vg_http_query_get(text, keys[i], buf, sizeof(buf));
        VG_ASSERT(n < (long)sizeof(buf));
        VG_ASSERT(n < 0 || (strlen(buf) == (size_t)n && vg_utf8_valid(buf, (size_t)n)));
    }
    return 0;
}
