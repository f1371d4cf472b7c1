/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/caller.h"

#include "common/str.h"

void vg_caller_address(const struct vg_stream *stream, const char *trusted_proxies,
                       char out[VG_PEER_SIZE])
{
    const struct vg_request *request = &stream->request;

    (void)vg_strcpy(out, VG_PEER_SIZE, stream->peer ? stream->peer : "");
    if (!trusted_proxies || !*trusted_proxies)
        return;
    /* The fields of one name are one list: the last one is its end. */
    for (size_t i = request->header_count; i > 0; i--) {
        const struct vg_header *header = &request->headers[i - 1];
        if (vg_view_eqs(header->name, "x-forwarded-for") &&
            !vg_peer_forwarded(out, header->value, trusted_proxies))
            return;
    }
}
