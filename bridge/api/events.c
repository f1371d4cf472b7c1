/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/videos/{id}/events: a WatchVideo stream as Server-Sent Events.
 *
 * Messages are read as they come and the newest one alone is kept until the client has taken the
 * last: a slow reader costs one state. A call that breaks is made again from the version last seen,
 * while the client's stream stays open. */
#include "bridge/api/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/json_pb.h"
#include "common/json_writer.h"
#include "common/mem.h"
#include "common/str.h"
#include "videogate/v1/video.pb-c.h"

#define MAX_EVENT ((size_t)1024 * 1024)
/* What EventSource waits before it connects again: spread, as a process takes many along. */
#define RETRY_MIN_MS 2000
#define RETRY_SPREAD_MS 2000
/* A broken call is made again after 200 ms, 400 ms, ... 5 s, each cut by up to a half: for about 40
 * s. One that has held for so long starts anew. */
#define CALL_WAIT_MIN_MS 200
#define CALL_WAIT_MAX_MS 5000
#define CALL_TRIES 12
#define CALL_GOOD_MS 10000

enum phase {
    PHASE_FIRST,   /* called, no head sent -> LIVE, OVER */
    PHASE_LIVE,    /* head sent, call under way -> WAITING, OVER */
    PHASE_WAITING, /* the call broke; the next one comes after a pause -> LIVE, OVER */
    PHASE_OVER,    /* nothing more will be read; a last state may still wait for the client */
};

struct vg_events {
    struct vg_exchange *ex;       /* borrowed */
    struct vg_events *next, **at; /* of the loop's event streams */
    struct vg_rpc_stream rpc;
    bool calling;  /* the runtime will call on_event */
    bool unwanted; /* the call was cancelled; wait for its end */
    enum phase phase;
    int64_t wrote_ns;      /* when the client was last sent something */
    struct vg_timer beat;  /* keep-alive */
    struct vg_timer pause; /* FIRST: the first answer is late; WAITING: call again */
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    size_t metadata_count;
    int64_t seen;                 /* newest version taken from the service or named by the client */
    bool terminal;                /* `seen` is the last one */
    Videogate__V1__Video *latest; /* owned; not written yet; NULL: none */
    int64_t called_ns;            /* start of the call under way */
    int64_t recheck_ns;           /* when the key of this call is looked at again */
    int tries;                    /* calls that broke in a row */
};

/* The last one is for nginx, which would hold events back. */
static const struct vg_header headers[] = {{{"cache-control", 13}, {"no-store", 8}},
                                           {{"x-accel-buffering", 17}, {"no", 2}}};

enum events_metric { EVENTS_WATCHERS, EVENTS_SENT, EVENTS_SKIPPED, EVENTS_CALLS_AGAIN, EVENTS_MAX };

static const struct vg_metric_desc metrics_table[] = {
    [EVENTS_WATCHERS] = {"videogate_bridge_watchers", VG_METRIC_GAUGE, "Open event streams.", NULL,
                         NULL},
    [EVENTS_SENT] = {"videogate_bridge_events_total", VG_METRIC_COUNTER, "Events sent.", NULL,
                     NULL},
    [EVENTS_SKIPPED] = {"videogate_bridge_events_skipped_total", VG_METRIC_COUNTER,
                        "States that a newer one replaced before the client could take them.", NULL,
                        NULL},
    [EVENTS_CALLS_AGAIN] = {"videogate_bridge_watch_calls_again_total", VG_METRIC_COUNTER,
                            "Broken calls made again under an open event stream.", NULL, NULL},
};

struct vg_metric_set *vg_events_register(struct vg_metrics *metrics)
{
    return vg_metrics_register(metrics, metrics_table, VG_COUNT(metrics_table));
}

static void count(const struct vg_events *e, enum events_metric metric, int64_t n)
{
    vg_metric_add(e->ex->at->api->events_metrics, metric, 0, n);
}

/* --- text --- */

static const char *event_name(const Videogate__V1__Video *video)
{
    static const char *const names[] = {
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED] = "video.queued",
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_IN_PROGRESS] = "video.in_progress",
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED] = "video.completed",
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_FAILED] = "video.failed",
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_CANCELED] = "video.canceled",
        [VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_EXPIRED] = "video.expired",
    };
    size_t status = (size_t)video->status;
    return status < VG_COUNT(names) && names[status] ? names[status] : "video.updated";
}

static bool is_terminal(const Videogate__V1__Video *video)
{
    return video->status >= VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED;
}

static void write_text(struct vg_events *e, const struct vg_buf *text)
{
    vg_stream_write(e->ex->stream, text->data, text->len);
    e->wrote_ns = vg_now_ns();
    if (!vg_timer_armed(&e->beat))
        vg_timer_start(&e->beat, vg_deadline_in_ms(e->ex->at->api->heartbeat_ms));
}

static void write_video(struct vg_events *e, const Videogate__V1__Video *video)
{
    struct vg_buf text;
    struct vg_json_writer w;
    vg_buf_init(&text, MAX_EVENT);
    (void)vg_buf_addf(&text, "id: %" PRId64 "\nevent: %s\ndata: ", video->version,
                      event_name(video));
    vg_json_begin(&w, &text);
    vg_pb_to_json(&video->base, vg_api_shape(), &w);
    (void)vg_buf_adds(&text, "\n\n");
    if (vg_buf_ok(&text)) {
        write_text(e, &text);
        count(e, EVENTS_SENT, 1);
    } else {
        vg_stream_reset(e->ex->stream);
    }
    vg_buf_fini(&text);
}

/* --- the stream --- */

static void set_phase(struct vg_events *e, enum phase phase)
{
    VG_ASSERT(phase > e->phase || (phase == PHASE_LIVE && e->phase == PHASE_WAITING));
    e->phase = phase;
}

static void drop_latest(struct vg_events *e)
{
    if (e->latest)
        videogate__v1__video__free_unpacked(e->latest, NULL);
    e->latest = NULL;
}

/* Nothing more is wanted of the service. */
static void cancel_call(struct vg_events *e)
{
    vg_timer_stop(&e->pause);
    if (!e->calling || e->unwanted)
        return;
    e->unwanted = true;
    vg_rpc_stream_cancel(&e->rpc);
}

static void finish(struct vg_events *e)
{
    set_phase(e, PHASE_OVER);
    cancel_call(e);
    vg_stream_end(e->ex->stream);
}

/* Answers in place of a stream. */
static void refuse(struct vg_events *e, enum vg_err_kind kind)
{
    set_phase(e, PHASE_OVER);
    cancel_call(e);
    vg_respond_kind(e->ex, kind);
}

/* Writes the newest state if the client has taken the one before. */
static void flush(struct vg_events *e)
{
    if (!e->latest || !vg_stream_drained(e->ex->stream))
        return;
    write_video(e, e->latest);
    drop_latest(e);
    if (e->terminal && e->phase != PHASE_OVER)
        set_phase(e, PHASE_OVER);
    if (e->terminal)
        vg_stream_end(e->ex->stream);
}

static void send_head(struct vg_events *e)
{
    struct vg_buf text;
    if (!vg_respond_head(e->ex, 200, "text/event-stream", -1, headers, VG_COUNT(headers)))
        return;
    e->ex->stream->ends_with_peer = true;
    set_phase(e, PHASE_LIVE);
    vg_buf_init(&text, 64);
    (void)vg_buf_addf(&text, "retry: %d\n\n",
                      RETRY_MIN_MS + (int)(vg_random_unit() * RETRY_SPREAD_MS));
    write_text(e, &text);
    vg_buf_fini(&text);
}

/* The first message is the state as of now: it also says that the caller may see it. */
static void on_first(struct vg_events *e, const Videogate__V1__Video *video)
{
    vg_timer_stop(&e->pause);
    if (video->version == e->seen && is_terminal(video)) {
        /* Nothing will come any more; EventSource takes 204 for "do not come back". */
        (void)vg_respond_head(e->ex, 204, NULL, 0, headers, 1);
        set_phase(e, PHASE_OVER);
        cancel_call(e);
        return;
    }
    send_head(e);
    if (e->ex->stream->state != VG_STREAM_SENDING) { /* HEAD */
        set_phase(e, PHASE_OVER);
        cancel_call(e);
    }
}

/* Takes the video. */
static void on_video(struct vg_events *e, Videogate__V1__Video *video)
{
    if (e->phase == PHASE_FIRST)
        on_first(e, video);
    if (e->phase != PHASE_LIVE || video->version == e->seen) {
        videogate__v1__video__free_unpacked(video, NULL);
        return;
    }
    count(e, EVENTS_SKIPPED, e->latest != NULL);
    drop_latest(e);
    e->latest = video;
    e->seen = video->version;
    e->terminal = is_terminal(video);
    flush(e);
}

/* --- calls --- */

static void on_event(struct vg_task *task);

static void call(struct vg_events *e)
{
    struct vg_exchange *ex = e->ex;
    Videogate__V1__WatchVideoRequest request = VIDEOGATE__V1__WATCH_VIDEO_REQUEST__INIT;
    request.id = ex->param;
    request.after_version = e->phase == PHASE_FIRST ? 0 : e->seen;
    if (!ex->trailing)
        ex->trailing = vg_arena_alloc(ex->arena, sizeof(*ex->trailing));
    ex->trailing->count = 0;
    e->rpc = (struct vg_rpc_stream){
        .trailing = ex->trailing,
        .service_method = "/videogate.v1.VideoService/WatchVideo",
        .request = &request.base,
        .response_type = &videogate__v1__watch_video_response__descriptor,
        .metadata = e->metadata,
        .metadata_count = e->metadata_count,
        .deadline_ns = VG_NO_DEADLINE, /* as long as the client listens */
        .executor = vg_loop_executor(ex->at->loop),
        .event.run = on_event,
    };
    e->calling = true;
    e->called_ns = vg_now_ns();
    e->recheck_ns =
        vg_deadline_in_ms((int64_t)((double)ex->at->api->recheck_ms * (1 - vg_random_unit() / 4)));
    vg_exchange_hold(ex);
    vg_rpc_stream_start(ex->at->api->channel, &e->rpc);
}

/* Whether another call could get on where this one broke. */
static bool passes_by_itself(const struct vg_err *err)
{
    switch (err->kind) {
    case VG_ERR_UNAUTHENTICATED:
    case VG_ERR_PERMISSION_DENIED:
    case VG_ERR_INVALID_REQUEST:
    case VG_ERR_NOT_FOUND:
    case VG_ERR_GONE:
        return false;
    default:
        return true;
    }
}

static void call_again_later(struct vg_events *e)
{
    if (vg_now_ns() - e->called_ns > CALL_GOOD_MS * VG_NS_PER_MS)
        e->tries = 0;
    if (e->tries == CALL_TRIES) {
        finish(e); /* the client comes back by itself */
        return;
    }
    int64_t wait = CALL_WAIT_MIN_MS * (INT64_C(1) << e->tries++);
    wait = wait < CALL_WAIT_MAX_MS ? wait : CALL_WAIT_MAX_MS;
    set_phase(e, PHASE_WAITING);
    vg_timer_start(&e->pause,
                   vg_deadline_in_ms(wait - (int64_t)(vg_random_unit() * (double)wait / 2)));
}

/* The video was deleted under the watcher's eyes. */
static void send_deleted(struct vg_events *e)
{
    struct vg_buf text;
    drop_latest(e);
    vg_buf_init(&text, 1024);
    (void)vg_buf_addf(&text,
                      "event: video.deleted\ndata: {\"id\":\"%s\",\"object\":\"video.deleted\","
                      "\"deleted\":true}\n\n",
                      e->ex->param); /* an id that the service has found once */
    write_text(e, &text);
    vg_buf_fini(&text);
    finish(e);
}

static void on_end(struct vg_events *e)
{
    const struct vg_err *err = &e->rpc.err;
    if (e->phase == PHASE_FIRST) {
        struct vg_err silent;
        vg_timer_stop(&e->pause);
        set_phase(e, PHASE_OVER);
        (void)vg_err_set(&silent, VG_ERR_BAD_GATEWAY, NULL);
        vg_respond_call_error(e->ex, e->rpc.ok ? &silent : err);
    } else if (e->phase == PHASE_LIVE && e->terminal) {
        set_phase(e, PHASE_OVER); /* the last state waits for the client */
    } else if (e->phase == PHASE_LIVE && !e->rpc.ok && err->kind == VG_ERR_NOT_FOUND) {
        send_deleted(e);
    } else if (e->phase == PHASE_LIVE && (e->rpc.ok || passes_by_itself(err))) {
        call_again_later(e);
    } else if (e->phase == PHASE_LIVE) {
        finish(e);
    }
}

static void on_event(struct vg_task *task)
{
    struct vg_events *e = VG_CONTAINER(task, struct vg_events, rpc.event);
    struct vg_exchange *ex = e->ex;
    if (e->rpc.ended) {
        e->calling = false;
        if (ex->stream && !e->unwanted)
            on_end(e);
        vg_exchange_release(ex);
        return;
    }
    Videogate__V1__WatchVideoResponse *message = (void *)e->rpc.message;
    e->rpc.message = NULL;
    Videogate__V1__Video *video = message->video;
    message->video = NULL;
    videogate__v1__watch_video_response__free_unpacked(message, NULL);
    vg_rpc_stream_next(&e->rpc); /* at once: what waits in the transport would be old */
    if (!video)
        return;
    if (ex->stream && !e->unwanted)
        on_video(e, video);
    else
        videogate__v1__video__free_unpacked(video, NULL);
}

/* --- timers, back-pressure, the client's end --- */

static void on_beat(struct vg_timer *timer)
{
    struct vg_events *e = VG_CONTAINER(timer, struct vg_events, beat);
    static const char comment[] = ": keep-alive\n\n";
    int64_t beat_ns = e->ex->at->api->heartbeat_ms * VG_NS_PER_MS, now = vg_now_ns();
    if (now - e->wrote_ns >= beat_ns) {
        e->wrote_ns = now;
        if (vg_stream_pending(e->ex->stream) == 0)
            vg_stream_write(e->ex->stream, comment, sizeof(comment) - 1);
    }
    if (e->phase == PHASE_LIVE && e->calling && !e->unwanted && now > e->recheck_ns)
        vg_rpc_stream_cancel(&e->rpc); /* it counts as broken; the next one shows the key again */
    vg_timer_start(timer, e->wrote_ns + beat_ns);
}

static void on_pause_over(struct vg_timer *timer)
{
    struct vg_events *e = VG_CONTAINER(timer, struct vg_events, pause);
    if (e->phase == PHASE_WAITING) {
        count(e, EVENTS_CALLS_AGAIN, 1);
        set_phase(e, PHASE_LIVE);
        call(e);
        return;
    }
    refuse(e, VG_ERR_DEADLINE);
}

static void on_writable(struct vg_exchange *ex)
{
    flush(ex->op);
}

static void on_closed(struct vg_exchange *ex)
{
    struct vg_events *e = ex->op;
    vg_timer_stop(&e->beat);
    drop_latest(e);
    cancel_call(e);
    *e->at = e->next;
    if (e->next)
        e->next->at = e->at;
    atomic_fetch_sub(&ex->at->api->watchers, 1);
    count(e, EVENTS_WATCHERS, -1);
}

/* --- the request --- */

/* The version that the client has seen; 0: none, or nothing that we have sent. */
static int64_t last_event_id(const struct vg_exchange *ex)
{
    char text[24];
    int64_t version = 0;
    struct vg_view given = vg_view_trim(vg_exchange_header(ex, "last-event-id"));
    if (!given.data) {
        long len =
            vg_http_query_get(ex->stream->request.query, "last_event_id", text, sizeof(text));
        given = (struct vg_view){text, len > 0 ? (size_t)len : 0};
    }
    return vg_parse_i64(given, 0, INT64_MAX, &version) == 0 ? version : 0;
}

static bool admit(struct vg_exchange *ex)
{
    struct vg_api *api = ex->at->api;
    if (!ex->at->draining && atomic_fetch_add(&api->watchers, 1) < api->max_watchers)
        return true;
    if (!ex->at->draining)
        atomic_fetch_sub(&api->watchers, 1);
    vg_respond_kind(ex, ex->at->draining ? VG_ERR_UNAVAILABLE : VG_ERR_OVERLOADED);
    return false;
}

static void enlist(struct vg_events *e)
{
    struct vg_api_loop *at = e->ex->at;
    e->next = at->events;
    e->at = &at->events;
    if (e->next)
        e->next->at = &e->next;
    at->events = e;
    count(e, EVENTS_WATCHERS, 1);
}

void vg_handle_events(struct vg_exchange *ex)
{
    struct vg_events *e = vg_arena_alloc(ex->arena, sizeof(*e));
    struct vg_err err;
    e->ex = ex;
    if (vg_exchange_metadata(ex, e->metadata, &e->metadata_count, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    if (!admit(ex))
        return;
    enlist(e);
    e->seen = last_event_id(ex);
    vg_timer_init(&e->beat, ex->at->loop, on_beat);
    vg_timer_init(&e->pause, ex->at->loop, on_pause_over);
    ex->op = e;
    ex->op_writable = on_writable;
    ex->op_closed = on_closed;
    vg_timer_start(&e->pause, vg_deadline_in_ms(ex->at->api->rpc_ms));
    call(e);
}

void vg_events_drain(struct vg_api_loop *at)
{
    at->draining = true;
    for (struct vg_events *e = at->events; e; e = e->next) {
        if (e->phase == PHASE_FIRST)
            refuse(e, VG_ERR_UNAVAILABLE);
        else if (e->phase != PHASE_OVER)
            finish(e);
    }
}
