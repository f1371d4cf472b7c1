/* SPDX-License-Identifier: Apache-2.0 */
/* Small clips that many jobs share: one per size, length and sound, made when first asked for. Any
 * thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_CLIPS_H
#define VG_WORKERS_PROVIDERS_SANDBOX_CLIPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/err.h"
#include "common/task.h"
#include "workers/providers/sandbox/files.h"

struct vg_sandbox_clips;

/* Strings are borrowed; clips are made on `executor`, which may block. */
struct vg_sandbox_clips *vg_sandbox_clips_new(const char *dir, const char *font_file,
                                              struct vg_executor *executor);
/* After the executor has stopped. */
struct vg_sandbox_clips *vg_sandbox_clips_free(struct vg_sandbox_clips *clips);

/* One wish; embedded in its owner, who gets it back in `done`: at once within the call when the
 * clip is there, else on the executor. */
struct vg_sandbox_clip_get {
    int width, height, seconds;
    bool audio;
    void (*done)(struct vg_sandbox_clip_get *get);
    /* results */
    bool ok;
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
    struct vg_err err;

    struct vg_sandbox_clip_get *next; /* the module's */
};
void vg_sandbox_clips_get(struct vg_sandbox_clips *clips, struct vg_sandbox_clip_get *get);

/* Where the clip stands. */
void vg_sandbox_clip_path(char out[VG_SANDBOX_PATH_SIZE], const char *dir, int width, int height,
                          int seconds, bool audio);

#endif
