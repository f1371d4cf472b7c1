/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures out of a stored video, through libavformat and libavcodec.
 *
 * The file is a provider's and not to be trusted: only the formats and decoders that a provider can
 * be expected to use are open to it, nothing but its own bytes is read, and size, length, frames
 * and time are bounded. One thread at a time; blocks. */
#ifndef VG_SERVICE_VARIANT_READER_H
#define VG_SERVICE_VARIANT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define VG_VARIANT_MAX_SIDE 8192                     /* pixels */
#define VG_VARIANT_MAX_PIXELS (INT64_C(4096) * 2304) /* of a frame; a decoder holds a dozen */
#define VG_VARIANT_MAX_SECONDS 3600
#define VG_VARIANT_MAX_FRAMES 20000 /* decoded for one variant */

/* The file's bytes, and when to give up. */
struct vg_variant_source {
    void *ctx;
    int64_t size;
    /* Up to `len` bytes at `offset`; less only at the end. -1: the disk failed. */
    int (*read)(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len);
    /* Asked often; true: end now. */
    bool (*stop)(void *ctx);
    bool any_size; /* one whose frames are too large to decode can be opened, for its facts */
};

/* What a file says of itself. */
struct vg_variant_facts {
    int32_t width, height;
    int64_t length_us;
    bool has_audio;
    bool decodable;    /* its frames are within the limits */
    const char *codec; /* of the pictures, e.g. "h264"; a literal */
};

struct AVFrame;
struct vg_variant_reader;

/* Fails with VG_ERR_NO_VARIANT, the detail is for operators. `source` is borrowed until close. */
VG_MUSTCHECK int vg_variant_reader_open(struct vg_variant_reader **out,
                                        const struct vg_variant_source *source, struct vg_err *err);
/* NULL is fine. */
struct vg_variant_reader *vg_variant_reader_close(struct vg_variant_reader *reader);
/* Microseconds; at least 1. */
int64_t vg_variant_reader_length(const struct vg_variant_reader *reader);
struct vg_variant_facts vg_variant_reader_facts(const struct vg_variant_reader *reader);
/* The first frame at or behind `at_us` from the beginning, or the last one there is; times must not
 * go back. Borrowed until the next call. Fails as open. */
VG_MUSTCHECK int vg_variant_reader_frame(struct vg_variant_reader *reader, int64_t at_us,
                                         const struct AVFrame **out, struct vg_err *err);

#endif
