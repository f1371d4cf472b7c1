/* SPDX-License-Identifier: Apache-2.0 */
/* video create: options and picture files into one request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/id.h"
#include "common/mem.h"
#include "service/ctl/commands.h"

#define PICTURE_MAX (20u << 20)

struct create_options {
    const char *prompt, *model, *size, *image, *last_frame, *callback_url, *callback_secret;
    const char *request_id, *extra;
    struct vg_ctl_list references;
    struct vg_ctl_int seconds, n;
    bool audio, no_audio, no_fallback, wait;
};

#define OPTION(flag, kind, member)                                                                 \
    .name = (flag), .type = (kind), .offset = offsetof(struct create_options, member)

static const struct vg_ctl_option create_options[] = {
    {OPTION("prompt", VG_CTL_TEXT, prompt), .value = "TEXT", .help = "What to show.",
     .required = true},
    {OPTION("audio", VG_CTL_FLAG, audio), .help = "Make a sound track."},
    {OPTION("callback-secret", VG_CTL_TEXT, callback_secret), .value = "TEXT",
     .help = "Signs the callback."},
    {OPTION("callback-url", VG_CTL_TEXT, callback_url), .value = "URL",
     .help = "Where to report the end."},
    {OPTION("extra", VG_CTL_TEXT, extra), .value = "JSON",
     .help = "Further parameters by the provider's names, an object."},
    {OPTION("image", VG_CTL_TEXT, image), .value = "FILE|URL", .help = "First frame."},
    {OPTION("last-frame", VG_CTL_TEXT, last_frame), .value = "FILE|URL",
     .help = "Last frame; needs --image."},
    {OPTION("model", VG_CTL_TEXT, model), .value = "MODEL", .help = "Model, also provider/model."},
    {OPTION("n", VG_CTL_INT, n), .value = "N", .help = "Outputs, 1 to 10.", .min = 1, .max = 10},
    {OPTION("no-audio", VG_CTL_FLAG, no_audio), .help = "Make no sound track."},
    {OPTION("no-fallback", VG_CTL_FLAG, no_fallback),
     .help = "Try no other provider after the first."},
    {OPTION("reference", VG_CTL_LIST, references), .value = "FILE|URL",
     .help = "Reference picture."},
    {OPTION("request-id", VG_CTL_TEXT, request_id), .value = "ID",
     .help = "Idempotency key: repeating it gives the same video. Default: a new one."},
    {OPTION("seconds", VG_CTL_INT, seconds), .value = "N", .help = "Length.", .min = 1,
     .max = 3600},
    {OPTION("size", VG_CTL_TEXT, size), .value = "WxH", .help = "Size in pixels."},
    {OPTION("wait", VG_CTL_FLAG, wait),
     .help = "Wait for the end; fails when the video did not complete."},
};

static char *borrow(const char *s)
{
    return (char *)s; /* protobuf-c has no const; packing only reads */
}

static int read_file(struct vg_ctl *ctl, const char *path, struct vg_arena *arena,
                     ProtobufCBinaryData *out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "Cannot read %s: %m.", path);
    uint8_t *data = vg_arena_alloc(arena, PICTURE_MAX + 1);
    size_t len = fread(data, 1, PICTURE_MAX + 1, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file); /* read only: nothing to lose */
    if (failed || len == 0)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "%s is empty or cannot be read.",
                          path);
    if (len > PICTURE_MAX)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "%s is larger than 20 MiB.", path);
    *out = (ProtobufCBinaryData){.data = data, .len = len};
    return 0;
}

static int add_picture(struct vg_ctl *ctl, const char *source, struct vg_arena *arena,
                       Videogate__V1__MediaInput **out)
{
    Videogate__V1__MediaInput *input = vg_arena_alloc(arena, sizeof *input);
    videogate__v1__media_input__init(input);
    if (strncmp(source, "https://", 8) == 0 || strncmp(source, "http://", 7) == 0) {
        input->source_case = VIDEOGATE__V1__MEDIA_INPUT__SOURCE_URL;
        input->url = borrow(source);
    } else {
        if (read_file(ctl, source, arena, &input->data) != 0)
            return -1;
        input->source_case = VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA;
    }
    *out = input;
    return 0;
}

static int add_pictures(struct vg_ctl *ctl, struct vg_arena *arena,
                        Videogate__V1__CreateVideoRequest *request)
{
    const struct create_options *options = ctl->options;
    if (options->image && add_picture(ctl, options->image, arena, &request->image) != 0)
        return -1;
    if (options->last_frame &&
        add_picture(ctl, options->last_frame, arena, &request->last_frame) != 0)
        return -1;
    request->reference_images = vg_arena_alloc(arena, options->references.count * sizeof(void *));
    for (size_t i = 0; i < options->references.count; i++) {
        if (add_picture(ctl, options->references.items[i], arena, &request->reference_images[i]) !=
            0)
            return -1;
        request->n_reference_images++;
    }
    return 0;
}

#define SET(name, NAME, value)                                                                     \
    do {                                                                                           \
        request->opt_##name##_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_##NAME##_##NAME;     \
        request->name = (value);                                                                   \
    } while (0)

static void add_fields(const struct create_options *options,
                       Videogate__V1__CreateVideoRequest *request)
{
    request->prompt = borrow(options->prompt);
    request->no_fallback = options->no_fallback;
    if (options->model)
        SET(model, MODEL, borrow(options->model));
    if (options->size)
        SET(size, SIZE, borrow(options->size));
    if (options->seconds.set)
        SET(seconds, SECONDS, (int32_t)options->seconds.value);
    if (options->n.set)
        SET(n, N, (int32_t)options->n.value);
    if (options->audio || options->no_audio)
        SET(audio, AUDIO, options->audio);
    if (options->callback_url)
        SET(callback_url, CALLBACK_URL, borrow(options->callback_url));
    if (options->callback_secret)
        SET(callback_secret, CALLBACK_SECRET, borrow(options->callback_secret));
    if (options->extra)
        SET(extra, EXTRA, borrow(options->extra));
    SET(request_id, REQUEST_ID, borrow(options->request_id));
}

/* While waiting, changes go to standard error; the ended video is the result. */
static void show_waiting(struct vg_ctl *ctl, const Videogate__V1__Video *video, bool last)
{
    if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%s %3d%%%s", video->id, (int)video->progress, last ? "\n" : "");
    if (last)
        vg_ctl_print(ctl, &video->base);
}

static int create(struct vg_ctl *ctl, const Videogate__V1__CreateVideoRequest *request)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/CreateVideo",
                                          &videogate__v1__create_video_response__descriptor,
                                          .admin = false};
    const struct create_options *options = ctl->options;
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request->base, &message) != 0)
        return -1;
    const Videogate__V1__Video *video = ((Videogate__V1__CreateVideoResponse *)message)->video;
    int rc = 0;
    if (!video)
        rc = vg_err_set(&ctl->err, VG_ERR_BAD_GATEWAY, "The service answered without a video.");
    else if (options->wait)
        rc = vg_ctl_follow(ctl, video->id, show_waiting);
    else
        vg_ctl_print(ctl, &video->base);
    vg_ctl_message_free(message);
    return rc;
}

static int run_create(struct vg_ctl *ctl)
{
    struct create_options *options = ctl->options;
    if (options->audio && options->no_audio)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST,
                          "Give either --audio or --no-audio, not both.");
    char request_id[VG_ID_SIZE];
    if (!options->request_id) {
        vg_id_new(request_id, "ctl");
        options->request_id = request_id;
    }
    struct vg_arena *arena = vg_arena_new();
    Videogate__V1__CreateVideoRequest request = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__INIT;
    add_fields(options, &request);
    int rc = add_pictures(ctl, arena, &request);
    if (rc == 0)
        rc = create(ctl, &request);
    vg_arena_free(arena);
    options->request_id = NULL; /* it may point into this frame */
    return rc;
}

static const struct vg_ctl_command commands[] = {
    {.words = "video create",
     .arguments = "",
     .summary = "Make a video.",
     .options = create_options,
     .option_count = VG_COUNT(create_options),
     .options_size = sizeof(struct create_options),
     .run = run_create},
};

const struct vg_ctl_command *vg_ctl_create_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
