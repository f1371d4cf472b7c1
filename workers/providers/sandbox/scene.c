/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "workers/providers/sandbox/background.h"
#include "workers/providers/sandbox/overlay.h"
#include "workers/providers/sandbox/source.h"
#include "workers/providers/sandbox/text.h"

#define FADE_FRAMES 12 /* half a second */

struct vg_scene {
    int width, height, unit; /* unit: the shorter side, from which all sizes come */
    int seconds;
    bool still;
    struct vg_text *text;                       /* owned */
    struct vg_background *background;           /* owned */
    struct vg_overlay *prompt, *label;          /* owned */
    struct vg_picture *first, *last;            /* owned; NULL: none */
    struct vg_picture *insets[VG_SCENE_INSETS]; /* owned; with their frames */
    struct vg_source *source;                   /* owned; NULL: none */
    bool extend;
    int turn; /* extension: the first frame behind the source; -1: not there yet */
};

static int at_least(int value, int least)
{
    return value < least ? least : value;
}

static struct vg_overlay *new_panel(struct vg_scene *self, const char *text, struct vg_text_box box,
                                    int pad)
{
    struct vg_mask *mask = vg_text_draw(self->text, text, box);
    struct vg_overlay *overlay = vg_overlay_new(mask, pad);
    vg_mask_free(mask);
    return overlay;
}

static void make_panels(struct vg_scene *self, const struct vg_scene_desc *desc)
{
    int pad = at_least(self->unit / 36, 2);
    int tallest = self->height * (self->width > self->height ? 36 : 30) / 100;
    struct vg_text_box box = {at_least(self->width * 84 / 100 - 2 * pad, 16),
                              at_least(tallest - 2 * pad, 8), at_least(self->unit / 17, 8),
                              at_least(self->unit / 44, 6)};
    self->prompt = new_panel(self, desc->prompt, box, pad);
    char label[256];
    (void)snprintf(label, sizeof(label), "%.120s \xc2\xb7 %dx%d \xc2\xb7 %d s", desc->model,
                   self->width, self->height, self->seconds);
    struct vg_text_box line = {at_least(self->width * 55 / 100, 16), at_least(self->unit / 26, 8),
                               at_least(self->unit / 36, 7), at_least(self->unit / 60, 5)};
    self->label = new_panel(self, label, line, at_least(pad / 2, 2));
}

static struct vg_picture *framed(const struct vg_picture *picture, int border)
{
    struct vg_picture *frame =
        vg_picture_new(picture->width + 2 * border, picture->height + 2 * border);
    memset(frame->y, 235, (size_t)frame->width * (size_t)frame->height);
    vg_picture_paste(frame, picture, border, border);
    return frame;
}

static int load_insets(struct vg_scene *self, const struct vg_scene_desc *desc, struct vg_err *err)
{
    int side = at_least(self->unit / 5 / 2 * 2, 4);
    int border = at_least(self->unit / 360 * 2, 2);
    for (int i = 0; i < VG_SCENE_INSETS; i++) {
        struct vg_picture *picture;
        if (!desc->insets[i].len)
            continue;
        if (vg_picture_decode(&picture, desc->insets[i], side, side, VG_PICTURE_INSET,
                              "reference_images", err))
            return -1;
        self->insets[i] = framed(picture, border);
        vg_picture_free(picture);
    }
    return 0;
}

static int load_pictures(struct vg_scene *self, const struct vg_scene_desc *desc,
                         struct vg_err *err)
{
    const struct {
        struct vg_view bytes;
        struct vg_picture **out;
        const char *param;
    } frames[] = {{desc->first_frame, &self->first, "first_frame"},
                  {desc->last_frame, &self->last, "last_frame"}};
    for (size_t i = 0; i < VG_COUNT(frames); i++) {
        if (frames[i].bytes.len &&
            vg_picture_decode(frames[i].out, frames[i].bytes, self->width, self->height,
                              VG_PICTURE_LETTERBOX, frames[i].param, err))
            return -1;
    }
    if (desc->source.len &&
        vg_source_open(&self->source, desc->source, self->width, self->height, err))
        return -1;
    return load_insets(self, desc, err);
}

int vg_scene_new(struct vg_scene **out, const struct vg_scene_desc *desc, struct vg_err *err)
{
    struct vg_scene *self = vg_xalloc(sizeof(*self));
    self->width = desc->width;
    self->height = desc->height;
    self->unit = desc->width < desc->height ? desc->width : desc->height;
    self->seconds = desc->seconds;
    self->still = desc->still;
    self->extend = desc->extend;
    self->turn = -1;
    /* Colours follow from the prompt. */
    uint64_t seed = vg_fnv1a(vg_view_of(desc->prompt), (uint64_t)(uint32_t)desc->seed << 32);
    if (vg_text_open(&self->text, desc->font_file, err) || load_pictures(self, desc, err) ||
        vg_background_new(&self->background, desc->width, desc->height, seed, err)) {
        vg_scene_free(self);
        return -1;
    }
    make_panels(self, desc);
    *out = self;
    return 0;
}

struct vg_scene *vg_scene_free(struct vg_scene *scene)
{
    if (!scene)
        return NULL;
    vg_text_close(scene->text);
    vg_background_free(scene->background);
    vg_overlay_free(scene->prompt);
    vg_overlay_free(scene->label);
    vg_source_free(scene->source);
    vg_picture_free(scene->first);
    vg_picture_free(scene->last);
    for (int i = 0; i < VG_SCENE_INSETS; i++)
        vg_picture_free(scene->insets[i]);
    free(scene);
    return NULL;
}

int vg_scene_frames(const struct vg_scene *scene)
{
    return scene->seconds * VG_SCENE_FPS;
}

/* In a row from the right, or stacked where the picture is narrow. */
static void lay_insets(const struct vg_scene *self, struct vg_picture *picture, int margin)
{
    bool row = self->width > self->height;
    int x = self->width - margin;
    int y = margin / 2 * 2;
    for (int i = 0; i < VG_SCENE_INSETS; i++) {
        const struct vg_picture *inset = self->insets[i];
        if (!inset)
            continue;
        int left = (x - inset->width) / 2 * 2;
        if (left < 0 || y + inset->height > self->height)
            return;
        vg_picture_paste(picture, inset, left, y);
        if (row)
            x -= inset->width + margin / 2;
        else
            y += inset->height + margin / 4 * 2;
    }
}

static void lay_timecode(struct vg_scene *self, struct vg_picture *picture, int number, int x,
                         int y)
{
    char text[32];
    int tenths = number * 10 / VG_SCENE_FPS;
    (void)snprintf(text, sizeof(text), "%d:%02d.%d", tenths / 600, tenths / 10 % 60, tenths % 10);
    struct vg_text_box box = {self->width, self->height, at_least(self->unit / 36, 7), 5};
    struct vg_overlay *overlay = new_panel(self, text, box, at_least(self->unit / 72, 2));
    vg_overlay_lay(overlay, picture, x, y);
    vg_overlay_free(overlay);
}

static void draw_panels(struct vg_scene *self, int number, struct vg_picture *picture)
{
    int margin = at_least(self->unit / 30, 2);
    lay_insets(self, picture, margin);
    vg_overlay_lay(self->label, picture, margin, margin);
    if (!self->still)
        lay_timecode(self, picture, number, margin,
                     margin + vg_overlay_height(self->label) + margin / 4);
    vg_overlay_lay(self->prompt, picture, (self->width - vg_overlay_width(self->prompt)) / 2,
                   self->height - vg_overlay_height(self->prompt) - margin);
}

static void draw_animation(struct vg_scene *self, int number, struct vg_picture *picture)
{
    double time = self->still ? 0 : (double)number / VG_SCENE_FPS;
    vg_background_draw(self->background, time, picture);
    draw_panels(self, number, picture);
}

/* 256 at distance 0, 0 at FADE_FRAMES, smooth at both ends. */
static int fade_weight(int distance)
{
    if (distance >= FADE_FRAMES)
        return 0;
    double t = 1 - (double)distance / FADE_FRAMES;
    return (int)(256 * t * t * (3 - 2 * t) + 0.5);
}

/* Blue for red and red for blue: plain to see, and every shape stays. */
static void recolour(struct vg_picture *picture, const struct vg_picture *source)
{
    size_t chroma = (size_t)(picture->width / 2) * (size_t)(picture->height / 2);
    vg_picture_paste(picture, source, 0, 0);
    memcpy(picture->u, source->v, chroma);
    memcpy(picture->v, source->u, chroma);
}

/* An edit shows the source throughout (its last frame, should it be too short); an extension goes
 * on from its last frame. */
static void draw_source(struct vg_scene *self, int number, struct vg_picture *picture)
{
    const struct vg_picture *frame;
    bool runs = vg_source_at(self->source, (double)number / VG_SCENE_FPS, &frame);
    if (!self->extend) {
        recolour(picture, frame);
        draw_panels(self, number, picture);
        return;
    }
    if (runs && self->turn < 0) {
        vg_picture_paste(picture, frame, 0, 0);
        return;
    }
    if (self->turn < 0)
        self->turn = number;
    draw_animation(self, number, picture);
    int weight = fade_weight(number - self->turn);
    if (weight)
        vg_picture_mix(picture, frame, picture, weight);
}

void vg_scene_draw(struct vg_scene *scene, int number, struct vg_picture *picture)
{
    if (scene->source) {
        draw_source(scene, number, picture);
        return;
    }
    draw_animation(scene, number, picture);
    int first = scene->first ? fade_weight(number) : 0;
    int last = scene->last ? fade_weight(vg_scene_frames(scene) - 1 - number) : 0;
    if (first)
        vg_picture_mix(picture, scene->first, picture, first);
    if (last)
        vg_picture_mix(picture, scene->last, picture, last);
}
