/* SPDX-License-Identifier: Apache-2.0 */
/* GET and HEAD /v1/videos/{id}/content, and /v1/videos/logs/{id}/content, the form of LLM Gateway's
 * signed links: a DownloadVideo stream under HTTP's ranges and validators
 * (RFC 9110 13, 14). One message is in memory at a time; the next is asked for when the client has
 * taken most of what is queued. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "videogate/v1/video.pb-c.h"

enum phase {
    PHASE_RANGE, /* the range asked for -> WHOLE (If-Range says no), INFO (it cannot be served) */
    PHASE_WHOLE, /* everything */
    PHASE_INFO,  /* the description alone: HEAD, or for a 416 -> WHOLE (If-Range says no) */
    PHASE_NONE,
};

#define TOKEN_SIZE 128

struct variant {
    const char *name; /* in the query */
    Videogate__V1__DownloadVariant number;
    const char *suffix; /* of the file's name */
};
static const struct variant variants[] = {
    {"video", VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_VIDEO, ""},
    {"thumbnail", VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_THUMBNAIL, "-thumbnail"},
    {"spritesheet", VIDEOGATE__V1__DOWNLOAD_VARIANT__DOWNLOAD_VARIANT_SPRITESHEET, "-spritesheet"},
};

struct content {
    struct vg_exchange *ex; /* borrowed */
    struct vg_rpc_stream rpc;
    struct vg_timer patience; /* for the description */
    enum phase phase, next_phase;
    struct vg_http_range range;
    int32_t index;
    const struct variant *variant;
    char token[TOKEN_SIZE]; /* of a signed link; "": none */
    int64_t left;           /* body bytes still to come */
    bool head_sent;
    bool unwanted;   /* the call was cancelled; wait for its end */
    bool event_owed; /* the runtime will call on_event */
};

static void start_phase(struct content *c, enum phase phase);

/* Ends the call early; on_event still gets its end. */
static void cancel(struct content *c, enum phase next)
{
    c->next_phase = next;
    if (c->unwanted)
        return;
    c->unwanted = true;
    vg_rpc_stream_cancel(&c->rpc);
    if (!c->event_owed) {
        c->event_owed = true;
        vg_rpc_stream_next(&c->rpc);
    }
}

static void ask_next(struct content *c)
{
    if (c->event_owed || c->unwanted)
        return;
    c->event_owed = true;
    vg_rpc_stream_next(&c->rpc);
}

/* --- what the description decides --- */

static bool not_modified(const struct content *c, const Videogate__V1__DownloadInfo *info)
{
    struct vg_view tags = vg_exchange_header(c->ex, "if-none-match");
    struct vg_view since = vg_exchange_header(c->ex, "if-modified-since");
    int64_t t;
    if (tags.data)
        return vg_http_etag_match(tags, vg_view_of(info->etag));
    return since.data && vg_http_date_parse(since, &t) && info->last_modified <= t;
}

/* If-Range (strong comparison): false means that the whole file is wanted. */
static bool range_holds(const struct content *c, const Videogate__V1__DownloadInfo *info)
{
    struct vg_view value = vg_view_trim(vg_exchange_header(c->ex, "if-range"));
    int64_t t;
    if (value.len == 0)
        return true;
    if (value.data[0] == '"')
        return value.len >= 2 && value.data[value.len - 1] == '"' &&
               vg_view_eqs((struct vg_view){value.data + 1, value.len - 2}, info->etag);
    return vg_http_date_parse(value, &t) && t == info->last_modified;
}

static void answer_unsatisfiable(struct content *c, int64_t total)
{
    char range[48];
    struct vg_err err;
    (void)snprintf(range, sizeof(range), "bytes */%" PRId64, total);
    const struct vg_header header = {VG_VIEW("content-range"), vg_view_of(range)};
    (void)vg_err_set(&err, VG_ERR_RANGE_NOT_SATISFIABLE,
                     c->range.kind == VG_RANGE_MULTIPLE ? "Only one range at a time is served."
                                                        : NULL);
    vg_respond_error_with(c->ex, &err, &header, 1);
}

/* "inline; filename=..." from an id that is known to be one. */
static void disposition(const struct content *c, const char *mime_type, char *out, size_t size)
{
    static const struct {
        const char *type, *extension;
    } types[] = {{"image/jpeg", "jpg"}, {"image/webp", "webp"}, {"video/webm", "webm"}};
    const char *id = c->ex->param;
    const char *extension = "mp4";
    char index[16] = "";
    for (size_t i = 0; i < VG_COUNT(types); i++)
        if (strcmp(mime_type, types[i].type) == 0)
            extension = types[i].extension;
    if (c->index > 0)
        (void)snprintf(index, sizeof(index), "-%d", (int)c->index);
    if (vg_id_valid(id, strlen(id), "video"))
        (void)snprintf(out, size, "inline; filename=\"%s%s%s.%s\"", id, index, c->variant->suffix,
                       extension);
    else
        (void)snprintf(out, size, "inline");
}

/* What a link gives is the same for everyone who has the link, until the link ends. */
static void cache_control(const Videogate__V1__DownloadInfo *info, char *out, size_t size)
{
    int64_t left = info->link_expires_at - vg_wall_ms() / 1000;
    if (info->link_expires_at > 0)
        (void)snprintf(out, size, "public, max-age=%" PRId64 ", immutable", left > 0 ? left : 0);
    else
        (void)snprintf(out, size, "private");
}

static void send_head(struct content *c, int status, const Videogate__V1__DownloadInfo *info,
                      int64_t length)
{
    char etag[80], modified[VG_HTTP_DATE_SIZE], range[80], name[112], cache[64];
    struct vg_header h[8];
    size_t n = 0;
    bool body = status != 304;
    (void)snprintf(etag, sizeof(etag), "\"%.70s\"", info->etag);
    vg_http_date(modified, info->last_modified);
    cache_control(info, cache, sizeof(cache));
    h[n++] = (struct vg_header){VG_VIEW("accept-ranges"), VG_VIEW("bytes")};
    h[n++] = (struct vg_header){VG_VIEW("etag"), vg_view_of(etag)};
    h[n++] = (struct vg_header){VG_VIEW("last-modified"), vg_view_of(modified)};
    h[n++] = (struct vg_header){VG_VIEW("cache-control"), vg_view_of(cache)};
    if (body) {
        disposition(c, info->mime_type, name, sizeof(name));
        h[n++] = (struct vg_header){VG_VIEW("content-disposition"), vg_view_of(name)};
        h[n++] = (struct vg_header){VG_VIEW("x-content-type-options"), VG_VIEW("nosniff")};
    }
    if (status == 206) {
        (void)snprintf(range, sizeof(range), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, info->first,
                       info->first + info->length - 1, info->total_bytes);
        h[n++] = (struct vg_header){VG_VIEW("content-range"), vg_view_of(range)};
    }
    struct vg_view type = vg_view_of(info->mime_type);
    bool type_ok = vg_http_visible(type, 1, 100);
    c->head_sent = true;
    c->left = length;
    (void)vg_respond_head(c->ex, status,
                          !body     ? NULL
                          : type_ok ? info->mime_type
                                    : "video/mp4",
                          length, h, n);
}

static void on_info(struct content *c, const Videogate__V1__DownloadInfo *info)
{
    vg_timer_stop(&c->patience);
    bool head = vg_view_eqs(c->ex->stream->request.method, "HEAD");
    if (not_modified(c, info)) {
        send_head(c, 304, info, 0);
        cancel(c, PHASE_NONE);
    } else if (c->range.kind != VG_RANGE_NONE && c->phase != PHASE_WHOLE && !range_holds(c, info)) {
        cancel(c, PHASE_WHOLE);
    } else if (c->phase == PHASE_INFO && !head) {
        answer_unsatisfiable(c, info->total_bytes);
        cancel(c, PHASE_NONE);
    } else if (c->phase == PHASE_INFO) {
        send_head(c, 200, info, info->total_bytes);
        cancel(c, PHASE_NONE);
    } else if (info->length < 0 || info->first < 0 ||
               info->length > info->total_bytes - info->first) {
        vg_respond_kind(c->ex, VG_ERR_BAD_GATEWAY);
        cancel(c, PHASE_NONE);
    } else {
        send_head(c, c->phase == PHASE_RANGE ? 206 : 200, info, info->length);
        ask_next(c);
    }
}

static void on_data(struct content *c, const ProtobufCBinaryData *data)
{
    struct vg_stream *stream = c->ex->stream;
    if (!c->head_sent || (int64_t)data->len > c->left) {
        if (c->head_sent)
            vg_stream_reset(stream);
        else
            vg_respond_kind(c->ex, VG_ERR_BAD_GATEWAY);
        cancel(c, PHASE_NONE);
        return;
    }
    c->left -= (int64_t)data->len;
    vg_stream_write(stream, data->data, data->len);
    if (c->left == 0)
        vg_stream_end(stream);
    if (c->left == 0 || vg_stream_ready(stream))
        ask_next(c);
}

/* --- the call's events --- */

static void on_end(struct content *c)
{
    struct vg_exchange *ex = c->ex;
    vg_timer_stop(&c->patience);
    enum phase next = c->next_phase;
    if (ex->stream && !c->unwanted) {
        if (c->head_sent && c->left > 0)
            vg_stream_reset(ex->stream); /* cut off: the client must see that it is not whole */
        else if (!c->rpc.ok && c->phase == PHASE_RANGE &&
                 c->rpc.err.kind == VG_ERR_RANGE_NOT_SATISFIABLE)
            next = PHASE_INFO; /* for the size */
        else if (!c->head_sent && c->rpc.ok)
            vg_respond_kind(c->ex, VG_ERR_BAD_GATEWAY);
        else if (!c->head_sent)
            vg_respond_call_error(ex, &c->rpc.err);
    }
    if (ex->stream && ex->stream->state == VG_STREAM_OPEN && next != PHASE_NONE)
        start_phase(c, next);
    vg_exchange_release(ex);
}

static void on_event(struct vg_task *task)
{
    struct content *c = VG_CONTAINER(task, struct content, rpc.event);
    c->event_owed = false;
    if (c->rpc.ended) {
        on_end(c);
        return;
    }
    Videogate__V1__DownloadVideoResponse *message = (void *)c->rpc.message;
    c->rpc.message = NULL;
    if (c->unwanted) {
        c->event_owed = true;
        vg_rpc_stream_next(&c->rpc);
    } else if (message->part_case == VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_INFO &&
               !c->head_sent) {
        on_info(c, message->info);
    } else if (message->part_case == VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_DATA) {
        on_data(c, &message->data);
    } else {
        ask_next(c); /* a part of a later version */
    }
    videogate__v1__download_video_response__free_unpacked(message, NULL);
}

static void on_patience_over(struct vg_timer *timer)
{
    struct content *c = VG_CONTAINER(timer, struct content, patience);
    if (c->ex->stream)
        vg_respond_kind(c->ex, VG_ERR_DEADLINE);
    cancel(c, PHASE_NONE);
}

static void on_writable(struct vg_exchange *ex)
{
    ask_next(ex->op);
}

static void on_closed(struct vg_exchange *ex)
{
    struct content *c = ex->op;
    vg_timer_stop(&c->patience);
    if (ex->holds > 1) /* the one of our caller, and a call under way */
        cancel(c, PHASE_NONE);
}

static void fill_range(struct content *c, Videogate__V1__DownloadVideoRequest *request)
{
    enum vg_http_range_kind kind = c->range.kind;
    if (kind == VG_RANGE_FROM_TO || kind == VG_RANGE_FROM) {
        request->opt_first_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__OPT_FIRST_FIRST;
        request->first = c->range.first;
    }
    if (kind == VG_RANGE_FROM_TO || kind == VG_RANGE_SUFFIX) {
        request->opt_last_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__OPT_LAST_LAST;
        request->last = c->range.last;
    }
}

static void start_phase(struct content *c, enum phase phase)
{
    struct vg_exchange *ex = c->ex;
    Videogate__V1__DownloadVideoRequest request = VIDEOGATE__V1__DOWNLOAD_VIDEO_REQUEST__INIT;
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    size_t count;
    struct vg_err err;
    if (vg_exchange_metadata(ex, metadata, &count, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    c->phase = phase;
    c->next_phase = PHASE_NONE;
    c->unwanted = false;
    request.id = ex->param;
    request.index = c->index;
    request.variant = c->variant->number;
    request.link_token = c->token;
    request.info_only = phase == PHASE_INFO;
    if (phase == PHASE_RANGE)
        fill_range(c, &request);
    ex->trailing = vg_arena_alloc(ex->arena, sizeof(*ex->trailing));
    c->rpc = (struct vg_rpc_stream){
        .trailing = ex->trailing,
        .service_method = "/videogate.v1.VideoService/DownloadVideo",
        .request = &request.base,
        .response_type = &videogate__v1__download_video_response__descriptor,
        .metadata = metadata,
        .metadata_count = count,
        .deadline_ns = VG_NO_DEADLINE, /* as long as the client reads */
        .executor = vg_loop_executor(ex->at->loop),
        .event.run = on_event,
    };
    vg_exchange_hold(ex);
    c->event_owed = true;
    vg_timer_start(&c->patience, vg_deadline_in_ms(ex->at->api->rpc_ms));
    vg_rpc_stream_start(ex->at->api->channel, &c->rpc);
}

static int read_variant(struct vg_view query, const struct variant **out, struct vg_err *err)
{
    char text[16];
    long len = vg_http_query_get(query, "variant", text, sizeof(text));
    for (size_t i = 0; i < VG_COUNT(variants); i++)
        if (len == -2 || (len >= 0 && strcmp(text, variants[i].name) == 0)) {
            *out = &variants[i];
            return 0;
        }
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "variant",
                        "variant: video, thumbnail or spritesheet is allowed.");
}

static int read_query(struct content *c, struct vg_err *err)
{
    int64_t index = 0;
    struct vg_view query = c->ex->stream->request.query;
    if (vg_http_query_number(query, "index", INT32_MAX, &index) != 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "index",
                            "index: a whole number from 0 is needed.");
    c->index = (int32_t)index;
    if (vg_http_query_get(query, "token", c->token, sizeof(c->token)) == -1)
        return vg_err_param(err, VG_ERR_UNAUTHENTICATED, "token", "This link is not valid.");
    return read_variant(query, &c->variant, err);
}

void vg_handle_content(struct vg_exchange *ex)
{
    struct content *c = vg_arena_alloc(ex->arena, sizeof(*c));
    struct vg_err err;
    c->ex = ex;
    if (read_query(c, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    bool head = vg_view_eqs(ex->stream->request.method, "HEAD");
    if (!head) /* a Range means something for GET alone (RFC 9110 14.2) */
        c->range = vg_http_range(vg_exchange_header(ex, "range"));
    vg_timer_init(&c->patience, ex->at->loop, on_patience_over);
    ex->op = c;
    ex->op_writable = on_writable;
    ex->op_closed = on_closed;
    bool info = head || c->range.kind == VG_RANGE_MULTIPLE;
    start_phase(c, info ? PHASE_INFO : c->range.kind == VG_RANGE_NONE ? PHASE_WHOLE : PHASE_RANGE);
}
