/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/workers/media.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static void encode_frame(struct vg_buf *out, const char *name, const AVFrame *frame)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    assert_non_null(codec);
    AVCodecContext *ctx = avcodec_alloc_context3(codec);
    AVPacket *packet = av_packet_alloc();
    ctx->width = frame->width;
    ctx->height = frame->height;
    ctx->pix_fmt = (enum AVPixelFormat)frame->format;
    ctx->color_range = frame->color_range;
    ctx->time_base = (AVRational){1, 25};
    ctx->flags |= AV_CODEC_FLAG_QSCALE;
    ctx->global_quality = FF_QP2LAMBDA * 2;
    if (strcmp(name, "libwebp") == 0)
        ctx->global_quality = FF_QP2LAMBDA * 95;
    assert_int_equal(avcodec_open2(ctx, codec, NULL), 0);
    assert_int_equal(avcodec_send_frame(ctx, frame), 0);
    assert_int_equal(avcodec_send_frame(ctx, NULL), 0);
    assert_int_equal(avcodec_receive_packet(ctx, packet), 0);
    assert_int_equal(vg_buf_add(out, packet->data, (size_t)packet->size), 0);
    av_packet_free(&packet);
    avcodec_free_context(&ctx);
}

static AVFrame *new_frame(int width, int height, enum AVPixelFormat format)
{
    AVFrame *frame = av_frame_alloc();
    frame->width = width;
    frame->height = height;
    frame->format = format;
    frame->pts = 0;
    assert_int_equal(av_frame_get_buffer(frame, 0), 0);
    return frame;
}

void test_picture(struct vg_buf *out, const char *encoder, int width, int height, int variant)
{
    bool png = strcmp(encoder, "png") == 0;
    AVFrame *rgb = new_frame(width, height, AV_PIX_FMT_RGB24);
    for (int y = 0; y < height; y++) {
        uint8_t *row = rgb->data[0] + (ptrdiff_t)y * rgb->linesize[0];
        for (int x = 0; x < width; x++) {
            row[(ptrdiff_t)x * 3] = (uint8_t)(40 + 180 * x / width);
            row[x * 3 + 1] = (uint8_t)(variant ? 200 - 150 * y / height : 30 + 150 * y / height);
            row[x * 3 + 2] = (uint8_t)(variant ? 60 : 160);
        }
    }
    AVFrame *frame = rgb;
    if (!png) {
        frame = new_frame(width, height, AV_PIX_FMT_YUVJ420P);
        frame->color_range = AVCOL_RANGE_JPEG;
        if (strcmp(encoder, "libwebp") == 0) {
            frame->format = AV_PIX_FMT_YUV420P;
            frame->color_range = AVCOL_RANGE_MPEG;
        }
        struct SwsContext *sws =
            sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height,
                           (enum AVPixelFormat)frame->format, SWS_BICUBIC, NULL, NULL, NULL);
        assert_non_null(sws);
        sws_scale(sws, (const uint8_t *const *)rgb->data, rgb->linesize, 0, height, frame->data,
                  frame->linesize);
        sws_freeContext(sws);
    }
    encode_frame(out, encoder, frame);
    if (frame != rgb)
        av_frame_free(&frame);
    av_frame_free(&rgb);
}

void test_half_transparent(struct vg_buf *out, int width, int height)
{
    AVFrame *frame = new_frame(width, height, AV_PIX_FMT_RGBA);
    for (int y = 0; y < height; y++) {
        uint8_t *row = frame->data[0] + (ptrdiff_t)y * frame->linesize[0];
        memset(row, 255, (size_t)width * 4);
        for (int x = width / 2; x < width; x++)
            row[x * 4 + 3] = 0;
    }
    encode_frame(out, "png", frame);
    av_frame_free(&frame);
}

static struct vg_picture *picture_of(const AVFrame *frame)
{
    struct vg_picture *picture = vg_picture_new(frame->width, frame->height);
    assert_int_equal(frame->format, AV_PIX_FMT_YUV420P);
    for (int row = 0; row < frame->height; row++)
        memcpy(picture->y + (ptrdiff_t)row * frame->width,
               frame->data[0] + (ptrdiff_t)row * frame->linesize[0], (size_t)frame->width);
    return picture;
}

static void take_frame(struct test_clip *out, const AVFrame *frame)
{
    struct vg_picture *picture = picture_of(frame);
    if (out->frames == 0)
        out->first = vg_picture_new(frame->width, frame->height);
    if (out->frames == 0)
        memcpy(out->first->y, picture->y, (size_t)frame->width * (size_t)frame->height);
    if (out->frames == 24)
        out->middle = picture;
    if (out->last && out->last != out->middle)
        vg_picture_free(out->last);
    out->last = picture;
    out->frames++;
}

static void decode_all(struct test_clip *out, AVFormatContext *format, int index)
{
    const AVCodecParameters *par = format->streams[index]->codecpar;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    AVCodecContext *ctx = avcodec_alloc_context3(codec);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    assert_true(avcodec_parameters_to_context(ctx, par) >= 0);
    assert_int_equal(avcodec_open2(ctx, codec, NULL), 0);
    bool more = true;
    while (more) {
        more = av_read_frame(format, packet) >= 0;
        if (more && packet->stream_index != index) {
            av_packet_unref(packet);
            continue;
        }
        assert_int_equal(avcodec_send_packet(ctx, more ? packet : NULL), 0);
        av_packet_unref(packet);
        while (avcodec_receive_frame(ctx, frame) >= 0)
            take_frame(out, frame);
    }
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&ctx);
}

/* The order of the boxes in the file. */
static bool moov_first(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    bool seen = false;
    uint8_t head[8];
    while (!seen && fread(head, 1, 8, file) == 8 && memcmp(head + 4, "mdat", 4) != 0) {
        seen = memcmp(head + 4, "moov", 4) == 0;
        long size = (long)head[0] << 24 | (long)head[1] << 16 | (long)head[2] << 8 | head[3];
        assert_int_equal(fseek(file, size - 8, SEEK_CUR), 0);
    }
    assert_int_equal(fclose(file), 0);
    return seen;
}

void test_clip_probe(struct test_clip *out, const char *path)
{
    AVFormatContext *format = NULL;
    memset(out, 0, sizeof(*out));
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(format, NULL) >= 0);
    out->streams = (int)format->nb_streams;
    out->duration = (double)format->duration / AV_TIME_BASE;
    int video = -1;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        const AVCodecParameters *par = stream->codecpar;
        double seconds = (double)stream->duration * av_q2d(stream->time_base);
        if (par->codec_type == AVMEDIA_TYPE_VIDEO) {
            video = (int)i;
            out->h264 = par->codec_id == AV_CODEC_ID_H264;
            out->width = par->width;
            out->height = par->height;
            out->video = seconds;
        } else {
            out->aac = par->codec_id == AV_CODEC_ID_AAC;
            out->channels = par->ch_layout.nb_channels;
            out->sample_rate = par->sample_rate;
            out->audio = seconds;
        }
    }
    assert_true(video >= 0);
    decode_all(out, format, video);
    avformat_close_input(&format);
    out->index_first = moov_first(path);
}

void test_clip_fini(struct test_clip *clip)
{
    if (clip->middle != clip->last)
        vg_picture_free(clip->middle);
    vg_picture_free(clip->first);
    vg_picture_free(clip->last);
}

double test_psnr(const struct vg_picture *a, const struct vg_picture *b)
{
    double sum = 0;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    int size = a->width * a->height;
    for (int i = 0; i < size; i++) {
        double d = (double)a->y[i] - b->y[i];
        sum += d * d;
    }
    return sum == 0 ? 99 : 10 * log10(255.0 * 255.0 * size / sum);
}
