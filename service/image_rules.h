/* SPDX-License-Identifier: Apache-2.0 */
/* Which pictures a route takes. Read with the catalog, immutable after. */
#ifndef VG_SERVICE_IMAGE_RULES_H
#define VG_SERVICE_IMAGE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "service/extent.h"

/* Bits of vg_image_rules.types. */
enum vg_image_type {
    VG_IMAGE_PNG = 1,
    VG_IMAGE_JPEG = 2,
    VG_IMAGE_WEBP = 4,
    VG_IMAGE_GIF = 8,
};

struct vg_image_rules {
    unsigned types; /* enum vg_image_type */
    int64_t max_bytes;
    int32_t min_side, max_side;    /* pixels */
    double min_aspect, max_aspect; /* width over height; 0: any */
    bool match_size;               /* has the size of the video */
};

/* What is said of a route that says nothing. */
void vg_image_rules_default(struct vg_image_rules *out);

/* Whether they take the picture of a video of `video` size. If not, what is wrong goes to `why`
 * (NULL: nobody asks). */
struct vg_picture;
bool vg_image_fits(const struct vg_image_rules *rules, const struct vg_picture *picture,
                   struct vg_size video, struct vg_buf *why);

struct vg_catalog_reader;
struct vg_json;
/* Reads "images" into them. Fails by the reader. */
int vg_catalog_read_images(struct vg_catalog_reader *r, const struct vg_json *value,
                           struct vg_image_rules *out);

#endif
