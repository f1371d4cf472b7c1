/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/document.h"

#include <stdio.h>
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/http/request.h"
#include "common/mem.h"

static const struct vg_document *find(const char *path)
{
    size_t count;
    const struct vg_document *all = vg_documents(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].path, path) == 0)
            return &all[i];
    return NULL;
}

void vg_handle_static(struct vg_exchange *ex)
{
    const struct vg_document *document = find(ex->route->pattern);
    struct vg_header headers[6];
    char etag[80];
    size_t n = 0;
    VG_ASSERT(document);
    (void)snprintf(etag, sizeof(etag), "\"%s\"", document->etag);
    headers[n++] = (struct vg_header){VG_VIEW("etag"), vg_view_of(etag)};
    headers[n++] = (struct vg_header){VG_VIEW("cache-control"), VG_VIEW("no-cache")};
    headers[n++] = (struct vg_header){VG_VIEW("x-content-type-options"), VG_VIEW("nosniff")};
    if (document->policy) {
        headers[n++] =
            (struct vg_header){VG_VIEW("content-security-policy"), vg_view_of(document->policy)};
        headers[n++] = (struct vg_header){VG_VIEW("referrer-policy"), VG_VIEW("no-referrer")};
    }
    if (document->any_origin)
        headers[n++] = (struct vg_header){VG_VIEW("access-control-allow-origin"), VG_VIEW("*")};
    if (vg_http_etag_match(vg_exchange_header(ex, "if-none-match"), vg_view_of(document->etag))) {
        (void)vg_respond_head(ex, 304, NULL, 0, headers, n);
        return;
    }
    if (!vg_respond_head(ex, 200, document->content_type, (int64_t)document->len, headers, n))
        return;
    vg_stream_write(ex->stream, document->data, document->len);
    vg_stream_end(ex->stream);
}
