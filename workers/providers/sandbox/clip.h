/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one MP4 file: H.264 by x264, stereo AAC when asked, index in front. One thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_CLIP_H
#define VG_WORKERS_PROVIDERS_SANDBOX_CLIP_H

#include <stdbool.h>

#include "common/err.h"
#include "workers/providers/sandbox/picture.h"

#define VG_CLIP_SAMPLE_RATE 48000

struct vg_clip;

struct vg_clip_desc {
    const char *path; /* replaced when there */
    int width, height;
    int fps;
    bool audio;
    bool small; /* as few bytes as possible */
};

VG_MUSTCHECK int vg_clip_open(struct vg_clip **out, const struct vg_clip_desc *desc,
                              struct vg_err *err);
/* One frame; `key` makes it a key frame. */
VG_MUSTCHECK int vg_clip_video(struct vg_clip *clip, const struct vg_picture *picture, bool key,
                               struct vg_err *err);
/* Sound, any number of samples per channel; only when opened with `audio`. */
VG_MUSTCHECK int vg_clip_audio(struct vg_clip *clip, const float *left, const float *right,
                               int count, struct vg_err *err);
/* Writes what is left and the index. The file is whole only when this succeeds; vg_clip_free is
 * still due. */
VG_MUSTCHECK int vg_clip_finish(struct vg_clip *clip, struct vg_err *err);
struct vg_clip *vg_clip_free(struct vg_clip *clip);

#endif
