/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a multipart/form-data body (RFC 7578). Pure; any thread. */
#ifndef VG_WORKERS_UPSTREAM_MULTIPART_H
#define VG_WORKERS_UPSTREAM_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct vg_form_part {
    const char *name;
    struct vg_view data;
    const char *filename;     /* NULL: a text part */
    const char *content_type; /* NULL: none is written */
};

#define VG_FORM_TYPE_SIZE 80 /* "multipart/form-data; boundary=..." with NUL */

/* Appends the body and gives its Content-Type. The boundary occurs in no part; `seed` is any
 * number, random where callers should not foresee the boundary. -1: no room in `out`, or a content
 * type with a line break. */
VG_MUSTCHECK int vg_form_write(struct vg_buf *out, const struct vg_form_part *parts, size_t count,
                               uint64_t seed, char out_type[VG_FORM_TYPE_SIZE]);

#endif
