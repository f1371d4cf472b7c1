/* SPDX-License-Identifier: Apache-2.0 */
#include "service/variant_media.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>

#include "common/mem.h"

#define MAX_ALLOCATION ((size_t)512 << 20)
#define DARK 34         /* luma, where 16 is black */
#define MIN_LIGHT 2     /* per cent of pixels that must not be dark */
#define WEBP_QUALITY 80 /* of 100 */
#define JPEG_QUALITY 4  /* 2 to 31, less is better */

void vg_variant_media_setup(void)
{
    av_log_set_level(AV_LOG_QUIET);
    av_max_alloc(MAX_ALLOCATION);
}

static int failed(struct vg_err *err, const char *what)
{
    return vg_err_set(err, VG_ERR_NO_VARIANT, "%s failed", what);
}

static int even(int64_t n, int least, int most)
{
    n = (n + 1) / 2 * 2;
    return (int)(n < least ? least : n > most ? most : n);
}

/* --- pictures --- */

static AVFrame *new_picture(int width, int height, enum AVPixelFormat format)
{
    AVFrame *picture = av_frame_alloc();

    VG_ASSERT(picture);
    picture->width = width;
    picture->height = height;
    picture->format = format;
    picture->color_range = format == AV_PIX_FMT_YUVJ420P ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    if (av_frame_get_buffer(picture, 0) < 0)
        av_frame_free(&picture); /* which makes it NULL */
    return picture;
}

/* What the file does not say about its colours is guessed as players do. */
static int source_matrix(const AVFrame *frame)
{
    switch (frame->colorspace) {
    case AVCOL_SPC_BT709:
        return SWS_CS_ITU709;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return SWS_CS_BT2020;
    case AVCOL_SPC_SMPTE240M:
        return SWS_CS_SMPTE240M;
    case AVCOL_SPC_UNSPECIFIED:
        return frame->height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601;
    default:
        return SWS_CS_ITU601;
    }
}

/* Both file formats mean BT.601, WebP in the narrow range and JPEG in the full one. */
static int scale(const AVFrame *frame, AVFrame *picture, struct vg_err *err)
{
    enum AVPixelFormat from = (enum AVPixelFormat)frame->format;
    bool full = picture->color_range == AVCOL_RANGE_JPEG;
    int rc = -1;

    if (!sws_isSupportedInput(from))
        return failed(err, "pixel format: scaling");
    struct SwsContext *sws = sws_getContext(frame->width, frame->height, from, picture->width,
                                            picture->height, (enum AVPixelFormat)picture->format,
                                            SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (!sws)
        return failed(err, "scaling");
    (void)sws_setColorspaceDetails(sws, sws_getCoefficients(source_matrix(frame)),
                                   frame->color_range == AVCOL_RANGE_JPEG,
                                   sws_getCoefficients(SWS_CS_ITU601), full, 0, 1 << 16, 1 << 16);
    if (sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                  picture->data, picture->linesize) == picture->height)
        rc = 0;
    sws_freeContext(sws);
    return rc < 0 ? failed(err, "scaling") : 0;
}

/* --- files --- */

static int encode_with(AVCodecContext *encoder, const AVFrame *picture, struct vg_buf *out)
{
    AVPacket *packet = av_packet_alloc();
    int rc;

    VG_ASSERT(packet);
    rc = avcodec_send_frame(encoder, picture);
    if (rc >= 0)
        rc = avcodec_send_frame(encoder, NULL);
    if (rc >= 0)
        rc = avcodec_receive_packet(encoder, packet);
    if (rc >= 0)
        rc = vg_buf_add(out, packet->data, (size_t)packet->size);
    av_packet_free(&packet);
    return rc < 0 ? -1 : 0;
}

/* Both encoders' packets are whole files. */
static int encode(const char *name, const AVFrame *picture, struct vg_buf *out, struct vg_err *err)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    AVCodecContext *encoder = codec ? avcodec_alloc_context3(codec) : NULL;

    if (!encoder)
        return failed(err, name);
    encoder->width = picture->width;
    encoder->height = picture->height;
    encoder->pix_fmt = (enum AVPixelFormat)picture->format;
    encoder->color_range = picture->color_range;
    encoder->time_base = (AVRational){1, 25};
    encoder->thread_count = 1;
    if (codec->id == AV_CODEC_ID_MJPEG) {
        encoder->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
        encoder->global_quality = FF_QP2LAMBDA * JPEG_QUALITY;
    } else {
        (void)av_opt_set_double(encoder->priv_data, "quality", WEBP_QUALITY, 0);
    }
    int rc = avcodec_open2(encoder, codec, NULL);
    if (rc == 0)
        rc = encode_with(encoder, picture, out);
    avcodec_free_context(&encoder);
    return rc < 0 ? failed(err, name) : 0;
}

/* --- the thumbnail --- */

static bool is_black(const AVFrame *picture)
{
    int64_t light = 0;

    for (int y = 0; y < picture->height; y++) {
        const uint8_t *row = picture->data[0] + (ptrdiff_t)y * picture->linesize[0];
        for (int x = 0; x < picture->width; x++)
            light += row[x] > DARK;
    }
    return light * 100 < (int64_t)picture->width * picture->height * MIN_LIGHT;
}

static AVFrame *thumbnail_of(const AVFrame *frame, struct vg_err *err)
{
    int64_t width = frame->width < VG_THUMBNAIL_WIDTH ? frame->width : VG_THUMBNAIL_WIDTH;
    int64_t height = frame->height * width / frame->width;

    if (height > VG_THUMBNAIL_HEIGHT) {
        height = VG_THUMBNAIL_HEIGHT;
        width = frame->width * height / frame->height;
    }
    AVFrame *picture = new_picture(even(width, 2, VG_THUMBNAIL_WIDTH),
                                   even(height, 2, VG_THUMBNAIL_HEIGHT), AV_PIX_FMT_YUV420P);
    if (!picture)
        (void)failed(err, "memory");
    else if (scale(frame, picture, err) < 0)
        av_frame_free(&picture);
    return picture;
}

/* The first candidate, unless it is black and a later one is not. */
static AVFrame *choose(struct vg_variant_reader *reader, struct vg_err *err)
{
    static const int percents[] = {10, 20, 35, 50, 70, 90};
    AVFrame *first = NULL;

    for (size_t i = 0; i < VG_COUNT(percents); i++) {
        const AVFrame *frame = NULL;
        int64_t at = vg_variant_reader_length(reader) * percents[i] / 100;
        AVFrame *picture = NULL;
        if (vg_variant_reader_frame(reader, at, &frame, err) == 0)
            picture = thumbnail_of(frame, err);
        if (picture && is_black(picture)) {
            if (first)
                av_frame_free(&picture);
            else
                first = picture;
            continue;
        }
        if (picture)
            av_frame_free(&first);
        return picture ? picture : first; /* a damaged end does not spoil the beginning */
    }
    return first;
}

int vg_variant_thumbnail(const struct vg_variant_source *source, struct vg_buf *out,
                         struct vg_err *err)
{
    struct vg_variant_reader *reader = NULL;

    if (vg_variant_reader_open(&reader, source, err) < 0)
        return -1;
    AVFrame *picture = choose(reader, err);
    int rc = picture ? encode("libwebp", picture, out, err) : -1;
    av_frame_free(&picture);
    (void)vg_variant_reader_close(reader);
    return rc;
}

/* --- the spritesheet --- */

static void place(const AVFrame *tile, AVFrame *sheet, int column, int row)
{
    for (int p = 0; p < 3; p++) {
        int shift = p ? 1 : 0;
        int x = (column * tile->width) >> shift;
        int y = (row * tile->height) >> shift;
        av_image_copy_plane(sheet->data[p] + (ptrdiff_t)y * sheet->linesize[p] + x,
                            sheet->linesize[p], tile->data[p], tile->linesize[p],
                            tile->width >> shift, tile->height >> shift);
    }
}

static int fill_sheet(struct vg_variant_reader *reader, AVFrame *tile, AVFrame *sheet,
                      struct vg_err *err)
{
    const int64_t count = (int64_t)VG_SHEET_COLUMNS * VG_SHEET_ROWS;
    const int64_t length = vg_variant_reader_length(reader);

    for (int i = 0; i < count; i++) {
        const AVFrame *frame = NULL;
        int64_t at = length * (2 * (int64_t)i + 1) / (2 * count);
        if (vg_variant_reader_frame(reader, at, &frame, err) < 0 || scale(frame, tile, err) < 0)
            return -1;
        place(tile, sheet, i % VG_SHEET_COLUMNS, i / VG_SHEET_COLUMNS);
    }
    return 0;
}

int vg_variant_spritesheet(const struct vg_variant_source *source, struct vg_buf *out,
                           struct vg_err *err)
{
    struct vg_variant_reader *reader = NULL;
    const AVFrame *frame = NULL;
    AVFrame *tile = NULL;
    AVFrame *sheet = NULL;
    int rc = -1;

    if (vg_variant_reader_open(&reader, source, err) < 0)
        return -1;
    if (vg_variant_reader_frame(reader, 0, &frame, err) < 0)
        goto out;
    int height =
        even((int64_t)VG_SHEET_TILE_WIDTH * frame->height / frame->width, 2, VG_SHEET_TILE_HEIGHT);
    tile = new_picture(VG_SHEET_TILE_WIDTH, height, AV_PIX_FMT_YUVJ420P);
    sheet = new_picture(VG_SHEET_TILE_WIDTH * VG_SHEET_COLUMNS, height * VG_SHEET_ROWS,
                        AV_PIX_FMT_YUVJ420P);
    if (!tile || !sheet)
        (void)failed(err, "memory");
    else if (fill_sheet(reader, tile, sheet, err) == 0)
        rc = encode("mjpeg", sheet, out, err);
out:
    av_frame_free(&sheet);
    av_frame_free(&tile);
    (void)vg_variant_reader_close(reader);
    return rc;
}
