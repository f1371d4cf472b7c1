/* SPDX-License-Identifier: Apache-2.0 */
/* The small routes of /v1/videos and /v1/models: one call each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "bridge/api/video_json.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/json_pb.h"
#include "common/str.h"

#define MAX_ANSWER ((size_t)64 * 1024 * 1024)

static void bad_answer(struct vg_exchange *ex)
{
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_BAD_GATEWAY, NULL);
    vg_respond_error(ex, &err);
}

/* Sends what was written, unless it has outgrown its bound. */
static void send_json(struct vg_exchange *ex, struct vg_buf *body, const struct vg_header *extra,
                      size_t extra_count)
{
    if (vg_buf_ok(body))
        vg_respond_body(ex, 200, "application/json", body, extra, extra_count);
    else
        bad_answer(ex);
    vg_buf_fini(body);
}

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
    struct vg_buf body;
    struct vg_json_writer w;
    vg_buf_init(&body, MAX_ANSWER);
    vg_json_begin(&w, &body);
    vg_pb_to_json(&video->base, vg_api_shape(), &w);
    send_json(ex, &body, headers, count);
}

void vg_respond_video(struct vg_exchange *ex, const Videogate__V1__Video *video)
{
    struct vg_header header;
    char wait[POLL_SIZE];
    if (video)
        send_video(ex, video, &header, poll_header(video, wait, &header));
    else
        bad_answer(ex);
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
        bad_answer(ex);
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
    struct vg_buf body;
    struct vg_json_writer w;
    vg_buf_init(&body, MAX_ANSWER);
    vg_json_begin(&w, &body);
    vg_json_object_open(&w);
    vg_json_put_key(&w, "id");
    vg_json_put_text(&w, deleted->id);
    vg_json_put_key(&w, "object");
    vg_json_put_text(&w, "video.deleted");
    vg_json_put_key(&w, "deleted");
    vg_json_put_bool(&w, true);
    vg_json_object_close(&w);
    send_json(ex, &body, NULL, 0);
}

void vg_handle_delete(struct vg_exchange *ex)
{
    Videogate__V1__DeleteVideoRequest request = VIDEOGATE__V1__DELETE_VIDEO_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/DeleteVideo", &request.base,
                     &videogate__v1__delete_video_response__descriptor, reply_delete);
}

/* --- lists --- */

static void list_open(struct vg_json_writer *w, struct vg_buf *body)
{
    vg_buf_init(body, MAX_ANSWER);
    vg_json_begin(w, body);
    vg_json_object_open(w);
    vg_json_put_key(w, "object");
    vg_json_put_text(w, "list");
    vg_json_put_key(w, "data");
    vg_json_array_open(w);
}

/* SDKs page by last_id until has_more is false (openai-api.md 1.3). */
static void reply_list(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListVideosResponse *page = (const void *)response;
    struct vg_buf body;
    struct vg_json_writer w;
    list_open(&w, &body);
    for (size_t i = 0; i < page->n_data; i++)
        vg_pb_to_json(&page->data[i]->base, vg_api_shape(), &w);
    vg_json_array_close(&w);
    vg_json_put_key(&w, "first_id");
    vg_json_put_text(&w, page->n_data ? page->data[0]->id : NULL);
    vg_json_put_key(&w, "last_id");
    vg_json_put_text(&w, page->n_data ? page->data[page->n_data - 1]->id : NULL);
    vg_json_put_key(&w, "has_more");
    vg_json_put_bool(&w, page->has_more);
    vg_json_object_close(&w);
    send_json(ex, &body, NULL, 0);
}

static int read_list_query(struct vg_view query, Videogate__V1__ListVideosRequest *request,
                           char after[VG_PARAM_SIZE], struct vg_err *err)
{
    char text[16];
    int64_t limit = 0;
    long len = vg_http_query_get(query, "limit", text, sizeof(text));
    if (len == -1 ||
        (len >= 0 && vg_parse_i64((struct vg_view){text, (size_t)len}, 0, 100, &limit) != 0))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 100 is allowed.");
    len = vg_http_query_get(query, "order", text, sizeof(text));
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
static void send_tagged(struct vg_exchange *ex, struct vg_buf *body)
{
    struct vg_header headers[VG_CACHE_HEADERS];
    uint8_t hash[VG_SHA256_SIZE];
    char etag[2 * 8 + 1];
    if (!vg_buf_ok(body)) {
        send_json(ex, body, NULL, 0);
        return;
    }
    vg_sha256(hash, body->data, body->len);
    vg_hex_encode(etag, hash, 8);
    if (vg_respond_unchanged(ex, etag, NULL, 0))
        vg_buf_fini(body);
    else
        send_json(ex, body, headers, vg_cache_headers(ex, etag, headers));
}

static void reply_models(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListModelsResponse *models = (const void *)response;
    struct vg_buf body;
    struct vg_json_writer w;
    list_open(&w, &body);
    for (size_t i = 0; i < models->n_data; i++)
        vg_pb_to_json(&models->data[i]->base, vg_api_shape(), &w);
    vg_json_array_close(&w);
    vg_json_object_close(&w);
    send_tagged(ex, &body);
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
    struct vg_buf body;
    struct vg_json_writer w;
    if (!found->model) {
        bad_answer(ex);
        return;
    }
    vg_buf_init(&body, MAX_ANSWER);
    vg_json_begin(&w, &body);
    vg_pb_to_json(&found->model->base, vg_api_shape(), &w);
    send_tagged(ex, &body);
}

void vg_handle_model(struct vg_exchange *ex)
{
    Videogate__V1__GetModelRequest request = VIDEOGATE__V1__GET_MODEL_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.VideoService/GetModel", &request.base,
                     &videogate__v1__get_model_response__descriptor, reply_model);
}
