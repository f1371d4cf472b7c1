/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures in planar YUV 4:2:0 (BT.709, limited range) and the one way callers' image bytes become
 * such pictures. Pure functions, any thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_PICTURE_H
#define VG_WORKERS_PROVIDERS_SANDBOX_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_PICTURE_MAX_BYTES ((size_t)20 << 20)
#define VG_PICTURE_MAX_SIDE 8192

/* Strides are width for y and width / 2 for u and v. */
struct vg_picture {
    int width, height;  /* even */
    uint8_t *y, *u, *v; /* owned, one allocation that starts at y */
};

/* Black. Sides are even and in 2..VG_PICTURE_MAX_SIDE. */
struct vg_picture *vg_picture_new(int width, int height);
struct vg_picture *vg_picture_free(struct vg_picture *picture);

/* dst = a * weight / 256 + b * (256 - weight) / 256; all of one size, dst may be one of them. */
void vg_picture_mix(struct vg_picture *dst, const struct vg_picture *a, const struct vg_picture *b,
                    int weight);
/* Copies src onto dst with its left upper corner at (x, y); even coordinates, src lies inside. */
void vg_picture_paste(struct vg_picture *dst, const struct vg_picture *src, int x, int y);

enum vg_picture_fit {
    VG_PICTURE_LETTERBOX, /* exactly width x height, black bars */
    VG_PICTURE_INSET,     /* as large as fits into width x height, no bars */
};
/* Decodes PNG, JPEG or WebP (known by their first bytes), scales, lays transparency over black.
 * Anything malformed, truncated or too large fails with VG_ERR_INVALID_REQUEST and `param` as
 * given. */
VG_MUSTCHECK int vg_picture_decode(struct vg_picture **out, struct vg_view bytes, int width,
                                   int height, enum vg_picture_fit fit, const char *param,
                                   struct vg_err *err);

#endif
