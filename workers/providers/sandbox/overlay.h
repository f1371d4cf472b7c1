/* SPDX-License-Identifier: Apache-2.0 */
/* A dark rounded panel with white text, prepared once and laid over many frames. Pure, one thread.
 */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_OVERLAY_H
#define VG_WORKERS_PROVIDERS_SANDBOX_OVERLAY_H

#include "workers/providers/sandbox/picture.h"
#include "workers/providers/sandbox/text.h"

struct vg_overlay;

/* The panel is as large as the text and `pad` pixels around it. */
struct vg_overlay *vg_overlay_new(const struct vg_mask *text, int pad);
struct vg_overlay *vg_overlay_free(struct vg_overlay *overlay);
int vg_overlay_width(const struct vg_overlay *overlay);
int vg_overlay_height(const struct vg_overlay *overlay);
/* Left upper corner at (x, y), rounded down to even; what lies outside the picture is cut off. */
void vg_overlay_lay(const struct vg_overlay *overlay, struct vg_picture *picture, int x, int y);

#endif
