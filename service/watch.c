/* SPDX-License-Identifier: Apache-2.0 */
#include "service/watch.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "service/key_use.h"
#include "service/service_priv.h"

#define BUCKETS 4096
#define POLL_MIN_MS 250
#define POLL_SPREAD_MS 250
#define OP_MS 5000

struct watch;

/* One watched video. */
struct topic {
    struct vg_hub *hub; /* borrowed */
    char id[VG_ID_SIZE];
    int64_t project_id;
    struct watch *watches;   /* borrowed: they live in their calls */
    struct vg_arena *arena;  /* owned; `latest` lives there */
    struct vg_video latest;  /* version 0: nothing read yet */
    struct vg_video_get get; /* under way while `reading` */
    struct vg_arena *next_arena;
    bool reading;
    bool again; /* moved while it was being read */
    struct topic *next;
};

/* One stream. States: reading its first row -> attached (idle or sending) -> ended. */
struct watch {
    struct vg_request request;
    struct vg_video_get op;
    struct topic *topic; /* NULL: not attached */
    struct watch *next, *prev;
    struct vg_key_stream stream; /* open while attached */
    int64_t sent_version;
    bool sent_terminal; /* the last message was the last one */
    bool sending;
    bool cancel_ran; /* the cancel task has come */
    bool ending;     /* detached; the cancel task is still owed */
    bool good_end;
    struct vg_err err;
    struct vg_task sent;
    struct vg_task cancel;
};

/* One poll under way. */
struct poll {
    struct vg_video_versions op;
    struct vg_hub *hub;     /* borrowed */
    struct vg_arena *arena; /* owned */
};

struct nudge {
    struct vg_task task;
    struct vg_hub *hub;
    char id[VG_ID_SIZE];
};

/* Everything but `watchers` belongs to the loop's thread. */
struct vg_hub {
    struct vg_service *service; /* borrowed */
    struct topic *topics[BUCKETS];
    size_t topic_count;
    atomic_size_t watchers;
    atomic_int_fast64_t owed; /* nudges posted and not run */
    struct vg_timer timer;
    bool polling;
    bool closed;
    struct vg_task close;
};

/* --- topics --- */

static size_t bucket_of(const char *id)
{
    size_t h = 5381;

    for (const char *p = id; *p; p++)
        h = h * 33 + (unsigned char)*p;
    return h % BUCKETS;
}

static struct topic *find_topic(struct vg_hub *hub, const char *id)
{
    struct topic *t = hub->topics[bucket_of(id)];

    while (t && strcmp(t->id, id) != 0)
        t = t->next;
    return t;
}

static void drop_topic_if_idle(struct topic *t)
{
    struct topic **at = &t->hub->topics[bucket_of(t->id)];

    if (t->watches || t->reading)
        return;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->hub->topic_count--;
    (void)vg_arena_free(t->arena);
    free(t);
}

static void arm(struct vg_hub *hub)
{
    size_t n = atomic_load(&hub->watchers);
    int64_t spread = n > (size_t)POLL_SPREAD_MS * 20 ? POLL_SPREAD_MS : (int64_t)n / 20;

    if (!hub->closed && !hub->polling && hub->topic_count > 0 && !vg_timer_armed(&hub->timer))
        vg_timer_start(&hub->timer,
                       vg_loop_now(hub->service->loop) + (POLL_MIN_MS + spread) * VG_NS_PER_MS);
}

static struct topic *make_topic(struct vg_hub *hub, const char *id, int64_t project_id)
{
    struct topic *t = vg_xalloc(sizeof(*t));
    size_t bucket = bucket_of(id);

    t->hub = hub;
    (void)vg_strcpy(t->id, sizeof(t->id), id);
    t->project_id = project_id;
    t->next = hub->topics[bucket];
    hub->topics[bucket] = t;
    hub->topic_count++;
    return t;
}

/* --- streams --- */

static void count_watchers(struct vg_hub *hub, int delta)
{
    if (delta > 0)
        (void)atomic_fetch_add(&hub->watchers, 1);
    else
        (void)atomic_fetch_sub(&hub->watchers, 1);
    vg_metric_add(hub->service->metrics, VG_SM_WATCHERS, 0, delta);
}

static void attach(struct watch *w, struct topic *t)
{
    w->topic = t;
    w->prev = NULL;
    w->next = t->watches;
    if (w->next)
        w->next->prev = w;
    t->watches = w;
    vg_key_stream_open(t->hub->service->key_use, &w->stream, w->request.who.key_id);
    count_watchers(t->hub, 1);
    arm(t->hub);
}

static void detach(struct watch *w)
{
    struct topic *t = w->topic;

    if (!t)
        return;
    if (w->prev)
        w->prev->next = w->next;
    else
        t->watches = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->topic = NULL;
    vg_key_stream_close(t->hub->service->key_use, &w->stream);
    count_watchers(t->hub, -1);
    drop_topic_if_idle(t);
}

static void end_call(struct watch *w)
{
    if (w->good_end)
        vg_request_finish(&w->request);
    else
        vg_request_fail(&w->request, &w->err);
}

/* Not while a send is under way. When the cancel task is already on its way, it makes the end. */
static void end(struct watch *w, const struct vg_err *err)
{
    detach(w);
    w->good_end = err == NULL;
    if (err)
        w->err = *err;
    if (!w->cancel_ran && !vg_rpc_call_clear_cancel(w->request.call))
        w->ending = true;
    else
        end_call(w);
}

static void end_with(struct watch *w, enum vg_err_kind kind)
{
    struct vg_err err;

    (void)vg_err_set(&err, kind, NULL);
    if (kind == VG_ERR_UNAVAILABLE || kind == VG_ERR_OVERLOADED)
        err.retry_after_ms = 1000;
    end(w, &err);
}

static void run_cancel(struct vg_task *task)
{
    struct watch *w = VG_CONTAINER(task, struct watch, cancel);

    w->cancel_ran = true;
    if (w->ending)
        end_call(w);
    else if (!w->sending)
        end_with(w, VG_ERR_CANCELLED);
}

/* Sends what is newer than what was sent, when nothing is under way. */
static void push(struct watch *w)
{
    Videogate__V1__WatchVideoResponse message = VIDEOGATE__V1__WATCH_VIDEO_RESPONSE__INIT;
    const struct vg_video *latest = &w->topic->latest;

    if (w->sending || latest->version <= w->sent_version)
        return;
    w->sending = true;
    w->sent_version = latest->version;
    w->sent_terminal = vg_status_terminal(latest->status);
    struct vg_arena *arena = vg_arena_new(); /* the call's would grow with each message */
    Videogate__V1__Video video;
    vg_translate_video(latest, w->request.service->links, vg_wall_ms() / 1000, arena, &video);
    message.video = &video;
    vg_rpc_call_send(w->request.call, &message.base, vg_loop_executor(w->request.service->loop),
                     &w->sent);
    (void)vg_arena_free(arena);
}

static void run_sent(struct vg_task *task)
{
    struct watch *w = VG_CONTAINER(task, struct watch, sent);

    w->sending = false;
    if (w->cancel_ran || vg_rpc_call_cancelled(w->request.call))
        end_with(w, VG_ERR_CANCELLED);
    else if (w->sent_terminal)
        end(w, NULL);
    else if (w->topic->hub->closed)
        end_with(w, VG_ERR_UNAVAILABLE);
    else if (atomic_load(&w->stream.gone))
        end_with(w, VG_ERR_UNAUTHENTICATED);
    else
        push(w);
}

static void push_all(struct topic *t)
{
    struct watch *next;

    for (struct watch *w = t->watches; w; w = next) {
        next = w->next;
        push(w);
    }
}

/* The video is gone, or keys are, or the process stops. Those that are sending see it when they are
 * done. */
static void end_some(struct topic *t, enum vg_err_kind kind, bool gone_only)
{
    bool was = t->reading;
    struct watch *next;

    t->reading = true; /* keeps the topic while its last watcher leaves */
    for (struct watch *w = t->watches; w; w = next) {
        next = w->next;
        if (!w->sending && (!gone_only || atomic_load(&w->stream.gone)))
            end_with(w, kind);
    }
    t->reading = was;
    drop_topic_if_idle(t);
}

static void end_all(struct topic *t, enum vg_err_kind kind)
{
    end_some(t, kind, false);
}

/* --- reading a topic that moved --- */

static void read_topic(struct topic *t);

static void topic_read(struct vg_task *task)
{
    struct topic *t = VG_CONTAINER(task, struct topic, get.op.done);
    bool gone = !t->get.op.ok && t->get.op.err.kind == VG_ERR_NOT_FOUND;

    t->reading = false;
    if (t->get.op.ok && t->get.video.version > t->latest.version) {
        (void)vg_arena_free(t->arena);
        t->arena = t->next_arena;
        t->latest = t->get.video;
    } else {
        (void)vg_arena_free(t->next_arena);
    }
    t->next_arena = NULL;
    if (gone) {
        end_all(t, VG_ERR_NOT_FOUND);
        return;
    }
    push_all(t);
    if (t->again && t->watches && !t->hub->closed)
        read_topic(t);
    else
        drop_topic_if_idle(t);
}

static void read_topic(struct topic *t)
{
    struct vg_service *service = t->hub->service;

    if (t->reading) {
        t->again = true;
        return;
    }
    t->reading = true;
    t->again = false;
    t->next_arena = vg_arena_new();
    t->get = (struct vg_video_get){.id = t->id, .project_id = t->project_id};
    t->get.op.executor = vg_loop_executor(service->loop);
    t->get.op.done.run = topic_read;
    t->get.op.deadline_ns = vg_deadline_in_ms(OP_MS);
    t->get.op.arena = t->next_arena;
    vg_video_get(service->db, &t->get);
}

/* --- polling --- */

static void poll_done(struct vg_task *task)
{
    struct poll *p = VG_CONTAINER(task, struct poll, op.op.done);
    struct vg_hub *hub = p->hub;

    hub->polling = false;
    for (size_t i = 0; p->op.op.ok && i < p->op.count; i++) {
        struct topic *t = find_topic(hub, p->op.ids[i]);
        if (!t)
            continue;
        if (p->op.versions[i] == 0)
            end_all(t, VG_ERR_NOT_FOUND);
        else if (p->op.versions[i] > t->latest.version)
            read_topic(t);
    }
    (void)vg_arena_free(p->arena);
    free(p);
    arm(hub);
}

static void run_poll(struct vg_timer *timer)
{
    struct vg_hub *hub = VG_CONTAINER(timer, struct vg_hub, timer);
    struct poll *p = vg_xalloc(sizeof(*p));
    size_t n = 0;

    p->hub = hub;
    p->arena = vg_arena_new();
    const char **ids = vg_arena_alloc(p->arena, (hub->topic_count + 1) * sizeof(*ids));
    for (size_t b = 0; b < BUCKETS; b++)
        for (const struct topic *t = hub->topics[b]; t; t = t->next)
            ids[n++] = vg_arena_strdup(p->arena, t->id);
    p->op.ids = ids;
    p->op.count = n;
    p->op.op.executor = vg_loop_executor(hub->service->loop);
    p->op.op.done.run = poll_done;
    p->op.op.deadline_ns = vg_deadline_in_ms(OP_MS);
    p->op.op.arena = p->arena;
    hub->polling = true;
    vg_video_versions(hub->service->db, &p->op);
}

static void run_nudge(struct vg_task *task)
{
    struct nudge *n = VG_CONTAINER(task, struct nudge, task);
    struct vg_hub *hub = n->hub;
    struct topic *t = find_topic(hub, n->id);

    if (t && !hub->closed)
        read_topic(t);
    free(n);
    (void)atomic_fetch_sub(&hub->owed, 1);
}

void vg_watch_nudge(struct vg_hub *hub, const char *video_id)
{
    if (atomic_load(&hub->watchers) == 0)
        return;
    struct nudge *n = vg_xalloc(sizeof(*n));
    n->task.run = run_nudge;
    n->hub = hub;
    (void)vg_strcpy(n->id, sizeof(n->id), video_id);
    (void)atomic_fetch_add(&hub->owed, 1);
    vg_post(vg_loop_executor(hub->service->loop), &n->task);
}

/* --- the handler --- */

/* The first row is the topic's newest unless a poll was faster; the row lives in the call, so it is
 * read again. */
static void got_first(struct vg_task *task)
{
    struct watch *w = VG_CONTAINER(task, struct watch, op.op.done);
    struct vg_hub *hub = w->request.service->hub;
    const Videogate__V1__WatchVideoRequest *in =
        (const Videogate__V1__WatchVideoRequest *)vg_rpc_call_request(w->request.call);

    if (!w->op.op.ok) {
        vg_request_fail(&w->request, &w->op.op.err);
        return;
    }
    w->sent.run = run_sent;
    w->cancel.run = run_cancel;
    vg_rpc_call_on_cancel(w->request.call, vg_loop_executor(hub->service->loop), &w->cancel);
    if (hub->closed || atomic_load(&hub->watchers) >= hub->service->max_watchers) {
        end_with(w, hub->closed ? VG_ERR_UNAVAILABLE : VG_ERR_OVERLOADED);
        return;
    }
    if (in->after_version == w->op.video.version)
        w->sent_version = in->after_version;
    if (w->sent_version == w->op.video.version && vg_status_terminal(w->op.video.status)) {
        end(w, NULL);
        return;
    }
    struct topic *t = find_topic(hub, w->op.id);
    if (!t)
        t = make_topic(hub, w->op.id, w->request.who.project_id);
    attach(w, t);
    if (t->latest.version >= w->op.video.version)
        push(w);
    else
        read_topic(t);
}

static void watch_run(struct vg_request *request)
{
    struct watch *w = VG_CONTAINER(request, struct watch, request);
    const Videogate__V1__WatchVideoRequest *in = vg_request_message(request);

    if (!vg_video_id_ok(in->id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such video.");
        return;
    }
    w->op.id = in->id;
    w->op.project_id = request->who.project_id;
    vg_request_op(request, &w->op.op, got_first);
    vg_video_get(request->service->db, &w->op);
}

void vg_handle_watch(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct watch), VG_SCOPE_VIDEOS_READ, watch_run);
}

/* --- life --- */

struct vg_hub *vg_hub_new(struct vg_service *service)
{
    struct vg_hub *hub = vg_xalloc(sizeof(*hub));

    hub->service = service;
    vg_timer_init(&hub->timer, service->loop, run_poll);
    return hub;
}

static void run_close(struct vg_task *task)
{
    struct vg_hub *hub = VG_CONTAINER(task, struct vg_hub, close);

    hub->closed = true;
    vg_timer_stop(&hub->timer);
    for (size_t b = 0; b < BUCKETS; b++) {
        struct topic *next;
        for (struct topic *t = hub->topics[b]; t; t = next) {
            next = t->next;
            end_all(t, VG_ERR_UNAVAILABLE);
        }
    }
}

void vg_watch_end_gone(struct vg_hub *hub)
{
    for (size_t b = 0; b < BUCKETS; b++) {
        struct topic *next;
        for (struct topic *t = hub->topics[b]; t; t = next) {
            next = t->next;
            end_some(t, VG_ERR_UNAUTHENTICATED, true);
        }
    }
}

void vg_hub_close(struct vg_hub *hub)
{
    hub->close.run = run_close;
    vg_post(vg_loop_executor(hub->service->loop), &hub->close);
}

struct vg_hub *vg_hub_free(struct vg_hub *hub)
{
    if (!hub)
        return NULL;
    VG_ASSERT(hub->topic_count == 0 && !hub->polling && atomic_load(&hub->owed) == 0);
    free(hub);
    return NULL;
}
