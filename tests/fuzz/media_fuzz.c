/* SPDX-License-Identifier: Apache-2.0 */
/* Sniffing of pictures: reads within bounds; what it accepts has a type and a size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "service/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_media_info info = {NULL, 0, 0};
    struct vg_err err;
    uint8_t *exact =
        vg_xalloc(size + 1); /* a copy of its own, so that a read past the end is seen */

    if (size > 0)
        memcpy(exact, data, size);
    uint8_t *tight = realloc(exact, size ? size : 1);
    VG_ASSERT(tight != NULL);
    if (vg_media_sniff(tight, size, &info))
        VG_ASSERT(info.mime_type && info.width > 0 && info.height > 0);
    if (vg_media_judge((struct vg_view){(const char *)tight, size}, "image", &info, &err) == 0)
        VG_ASSERT(info.width <= VG_PICTURE_MAX_SIDE && info.height <= VG_PICTURE_MAX_SIDE);
    else
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST);
    free(tight);
    return 0;
}
