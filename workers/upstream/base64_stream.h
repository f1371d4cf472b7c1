/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 that comes in pieces, judged as vg_base64_decode would judge it in one: the standard
 * alphabet, with padding or without. One thread at a time. */
#ifndef VG_WORKERS_UPSTREAM_BASE64_STREAM_H
#define VG_WORKERS_UPSTREAM_BASE64_STREAM_H

#include "common/buf.h"
#include "common/err.h"

/* Zeroed: nothing read yet. */
struct vg_base64_stream {
    char kept[4]; /* the last digits, since only the very last may be padding */
    size_t kept_len;
};

/* Appends the bytes to `out`; -1: no base64, or `out` is full. */
VG_MUSTCHECK int vg_base64_stream_feed(struct vg_base64_stream *self, const char *text, size_t len,
                                       struct vg_buf *out);
/* After the last piece. */
VG_MUSTCHECK int vg_base64_stream_end(struct vg_base64_stream *self, struct vg_buf *out);

#endif
