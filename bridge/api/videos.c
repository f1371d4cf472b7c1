/* SPDX-License-Identifier: Apache-2.0 */
/* The small routes of /v1/videos and /v1/models: one call each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bridge/api/answer.h"
#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/api/video_json.h"
#include "common/crypto.h"
#include "common/str.h"

#define MAX_ANSWER ((size_t)64 * 1024 * 1024)

#define POLL_SIZE 16

/* When to come back, while it is of use: how many headers were written to `out`. */
static size_t poll_header(const Videogate__V1__Video *video, char text[POLL_SIZE],
                          struct vg_header *out)
{
    bool running = video->status == VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED ||
                   video->status == VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_IN_PROGRESS;
    if (!running || video->poll_after_ms <= 0)
        return 0;
    (void)snprintf(text, POLL_SIZE, "%d", (int)video->poll_after_ms);
    *out = (struct vg_header){VG_VIEW("openai-poll-after-ms"), vg_view_of(text)};
    return 1;
}

static void send_video(struct vg_exchange *ex, const Videogate__V1__Video *video,
                       const struct vg_header *headers, size_t count)
{
    struct vg_answer a;
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_members(&a, &video->base);
    vg_answer_close(&a);
    vg_answer_finish(&a, headers, count);
}

void vg_respond_video(struct vg_exchange *ex, const Videogate__V1__Video *video)
{
    struct vg_header header;
    char wait[POLL_SIZE];
    if (video)
        send_video(ex, video, &header, poll_header(video, wait, &header));
    else
        vg_respond_kind(ex, VG_ERR_BAD_GATEWAY);
}

/* --- GET and cancel --- */

/* The version, and what the answer shows besides it: the links, which are made anew each day. */
static void video_etag(const Videogate__V1__Video *video, char out[VG_ETAG_SIZE])
{
    uint8_t links[VG_SHA256_SIZE] = {0}, both[2 * VG_SHA256_SIZE];
    char hex[2 * 8 + 1] = "";
    for (size_t i = 0; i < video->n_content; i++) {
        const char *url = video->content[i]->url;
        memcpy(both, links, sizeof(links));
        vg_sha256(both + sizeof(links), url, strlen(url));
        vg_sha256(links, both, sizeof(both));
    }
    if (video->n_content)
        vg_hex_encode(hex, links, 8);
    (void)snprintf(out, VG_ETAG_SIZE, "v%" PRId64 "%s%s", video->version, hex[0] ? "-" : "", hex);
}

static void reply_get(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__Video *video = ((const Videogate__V1__GetVideoResponse *)response)->video;
    struct vg_header headers[3];
    char wait[POLL_SIZE], etag[VG_ETAG_SIZE];
    if (!video) {
        vg_respond_kind(ex, VG_ERR_BAD_GATEWAY);
        return;
    }
    video_etag(video, etag);
    size_t n = poll_header(video, wait, headers);
    if (vg_respond_unchanged(ex, etag, headers, n))
        return;
    n += vg_cache_headers(ex, etag, headers + n);
    send_video(ex, video, headers, n);
}

void vg_handle_get(struct vg_exchange *ex)
{
    Videogate__V1__GetVideoRequest request = VIDEOGATE__V1__GET_VIDEO_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/GetVideo", &request.base,
                     &videogate__v1__get_video_response__descriptor, reply_get);
}

static void reply_cancel(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    vg_respond_video(ex, ((const Videogate__V1__CancelVideoResponse *)response)->video);
}

void vg_handle_cancel(struct vg_exchange *ex)
{
    Videogate__V1__CancelVideoRequest request = VIDEOGATE__V1__CANCEL_VIDEO_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/CancelVideo", &request.base,
                     &videogate__v1__cancel_video_response__descriptor, reply_cancel);
}

/* --- DELETE --- */

static void reply_delete(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__DeleteVideoResponse *deleted = (const void *)response;
    struct vg_answer a;
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_text(&a, "id", deleted->id);
    vg_answer_text(&a, "object", "video.deleted");
    vg_answer_bool(&a, "deleted", true);
    vg_answer_send(&a);
}

void vg_handle_delete(struct vg_exchange *ex)
{
    Videogate__V1__DeleteVideoRequest request = VIDEOGATE__V1__DELETE_VIDEO_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/DeleteVideo", &request.base,
                     &videogate__v1__delete_video_response__descriptor, reply_delete);
}

/* --- lists --- */

/* SDKs page by last_id until has_more is false (openai-api.md 1.3). */
static void reply_list(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListVideosResponse *page = (const void *)response;
    size_t n = page->n_data;
    struct vg_answer a;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < n; i++)
        vg_answer_item(&a, &page->data[i]->base);
    vg_answer_page_close(&a, n ? page->data[0]->id : NULL, n ? page->data[n - 1]->id : NULL,
                         page->has_more);
    vg_answer_send(&a);
}

static int read_list_query(struct vg_view query, Videogate__V1__ListVideosRequest *request,
                           char after[VG_PARAM_SIZE], struct vg_err *err)
{
    char text[16];
    int64_t limit = 0;
    if (vg_http_query_number(query, "limit", 100, &limit) != 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 100 is allowed.");
    long len = vg_http_query_get(query, "order", text, sizeof(text));
    bool ascending = len >= 0 && strcmp(text, "asc") == 0;
    if (len == -1 || (len >= 0 && !ascending && strcmp(text, "desc") != 0))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "order", "order: asc or desc is allowed.");
    len = vg_http_query_get(query, "after", after, VG_PARAM_SIZE);
    if (len == -1)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "after", "after: is not a video id.");
    request->limit = (int32_t)limit;
    request->ascending = ascending;
    if (len > 0)
        request->after = after;
    return 0;
}

void vg_handle_list(struct vg_exchange *ex)
{
    Videogate__V1__ListVideosRequest request = VIDEOGATE__V1__LIST_VIDEOS_REQUEST__INIT;
    char after[VG_PARAM_SIZE];
    struct vg_err err;
    if (read_list_query(ex->stream->request.query, &request, after, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    vg_exchange_call(ex, "/videogate.v1.VideoService/ListVideos", &request.base,
                     &videogate__v1__list_videos_response__descriptor, reply_list);
}

/* --- models --- */

/* The catalog seldom changes: a hash of the answer is its tag. */
static void send_tagged(struct vg_answer *a)
{
    struct vg_header headers[VG_CACHE_HEADERS];
    uint8_t hash[VG_SHA256_SIZE];
    char etag[2 * 8 + 1];
    vg_answer_close(a);
    if (!vg_buf_ok(&a->body)) {
        vg_answer_finish(a, NULL, 0);
        return;
    }
    vg_sha256(hash, a->body.data, a->body.len);
    vg_hex_encode(etag, hash, 8);
    if (vg_respond_unchanged(a->ex, etag, NULL, 0))
        vg_buf_fini(&a->body);
    else
        vg_answer_finish(a, headers, vg_cache_headers(a->ex, etag, headers));
}

static void reply_models(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListModelsResponse *models = (const void *)response;
    struct vg_answer a;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < models->n_data; i++)
        vg_answer_item(&a, &models->data[i]->base);
    vg_answer_list_close(&a);
    send_tagged(&a);
}

void vg_handle_models(struct vg_exchange *ex)
{
    Videogate__V1__ListModelsRequest request = VIDEOGATE__V1__LIST_MODELS_REQUEST__INIT;
    vg_exchange_call(ex, "/videogate.v1.VideoService/ListModels", &request.base,
                     &videogate__v1__list_models_response__descriptor, reply_models);
}

static void reply_model(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__GetModelResponse *found = (const void *)response;
    struct vg_answer a;
    if (!found->model) {
        vg_respond_kind(ex, VG_ERR_BAD_GATEWAY);
        return;
    }
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_members(&a, &found->model->base);
    send_tagged(&a);
}

void vg_handle_model(struct vg_exchange *ex)
{
    Videogate__V1__GetModelRequest request = VIDEOGATE__V1__GET_MODEL_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/GetModel", &request.base,
                     &videogate__v1__get_model_response__descriptor, reply_model);
}
