/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/clip.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct track {
    AVCodecContext *codec; /* owned; NULL: no such track */
    AVStream *stream;      /* borrowed from the format context */
    AVFrame *frame;        /* owned */
    int64_t next_pts;
};

struct vg_clip {
    AVFormatContext *format; /* owned */
    AVPacket *packet;        /* owned */
    struct track video, audio;
    int buffered; /* samples waiting in audio.frame */
};

static int libav_error(struct vg_err *err, const char *what, int rc)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    (void)av_strerror(rc, text, sizeof(text));
    enum vg_err_kind kind = rc == AVERROR(ENOSPC) ? VG_ERR_STORAGE_FULL : VG_ERR_INTERNAL;
    return vg_err_set(err, kind, "%s: %s", what, text);
}

static int add_track(struct vg_clip *self, struct track *track, const char *encoder,
                     AVDictionary **options)
{
    if (self->format->oformat->flags & AVFMT_GLOBALHEADER)
        track->codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    track->codec->flags |= AV_CODEC_FLAG_BITEXACT;
    track->codec->thread_count = 1;
    int rc = avcodec_open2(track->codec, avcodec_find_encoder_by_name(encoder), options);
    if (rc < 0)
        return rc;
    track->stream = avformat_new_stream(self->format, NULL);
    if (!track->stream)
        return AVERROR(ENOMEM);
    track->stream->time_base = track->codec->time_base;
    return avcodec_parameters_from_context(track->stream->codecpar, track->codec);
}

static int new_codec(struct track *track, const char *encoder)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(encoder);
    track->codec = codec ? avcodec_alloc_context3(codec) : NULL;
    track->frame = av_frame_alloc();
    if (!codec)
        return AVERROR_ENCODER_NOT_FOUND;
    return track->codec && track->frame ? 0 : AVERROR(ENOMEM);
}

static int add_video(struct vg_clip *self, const struct vg_clip_desc *desc)
{
    struct track *track = &self->video;
    int rc = new_codec(track, "libx264");
    if (rc < 0)
        return rc;
    AVCodecContext *c = track->codec;
    c->width = desc->width;
    c->height = desc->height;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->time_base = (AVRational){1, desc->fps};
    c->framerate = (AVRational){desc->fps, 1};
    c->gop_size = desc->small ? desc->fps * 60 : desc->fps * 2;
    c->color_range = AVCOL_RANGE_MPEG;
    c->colorspace = AVCOL_SPC_BT709;
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_BT709;
    AVDictionary *options = NULL;
    (void)av_dict_set(&options, "preset", "superfast", 0);
    (void)av_dict_set(&options, "crf", desc->small ? "34" : "22", 0);
    (void)av_dict_set(&options, "forced-idr", "1", 0);
    rc = add_track(self, track, "libx264", &options);
    av_dict_free(&options);
    if (rc < 0)
        return rc;
    track->stream->avg_frame_rate = c->framerate;
    track->frame->format = c->pix_fmt;
    track->frame->width = c->width;
    track->frame->height = c->height;
    return av_frame_get_buffer(track->frame, 0);
}

static int add_audio(struct vg_clip *self, const struct vg_clip_desc *desc)
{
    struct track *track = &self->audio;
    int rc = new_codec(track, "aac");
    if (rc < 0)
        return rc;
    AVCodecContext *c = track->codec;
    c->sample_fmt = AV_SAMPLE_FMT_FLTP;
    c->sample_rate = VG_CLIP_SAMPLE_RATE;
    c->bit_rate = desc->small ? 32000 : 128000;
    c->time_base = (AVRational){1, VG_CLIP_SAMPLE_RATE};
    c->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
    rc = add_track(self, track, "aac", NULL);
    if (rc < 0)
        return rc;
    track->frame->format = c->sample_fmt;
    track->frame->sample_rate = c->sample_rate;
    track->frame->nb_samples = c->frame_size;
    rc = av_channel_layout_copy(&track->frame->ch_layout, &c->ch_layout);
    return rc < 0 ? rc : av_frame_get_buffer(track->frame, 0);
}

static int write_header(struct vg_clip *self, const char *path)
{
    int rc = avio_open(&self->format->pb, path, AVIO_FLAG_WRITE);
    if (rc < 0)
        return rc;
    self->format->flags |= AVFMT_FLAG_BITEXACT;
    AVDictionary *options = NULL;
    (void)av_dict_set(&options, "movflags", "+faststart", 0);
    rc = avformat_write_header(self->format, &options);
    av_dict_free(&options);
    return rc;
}

int vg_clip_open(struct vg_clip **out, const struct vg_clip_desc *desc, struct vg_err *err)
{
    struct vg_clip *self = vg_xalloc(sizeof(*self));
    self->packet = av_packet_alloc();
    int rc = self->packet ? 0 : AVERROR(ENOMEM);
    if (rc >= 0)
        rc = avformat_alloc_output_context2(&self->format, NULL, "mp4", desc->path);
    if (rc >= 0)
        rc = add_video(self, desc);
    if (rc >= 0 && desc->audio)
        rc = add_audio(self, desc);
    if (rc >= 0)
        rc = write_header(self, desc->path);
    if (rc < 0) {
        vg_clip_free(self);
        return libav_error(err, "The encoder cannot be started", rc);
    }
    *out = self;
    return 0;
}

/* Hands one frame (NULL: the end) to the encoder and writes what comes out. */
static int encode(struct vg_clip *self, struct track *track, const AVFrame *frame)
{
    int rc = avcodec_send_frame(track->codec, frame);
    while (rc >= 0) {
        rc = avcodec_receive_packet(track->codec, self->packet);
        if (rc < 0)
            break;
        if (!self->packet->duration && track == &self->video)
            self->packet->duration = 1;
        av_packet_rescale_ts(self->packet, track->codec->time_base, track->stream->time_base);
        self->packet->stream_index = track->stream->index;
        rc = av_interleaved_write_frame(self->format, self->packet);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? 0 : rc;
}

static void copy_plane(AVFrame *frame, int plane, const uint8_t *from, int width, int height)
{
    for (int row = 0; row < height; row++)
        memcpy(frame->data[plane] + (ptrdiff_t)row * frame->linesize[plane],
               from + (ptrdiff_t)row * width, (size_t)width);
}

int vg_clip_video(struct vg_clip *clip, const struct vg_picture *picture, bool key,
                  struct vg_err *err)
{
    AVFrame *frame = clip->video.frame;
    int rc = av_frame_make_writable(frame);
    if (rc >= 0) {
        copy_plane(frame, 0, picture->y, picture->width, picture->height);
        copy_plane(frame, 1, picture->u, picture->width / 2, picture->height / 2);
        copy_plane(frame, 2, picture->v, picture->width / 2, picture->height / 2);
        frame->pts = clip->video.next_pts++;
        frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
        rc = encode(clip, &clip->video, frame);
    }
    return rc < 0 ? libav_error(err, "The video cannot be written", rc) : 0;
}

static int flush_audio(struct vg_clip *clip)
{
    AVFrame *frame = clip->audio.frame;
    if (!clip->buffered)
        return 0;
    frame->nb_samples = clip->buffered;
    frame->pts = clip->audio.next_pts;
    clip->audio.next_pts += clip->buffered;
    clip->buffered = 0;
    int rc = encode(clip, &clip->audio, frame);
    frame->nb_samples = clip->audio.codec->frame_size;
    return rc < 0 ? rc : av_frame_make_writable(frame);
}

int vg_clip_audio(struct vg_clip *clip, const float *left, const float *right, int count,
                  struct vg_err *err)
{
    int rc = 0;
    while (count > 0 && rc >= 0) {
        int room = clip->audio.codec->frame_size - clip->buffered;
        int take = count < room ? count : room;
        size_t bytes = (size_t)take * sizeof(float);
        memcpy((float *)(void *)clip->audio.frame->data[0] + clip->buffered, left, bytes);
        memcpy((float *)(void *)clip->audio.frame->data[1] + clip->buffered, right, bytes);
        clip->buffered += take;
        left += take;
        right += take;
        count -= take;
        if (take == room)
            rc = flush_audio(clip);
    }
    return rc < 0 ? libav_error(err, "The sound cannot be written", rc) : 0;
}

int vg_clip_finish(struct vg_clip *clip, struct vg_err *err)
{
    int rc = encode(clip, &clip->video, NULL);
    if (rc >= 0 && clip->audio.codec)
        rc = flush_audio(clip);
    if (rc >= 0 && clip->audio.codec)
        rc = encode(clip, &clip->audio, NULL);
    if (rc >= 0)
        rc = av_write_trailer(clip->format);
    /* Buffered bytes may fail to be written as late as here. */
    int closed = avio_closep(&clip->format->pb);
    if (rc >= 0)
        rc = closed;
    return rc < 0 ? libav_error(err, "The clip cannot be finished", rc) : 0;
}

static void free_track(struct track *track)
{
    avcodec_free_context(&track->codec);
    av_frame_free(&track->frame);
}

struct vg_clip *vg_clip_free(struct vg_clip *clip)
{
    if (!clip)
        return NULL;
    free_track(&clip->video);
    free_track(&clip->audio);
    av_packet_free(&clip->packet);
    if (clip->format)
        (void)avio_closep(&clip->format->pb);
    avformat_free_context(clip->format);
    free(clip);
    return NULL;
}
