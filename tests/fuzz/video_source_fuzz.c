/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes given as the source of an edit: refused, or frames up to an end. */
#include <libavutil/log.h>
#include <stdint.h>

#include "workers/providers/sandbox/source.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    av_log_set_level(AV_LOG_QUIET);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_view bytes = {(const char *)data, size};
    struct vg_source *source;
    const struct vg_picture *frame;

    if (vg_source_open(&source, bytes, 64, 36, NULL) != 0)
        return 0;
    for (int i = 0; i < 48; i++) {
        (void)vg_source_at(source, (double)i / 24, &frame);
        VG_ASSERT(frame && frame->width == 64 && frame->height == 36);
    }
    vg_source_free(source);
    return 0;
}
