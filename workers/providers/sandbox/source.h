/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a given MP4, at the sandbox's own rate and size: what an edit or an extension
 * starts from. One frame is in memory at a time. The bytes are not trusted: container, codecs,
 * size, length and number of frames are bounded. One thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_SOURCE_H
#define VG_WORKERS_PROVIDERS_SANDBOX_SOURCE_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "workers/providers/sandbox/picture.h"

#define VG_SOURCE_MAX_BYTES ((size_t)64 << 20)

struct vg_source;

/* Opens the bytes (borrowed until free) and decodes the first frame, scaled into width x height
 * with black bars. Fails with VG_ERR_INVALID_REQUEST, `param` "video". */
VG_MUSTCHECK int vg_source_open(struct vg_source **out, struct vg_view bytes, int width, int height,
                                struct vg_err *err);
struct vg_source *vg_source_free(struct vg_source *source);
/* The frame that is shown at `seconds` from the start; they must not fall from call to call. False
 * once the source has ended before: then it is the last frame. Borrowed until the next call. */
bool vg_source_at(struct vg_source *source, double seconds, const struct vg_picture **out);

#endif
