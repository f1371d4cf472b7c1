/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/document.h"

#include <stdio.h>
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/http/request.h"
#include "common/mem.h"

#define PIECE ((size_t)4000) /* fits a buffer of 4 KiB */

struct sending {
    const struct vg_document *document; /* borrowed */
    size_t off;
};

static const struct vg_document *find(const char *path)
{
    size_t count;
    const struct vg_document *all = vg_documents(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].path, path) == 0)
            return &all[i];
    return NULL;
}

/* A piece at a time, once the last one is gone: whoever asks a hundred times and reads nothing
 * holds a hundred pieces, not a hundred documents. */
static void send_more(struct vg_exchange *ex)
{
    struct sending *sending = ex->op;
    const struct vg_document *document = sending->document;
    while (sending->off < document->len && vg_stream_drained(ex->stream)) {
        size_t left = document->len - sending->off;
        size_t n = left < PIECE ? left : PIECE;
        vg_stream_write(ex->stream, document->data + sending->off, n);
        sending->off += n;
    }
    if (sending->off == document->len)
        vg_stream_end(ex->stream);
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
    struct sending *sending = vg_arena_alloc(ex->arena, sizeof(*sending));
    *sending = (struct sending){document, 0};
    ex->op = sending;
    ex->op_writable = send_more;
    send_more(ex);
}
