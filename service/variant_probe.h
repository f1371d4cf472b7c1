/* SPDX-License-Identifier: Apache-2.0 */
/* What a video is: size, length and tracks, by decoding its first frame. Blocks for as long as that
 * takes; any thread. */
#ifndef VG_SERVICE_VARIANT_PROBE_H
#define VG_SERVICE_VARIANT_PROBE_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "service/variant_reader.h"

struct vg_variant_info {
    int32_t width, height; /* pixels */
    int32_t seconds;       /* whole ones, rounded; at least 1 */
};

/* A caller's, in memory: 5 s at most. Fails with VG_ERR_INVALID_REQUEST, naming `param`. */
VG_MUSTCHECK int vg_variant_probe(struct vg_view bytes, const char *param,
                                  struct vg_variant_info *out, struct vg_err *err);
/* Any, until its source says stop. Fails with VG_ERR_NO_VARIANT when no picture can be had of it or
 * it has no length; the detail is for operators. */
VG_MUSTCHECK int vg_variant_probe_source(const struct vg_variant_source *source,
                                         struct vg_variant_facts *out, struct vg_err *err);

#endif
