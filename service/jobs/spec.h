/* SPDX-License-Identifier: Apache-2.0 */
/* The stored JobSpec as the job machine uses it. Pure; any thread. */
#ifndef VG_SERVICE_JOBS_SPEC_H
#define VG_SERVICE_JOBS_SPEC_H

#include <stddef.h>

#include "common/err.h"
#include "common/mem.h"
#include "service/jobs/generation_fsm.h"
#include "videogate/store/v1/job.pb-c.h"

#define VG_SPEC_MAX_FILES 12 /* two frames, nine references, a source video */
#define VG_TOKEN_SIZE 80

struct vg_spec {
    Videogate__Store__V1__JobSpec *message; /* owned */
    struct vg_fsm_route *routes;            /* from the arena; strings borrowed from `message` */
    size_t route_count;                     /* at least 1 */
};

/* Fails with VG_ERR_INTERNAL when the bytes are not a usable JobSpec. */
VG_MUSTCHECK int vg_spec_open(struct vg_spec *out, const void *data, size_t size,
                              struct vg_arena *arena, struct vg_err *err);
void vg_spec_close(struct vg_spec *spec);

/* The input files in a fixed order: first frame, last frame, references, source video. Returns how
 * many. */
size_t vg_spec_files(const struct vg_spec *spec,
                     const Videogate__Store__V1__MediaRef *out[VG_SPEC_MAX_FILES]);
bool vg_spec_has_first(const struct vg_spec *spec);
bool vg_spec_has_last(const struct vg_spec *spec);

/* "<video id>.<index>-<attempt>": stable for one (generation, attempt), so that a provider with
 * client tokens makes one job of any number of requests; and no other deployment's, though it may
 * use the same account. */
void vg_spec_token(char out[VG_TOKEN_SIZE], const char *video_id, int32_t index, int32_t attempt);

#endif
