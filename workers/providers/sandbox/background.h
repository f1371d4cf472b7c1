/* SPDX-License-Identifier: Apache-2.0 */
/* A flowing colour gradient with drifting lights; colours come from a seed. Pure, one thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_BACKGROUND_H
#define VG_WORKERS_PROVIDERS_SANDBOX_BACKGROUND_H

#include <stdint.h>

#include "common/err.h"
#include "workers/providers/sandbox/picture.h"

struct vg_background;

VG_MUSTCHECK int vg_background_new(struct vg_background **out, int width, int height, uint64_t seed,
                                   struct vg_err *err);
struct vg_background *vg_background_free(struct vg_background *background);
/* Fills the whole picture as it looks at `time` seconds. */
void vg_background_draw(struct vg_background *self, double time, struct vg_picture *picture);

#endif
