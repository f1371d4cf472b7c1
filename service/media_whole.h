/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a picture is all there: its pieces follow each other up to the mark that ends it. What
 * stands behind that mark does not matter. Pure. */
#ifndef VG_SERVICE_MEDIA_WHOLE_H
#define VG_SERVICE_MEDIA_WHOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `data` begins as its kind does (vg_media_sniff). */
bool vg_png_whole(const uint8_t *data, size_t len);
bool vg_jpeg_whole(const uint8_t *data, size_t len);
bool vg_webp_whole(const uint8_t *data, size_t len);
bool vg_gif_whole(const uint8_t *data, size_t len);

#endif
