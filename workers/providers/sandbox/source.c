/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/source.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define IO_SIZE 32768
#define MAX_STREAMS 8
#define MAX_PACKETS 200000 /* of any stream, in one clip */
#define MAX_FRAMES 20000
#define PARAM "video"

struct vg_source {
    struct vg_view bytes; /* borrowed */
    size_t at;
    AVIOContext *io; /* owned, as all below */
    AVFormatContext *format;
    AVCodecContext *decoder;
    struct SwsContext *sws;
    AVPacket *packet;
    AVFrame *frame, *scaled;
    struct vg_picture *shown; /* the frame before the decoded one */
    int stream;
    double start;   /* seconds, of the first frame */
    double next_at; /* seconds from the start, of the decoded frame that is not shown yet */
    double frame_s; /* how long one frame is shown */
    int packets, frames;
    bool flushed, ended; /* no frame is left to be decoded */
};

/* --- bytes --- */

static int read_bytes(void *ctx, uint8_t *out, int size)
{
    struct vg_source *s = ctx;
    size_t left = s->bytes.len - s->at;
    size_t n = left < (size_t)size ? left : (size_t)size;

    if (n == 0)
        return AVERROR_EOF;
    memcpy(out, s->bytes.data + s->at, n);
    s->at += n;
    return (int)n;
}

static int64_t seek_bytes(void *ctx, int64_t offset, int whence)
{
    struct vg_source *s = ctx;
    int64_t size = (int64_t)s->bytes.len;
    int64_t base = whence == SEEK_CUR ? (int64_t)s->at : whence == SEEK_END ? size : 0;

    if (whence == AVSEEK_SIZE)
        return size;
    if (offset < -base || offset > size - base)
        return AVERROR(EINVAL);
    s->at = (size_t)(base + offset);
    return base + offset;
}

/* --- opening --- */

static int open_format(struct vg_source *s)
{
    AVDictionary *options = NULL;
    uint8_t *buffer = av_malloc(IO_SIZE);

    s->io = buffer ? avio_alloc_context(buffer, IO_SIZE, 0, s, read_bytes, NULL, seek_bytes) : NULL;
    if (!s->io) {
        av_free(buffer);
        return AVERROR(ENOMEM);
    }
    s->format = avformat_alloc_context();
    if (!s->format)
        return AVERROR(ENOMEM);
    s->format->pb = s->io;
    s->format->max_streams = MAX_STREAMS;
    (void)av_dict_set(&options, "format_whitelist", "mov", 0);
    (void)av_dict_set(&options, "codec_whitelist", "h264,hevc,mpeg4,aac,mp3,opus,ac3", 0);
    int rc = avformat_open_input(&s->format, NULL, av_find_input_format("mov"), &options);
    av_dict_free(&options);
    return rc < 0 ? rc : avformat_find_stream_info(s->format, NULL);
}

static int open_decoder(struct vg_source *s)
{
    s->stream = av_find_best_stream(s->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (s->stream < 0)
        return s->stream;
    const AVStream *stream = s->format->streams[s->stream];
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    AVRational rate = stream->avg_frame_rate;

    s->frame_s = rate.num > 0 && rate.den > 0 ? av_q2d(av_inv_q(rate)) : 1.0 / 24;
    if (!(s->frame_s > 0.001 && s->frame_s < 10))
        s->frame_s = 1.0 / 24;
    s->decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!s->decoder)
        return AVERROR_DECODER_NOT_FOUND;
    int rc = avcodec_parameters_to_context(s->decoder, stream->codecpar);
    s->decoder->max_pixels = (int64_t)VG_PICTURE_MAX_SIDE * VG_PICTURE_MAX_SIDE;
    s->decoder->thread_count = 1;
    return rc < 0 ? rc : avcodec_open2(s->decoder, codec, NULL);
}

/* --- frames --- */

/* The next packet of the stream goes to the decoder; at the end it is flushed, once. */
static int feed(struct vg_source *s)
{
    while (!s->flushed && s->packets < MAX_PACKETS) {
        int rc = av_read_frame(s->format, s->packet);
        if (rc < 0)
            break;
        s->packets++;
        if (s->packet->stream_index == s->stream)
            rc = avcodec_send_packet(s->decoder, s->packet);
        bool ours = s->packet->stream_index == s->stream;
        av_packet_unref(s->packet);
        if (ours)
            return rc; /* what is damaged ends the source where it stands */
    }
    if (s->flushed)
        return AVERROR_EOF;
    s->flushed = true;
    return avcodec_send_packet(s->decoder, NULL);
}

/* Decodes into s->frame; false: there is no further one. */
static bool decode(struct vg_source *s)
{
    int rc;

    av_frame_unref(s->frame);
    while ((rc = avcodec_receive_frame(s->decoder, s->frame)) == AVERROR(EAGAIN))
        if ((rc = feed(s)) < 0)
            break;
    if (rc < 0 || ++s->frames > MAX_FRAMES)
        return false;
    int64_t pts = s->frame->best_effort_timestamp;
    double base = av_q2d(s->format->streams[s->stream]->time_base);
    double at = pts == AV_NOPTS_VALUE ? s->next_at + s->frame_s + s->start : (double)pts * base;
    if (s->frames == 1)
        s->start = at;
    /* Times that stand still or jump back would keep the caller here. */
    double least = s->frames == 1 ? 0 : s->next_at + 0.0001;
    s->next_at = at - s->start > least ? at - s->start : least;
    return true;
}

static int even_at_least_2(int64_t value)
{
    return value < 2 ? 2 : (int)(value & ~INT64_C(1));
}

static void copy_plane(uint8_t *to, int to_stride, const uint8_t *from, int from_stride, int width,
                       int rows)
{
    for (int row = 0; row < rows; row++)
        memcpy(to + (ptrdiff_t)row * to_stride, from + (ptrdiff_t)row * from_stride, (size_t)width);
}

/* Scales s->frame onto s->shown, in the middle. */
static bool show(struct vg_source *s)
{
    struct vg_picture *p = s->shown;
    const AVFrame *f = s->frame;
    bool wide = (int64_t)f->width * p->height >= (int64_t)f->height * p->width;
    int w = wide ? p->width : even_at_least_2((int64_t)f->width * p->height / f->height);
    int h = wide ? even_at_least_2((int64_t)f->height * p->width / f->width) : p->height;

    s->sws = sws_getCachedContext(s->sws, f->width, f->height, (enum AVPixelFormat)f->format, w, h,
                                  AV_PIX_FMT_YUV420P, SWS_BICUBIC, NULL, NULL, NULL);
    av_frame_unref(s->scaled);
    s->scaled->width = w;
    s->scaled->height = h;
    s->scaled->format = AV_PIX_FMT_YUV420P;
    if (!s->sws || av_frame_get_buffer(s->scaled, 0) < 0 ||
        sws_scale(s->sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height,
                  s->scaled->data, s->scaled->linesize) < 0)
        return false;
    int x = (p->width - w) / 4 * 2, y = (p->height - h) / 4 * 2, half = p->width / 2;
    ptrdiff_t chroma = (ptrdiff_t)(y / 2) * half + x / 2;
    copy_plane(p->y + (ptrdiff_t)y * p->width + x, p->width, s->scaled->data[0],
               s->scaled->linesize[0], w, h);
    copy_plane(p->u + chroma, half, s->scaled->data[1], s->scaled->linesize[1], w / 2, h / 2);
    copy_plane(p->v + chroma, half, s->scaled->data[2], s->scaled->linesize[2], w / 2, h / 2);
    return true;
}

static bool open_all(struct vg_source *s)
{
    s->packet = av_packet_alloc();
    s->frame = av_frame_alloc();
    s->scaled = av_frame_alloc();
    return s->packet && s->frame && s->scaled && open_format(s) >= 0 && open_decoder(s) >= 0 &&
           decode(s) && s->frame->width > 0 && s->frame->height > 0 && show(s);
}

int vg_source_open(struct vg_source **out, struct vg_view bytes, int width, int height,
                   struct vg_err *err)
{
    if (bytes.len == 0 || bytes.len > VG_SOURCE_MAX_BYTES)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, PARAM,
                            PARAM ": the video is empty or larger than 64 MiB.");
    struct vg_source *s = vg_xalloc(sizeof(*s));
    s->bytes = bytes;
    s->shown = vg_picture_new(width, height);
    if (!open_all(s)) {
        vg_source_free(s);
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, PARAM,
                            PARAM ": this is not an MP4 whose video can be decoded.");
    }
    s->ended = !decode(s);
    *out = s;
    return 0;
}

struct vg_source *vg_source_free(struct vg_source *s)
{
    if (!s)
        return NULL;
    sws_freeContext(s->sws);
    av_frame_free(&s->scaled);
    av_frame_free(&s->frame);
    av_packet_free(&s->packet);
    avcodec_free_context(&s->decoder);
    avformat_close_input(&s->format);
    if (s->io)
        av_freep(&s->io->buffer);
    avio_context_free(&s->io);
    vg_picture_free(s->shown);
    free(s);
    return NULL;
}

bool vg_source_at(struct vg_source *s, double seconds, const struct vg_picture **out)
{
    const double slack = 0.001; /* of time bases that are no multiple of ours */

    while (!s->ended && s->next_at <= seconds + slack) {
        if (!show(s)) {
            s->ended = true;
            break;
        }
        s->ended = !decode(s);
    }
    *out = s->shown;
    return !s->ended || seconds + slack < s->next_at + s->frame_s;
}
