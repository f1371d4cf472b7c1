/* SPDX-License-Identifier: Apache-2.0 */
/* Text as coverage masks (FreeType). One thread per vg_text. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_TEXT_H
#define VG_WORKERS_PROVIDERS_SANDBOX_TEXT_H

#include <stdint.h>

#include "common/err.h"

struct vg_text; /* one font */

VG_MUSTCHECK int vg_text_open(struct vg_text **out, const char *font_file, struct vg_err *err);
struct vg_text *vg_text_close(struct vg_text *text);

struct vg_mask {
    int width, height;
    uint8_t *data; /* owned; 0 none .. 255 full */
};
struct vg_mask *vg_mask_free(struct vg_mask *mask);

struct vg_text_box {
    int width, height; /* the text must fit; the mask is as large as the text needs */
    int size;          /* pixels */
    int least_size;    /* shrinks to this before the text is cut with an ellipsis */
};
/* Lays out valid UTF-8 (at most the first 4,096 bytes count), wrapped at words; long words are
 * broken. White space is one space, a newline begins a line. */
struct vg_mask *vg_text_draw(struct vg_text *text, const char *utf8, struct vg_text_box box);

#endif
