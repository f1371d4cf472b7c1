/* SPDX-License-Identifier: Apache-2.0 */
/* video download: into FILE.part, over broken streams by range, checked against the SHA-256, then
 * renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json_writer.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/ctl/commands.h"

#define RETRIES_MAX 5
#define RETRY_MS 1000
#define IDLE_MS 60000
#define BAR_WIDTH 30
#define BAR_INTERVAL_NS (100 * VG_NS_PER_MS)

struct download_options {
    const char *output;
    struct vg_ctl_int index;
};

static const struct vg_ctl_option download_options[] = {
    {.name = "index",
     .type = VG_CTL_INT,
     .offset = offsetof(struct download_options, index),
     .value = "N",
     .help = "Which output, 0 to 9. Default: 0.",
     .min = 0,
     .max = 9},
    {.name = "o",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct download_options, output),
     .value = "FILE",
     .help = "Where to write; - for standard output. Default: ID.mp4."},
};

struct download {
    struct vg_ctl *ctl; /* borrowed */
    int index;
    int fd;           /* owned unless standard output */
    char *path;       /* owned; NULL: standard output */
    char *part;       /* owned; PATH.part */
    int64_t total;    /* -1: not known yet */
    int64_t received; /* written to fd */
    char etag[VG_SHA256_HEX_SIZE];
    struct vg_sha256 *sha; /* owned; over what was received */
    bool bar;
    int64_t bar_ns; /* when it was drawn last */
};

static void draw_bar(struct download *self, bool last)
{
    int64_t now = vg_now_ns();
    if (!self->bar || (!last && now - self->bar_ns < BAR_INTERVAL_NS))
        return;
    self->bar_ns = now;
    char filled[BAR_WIDTH + 1];
    int64_t total = self->total > 0 ? self->total : 1;
    int width = (int)(self->received * BAR_WIDTH / total);
    memset(filled, '#', sizeof filled);
    (void)fprintf(stderr, "\r[%.*s%*s] %3d%% %.1f of %.1f MB%s", width, filled, BAR_WIDTH - width,
                  "", (int)(self->received * 100 / total), (double)self->received / 1e6,
                  (double)self->total / 1e6, last ? "\n" : "");
}

static int write_all(struct download *self, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = write(self->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vg_err_set(&self->ctl->err, VG_ERR_STORAGE_FULL, "Cannot write %s: %m.",
                              self->part ? self->part : "to standard output");
        vg_sha256_update(self->sha, data, (size_t)n);
        self->received += n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int mismatch(struct download *self, const char *what)
{
    return vg_err_set(&self->ctl->err, VG_ERR_BAD_GATEWAY,
                      "The download is not what was announced: %s.", what);
}

static int take_info(struct download *self, const Videogate__V1__DownloadInfo *info)
{
    if (self->total < 0) {
        if (!vg_strcpy(self->etag, sizeof self->etag, info->etag))
            return mismatch(self, "its etag is too long");
        if (info->total_bytes < 0)
            return mismatch(self, "its size is negative");
        self->total = info->total_bytes;
    }
    if (info->total_bytes != self->total || strcmp(info->etag, self->etag) != 0)
        return mismatch(self, "the file changed meanwhile");
    if (info->first != self->received || info->length != self->total - self->received)
        return mismatch(self, "another range came");
    return 0;
}

static int take_part(struct download *self, const Videogate__V1__DownloadVideoResponse *response,
                     bool *informed)
{
    if (response->part_case == VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_INFO && !*informed) {
        *informed = true;
        return take_info(self, response->info);
    }
    if (response->part_case != VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_DATA || !*informed)
        return mismatch(self, "its parts are out of order");
    if ((int64_t)response->data.len > self->total - self->received)
        return mismatch(self, "it is too long");
    if (write_all(self, response->data.data, response->data.len) != 0)
        return -1;
    draw_bar(self, false);
    return 0;
}

/* Opens the stream where the last one broke off and reads it to its end. */
static int stream_once(struct download *self)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.VideoService/DownloadVideo",
                                          &videogate__v1__download_video_response__descriptor,
                                          .admin = false};
    struct vg_ctl *ctl = self->ctl;
    Videogate__V1__DownloadVideoRequest request = VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    request.index = self->index;
    if (self->received > 0) {
        request.opt_first_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__OPT_FIRST_FIRST;
        request.first = self->received;
    }
    struct vg_ctl_stream *stream;
    if (vg_ctl_stream_open(ctl, &rpc, &request.base, &stream) != 0)
        return -1;
    ProtobufCMessage *message;
    bool informed = false;
    int rc;
    while ((rc = vg_ctl_stream_read(ctl, stream, IDLE_MS, &message)) == 1) {
        int taken = take_part(self, (Videogate__V1__DownloadVideoResponse *)message, &informed);
        vg_ctl_message_free(message);
        if (taken != 0) {
            rc = -1;
            break;
        }
    }
    vg_ctl_stream_close(stream);
    if (rc == 0 && self->received != self->total)
        return vg_err_set(&ctl->err, VG_ERR_UNAVAILABLE, "The stream ended early.");
    return rc;
}

static int stream_all(struct download *self)
{
    for (int failures = 0;;) {
        int64_t before = self->received;
        if (stream_once(self) == 0)
            return 0;
        /* What was announced wrongly or cannot be written will not get better. */
        enum vg_err_kind kind = self->ctl->err.kind;
        bool again = vg_err_info(kind)->retryable && kind != VG_ERR_BAD_GATEWAY &&
                     kind != VG_ERR_STORAGE_FULL;
        failures = self->received > before ? 0 : failures + 1;
        if (!again || failures > RETRIES_MAX)
            return -1;
        if (self->total >= 0 && self->received == self->total)
            return 0;
        const struct timespec pause = {.tv_sec = RETRY_MS / 1000};
        (void)nanosleep(&pause, NULL);
    }
}

static int open_part(struct download *self, const char *output)
{
    struct vg_ctl *ctl = self->ctl;
    if (output && strcmp(output, "-") == 0) {
        self->fd = STDOUT_FILENO;
        return 0;
    }
    struct vg_buf name;
    vg_buf_init(&name, 4096);
    if (output)
        (void)vg_buf_adds(&name, output);
    else if (self->index == 0)
        (void)vg_buf_addf(&name, "%s.mp4", ctl->args[0]);
    else
        (void)vg_buf_addf(&name, "%s-%d.mp4", ctl->args[0], self->index);
    self->path = vg_xstrdup(vg_buf_view(&name).data);
    (void)vg_buf_adds(&name, ".part");
    self->part = vg_xstrdup(vg_buf_view(&name).data);
    bool fits = vg_buf_ok(&name);
    vg_buf_fini(&name);
    if (!fits)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "The file name is too long.");
    self->fd = open(self->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (self->fd < 0)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "Cannot write %s: %m.", self->part);
    return 0;
}

/* The file appears under its name only when all of it is there and right. */
static int finish(struct download *self)
{
    struct vg_ctl *ctl = self->ctl;
    char hex[VG_SHA256_HEX_SIZE];
    vg_sha256_hex(self->sha, hex);
    if (strcmp(hex, self->etag) != 0)
        return mismatch(self, "its SHA-256 differs");
    draw_bar(self, true);
    if (!self->path)
        return 0;
    if (fsync(self->fd) != 0 || rename(self->part, self->path) != 0)
        return vg_err_set(&ctl->err, VG_ERR_STORAGE_FULL, "Cannot finish %s: %m.", self->path);
    return 0;
}

static void print_result(struct download *self)
{
    char bytes[32];
    (void)snprintf(bytes, sizeof bytes, "%lld", (long long)self->received);
    if (!self->ctl->json) {
        vg_ctl_print_pair("file", self->path);
        vg_ctl_print_pair("bytes", bytes);
        vg_ctl_print_pair("sha256", self->etag);
        return;
    }
    struct vg_buf text;
    struct vg_json_writer writer;
    vg_buf_init(&text, 65536);
    vg_json_begin(&writer, &text);
    vg_json_object_open(&writer);
    vg_json_put_key(&writer, "file");
    vg_json_put_text(&writer, self->path);
    vg_json_put_key(&writer, "bytes");
    vg_json_put_int(&writer, self->received);
    vg_json_put_key(&writer, "sha256");
    vg_json_put_text(&writer, self->etag);
    vg_json_object_close(&writer);
    (void)puts(vg_buf_view(&text).data); /* main looks at ferror */
    vg_buf_fini(&text);
}

static int run_download(struct vg_ctl *ctl)
{
    const struct download_options *options = ctl->options;
    struct download self = {
        .ctl = ctl,
        .index = (int)options->index.value,
        .fd = -1,
        .total = -1,
        .sha = vg_sha256_new(),
        .bar = isatty(STDERR_FILENO) == 1,
    };
    int rc = open_part(&self, options->output);
    if (rc == 0)
        rc = stream_all(&self);
    if (rc == 0)
        rc = finish(&self);
    if (rc != 0 && self.part && self.fd >= 0)
        (void)unlink(self.part);
    if (self.path && self.fd >= 0)
        (void)close(self.fd); /* synced, or of no use */
    if (rc == 0 && self.path)
        print_result(&self);
    vg_sha256_free(self.sha);
    free(self.path);
    free(self.part);
    return rc;
}

static const struct vg_ctl_command commands[] = {
    {.words = "video download",
     .arguments = "ID",
     .summary = "Write an output to a file.",
     .arg_count = 1,
     .options = download_options,
     .option_count = VG_COUNT(download_options),
     .options_size = sizeof(struct download_options),
     .run = run_download},
};

const struct vg_ctl_command *vg_ctl_download_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
