/* SPDX-License-Identifier: Apache-2.0 */
/* What a video given by a caller is: size and length, by decoding its first frame. Blocks for as
 * long as that takes, 5 s at most; any thread. */
#ifndef VG_SERVICE_VARIANT_PROBE_H
#define VG_SERVICE_VARIANT_PROBE_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct vg_variant_info {
    int32_t width, height; /* pixels */
    int32_t seconds;       /* whole ones, rounded; at least 1 */
};

/* Fails with VG_ERR_INVALID_REQUEST, naming `param`. */
VG_MUSTCHECK int vg_variant_probe(struct vg_view bytes, const char *param,
                                  struct vg_variant_info *out, struct vg_err *err);

#endif
