/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/text.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define MAX_BYTES 4096
#define MAX_LINES 64

struct vg_text {
    FT_Library library; /* owned */
    FT_Face face;       /* owned */
};

int vg_text_open(struct vg_text **out, const char *font_file, struct vg_err *err)
{
    struct vg_text *self = vg_xalloc(sizeof(*self));
    FT_Error rc = FT_Init_FreeType(&self->library);
    if (!rc)
        rc = FT_New_Face(self->library, font_file, 0, &self->face);
    if (rc) {
        vg_text_close(self);
        return vg_err_set(err, VG_ERR_INTERNAL, "The font %s cannot be read (FreeType error %d).",
                          font_file, rc);
    }
    *out = self;
    return 0;
}

struct vg_text *vg_text_close(struct vg_text *text)
{
    if (text && text->face)
        (void)FT_Done_Face(text->face);
    if (text && text->library)
        (void)FT_Done_FreeType(text->library);
    free(text);
    return NULL;
}

struct vg_mask *vg_mask_free(struct vg_mask *mask)
{
    if (mask)
        free(mask->data);
    free(mask);
    return NULL;
}

/* Code points with their advances at the present size; lines are ranges of them. */
struct layout {
    uint32_t *points; /* owned */
    int *advances;    /* owned */
    int count;
    struct line {
        int from, to, width;
    } lines[MAX_LINES];
    int line_count;
    bool cut; /* not all of it fitted */
};

static uint32_t next_point(const unsigned char **at)
{
    const unsigned char *p = *at;
    uint32_t point = *p++;
    int more = point >= 0xf0 ? 3 : point >= 0xe0 ? 2 : point >= 0xc0 ? 1 : 0;
    if (more)
        point &= 0x3fu >> more;
    while (more-- > 0)
        point = point << 6 | (*p++ & 0x3fu);
    *at = p;
    return point;
}

static void decode_text(struct layout *layout, const char *utf8)
{
    size_t len = strnlen(utf8, MAX_BYTES + 4);
    if (len > MAX_BYTES) {
        len = vg_utf8_cut(utf8, MAX_BYTES);
        layout->cut = true;
    }
    /* One place more for the ellipsis. */
    layout->points = vg_xcalloc(len + 1, sizeof(*layout->points));
    layout->advances = vg_xcalloc(len + 1, sizeof(*layout->advances));
    const unsigned char *at = (const unsigned char *)utf8;
    const unsigned char *end = at + len;
    while (at < end) {
        uint32_t point = next_point(&at);
        bool space = point < 0x20 || point == 0x7f || point == ' ' || point == 0xa0;
        if (point == '\n' || !space) {
            layout->points[layout->count++] = point;
        } else if (layout->count && layout->points[layout->count - 1] > ' ') {
            layout->points[layout->count++] = ' ';
        }
    }
    while (layout->count && layout->points[layout->count - 1] <= ' ')
        layout->count--;
}

static int advance_of(struct vg_text *self, uint32_t point)
{
    if (point == '\n' || FT_Load_Char(self->face, point, FT_LOAD_NO_BITMAP))
        return 0;
    return (int)((self->face->glyph->advance.x + 32) >> 6);
}

static void set_size(struct vg_text *self, struct layout *layout, int size)
{
    (void)FT_Set_Pixel_Sizes(self->face, 0, (FT_UInt)size);
    for (int i = 0; i < layout->count; i++)
        layout->advances[i] = advance_of(self, layout->points[i]);
}

static int line_height(const struct vg_text *self)
{
    return (int)((self->face->size->metrics.height + 63) >> 6);
}

/* The end of the line that starts at `from`, and where the next one starts. */
static struct line break_line(const struct layout *layout, int from, int max_width, int *out_next)
{
    struct line line = {from, from, 0};
    int width = 0;
    int i = from;
    for (; i < layout->count && layout->points[i] != '\n'; i++) {
        int advance = layout->advances[i];
        if (layout->points[i] == ' ') {
            line.to = i;
            line.width = width;
        } else if (width + advance > max_width && i > from) {
            break;
        }
        width += advance;
    }
    if (i == layout->count || layout->points[i] == '\n' || line.to == from) {
        line.to = i;
        line.width = width;
    }
    int next = line.to;
    if (next < layout->count && layout->points[next] <= ' ')
        next++;
    *out_next = next;
    return line;
}

/* Whether all of it fitted. */
static bool wrap(struct layout *layout, int max_width, int max_lines)
{
    int at = 0;
    layout->line_count = 0;
    while (at < layout->count && layout->line_count < max_lines)
        layout->lines[layout->line_count++] = break_line(layout, at, max_width, &at);
    return at >= layout->count;
}

/* Takes code points off the last line until the ellipsis fits there. */
static void add_ellipsis(struct vg_text *self, struct layout *layout, int max_width)
{
    if (!layout->line_count)
        return;
    struct line *last = &layout->lines[layout->line_count - 1];
    int advance = advance_of(self, 0x2026);
    while (last->to > last->from && last->width + advance > max_width)
        last->width -= layout->advances[--last->to];
    layout->points[last->to] = 0x2026;
    layout->advances[last->to] = advance;
    last->to++;
    last->width += advance;
}

static void fit(struct vg_text *self, struct layout *layout, struct vg_text_box box)
{
    bool whole = false;
    for (int size = box.size;; size = size * 9 / 10) {
        if (size < box.least_size)
            size = box.least_size;
        set_size(self, layout, size);
        int max_lines = box.height / line_height(self);
        max_lines = max_lines < 1 ? 1 : max_lines > MAX_LINES ? MAX_LINES : max_lines;
        whole = wrap(layout, box.width, max_lines);
        if (whole || size == box.least_size)
            break;
    }
    if (!whole || layout->cut)
        add_ellipsis(self, layout, box.width);
}

static void put_glyph(struct vg_mask *mask, const FT_GlyphSlot glyph, int x, int baseline)
{
    const FT_Bitmap *bitmap = &glyph->bitmap;
    if (bitmap->pixel_mode != FT_PIXEL_MODE_GRAY)
        return;
    int left = x + glyph->bitmap_left;
    int top = baseline - glyph->bitmap_top;
    for (int row = 0; row < (int)bitmap->rows; row++) {
        const uint8_t *from = bitmap->buffer + (ptrdiff_t)row * bitmap->pitch;
        if (top + row < 0 || top + row >= mask->height)
            continue;
        uint8_t *to = mask->data + (ptrdiff_t)(top + row) * mask->width;
        for (int col = 0; col < (int)bitmap->width; col++) {
            int at = left + col;
            if (at >= 0 && at < mask->width && from[col] > to[at])
                to[at] = from[col];
        }
    }
}

static struct vg_mask *paint(struct vg_text *self, const struct layout *layout)
{
    struct vg_mask *mask = vg_xalloc(sizeof(*mask));
    int step = line_height(self);
    int ascender = (int)((self->face->size->metrics.ascender + 63) >> 6);
    for (int i = 0; i < layout->line_count; i++)
        mask->width = layout->lines[i].width > mask->width ? layout->lines[i].width : mask->width;
    mask->width = mask->width < 1 ? 1 : mask->width;
    mask->height = step * (layout->line_count < 1 ? 1 : layout->line_count);
    mask->data = vg_xcalloc((size_t)mask->width, (size_t)mask->height);
    for (int i = 0; i < layout->line_count; i++) {
        const struct line *line = &layout->lines[i];
        int x = 0;
        for (int at = line->from; at < line->to; at++) {
            if (!FT_Load_Char(self->face, layout->points[at], FT_LOAD_RENDER))
                put_glyph(mask, self->face->glyph, x, i * step + ascender);
            x += layout->advances[at];
        }
    }
    return mask;
}

struct vg_mask *vg_text_draw(struct vg_text *text, const char *utf8, struct vg_text_box box)
{
    struct layout *layout = vg_xalloc(sizeof(*layout));
    decode_text(layout, utf8);
    fit(text, layout, box);
    struct vg_mask *mask = paint(text, layout);
    free(layout->points);
    free(layout->advances);
    free(layout);
    return mask;
}
