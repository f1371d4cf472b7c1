/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/picture.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct vg_picture *vg_picture_new(int width, int height)
{
    VG_ASSERT(width >= 2 && height >= 2 && width % 2 == 0 && height % 2 == 0);
    VG_ASSERT(width <= VG_PICTURE_MAX_SIDE && height <= VG_PICTURE_MAX_SIDE);
    struct vg_picture *picture = vg_xalloc(sizeof(*picture));
    size_t luma = (size_t)width * (size_t)height;
    picture->width = width;
    picture->height = height;
    picture->y = vg_xalloc(luma + luma / 2);
    picture->u = picture->y + luma;
    picture->v = picture->u + luma / 4;
    memset(picture->y, 16, luma);
    memset(picture->u, 128, luma / 2);
    return picture;
}

struct vg_picture *vg_picture_free(struct vg_picture *picture)
{
    if (picture)
        free(picture->y);
    free(picture);
    return NULL;
}

void vg_picture_mix(struct vg_picture *dst, const struct vg_picture *a, const struct vg_picture *b,
                    int weight)
{
    size_t luma = (size_t)dst->width * (size_t)dst->height;
    size_t size = luma + luma / 2;
    uint16_t wa = (uint16_t)weight;
    uint16_t wb = (uint16_t)(256 - weight);
    const uint8_t *pa = a->y;
    const uint8_t *pb = b->y;
    uint8_t *out = dst->y;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)((pa[i] * wa + pb[i] * wb + 128) >> 8);
}

static void paste_plane(uint8_t *dst, int dst_stride, const uint8_t *src, int src_stride, int rows)
{
    for (int row = 0; row < rows; row++)
        memcpy(dst + (ptrdiff_t)row * dst_stride, src + (ptrdiff_t)row * src_stride,
               (size_t)src_stride);
}

void vg_picture_paste(struct vg_picture *dst, const struct vg_picture *src, int x, int y)
{
    VG_ASSERT(x >= 0 && y >= 0 && x % 2 == 0 && y % 2 == 0);
    VG_ASSERT(x + src->width <= dst->width && y + src->height <= dst->height);
    int half = dst->width / 2;
    ptrdiff_t at = (ptrdiff_t)(y / 2) * half + x / 2;
    paste_plane(dst->y + (ptrdiff_t)y * dst->width + x, dst->width, src->y, src->width,
                src->height);
    paste_plane(dst->u + at, half, src->u, src->width / 2, src->height / 2);
    paste_plane(dst->v + at, half, src->v, src->width / 2, src->height / 2);
}

/* --- decoding --- */

struct picture_format {
    const char *name;
    const char *magic;
    size_t at, len;
    enum AVCodecID codec;
};
static const struct picture_format formats[] = {
    {"PNG", "\x89PNG\r\n\x1a\n", 0, 8, AV_CODEC_ID_PNG},
    {"JPEG", "\xff\xd8\xff", 0, 3, AV_CODEC_ID_MJPEG},
    {"WebP", "WEBP", 8, 4, AV_CODEC_ID_WEBP},
};

static const struct picture_format *format_of(struct vg_view bytes)
{
    for (size_t i = 0; i < VG_COUNT(formats); i++) {
        const struct picture_format *f = &formats[i];
        if (bytes.len >= f->at + f->len && memcmp(bytes.data + f->at, f->magic, f->len) == 0)
            return f;
    }
    return NULL;
}

/* Some formats give nothing until they are flushed. */
static int decode_packet(AVCodecContext *ctx, AVPacket *packet, AVFrame *frame)
{
    int rc = avcodec_send_packet(ctx, packet);
    if (rc < 0)
        return rc;
    rc = avcodec_receive_frame(ctx, frame);
    if (rc != AVERROR(EAGAIN))
        return rc;
    rc = avcodec_send_packet(ctx, NULL);
    return rc < 0 ? rc : avcodec_receive_frame(ctx, frame);
}

static int decode_frame(AVFrame *frame, enum AVCodecID id, struct vg_view bytes)
{
    int rc = AVERROR(ENOMEM);
    const AVCodec *codec = avcodec_find_decoder(id);
    AVCodecContext *ctx = codec ? avcodec_alloc_context3(codec) : NULL;
    AVPacket *packet = av_packet_alloc();
    if (!ctx || !packet)
        goto out;
    ctx->max_pixels = (int64_t)VG_PICTURE_MAX_SIDE * VG_PICTURE_MAX_SIDE;
    ctx->thread_count = 1;
    ctx->err_recognition = AV_EF_CRCCHECK | AV_EF_BUFFER | AV_EF_EXPLODE;
    rc = avcodec_open2(ctx, codec, NULL);
    if (rc < 0)
        goto out;
    /* The decoder wants padding behind the bytes: av_new_packet adds it. */
    rc = av_new_packet(packet, (int)bytes.len);
    if (rc < 0)
        goto out;
    memcpy(packet->data, bytes.data, bytes.len);
    rc = decode_packet(ctx, packet, frame);
out:
    av_packet_free(&packet);
    avcodec_free_context(&ctx);
    return rc;
}

/* The full-range "J" formats are obsolete names: the plain name plus a range says the same. */
static enum AVPixelFormat plain_format(const AVFrame *frame, int *full_range)
{
    static const struct {
        enum AVPixelFormat from, to;
    } names[] = {{AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P},
                 {AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P},
                 {AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P},
                 {AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P},
                 {AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P}};
    *full_range = frame->color_range == AVCOL_RANGE_JPEG;
    for (size_t i = 0; i < VG_COUNT(names); i++) {
        if (names[i].from == frame->format) {
            *full_range = 1;
            return names[i].to;
        }
    }
    return (enum AVPixelFormat)frame->format;
}

static int even_at_least_2(int64_t value)
{
    return value < 2 ? 2 : (int)(value & ~INT64_C(1));
}

static void fitted_size(const AVFrame *frame, int width, int height, int *out_w, int *out_h)
{
    if ((int64_t)frame->width * height >= (int64_t)frame->height * width) {
        *out_w = width;
        *out_h = even_at_least_2((int64_t)frame->height * width / frame->width);
    } else {
        *out_w = even_at_least_2((int64_t)frame->width * height / frame->height);
        *out_h = height;
    }
}

/* Scales to YUVA 4:2:0 of exactly w x h. */
static int scale_frame(AVFrame *scaled, const AVFrame *frame, int w, int h)
{
    int full_range;
    enum AVPixelFormat format = plain_format(frame, &full_range);
    int smaller = w < frame->width || h < frame->height;
    struct SwsContext *sws =
        sws_getContext(frame->width, frame->height, format, w, h, AV_PIX_FMT_YUVA420P,
                       (smaller ? SWS_AREA : SWS_BICUBIC) | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP,
                       NULL, NULL, NULL);
    if (!sws)
        return AVERROR(EINVAL);
    /* Still pictures are BT.601; what we encode is tagged BT.709. */
    (void)sws_setColorspaceDetails(sws, sws_getCoefficients(SWS_CS_ITU601), full_range,
                                   sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
    scaled->width = w;
    scaled->height = h;
    scaled->format = AV_PIX_FMT_YUVA420P;
    int rc = av_frame_get_buffer(scaled, 0);
    if (rc >= 0)
        rc = sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                       scaled->data, scaled->linesize);
    sws_freeContext(sws);
    return rc;
}

static uint8_t over(uint8_t value, uint8_t below, uint8_t alpha)
{
    return (uint8_t)((value * alpha + below * (255 - alpha) + 127) / 255);
}

/* Lays the scaled frame over black at (x, y). */
static void lay(struct vg_picture *dst, const AVFrame *src, int x, int y)
{
    for (int row = 0; row < src->height; row++) {
        const uint8_t *alpha = src->data[3] + (ptrdiff_t)row * src->linesize[3];
        const uint8_t *from = src->data[0] + (ptrdiff_t)row * src->linesize[0];
        uint8_t *to = dst->y + (ptrdiff_t)(y + row) * dst->width + x;
        for (int col = 0; col < src->width; col++)
            to[col] = over(from[col], 16, alpha[col]);
    }
    for (int row = 0; row < src->height / 2; row++) {
        const uint8_t *alpha = src->data[3] + (ptrdiff_t)row * 2 * src->linesize[3];
        const uint8_t *u = src->data[1] + (ptrdiff_t)row * src->linesize[1];
        const uint8_t *v = src->data[2] + (ptrdiff_t)row * src->linesize[2];
        ptrdiff_t at = (ptrdiff_t)(y / 2 + row) * (dst->width / 2) + x / 2;
        for (int col = 0; col < src->width / 2; col++) {
            uint8_t a = alpha[(ptrdiff_t)col * 2];
            dst->u[at + col] = over(u[col], 128, a);
            dst->v[at + col] = over(v[col], 128, a);
        }
    }
}

static int fit_frame(struct vg_picture **out, const AVFrame *frame, int width, int height,
                     enum vg_picture_fit fit)
{
    int w;
    int h;
    fitted_size(frame, width, height, &w, &h);
    AVFrame *scaled = av_frame_alloc();
    int rc = scaled ? scale_frame(scaled, frame, w, h) : AVERROR(ENOMEM);
    if (rc >= 0) {
        bool bars = fit == VG_PICTURE_LETTERBOX;
        *out = bars ? vg_picture_new(width, height) : vg_picture_new(w, h);
        lay(*out, scaled, bars ? (width - w) / 4 * 2 : 0, bars ? (height - h) / 4 * 2 : 0);
    }
    av_frame_free(&scaled);
    return rc;
}

int vg_picture_decode(struct vg_picture **out, struct vg_view bytes, int width, int height,
                      enum vg_picture_fit fit, const char *param, struct vg_err *err)
{
    if (bytes.len == 0 || bytes.len > VG_PICTURE_MAX_BYTES)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "%s: the picture is empty or larger than 20 MiB.", param);
    const struct picture_format *format = format_of(bytes);
    if (!format)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "%s: the picture is not PNG, JPEG or WebP.", param);
    AVFrame *frame = av_frame_alloc();
    int rc = frame ? decode_frame(frame, format->codec, bytes) : AVERROR(ENOMEM);
    int result = 0;
    if (rc < 0 || frame->width < 1 || frame->height < 1)
        result = vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                              "%s: the %s picture is damaged or cannot be decoded.", param,
                              format->name);
    else if (frame->width > VG_PICTURE_MAX_SIDE || frame->height > VG_PICTURE_MAX_SIDE)
        result = vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                              "%s: the picture is larger than %d pixels on a side.", param,
                              VG_PICTURE_MAX_SIDE);
    else if (fit_frame(out, frame, width, height, fit) < 0)
        result = vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                              "%s: the picture cannot be scaled to %dx%d.", param, width, height);
    av_frame_free(&frame);
    return result;
}
