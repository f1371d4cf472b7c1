/* SPDX-License-Identifier: Apache-2.0 */
/* A small VideoService in memory, for tests of the bridge. Files have 1,000,000 bytes (64 MiB for
 * ids that end in "big"), byte i is (i * 31) & 255; ids that end in "404" do not exist, in "cut"
 * break off in the middle. */
#ifndef VG_TESTS_UNIT_BRIDGE_FAKE_SERVICE_H
#define VG_TESTS_UNIT_BRIDGE_FAKE_SERVICE_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/rpc/server.h"
#include "common/work_pool.h"
#include "videogate/v1/video.pb-c.h"

enum { FAKE_SIZE = 1000000, FAKE_BIG = 64 << 20, FAKE_BLOCK = 128 * 1024 };

struct fake {
    struct vg_work_pool *pool;
    struct vg_rpc_server *server;
    atomic_long messages; /* sent by downloads */
    atomic_int downloads; /* under way */
    atomic_int cancelled; /* downloads that ended by the caller's cancel */
    atomic_int creates;
    char authorization[128]; /* of the last create; read it after its answer */
    char request_id[64];
    bool no_fallback;
    size_t image_bytes;
};

static inline bool fake_ends(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static inline bool fake_missing(struct vg_rpc_call *call, const char *id)
{
    struct vg_err err;
    if (!fake_ends(id, "404"))
        return false;
    (void)vg_err_set(&err, VG_ERR_NOT_FOUND, "There is no such video.");
    vg_rpc_call_fail(call, &err);
    return true;
}

static inline void fake_fill(Videogate__V1__Video *video, char *id, char *prompt)
{
    videogate__v1__video__init(video);
    video->id = id;
    video->model = (char *)(uintptr_t) "sandbox-instant";
    video->status = VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED;
    video->prompt = prompt;
    video->seconds = 8;
    video->created_at = 1700000000;
    video->poll_after_ms = 1500;
}

static inline void fake_create(void *ctx, struct vg_rpc_call *call)
{
    struct fake *f = ctx;
    const Videogate__V1__CreateVideoRequest *req = (const void *)vg_rpc_call_request(call);
    struct vg_view auth = vg_rpc_call_metadata(call, "authorization");
    struct vg_err err;
    if (strcmp(req->prompt, "busy") == 0) {
        (void)vg_err_param(&err, VG_ERR_RATE_LIMITED, "prompt", "Too busy.");
        err.retry_after_ms = 2500;
        vg_rpc_call_fail(call, &err);
        return;
    }
    if (strcmp(req->prompt, "secret") == 0) {
        (void)vg_err_set(&err, VG_ERR_INTERNAL, "the password is 123");
        vg_rpc_call_fail(call, &err);
        return;
    }
    (void)snprintf(f->authorization, sizeof(f->authorization), "%.*s", (int)auth.len,
                   auth.len ? auth.data : "");
    (void)snprintf(f->request_id, sizeof(f->request_id), "%s",
                   req->opt_request_id_case ==
                           VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_REQUEST_ID_REQUEST_ID
                       ? req->request_id
                       : "");
    f->no_fallback = req->no_fallback;
    f->image_bytes =
        req->image && req->image->source_case == VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA
            ? req->image->data.len
            : 0;
    Videogate__V1__Video video;
    Videogate__V1__CreateVideoResponse response = VIDEOGATE__V1__CREATE_VIDEO_RESPONSE__INIT;
    fake_fill(&video, (char *)(uintptr_t) "video_1", req->prompt);
    response.video = &video;
    atomic_fetch_add(&f->creates, 1);
    vg_rpc_call_reply(call, &response.base);
}

static inline void fake_get(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    const Videogate__V1__GetVideoRequest *req = (const void *)vg_rpc_call_request(call);
    Videogate__V1__Video video;
    Videogate__V1__GetVideoResponse response = VIDEOGATE__V1__GET_VIDEO_RESPONSE__INIT;
    if (fake_missing(call, req->id))
        return;
    fake_fill(&video, req->id, (char *)(uintptr_t) "a prompt");
    response.video = &video;
    vg_rpc_call_reply(call, &response.base);
}

static inline void fake_list(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    const Videogate__V1__ListVideosRequest *req = (const void *)vg_rpc_call_request(call);
    Videogate__V1__Video videos[2], *rows[2] = {&videos[0], &videos[1]};
    Videogate__V1__ListVideosResponse response = VIDEOGATE__V1__LIST_VIDEOS_RESPONSE__INIT;
    char first[64];
    (void)snprintf(first, sizeof(first), "%s-%d-%d", req->after, (int)req->limit,
                   (int)req->ascending);
    fake_fill(&videos[0], first, first);
    fake_fill(&videos[1], (char *)(uintptr_t) "video_last", first);
    response.data = rows;
    response.n_data = 2;
    response.has_more = true;
    vg_rpc_call_reply(call, &response.base);
}

static inline void fake_delete(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    const Videogate__V1__DeleteVideoRequest *req = (const void *)vg_rpc_call_request(call);
    Videogate__V1__DeleteVideoResponse response = VIDEOGATE__V1__DELETE_VIDEO_RESPONSE__INIT;
    response.id = req->id;
    vg_rpc_call_reply(call, &response.base);
}

static inline void fake_models(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    Videogate__V1__Model model = VIDEOGATE__V1__MODEL__INIT, *rows[1] = {&model};
    Videogate__V1__ListModelsResponse response = VIDEOGATE__V1__LIST_MODELS_RESPONSE__INIT;
    model.id = (char *)(uintptr_t) "openai/sora-2";
    response.data = rows;
    response.n_data = 1;
    vg_rpc_call_reply(call, &response.base);
}

static inline void fake_model(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    const Videogate__V1__GetModelRequest *in = (const void *)vg_rpc_call_request(call);
    Videogate__V1__Model model = VIDEOGATE__V1__MODEL__INIT;
    Videogate__V1__GetModelResponse response = VIDEOGATE__V1__GET_MODEL_RESPONSE__INIT;
    struct vg_err err;
    if (strcmp(in->id, "openai/sora-2") != 0) {
        (void)vg_err_set(&err, VG_ERR_NOT_FOUND, NULL);
        vg_rpc_call_fail(call, &err);
        return;
    }
    model.id = in->id;
    response.model = &model;
    vg_rpc_call_reply(call, &response.base);
}

struct fake_download {
    struct fake *f;
    struct vg_rpc_call *call;
    struct vg_task task;
    int64_t at, end, total;
    bool cut, info_only;
    char *block;
};

static inline void fake_next(struct vg_task *task)
{
    struct fake_download *d = VG_CONTAINER(task, struct fake_download, task);
    Videogate__V1__DownloadVideoResponse m = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    struct vg_err err;
    bool over = d->at >= d->end || d->info_only;
    bool away = vg_rpc_call_cancelled(d->call);
    if (over || away || (d->cut && d->at > d->total / 2)) {
        if (over) {
            vg_rpc_call_finish(d->call);
        } else {
            atomic_fetch_add(&d->f->cancelled, away);
            (void)vg_err_set(&err, away ? VG_ERR_CANCELLED : VG_ERR_UNAVAILABLE, NULL);
            vg_rpc_call_fail(d->call, &err);
        }
        atomic_fetch_sub(&d->f->downloads, 1);
        free(d->block);
        free(d);
        return;
    }
    size_t n = (size_t)(d->end - d->at < FAKE_BLOCK ? d->end - d->at : FAKE_BLOCK);
    for (size_t i = 0; i < n; i++)
        d->block[i] = (char)((d->at + (int64_t)i) * 31);
    m.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_DATA;
    m.data = (ProtobufCBinaryData){n, (uint8_t *)d->block};
    d->at += (int64_t)n;
    atomic_fetch_add(&d->f->messages, 1);
    vg_rpc_call_send(d->call, &m.base, vg_work_pool_executor(d->f->pool), &d->task);
}

static inline void fake_download(void *ctx, struct vg_rpc_call *call)
{
    struct fake *f = ctx;
    const Videogate__V1__DownloadVideoRequest *req = (const void *)vg_rpc_call_request(call);
    struct vg_err err;
    if (fake_missing(call, req->id))
        return;
    if (strcmp(req->link_token, "bad") == 0) {
        (void)vg_err_set(&err, VG_ERR_UNAUTHENTICATED, NULL);
        vg_rpc_call_fail(call, &err);
        return;
    }
    int64_t total = fake_ends(req->id, "big") ? FAKE_BIG : FAKE_SIZE, first = 0, last = total - 1;
    bool has_first = req->opt_first_case == VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__OPT_FIRST_FIRST;
    bool has_last = req->opt_last_case == VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__OPT_LAST_LAST;
    if (has_first)
        first = req->first;
    if (has_last && has_first)
        last = req->last < last ? req->last : last;
    if (has_last && !has_first)
        first = req->last < total ? total - req->last : 0;
    if (first >= total || first > last) {
        (void)vg_err_set(&err, VG_ERR_RANGE_NOT_SATISFIABLE, NULL);
        vg_rpc_call_fail(call, &err);
        return;
    }
    struct fake_download *d = vg_xalloc(sizeof(*d));
    *d = (struct fake_download){f,
                                call,
                                {fake_next, NULL},
                                first,
                                last + 1,
                                total,
                                fake_ends(req->id, "cut"),
                                req->info_only,
                                vg_xalloc(FAKE_BLOCK)};
    atomic_fetch_add(&f->downloads, 1);
    Videogate__V1__DownloadInfo info = VIDEOGATE__V1__DOWNLOAD_INFO__INIT;
    Videogate__V1__DownloadVideoResponse m = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    info.total_bytes = total;
    info.first = first;
    info.length = last + 1 - first;
    static const char *const types[] = {"video/mp4", "video/mp4", "image/webp", "image/jpeg"};
    info.mime_type = (char *)(uintptr_t)types[req->variant & 3];
    info.link_expires_at = req->link_token[0] ? INT64_C(1) << 33 : 0;
    info.etag = (char *)(uintptr_t) "abc123";
    info.last_modified = 784111777;
    m.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_INFO;
    m.info = &info;
    vg_rpc_call_send(call, &m.base, vg_work_pool_executor(f->pool), &d->task);
}

/* Returns the port. */
static inline int fake_start(struct fake *f, const char *listen)
{
    static const struct vg_rpc_method methods[] = {
        {"CreateVideo", fake_create, false},    {"GetVideo", fake_get, false},
        {"ListVideos", fake_list, false},       {"DeleteVideo", fake_delete, false},
        {"ListModels", fake_models, false},     {"GetModel", fake_model, false},
        {"DownloadVideo", fake_download, true},
    };
    struct vg_rpc_service service = {&videogate__v1__video_service__descriptor, methods,
                                     VG_COUNT(methods), f};
    struct vg_rpc_server_options options = {.listen = listen,
                                            .services = &service,
                                            .service_count = 1,
                                            .threads = 1,
                                            .max_message = 80 << 20,
                                            .edge_batch = true};
    struct vg_err err;
    memset(f, 0, sizeof(*f));
    VG_ASSERT(vg_work_pool_start(&f->pool, "fake", 2, &err) == 0);
    if (vg_rpc_server_start(&f->server, &options, &err) != 0) {
        (void)fprintf(stderr, "%s\n", vg_err_text(&err));
        VG_ASSERT(false && "the fake service starts");
    }
    return vg_rpc_server_port(f->server);
}

static inline void fake_stop(struct fake *f)
{
    f->server = vg_rpc_server_stop(f->server);
    f->pool = vg_work_pool_stop(f->pool);
}

#endif
