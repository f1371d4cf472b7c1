/* SPDX-License-Identifier: Apache-2.0 */
/* What validate.c asks of resolve.c: routes for a request. Private to the two. */
#ifndef VG_SERVICE_VALIDATE_PRIV_H
#define VG_SERVICE_VALIDATE_PRIV_H

#include "service/extra.h"
#include "service/validate.h"

/* What the caller asked for, with presence. */
struct vg_ask {
    struct vg_catalog_pick pick;
    bool has_size;
    struct vg_size size;
    int32_t seconds; /* 0: not given */
    bool has_audio;
    bool audio;
    bool image;
    bool last_frame;
    int32_t references;
    const char *reference_param; /* the name they came under; NULL: none came */
    int32_t reference_videos;
    int32_t reference_audios;
    const struct vg_picture *pictures; /* what they have turned out to be; NULL: not known yet */
    size_t picture_count;
    struct vg_extra extra;
    struct vg_arena *arena;      /* for what of these a route takes; NULL: there are none */
    enum vg_operation operation; /* with a source, whose size and sound are asked for */
    int32_t source_seconds;
    struct vg_extension_source source;
    bool any_maker; /* whoever made the source: no real provider sees it */
};

/* Fills routes, size, seconds, audio, deadline and price of `job`. */
VG_MUSTCHECK int vg_resolve_routes(const struct vg_validate_env *env, const struct vg_ask *ask,
                                   struct vg_job *job, struct vg_err *err);

#endif
