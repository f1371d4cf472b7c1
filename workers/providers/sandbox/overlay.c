/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/overlay.h"

#include <math.h>
#include <stdlib.h>

#include "common/mem.h"

#define PANEL_ALPHA 150
#define WHITE 235
#define BLACK 16

/* out = below * keep / 256 + add; chroma goes to grey as luma is covered. */
struct vg_overlay {
    int width, height;   /* even */
    uint16_t *keep;      /* owned, 0..256 */
    uint8_t *add;        /* owned */
    uint16_t *keep_half; /* owned, for chroma */
};

/* Coverage 0..1 of a rounded rectangle at a pixel's centre. */
static double corner(int x, int y, int width, int height, double radius)
{
    double cx = x + 0.5;
    double cy = y + 0.5;
    double dx = cx < radius ? radius - cx : cx > width - radius ? cx - (width - radius) : 0;
    double dy = cy < radius ? radius - cy : cy > height - radius ? cy - (height - radius) : 0;
    double outside = sqrt(dx * dx + dy * dy) - radius + 0.5;
    return outside <= 0 ? 1 : outside >= 1 ? 0 : 1 - outside;
}

static void fill(struct vg_overlay *self, const struct vg_mask *text, int pad)
{
    double radius = pad * 0.8;
    for (int y = 0; y < self->height; y++) {
        for (int x = 0; x < self->width; x++) {
            size_t at = (size_t)y * (size_t)self->width + (size_t)x;
            int tx = x - pad;
            int ty = y - pad;
            bool inside = tx >= 0 && ty >= 0 && tx < text->width && ty < text->height;
            int t = inside ? text->data[(size_t)ty * (size_t)text->width + (size_t)tx] : 0;
            int p = (int)(PANEL_ALPHA * corner(x, y, self->width, self->height, radius));
            int below = (255 - p) * (255 - t) / 255;
            self->keep[at] = (uint16_t)((below * 256 + 127) / 255);
            self->add[at] = (uint8_t)((WHITE * t + BLACK * p * (255 - t) / 255 + 127) / 255);
        }
    }
}

static void halve(struct vg_overlay *self)
{
    int half = self->width / 2;
    for (int y = 0; y < self->height / 2; y++) {
        for (int x = 0; x < half; x++) {
            const uint16_t *k = self->keep + (ptrdiff_t)y * 2 * self->width + (ptrdiff_t)x * 2;
            int sum = k[0] + k[1] + k[self->width] + k[self->width + 1];
            self->keep_half[(ptrdiff_t)y * half + x] = (uint16_t)(sum / 4);
        }
    }
}

struct vg_overlay *vg_overlay_new(const struct vg_mask *text, int pad)
{
    struct vg_overlay *self = vg_xalloc(sizeof(*self));
    self->width = (text->width + 2 * pad + 1) / 2 * 2;
    self->height = (text->height + 2 * pad + 1) / 2 * 2;
    size_t size = (size_t)self->width * (size_t)self->height;
    self->keep = vg_xcalloc(size, sizeof(*self->keep));
    self->add = vg_xalloc(size);
    self->keep_half = vg_xcalloc(size / 4, sizeof(*self->keep_half));
    fill(self, text, pad);
    halve(self);
    return self;
}

struct vg_overlay *vg_overlay_free(struct vg_overlay *overlay)
{
    if (overlay) {
        free(overlay->keep);
        free(overlay->add);
        free(overlay->keep_half);
    }
    free(overlay);
    return NULL;
}

int vg_overlay_width(const struct vg_overlay *overlay)
{
    return overlay->width;
}

int vg_overlay_height(const struct vg_overlay *overlay)
{
    return overlay->height;
}

static void lay_luma(uint8_t *to, const uint16_t *keep, const uint8_t *add, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (uint8_t)((to[i] * keep[i] >> 8) + add[i]);
}

static void lay_chroma(uint8_t *to, const uint16_t *keep, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (uint8_t)((to[i] * keep[i] + 128 * (256 - keep[i])) >> 8);
}

void vg_overlay_lay(const struct vg_overlay *overlay, struct vg_picture *picture, int x, int y)
{
    x = x < 0 ? 0 : x / 2 * 2;
    y = y < 0 ? 0 : y / 2 * 2;
    int width = picture->width - x < overlay->width ? picture->width - x : overlay->width;
    int height = picture->height - y < overlay->height ? picture->height - y : overlay->height;
    for (int row = 0; row < height; row++) {
        ptrdiff_t from = (ptrdiff_t)row * overlay->width;
        lay_luma(picture->y + (ptrdiff_t)(y + row) * picture->width + x, overlay->keep + from,
                 overlay->add + from, width);
    }
    for (int row = 0; row < height / 2; row++) {
        const uint16_t *keep = overlay->keep_half + (ptrdiff_t)row * (overlay->width / 2);
        ptrdiff_t at = (ptrdiff_t)(y / 2 + row) * (picture->width / 2) + x / 2;
        lay_chroma(picture->u + at, keep, width / 2);
        lay_chroma(picture->v + at, keep, width / 2);
    }
}
