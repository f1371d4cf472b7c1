/* SPDX-License-Identifier: Apache-2.0 */
/* DownloadVideo: info, then pieces of the file. After the row has been read the whole stream lives
 * on the work pool: a piece is read when the one before has been handed to the transport, so a slow
 * reader holds one piece and no thread.
 *
 *   row --loop--> open --pool--> info -sent-> read, send -sent-> read, send ... -sent-> end
 *                  |  ^
 *                  v  |  a variant that is not there yet
 *                  make (variant.h)
 */
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "service/key_use.h"
#include "service/range.h"
#include "service/service_priv.h"

#define PIECE ((size_t)128 * 1024)

struct download {
    struct vg_request request;
    struct vg_video_get op;
    const struct vg_output *output; /* in the arena */
    struct vg_task task;            /* pool: open, then after each send */
    struct vg_blob_reader *reader;  /* owned */
    uint8_t *piece;                 /* in the arena */
    int64_t total;
    int64_t first, at, end;  /* bytes of the file */
    int64_t link_expires_at; /* 0: the caller has a key */
    const char *mime_type, *etag;
    struct vg_variant_wait making;
    bool made; /* asked for once */
    char variant_key[VG_BLOB_KEY_SIZE];
    char variant_etag[VG_SHA256_HEX_SIZE];
    struct vg_key_stream stream; /* open from the row on */
    struct vg_err err;
};

static const Videogate__V1__DownloadVideoRequest *asked(const struct download *d)
{
    return (const Videogate__V1__DownloadVideoRequest *)vg_rpc_call_request(d->request.call);
}

static void close_reader(struct download *d)
{
    vg_key_stream_close(d->request.service->key_use, &d->stream);
    d->reader = vg_blob_close(d->reader);
    vg_metric_add(d->request.service->metrics, VG_SM_DOWNLOAD_BYTES, 0, d->at - d->first);
}

static void fail(struct download *d)
{
    close_reader(d);
    vg_request_fail(&d->request, &d->err);
}

static void send_piece(struct download *d)
{
    Videogate__V1__DownloadVideoResponse message = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    int64_t left = d->end - d->at;
    size_t want = left < (int64_t)PIECE ? (size_t)left : PIECE;
    size_t got = 0;

    if (vg_blob_read(d->reader, d->at, d->piece, want, &got, &d->err) < 0 || got < want) {
        vg_log(VG_LOG_ERROR, "stored file cannot be read", VG_S("video", d->op.id),
               VG_I("at", d->at));
        (void)vg_err_set(&d->err, VG_ERR_INTERNAL, "The stored file cannot be read.");
        fail(d);
        return;
    }
    d->at += (int64_t)got;
    message.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_DATA;
    message.data = (ProtobufCBinaryData){.len = got, .data = d->piece};
    vg_rpc_call_send(d->request.call, &message.base, d->request.service->pool, &d->task);
}

/* On the pool: the message before is out. */
static void sent(struct vg_task *task)
{
    struct download *d = VG_CONTAINER(task, struct download, task);

    if (vg_rpc_call_cancelled(d->request.call)) {
        (void)vg_err_set(&d->err, VG_ERR_CANCELLED, NULL);
        fail(d);
    } else if (atomic_load(&d->stream.gone)) {
        (void)vg_err_set(&d->err, VG_ERR_UNAUTHENTICATED, NULL);
        fail(d);
    } else if (d->at == d->end) {
        close_reader(d);
        vg_request_finish(&d->request);
    } else {
        send_piece(d);
    }
}

static void send_info(struct download *d)
{
    Videogate__V1__DownloadVideoResponse message = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    Videogate__V1__DownloadInfo info = VIDEOGATE__V1__DOWNLOAD_INFO__INIT;

    info.total_bytes = d->total;
    info.first = d->first;
    info.length = d->end - d->first;
    info.mime_type = vg_pb_text(d->mime_type);
    info.etag = vg_pb_text(d->etag);
    info.last_modified = d->output->stored_at;
    info.link_expires_at = d->link_expires_at;
    message.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_INFO;
    message.info = &info;
    if (asked(d)->info_only)
        d->end = d->at;
    else
        d->piece = vg_arena_alloc(vg_request_arena(&d->request), PIECE);
    d->task.run = sent;
    vg_rpc_call_send(d->request.call, &message.base, d->request.service->pool, &d->task);
}

static int resolve(struct download *d)
{
    const Videogate__V1__DownloadVideoRequest *in = asked(d);
    const struct vg_range range = {.has_first = in->opt_first_case != 0,
                                   .has_last = in->opt_last_case != 0,
                                   .first = in->opt_first_case ? in->first : 0,
                                   .last = in->opt_last_case ? in->last : 0};
    int64_t length = 0;

    if (vg_range_resolve(&range, d->total, &d->first, &length, &d->err) < 0)
        return -1;
    d->at = d->first;
    d->end = d->first + length;
    return 0;
}

static void begin(struct download *d)
{
    if (resolve(d) < 0)
        fail(d);
    else
        send_info(d);
}

static void fail_open(struct download *d)
{
    bool gone = d->err.kind == VG_ERR_NOT_FOUND;

    vg_log(gone ? VG_LOG_WARN : VG_LOG_ERROR, "stored file cannot be opened",
           VG_S("video", d->op.id), VG_S("why", vg_err_text(&d->err)));
    if (gone)
        (void)vg_err_param(&d->err, VG_ERR_NOT_FOUND, "id", "The content of this video is gone.");
    fail(d);
}

/* On the pool. */
static void run_open(struct vg_task *task)
{
    struct download *d = VG_CONTAINER(task, struct download, task);

    if (vg_blob_open(d->request.service->blobs, d->output->blob, &d->reader, &d->err) < 0) {
        fail_open(d);
        return;
    }
    d->total = vg_blob_size(d->reader);
    d->mime_type = d->output->mime_type;
    d->etag = d->output->sha256;
    if (d->total != d->output->bytes) {
        vg_log(VG_LOG_ERROR, "stored file has the wrong size", VG_S("video", d->op.id),
               VG_I("bytes", d->total), VG_I("expected", d->output->bytes));
        (void)vg_err_set(&d->err, VG_ERR_INTERNAL, "The stored file is damaged.");
        fail(d);
        return;
    }
    begin(d);
}

/* --- variants --- */

/* No row knows the hash of a variant, and the file is small. */
static int hash_variant(struct download *d)
{
    uint8_t piece[16384];
    struct vg_sha256 *sha = vg_sha256_new();
    size_t len = sizeof(piece);
    int rc = 0;

    for (int64_t at = 0; rc == 0 && len == sizeof(piece); at += (int64_t)len) {
        rc = vg_blob_read(d->reader, at, piece, sizeof(piece), &len, &d->err);
        if (rc == 0)
            vg_sha256_update(sha, piece, len);
    }
    vg_sha256_hex(sha, d->variant_etag);
    (void)vg_sha256_free(sha);
    return rc;
}

static void run_open_variant(struct vg_task *task);

/* On the pool. */
static void variant_made(struct vg_task *task)
{
    struct download *d = VG_CONTAINER(task, struct download, making.done);

    if (d->making.ok) {
        run_open_variant(&d->task);
        return;
    }
    d->err = d->making.err;
    if (d->err.kind == VG_ERR_NOT_FOUND)
        fail_open(d);
    else
        fail(d);
}

static void make_variant(struct download *d)
{
    d->made = true;
    d->making.video_id = d->op.id;
    d->making.output = d->output->blob;
    d->making.executor = d->request.service->pool;
    d->making.done.run = variant_made;
    vg_variants_make(d->request.service->variants, &d->making);
}

/* On the pool. */
static void run_open_variant(struct vg_task *task)
{
    struct download *d = VG_CONTAINER(task, struct download, task);

    vg_variant_key(d->variant_key, d->output->blob, d->making.variant);
    if (vg_blob_open(d->request.service->blobs, d->variant_key, &d->reader, &d->err) < 0) {
        if (d->err.kind == VG_ERR_NOT_FOUND && !d->made)
            make_variant(d);
        else
            fail_open(d);
        return;
    }
    d->total = vg_blob_size(d->reader);
    d->mime_type = vg_variant_mime_type(d->making.variant);
    d->etag = d->variant_etag;
    if (hash_variant(d) < 0)
        fail(d);
    else
        begin(d);
}

/* --- the row --- */

static const struct vg_output *find_output(const struct vg_video *video, int32_t index)
{
    for (size_t i = 0; i < video->output_count; i++)
        if (video->outputs[i].index == index)
            return &video->outputs[i];
    return NULL;
}

/* Nothing but a completed video within its retention has content. */
static int judge_video(const struct vg_video *video, struct vg_err *err)
{
    const char *word = vg_status_word(video->status);

    if (!vg_status_terminal(video->status))
        return vg_err_param(err, VG_ERR_NOT_READY, "id",
                            "Video is not ready yet. Current status: %s", word);
    if (video->status != VG_VIDEO_COMPLETED)
        return vg_err_param(err, VG_ERR_NOT_FOUND, "id",
                            "This video has no content. Its status: %s", word);
    if (vg_content_expired(video, vg_wall_ms() / 1000))
        return vg_err_param(err, VG_ERR_GONE, "id", "The content of this video has expired.");
    return 0;
}

/* Whether something else than the video is asked for. */
static bool asks_variant(const Videogate__V1__DownloadVideoRequest *in, enum vg_variant *out)
{
    bool sheet = in->variant == VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_SPRITESHEET;

    *out = sheet ? VG_VARIANT_SPRITESHEET : VG_VARIANT_THUMBNAIL;
    return sheet || in->variant == VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_THUMBNAIL;
}

static void got_row(struct vg_task *task)
{
    struct download *d = VG_CONTAINER(task, struct download, op.op.done);
    const struct vg_video *video = &d->op.video;

    if (!d->op.op.ok) {
        vg_request_fail(&d->request, &d->op.op.err);
        return;
    }
    if (judge_video(video, &d->err) < 0) {
        vg_request_fail(&d->request, &d->err);
        return;
    }
    d->output = find_output(video, asked(d)->index);
    if (!d->output) {
        (void)vg_err_param(&d->err, VG_ERR_NOT_FOUND, "index",
                           "This video has no content at index %d.", (int)asked(d)->index);
        vg_request_fail(&d->request, &d->err);
        return;
    }
    vg_key_stream_open(d->request.service->key_use, &d->stream, d->request.who.key_id);
    d->task.run = asks_variant(asked(d), &d->making.variant) ? run_open_variant : run_open;
    vg_post(d->request.service->pool, &d->task);
}

static void download_run(struct vg_request *request)
{
    struct download *d = VG_CONTAINER(request, struct download, request);
    const Videogate__V1__DownloadVideoRequest *in = asked(d);

    if (!vg_video_id_ok(in->id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such video.");
        return;
    }
    if ((unsigned)in->variant > VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_SPRITESHEET) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "variant",
                          "variant: there is no such variant");
        return;
    }
    d->op.id = in->id;
    d->op.project_id = request->who.project_id;
    d->op.any_project = d->link_expires_at > 0;
    vg_request_op(request, &d->op.op, got_row);
    vg_video_get(request->service->db, &d->op);
}

static int judge_link(struct vg_request *request, struct vg_err *err)
{
    struct download *d = VG_CONTAINER(request, struct download, request);
    const Videogate__V1__DownloadVideoRequest *in = asked(d);

    return vg_link_verify(request->service->links, in->link_token, in->id, in->index,
                          vg_wall_ms() / 1000, &d->link_expires_at, err);
}

void vg_handle_download(void *ctx, struct vg_rpc_call *call)
{
    const Videogate__V1__DownloadVideoRequest *in =
        (const Videogate__V1__DownloadVideoRequest *)vg_rpc_call_request(call);

    if (in->link_token[0])
        vg_request_begin_judged(ctx, call, sizeof(struct download), judge_link, download_run);
    else
        vg_request_begin(ctx, call, sizeof(struct download), VG_SCOPE_VIDEOS_READ, download_run);
}
