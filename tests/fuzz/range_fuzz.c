/* SPDX-License-Identifier: Apache-2.0 */
/* Range, entity tags and dates of a download. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bridge/http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_view text = {(const char *)data, size};
    struct vg_http_range r = vg_http_range(text);
    VG_ASSERT(r.first >= 0 && r.last >= 0);
    VG_ASSERT(r.kind != VG_RANGE_FROM_TO || r.first <= r.last);
    (void)vg_http_etag_match(text, VG_VIEW("abc"));
    (void)vg_http_media_type(text, "application/json");
    (void)vg_http_has_token(text, "close");
    int64_t t;
    if (vg_http_date_parse(text, &t)) {
        char again[VG_HTTP_DATE_SIZE];
        vg_http_date(again, t);
        VG_ASSERT(vg_view_eqs(vg_view_trim(text), again));
    }
    return 0;
}
