/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the media tests: pictures to give in, and what a clip really holds. Failures are
 * assertions. */
#ifndef VG_TESTS_UNIT_WORKERS_MEDIA_H
#define VG_TESTS_UNIT_WORKERS_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "workers/providers/sandbox/picture.h"

#define TEST_FONT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

/* A smooth coloured picture as a file of this encoder ("png", "mjpeg", "libwebp"); `variant`
 * changes the colours. */
void test_picture(struct vg_buf *out, const char *encoder, int width, int height, int variant);
/* A PNG whose left half is white and opaque, the right half white and fully transparent. */
void test_half_transparent(struct vg_buf *out, int width, int height);

struct test_clip {
    int streams;
    int width, height, channels, sample_rate;
    bool h264, aac;
    int frames;                               /* decoded */
    double duration;                          /* of the container, seconds */
    double video, audio;                      /* of the tracks, seconds */
    bool index_first;                         /* moov stands before mdat */
    struct vg_picture *first, *middle, *last; /* decoded frames; freed by test_clip_fini */
};
void test_clip_probe(struct test_clip *out, const char *path);
void test_clip_fini(struct test_clip *clip);

/* Peak signal-to-noise ratio of the luma planes in dB; 99 when equal. */
double test_psnr(const struct vg_picture *a, const struct vg_picture *b);

#endif
