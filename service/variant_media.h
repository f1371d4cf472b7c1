/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of a video: a thumbnail, a spritesheet. The same bytes each time for the same file
 * and libraries. Any thread; blocks.
 *
 *   thumbnail    image/webp, at most 640 wide and 1,280 high: the frame at a tenth of the length,
 *                or, where that is black, the first of some later ones that is not
 *   spritesheet  image/jpeg, 5 columns and 4 rows of pictures 160 wide, row by row; picture i
 *                (0 to 19) is the frame at (i + 1/2) / 20 of the length
 */
#ifndef VG_SERVICE_VARIANT_MEDIA_H
#define VG_SERVICE_VARIANT_MEDIA_H

#include "common/buf.h"
#include "service/variant_reader.h"

#define VG_THUMBNAIL_WIDTH 640
#define VG_THUMBNAIL_HEIGHT 1280
#define VG_SHEET_COLUMNS 5
#define VG_SHEET_ROWS 4
#define VG_SHEET_TILE_WIDTH 160
#define VG_SHEET_TILE_HEIGHT 640 /* at most; a picture that would be higher is squeezed */
#define VG_VARIANT_MAX_BYTES ((size_t)16 << 20)

/* Keeps libav quiet and its allocations bounded; once in a process, before the others. */
void vg_variant_media_setup(void);
/* Each appends the file's bytes to `out`, or fails with VG_ERR_NO_VARIANT; the detail is for
 * operators. */
VG_MUSTCHECK int vg_variant_thumbnail(const struct vg_variant_source *source, struct vg_buf *out,
                                      struct vg_err *err);
VG_MUSTCHECK int vg_variant_spritesheet(const struct vg_variant_source *source, struct vg_buf *out,
                                        struct vg_err *err);

#endif
