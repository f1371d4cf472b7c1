/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data (RFC 7578 over RFC 2046 5.1): one part after the other out of a whole body.
 * Pure: nothing is copied but a part's name, views point into the body. Any thread.
 *
 * Strict where it matters (delimiters, header form, the closing delimiter) and lenient where
 * clients differ: a preamble and an epilogue are skipped, parameters may be quoted or not. */
#ifndef VG_BRIDGE_HTTP_MULTIPART_H
#define VG_BRIDGE_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_MULTIPART_MAX_PARTS 256
#define VG_MULTIPART_MAX_HEAD 8192    /* bytes of one part's headers */
#define VG_MULTIPART_NAME_SIZE 128    /* with NUL */
#define VG_MULTIPART_MAX_BOUNDARY 70U /* RFC 2046 5.1.1 */

struct vg_multipart {
    char delimiter[VG_MULTIPART_MAX_BOUNDARY + 5]; /* CRLF, two dashes, boundary */
    size_t delimiter_len;
    struct vg_view rest; /* behind the last delimiter's boundary */
    size_t parts;
};

struct vg_part {
    char name[VG_MULTIPART_NAME_SIZE]; /* valid UTF-8, no control characters */
    bool file;                         /* a filename was given, be it empty */
    struct vg_view body;               /* borrowed from the form's body */
};

/* Finds the boundary in a Content-Type value and the first delimiter in the body. `body` must
 * outlive the form and its parts. Fails with VG_ERR_INVALID_REQUEST. */
VG_MUSTCHECK int vg_multipart_begin(struct vg_multipart *form, struct vg_view content_type,
                                    struct vg_view body, struct vg_err *err);
/* 1: the next part; 0: the closing delimiter; -1: VG_ERR_INVALID_REQUEST, the form is of no use. */
VG_MUSTCHECK int vg_multipart_next(struct vg_multipart *form, struct vg_part *out,
                                   struct vg_err *err);

#endif
