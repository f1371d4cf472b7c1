/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox's videos show: a flowing background, the prompt on a panel, labels with a
 * timecode, reference pictures as insets, the given first and last frame. Pure: the same
 * description gives the same frames. Or what becomes of a given video. One thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_SCENE_H
#define VG_WORKERS_PROVIDERS_SANDBOX_SCENE_H

#include <stdbool.h>

#include "common/err.h"
#include "workers/providers/sandbox/picture.h"

#define VG_SCENE_FPS 24
#define VG_SCENE_INSETS 3

struct vg_scene;

struct vg_scene_desc {
    int width, height; /* even */
    int seconds;
    int seed;           /* variety among the outputs of one prompt */
    bool still;         /* nothing moves: for clips that must be small */
    const char *prompt; /* UTF-8 */
    const char *model;  /* UTF-8 */
    const char *font_file;
    struct vg_view first_frame, last_frame; /* image bytes; empty: none */
    struct vg_view insets[VG_SCENE_INSETS];
    struct vg_view source; /* an MP4: an edit shows it in other colours, an extension goes on where
                              it ends; empty: none */
    bool extend;           /* with a source */
};

VG_MUSTCHECK int vg_scene_new(struct vg_scene **out, const struct vg_scene_desc *desc,
                              struct vg_err *err);
struct vg_scene *vg_scene_free(struct vg_scene *scene);
int vg_scene_frames(const struct vg_scene *scene);
/* Draws frame `number` (0 ..) onto a picture of the scene's size; with a source, in rising order.
 */
void vg_scene_draw(struct vg_scene *scene, int number, struct vg_picture *picture);

#endif
