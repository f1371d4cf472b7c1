/* SPDX-License-Identifier: Apache-2.0 */
/* Callers' pictures: whatever the bytes, a picture of the asked size or an error. */
#include <libavutil/log.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/providers/sandbox/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_picture *picture;
    struct vg_err err;
    av_log_set_level(AV_LOG_QUIET);
    if (vg_picture_decode(&picture, (struct vg_view){(const char *)data, size}, 64, 48,
                          VG_PICTURE_LETTERBOX, "image", &err) == 0) {
        VG_ASSERT(picture->width == 64 && picture->height == 48);
        vg_picture_free(picture);
    } else {
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST);
    }
    return 0;
}
