/* SPDX-License-Identifier: Apache-2.0 */
#include "service/variant_reader.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdlib.h>

#include "common/mem.h"

#define IO_SIZE 65536
#define MAX_STREAMS 16
#define MAX_ERRORS 64 /* packets that cannot be decoded */
#define FORMATS "mov,matroska"
#define DECODERS "h264,hevc,av1,libdav1d,mpeg4,vp8,vp9,libvpx,libvpx-vp9"

struct vg_variant_reader {
    const struct vg_variant_source *source; /* borrowed */
    int64_t at;                             /* in the file */
    AVIOContext *io;                        /* owned, as all below */
    AVFormatContext *format;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame, *next; /* `frame` is what was handed out last */
    AVStream *stream;      /* borrowed from format */
    int64_t length_us;
    int64_t frame_at; /* of `frame` in the stream's time base; AV_NOPTS_VALUE: there is none */
    int frames, errors;
    bool draining; /* the file has ended; the decoder still has frames */
};

static int no_variant(struct vg_err *err, const char *what, int code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";

    (void)av_strerror(code, text, sizeof(text));
    return vg_err_set(err, VG_ERR_NO_VARIANT, "%s: %s", what, text);
}

/* --- what libav asks back --- */

static bool stopped(const struct vg_variant_reader *r)
{
    return r->source->stop(r->source->ctx);
}

static int on_interrupt(void *ctx)
{
    return stopped(ctx);
}

static int on_read(void *ctx, uint8_t *buf, int size)
{
    struct vg_variant_reader *r = ctx;
    size_t len = 0;

    if (stopped(r))
        return AVERROR_EXIT;
    if (r->source->read(r->source->ctx, r->at, buf, (size_t)size, &len) < 0)
        return AVERROR(EIO);
    r->at += (int64_t)len;
    return len > 0 ? (int)len : AVERROR_EOF;
}

static int64_t on_seek(void *ctx, int64_t offset, int whence)
{
    struct vg_variant_reader *r = ctx;

    if (whence == AVSEEK_SIZE)
        return r->source->size;
    if ((whence & ~AVSEEK_FORCE) == SEEK_CUR)
        offset += r->at;
    else if ((whence & ~AVSEEK_FORCE) == SEEK_END)
        offset += r->source->size;
    if (offset < 0 || offset > r->source->size)
        return AVERROR(EINVAL);
    r->at = offset;
    return offset;
}

/* A file that names other files gets none. */
static int on_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                   AVDictionary **options)
{
    (void)format;
    (void)io;
    (void)url;
    (void)flags;
    (void)options;
    return AVERROR(EPERM);
}

/* --- opening --- */

static int open_format(struct vg_variant_reader *r, struct vg_err *err)
{
    uint8_t *buffer = av_malloc(IO_SIZE);

    r->io = buffer ? avio_alloc_context(buffer, IO_SIZE, 0, r, on_read, NULL, on_seek) : NULL;
    r->format = r->io ? avformat_alloc_context() : NULL;
    if (!r->format) {
        if (!r->io)
            av_free(buffer);
        return no_variant(err, "open", AVERROR(ENOMEM));
    }
    r->format->pb = r->io;
    r->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    r->format->io_open = on_open;
    r->format->interrupt_callback = (AVIOInterruptCB){on_interrupt, r};
    r->format->max_streams = MAX_STREAMS;
    r->format->format_whitelist = av_strdup(FORMATS);
    r->format->codec_whitelist = av_strdup(DECODERS);
    r->format->protocol_whitelist = av_strdup("none");
    if (!r->format->format_whitelist || !r->format->codec_whitelist ||
        !r->format->protocol_whitelist)
        return no_variant(err, "open", AVERROR(ENOMEM));
    int rc = avformat_open_input(&r->format, NULL, NULL, NULL); /* frees it when it fails */
    return rc < 0 ? no_variant(err, "format", rc) : 0;
}

static int judge_size(int width, int height, struct vg_err *err)
{
    if (width > 0 && height > 0 && width <= VG_VARIANT_MAX_SIDE && height <= VG_VARIANT_MAX_SIDE &&
        (int64_t)width * height <= VG_VARIANT_MAX_PIXELS)
        return 0;
    return vg_err_set(err, VG_ERR_NO_VARIANT, "size %dx%d", width, height);
}

static int open_decoder(struct vg_variant_reader *r, struct vg_err *err)
{
    const AVCodec *codec = NULL;
    int index = av_find_best_stream(r->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);

    if (index < 0)
        return no_variant(err, "video stream", index);
    for (unsigned i = 0; i < r->format->nb_streams; i++)
        if ((int)i != index)
            r->format->streams[i]->discard = AVDISCARD_ALL;
    r->stream = r->format->streams[index];
    if (judge_size(r->stream->codecpar->width, r->stream->codecpar->height, err) < 0)
        return r->source->any_size ? 0 : -1;
    r->decoder = avcodec_alloc_context3(codec);
    if (!r->decoder)
        return no_variant(err, "decoder", AVERROR(ENOMEM));
    int rc = avcodec_parameters_to_context(r->decoder, r->stream->codecpar);
    if (rc < 0)
        return no_variant(err, "decoder", rc);
    r->decoder->codec_whitelist = av_strdup(DECODERS);
    r->decoder->max_pixels = VG_VARIANT_MAX_PIXELS;
    r->decoder->pkt_timebase = r->stream->time_base;
    r->decoder->thread_count = 1; /* the same picture each time, and one core for each variant */
    rc = avcodec_open2(r->decoder, codec, NULL);
    return rc < 0 ? no_variant(err, "decoder", rc) : 0;
}

static int64_t start_of(const struct vg_variant_reader *r)
{
    return r->stream->start_time == AV_NOPTS_VALUE ? 0 : r->stream->start_time;
}

/* A file in fragments does not say how long it is: read it through once. */
static int64_t measure(struct vg_variant_reader *r)
{
    int64_t end = 0;

    while (!stopped(r) && av_read_frame(r->format, r->packet) >= 0) {
        if (r->packet->stream_index == r->stream->index && r->packet->pts != AV_NOPTS_VALUE &&
            r->packet->pts + r->packet->duration > end)
            end = r->packet->pts + r->packet->duration;
        av_packet_unref(r->packet);
    }
    if (av_seek_frame(r->format, r->stream->index, start_of(r), AVSEEK_FLAG_BACKWARD) < 0)
        return 0;
    return end - start_of(r);
}

static int find_length(struct vg_variant_reader *r, struct vg_err *err)
{
    const AVRational us = {1, AV_TIME_BASE};
    int64_t length = r->stream->duration;

    if (length <= 0 && r->format->duration > 0)
        length = av_rescale_q(r->format->duration, us, r->stream->time_base);
    if (length <= 0)
        length = measure(r);
    r->length_us = av_rescale_q(length, r->stream->time_base, us);
    if (r->length_us > (int64_t)VG_VARIANT_MAX_SECONDS * AV_TIME_BASE)
        return vg_err_set(err, VG_ERR_NO_VARIANT, "longer than %d s", VG_VARIANT_MAX_SECONDS);
    if (r->length_us < 1) /* one picture, or nothing: reading will tell */
        r->length_us = 1;
    return 0;
}

int vg_variant_reader_open(struct vg_variant_reader **out, const struct vg_variant_source *source,
                           struct vg_err *err)
{
    struct vg_variant_reader *r = vg_xalloc(sizeof(*r));

    r->source = source;
    r->frame_at = AV_NOPTS_VALUE;
    r->packet = av_packet_alloc();
    r->frame = av_frame_alloc();
    r->next = av_frame_alloc();
    VG_ASSERT(r->packet && r->frame && r->next);
    if (open_format(r, err) < 0 || open_decoder(r, err) < 0 || find_length(r, err) < 0) {
        (void)vg_variant_reader_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

struct vg_variant_reader *vg_variant_reader_close(struct vg_variant_reader *r)
{
    if (!r)
        return NULL;
    av_frame_free(&r->next);
    av_frame_free(&r->frame);
    av_packet_free(&r->packet);
    avcodec_free_context(&r->decoder);
    avformat_close_input(&r->format);
    if (r->io)
        av_freep(&r->io->buffer);
    avio_context_free(&r->io);
    free(r);
    return NULL;
}

int64_t vg_variant_reader_length(const struct vg_variant_reader *reader)
{
    return reader->length_us;
}

struct vg_variant_facts vg_variant_reader_facts(const struct vg_variant_reader *r)
{
    struct vg_variant_facts facts = {
        .width = r->stream->codecpar->width,
        .height = r->stream->codecpar->height,
        .length_us = r->length_us,
        .decodable = r->decoder != NULL,
        .codec = avcodec_get_name(r->stream->codecpar->codec_id),
    };

    for (unsigned i = 0; i < r->format->nb_streams; i++)
        facts.has_audio |= r->format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
    return facts;
}

/* --- frames --- */

/* Gives the decoder the next packet of our stream, or word that there is none. */
static int feed(struct vg_variant_reader *r, struct vg_err *err)
{
    int rc = av_read_frame(r->format, r->packet);

    if (rc == AVERROR_EXIT)
        return no_variant(err, "reading", rc);
    if (rc < 0) { /* the end, or damage that is as good as one */
        r->draining = true;
        (void)avcodec_send_packet(r->decoder, NULL);
        return 0;
    }
    if (r->packet->stream_index == r->stream->index)
        rc = avcodec_send_packet(r->decoder, r->packet);
    av_packet_unref(r->packet);
    if (rc < 0 && ++r->errors > MAX_ERRORS)
        return no_variant(err, "decoding", rc);
    return 0;
}

/* The next frame into `next`: 1, or 0 at the end. */
static int decode(struct vg_variant_reader *r, struct vg_err *err)
{
    for (;;) {
        if (stopped(r))
            return no_variant(err, "decoding", AVERROR_EXIT);
        int rc = avcodec_receive_frame(r->decoder, r->next);
        if (rc == 0)
            break;
        if (rc == AVERROR_EOF || r->draining)
            return 0;
        if (rc != AVERROR(EAGAIN) && ++r->errors > MAX_ERRORS)
            return no_variant(err, "decoding", rc);
        if (feed(r, err) < 0)
            return -1;
    }
    if (++r->frames > VG_VARIANT_MAX_FRAMES)
        return vg_err_set(err, VG_ERR_NO_VARIANT, "more than %d frames", VG_VARIANT_MAX_FRAMES);
    return judge_size(r->next->width, r->next->height, err) < 0 ? -1 : 1;
}

/* Leaps to the last key frame before `target` where that is ahead of us. */
static void leap(struct vg_variant_reader *r, int64_t target)
{
    const AVIndexEntry *entry =
        avformat_index_get_entry_from_timestamp(r->stream, target, AVSEEK_FLAG_BACKWARD);

    if (!entry || (r->frame_at != AV_NOPTS_VALUE && entry->timestamp <= r->frame_at) ||
        (r->frame_at == AV_NOPTS_VALUE && entry->timestamp <= start_of(r)))
        return;
    if (av_seek_frame(r->format, r->stream->index, target, AVSEEK_FLAG_BACKWARD) >= 0) {
        avcodec_flush_buffers(r->decoder);
        r->draining = false;
    }
}

int vg_variant_reader_frame(struct vg_variant_reader *r, int64_t at_us, const struct AVFrame **out,
                            struct vg_err *err)
{
    const AVRational us = {1, AV_TIME_BASE};
    int64_t target = start_of(r) + av_rescale_q(at_us, us, r->stream->time_base);
    int more = 1;

    if (!r->decoder)
        return vg_err_set(err, VG_ERR_NO_VARIANT, "too large to decode");
    if (r->frame_at == AV_NOPTS_VALUE || r->frame_at < target)
        leap(r, target);
    while (more > 0 && (r->frame_at == AV_NOPTS_VALUE || r->frame_at < target)) {
        more = decode(r, err);
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        int64_t at = r->next->best_effort_timestamp;
        av_frame_unref(r->frame);
        av_frame_move_ref(r->frame, r->next);
        r->frame_at = at != AV_NOPTS_VALUE            ? at
                      : r->frame_at != AV_NOPTS_VALUE ? r->frame_at + 1
                                                      : start_of(r);
    }
    if (r->frame_at == AV_NOPTS_VALUE)
        return vg_err_set(err, VG_ERR_NO_VARIANT, "no frame can be decoded");
    *out = r->frame;
    return 0;
}
