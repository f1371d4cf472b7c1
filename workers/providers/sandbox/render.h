/* SPDX-License-Identifier: Apache-2.0 */
/* From a description to an MP4 file. Pure but for the file: the same description gives the same
 * bytes on one machine. Blocks for seconds; any thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_RENDER_H
#define VG_WORKERS_PROVIDERS_SANDBOX_RENDER_H

#include <stdbool.h>

#include "common/err.h"
#include "workers/providers/sandbox/scene.h"

struct vg_render {
    struct vg_scene_desc scene;
    bool audio;
    const char *path; /* written in place: give a temporary name; on failure it is removed */
    /* Called after each frame with 0..100; false ends the work with VG_ERR_CANCELLED. May be NULL.
     */
    bool (*progress)(void *ctx, int percent);
    void *ctx;
};

VG_MUSTCHECK int vg_render_run(const struct vg_render *render, struct vg_err *err);

#endif
