/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about videos that exist: get, list, watch, cancel, delete. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "service/ctl/commands.h"

#define RETRIES_MAX 30
#define RETRY_MS 1000

static char *borrow(const char *s)
{
    return (char *)s; /* protobuf-c has no const; packing only reads */
}

static int run_get(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/GetVideo",
                                          &videogate__v1__get_video_response__descriptor,
                                          .admin = false};
    Videogate__V1__GetVideoRequest request = VIDEOGATE__V1__GET_VIDEO_REQUEST__INIT;
    request.id = borrow(ctl->args[0]);
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__GetVideoResponse *response = (void *)message;
    if (response->video)
        vg_ctl_print(ctl, &response->video->base);
    vg_ctl_message_free(message);
    return 0;
}

static int run_cancel(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/CancelVideo",
                                          &videogate__v1__cancel_video_response__descriptor,
                                          .admin = false};
    Videogate__V1__CancelVideoRequest request = VIDEOGATE__V1__CANCEL_VIDEO_REQUEST__INIT;
    request.id = borrow(ctl->args[0]);
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__CancelVideoResponse *response = (void *)message;
    if (response->video)
        vg_ctl_print(ctl, &response->video->base);
    vg_ctl_message_free(message);
    return 0;
}

static int run_delete(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/DeleteVideo",
                                          &videogate__v1__delete_video_response__descriptor,
                                          .admin = false};
    Videogate__V1__DeleteVideoRequest request = VIDEOGATE__V1__DELETE_VIDEO_REQUEST__INIT;
    request.id = borrow(ctl->args[0]);
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__DeleteVideoResponse *response = (void *)message;
    if (ctl->json)
        vg_ctl_print(ctl, message);
    else
        vg_ctl_print_pair("deleted", response->id);
    vg_ctl_message_free(message);
    return 0;
}

struct list_options {
    const char *after;
    struct vg_ctl_int limit;
    bool ascending;
};

static const struct vg_ctl_option list_options[] = {
    {.name = "after",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct list_options, after),
     .value = "ID",
     .help = "Go on behind this video."},
    {.name = "ascending",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct list_options, ascending),
     .help = "Oldest first."},
    {.name = "limit",
     .type = VG_CTL_INT,
     .offset = offsetof(struct list_options, limit),
     .value = "N",
     .help = "At most this many, 1 to 100. Default: 20.",
     .min = 1,
     .max = 100},
};

static int run_list(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/ListVideos",
                                          &videogate__v1__list_videos_response__descriptor,
                                          .admin = false};
    const struct list_options *options = ctl->options;
    Videogate__V1__ListVideosRequest request = VIDEOGATE__V1__LIST_VIDEOS_REQUEST__INIT;
    if (options->after)
        request.after = borrow(options->after);
    request.limit = (int32_t)options->limit.value;
    request.ascending = options->ascending;
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__ListVideosResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_data, response->data);
    if (response->has_more && response->n_data && !ctl->json)
        (void)fprintf(stderr, "More: --after %s\n", response->data[response->n_data - 1]->id);
    vg_ctl_message_free(message);
    return 0;
}

static bool is_terminal(const Videogate__V1__Video *video)
{
    return video->status >= VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED;
}

/* "completed" out of VIDEO_STATUS_COMPLETED. */
static void status_name(char out[32], Videogate__V1__VideoStatus status)
{
    static const char prefix[] = "VIDEO_STATUS_";
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&videogate__v1__video_status__descriptor, (int)status);
    (void)snprintf(out, 32, "%.31s", value ? value->name + sizeof prefix - 1 : "unknown");
    for (char *p = out; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
}

/* The terminal state as the command's own success or failure. */
static int judge(struct vg_ctl *ctl, const Videogate__V1__Video *video)
{
    char status[32];
    if (video->status == VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED)
        return 0;
    status_name(status, video->status);
    return vg_err_set(&ctl->err, VG_ERR_NOT_READY, "The video ended %s%s%s", status,
                      video->error ? ": " : ".", video->error ? video->error->message : "");
}

/* Reads one stream. 1: the video is terminal, judged; 0: the stream ended before; -1: ctl->err. */
static int follow_once(struct vg_ctl *ctl, const char *id, int64_t *version, vg_ctl_show_f *show)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/WatchVideo",
                                          &videogate__v1__watch_video_response__descriptor,
                                          .admin = false};
    Videogate__V1__WatchVideoRequest request = VIDEOGATE__V1__WATCH_VIDEO_REQUEST__INIT;
    request.id = borrow(id);
    request.after_version = *version;
    struct vg_ctl_stream *stream;
    if (vg_ctl_stream_open(ctl, &rpc, &request.base, &stream) != 0)
        return -1;
    int rc;
    bool ended = false;
    ProtobufCMessage *message;
    while ((rc = vg_ctl_stream_read(ctl, stream, INT64_MAX, &message)) == 1) {
        const Videogate__V1__Video *video = ((Videogate__V1__WatchVideoResponse *)message)->video;
        if (video && video->version > *version) {
            *version = video->version;
            ended = is_terminal(video);
            show(ctl, video, ended);
            rc = ended ? judge(ctl, video) : 0;
        }
        vg_ctl_message_free(message);
        if (ended)
            break;
    }
    vg_ctl_stream_close(stream);
    return ended ? (rc == 0 ? 1 : -1) : rc;
}

static void sleep_ms(int64_t ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * VG_NS_PER_MS};
    (void)nanosleep(&ts, NULL);
}

int vg_ctl_follow(struct vg_ctl *ctl, const char *id, vg_ctl_show_f *show)
{
    int64_t version = 0;
    for (int failures = 0;;) {
        int64_t before = version;
        int rc = follow_once(ctl, id, &version, show);
        if (rc == 1)
            return 0;
        if (rc < 0 && !vg_err_info(ctl->err.kind)->retryable)
            return -1;
        failures = version > before ? 0 : failures + 1;
        if (failures > RETRIES_MAX)
            return rc < 0 ? -1
                          : vg_err_set(&ctl->err, VG_ERR_UNAVAILABLE,
                                       "The service keeps closing the stream.");
        sleep_ms(RETRY_MS);
    }
}

static void show_line(struct vg_ctl *ctl, const Videogate__V1__Video *video, bool last)
{
    (void)last;
    if (ctl->json) {
        vg_ctl_print(ctl, &video->base);
        return;
    }
    char status[32], line[64];
    status_name(status, video->status);
    (void)snprintf(line, sizeof line, "%s %" PRId32 "%%", status, video->progress);
    vg_ctl_print_pair(video->id, line);
}

static int run_watch(struct vg_ctl *ctl)
{
    return vg_ctl_follow(ctl, ctl->args[0], show_line);
}

static const struct vg_ctl_command commands[] = {
    {.words = "video get",
     .arguments = "ID",
     .summary = "Show a video.",
     .arg_count = 1,
     .run = run_get},
    {.words = "video list",
     .arguments = "",
     .summary = "List videos, newest first.",
     .options = list_options,
     .option_count = VG_COUNT(list_options),
     .options_size = sizeof(struct list_options),
     .run = run_list},
    {.words = "video watch",
     .arguments = "ID",
     .summary = "Show each change until the video has ended; fails when it did not complete.",
     .arg_count = 1,
     .run = run_watch},
    {.words = "video cancel",
     .arguments = "ID",
     .summary = "Stop a video that runs.",
     .arg_count = 1,
     .run = run_cancel},
    {.words = "video delete",
     .arguments = "ID",
     .summary = "Remove an ended video and its files.",
     .arg_count = 1,
     .run = run_delete},
};

const struct vg_ctl_command *vg_ctl_video_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
