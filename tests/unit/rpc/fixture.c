/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/rpc/counted.h"
#include "common/str.h"

struct held {
    struct fixture *fixture;
    struct vg_rpc_call *call;
    struct vg_task cancel;
    struct held *next;
    int refs; /* list, cancel subscription; under fixture->lock */
};

struct fixture {
    struct vg_rpc_server *server;
    struct vg_rpc_channel *channel;
    struct vg_work_pool *pool;
    struct vg_rpc_service service;
    char target[32];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct held *held;
    int held_count;
    int cancelled;
    int sent;
    int streams_ended;
    int submits;
};

struct later {
    struct vg_task task;
    struct vg_rpc_call *call;
};

struct feed {
    struct fixture *fixture;
    struct vg_rpc_call *call;
    struct vg_task sent;
    int64_t left;
};

static const Videogate__V1__SubmitRequest *submit_request(struct vg_rpc_call *call)
{
    return (const Videogate__V1__SubmitRequest *)vg_rpc_call_request(call);
}

static void answer(struct vg_rpc_call *call, struct vg_view text, size_t pad)
{
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    Videogate__V1__Accepted accepted = VIDEOGATE__V1__ACCEPTED__INIT;

    accepted.upstream_id =
        vg_arena_memdup(vg_rpc_call_arena(call), text.data ? text.data : "", text.len);
    if (pad > 0)
        accepted.poll_state =
            (ProtobufCBinaryData){pad, vg_arena_alloc(vg_rpc_call_arena(call), pad)};
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED;
    response.accepted = &accepted;
    vg_rpc_call_reply(call, &response.base);
}

static void do_echo(struct fixture *fixture, struct vg_rpc_call *call)
{
    (void)fixture;
    answer(call, vg_view_of(submit_request(call)->prompt), 0);
}

static void run_later(struct vg_task *task)
{
    struct later *later = VG_CONTAINER(task, struct later, task);

    do_echo(NULL, later->call);
    free(later);
}

static void do_later(struct fixture *fixture, struct vg_rpc_call *call)
{
    struct later *later = vg_xalloc(sizeof *later);

    later->task.run = run_later;
    later->call = call;
    vg_post(vg_work_pool_executor(fixture->pool), &later->task);
}

static void do_note(struct fixture *fixture, struct vg_rpc_call *call)
{
    (void)fixture;
    answer(call, vg_rpc_call_metadata(call, "x-note"), 0);
}

static void do_deadline(struct fixture *fixture, struct vg_rpc_call *call)
{
    int64_t deadline = vg_rpc_call_deadline(call);

    (void)fixture;
    answer(call,
           vg_view_of(deadline == VG_NO_DEADLINE ? "none"
                      : deadline > vg_now_ns()   ? "future"
                                                 : "past"),
           0);
}

static void do_big(struct fixture *fixture, struct vg_rpc_call *call)
{
    (void)fixture;
    answer(call, VG_VIEW("big"), (size_t)submit_request(call)->seconds << 10);
}

static void do_invalid(struct fixture *fixture, struct vg_rpc_call *call)
{
    struct vg_err err = {0};

    (void)fixture;
    (void)vg_err_param(&err, VG_ERR_UNSUPPORTED, "size",
                       "Gr\xc3\xb6\xc3\x9f"
                       "e %s fits not.",
                       "9x9");
    vg_rpc_call_fail(call, &err);
}

static void do_busy(struct fixture *fixture, struct vg_rpc_call *call)
{
    struct vg_err err = {0};

    (void)fixture;
    (void)vg_err_set(&err, VG_ERR_RATE_LIMITED, NULL);
    err.retry_after_ms = 1500;
    vg_rpc_call_fail(call, &err);
}

/* Under fixture->lock. */
static void held_unref(struct held *held)
{
    if (--held->refs == 0)
        vg_rpc_counted_free(held);
}

static void held_cancelled(struct vg_task *task)
{
    struct held *held = VG_CONTAINER(task, struct held, cancel);
    struct fixture *fixture = held->fixture;
    struct vg_rpc_call *call = NULL;
    struct vg_err err = {0};

    (void)pthread_mutex_lock(&fixture->lock);
    for (struct held **at = &fixture->held; *at != NULL; at = &(*at)->next) {
        if (*at == held) {
            *at = held->next;
            call = held->call;
            fixture->held_count--;
            held_unref(held);
            break;
        }
    }
    fixture->cancelled++;
    held_unref(held);
    (void)pthread_cond_broadcast(&fixture->changed);
    (void)pthread_mutex_unlock(&fixture->lock);
    if (call != NULL) {
        (void)vg_err_set(&err, VG_ERR_CANCELLED, NULL);
        vg_rpc_call_fail(call, &err);
    }
}

static void do_hold(struct fixture *fixture, struct vg_rpc_call *call)
{
    struct held *held = vg_xalloc(sizeof *held);

    held->fixture = fixture;
    held->call = call;
    held->cancel.run = held_cancelled;
    held->refs = 2;
    (void)pthread_mutex_lock(&fixture->lock);
    /* Subscribed under the lock: a release cannot end the call in between. */
    vg_rpc_call_on_cancel(call, vg_work_pool_executor(fixture->pool), &held->cancel);
    held->next = fixture->held;
    fixture->held = held;
    fixture->held_count++;
    (void)pthread_cond_broadcast(&fixture->changed);
    (void)pthread_mutex_unlock(&fixture->lock);
}

void fixture_release(struct fixture *fixture)
{
    (void)pthread_mutex_lock(&fixture->lock);
    struct held *list = fixture->held;
    fixture->held = NULL;
    fixture->held_count = 0;
    while (list != NULL) {
        struct held *held = list;

        list = held->next;
        if (vg_rpc_call_clear_cancel(held->call))
            held_unref(held);
        answer(held->call, VG_VIEW("released"), 0);
        held_unref(held);
    }
    (void)pthread_mutex_unlock(&fixture->lock);
}

static const struct {
    const char *model;
    void (*run)(struct fixture *fixture, struct vg_rpc_call *call);
} scripts[] = {
    {"echo", do_echo}, {"later", do_later}, {"note", do_note}, {"deadline", do_deadline},
    {"big", do_big},   {"busy", do_busy},   {"hold", do_hold}, {"invalid", do_invalid},
};

static void handle_submit(void *ctx, struct vg_rpc_call *call)
{
    struct fixture *fixture = ctx;
    struct vg_err err = {0};

    (void)pthread_mutex_lock(&fixture->lock);
    fixture->submits++;
    (void)pthread_cond_broadcast(&fixture->changed);
    (void)pthread_mutex_unlock(&fixture->lock);
    for (size_t i = 0; i < VG_COUNT(scripts); i++) {
        if (strcmp(submit_request(call)->model, scripts[i].model) == 0) {
            scripts[i].run(fixture, call);
            return;
        }
    }
    (void)vg_err_set(&err, VG_ERR_NOT_FOUND, NULL);
    vg_rpc_call_fail(call, &err);
}

static void feed_end(struct feed *feed)
{
    struct fixture *fixture = feed->fixture;

    vg_rpc_call_finish(feed->call);
    free(feed);
    (void)pthread_mutex_lock(&fixture->lock);
    fixture->streams_ended++;
    (void)pthread_cond_broadcast(&fixture->changed);
    (void)pthread_mutex_unlock(&fixture->lock);
}

static void feed_more(struct feed *feed)
{
    Videogate__V1__FetchResponse response = VIDEOGATE__V1__FETCH_RESPONSE__INIT;
    const Videogate__V1__FetchRequest *request =
        (const Videogate__V1__FetchRequest *)vg_rpc_call_request(feed->call);

    if (feed->left-- == 0 || vg_rpc_call_cancelled(feed->call)) {
        feed_end(feed);
        return;
    }
    response.part_case = VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA;
    response.data = request->poll_state;
    vg_rpc_call_send(feed->call, &response.base, vg_work_pool_executor(feed->fixture->pool),
                     &feed->sent);
}

static void feed_sent(struct vg_task *task)
{
    struct feed *feed = VG_CONTAINER(task, struct feed, sent);

    (void)pthread_mutex_lock(&feed->fixture->lock);
    feed->fixture->sent++;
    (void)pthread_mutex_unlock(&feed->fixture->lock);
    feed_more(feed);
}

static void handle_fetch(void *ctx, struct vg_rpc_call *call)
{
    struct feed *feed = vg_xalloc(sizeof *feed);
    const Videogate__V1__FetchRequest *request =
        (const Videogate__V1__FetchRequest *)vg_rpc_call_request(call);
    struct vg_err err = {0};

    feed->fixture = ctx;
    feed->call = call;
    feed->sent.run = feed_sent;
    if (vg_parse_i64(vg_view_of(request->upstream_id), 0, INT64_MAX, &feed->left) != 0) {
        free(feed);
        (void)vg_err_param(&err, VG_ERR_INVALID_REQUEST, "upstream_id", "not a number");
        vg_rpc_call_fail(call, &err);
        return;
    }
    feed_more(feed);
}

static const struct vg_rpc_method methods[] = {
    {"Submit", handle_submit, false},
    {"Fetch", handle_fetch, true},
};

struct fixture *fixture_start(const struct fixture_options *options)
{
    struct fixture *fixture = vg_xalloc(sizeof *fixture);
    struct vg_rpc_server_options server = options->server;
    struct vg_err err = {0};

    (void)pthread_mutex_init(&fixture->lock, NULL);
    (void)pthread_cond_init(&fixture->changed, NULL);
    vg_rpc_init();
    VG_ASSERT(vg_work_pool_start(&fixture->pool, "fixture", 2, &err) == 0);
    fixture->service = (struct vg_rpc_service){&videogate__v1__provider_worker_service__descriptor,
                                               methods, VG_COUNT(methods), fixture};
    server.services = &fixture->service;
    server.service_count = 1;
    if (server.listen == NULL)
        server.listen = "127.0.0.1:0";
    if (vg_rpc_server_start(&fixture->server, &server, &err) != 0) {
        (void)fprintf(stderr, "%s\n", vg_err_text(&err));
        abort();
    }
    (void)snprintf(fixture->target, sizeof fixture->target, "127.0.0.1:%d",
                   vg_rpc_server_port(fixture->server));
    if (!options->no_channel)
        fixture->channel = fixture_open(fixture, options->channel);
    return fixture;
}

struct vg_rpc_channel *fixture_open(struct fixture *fixture, struct vg_rpc_channel_options options)
{
    struct vg_rpc_channel *channel;
    struct vg_err err = {0};

    options.target = fixture->target;
    if (vg_rpc_channel_new(&channel, &options, &err) != 0) {
        (void)fprintf(stderr, "%s\n", vg_err_text(&err));
        abort();
    }
    return channel;
}

void fixture_stop_server(struct fixture *fixture)
{
    fixture->server = vg_rpc_server_stop(fixture->server);
}

void fixture_free_channel(struct fixture *fixture)
{
    fixture->channel = vg_rpc_channel_free(fixture->channel);
}

struct fixture *fixture_stop(struct fixture *fixture)
{
    fixture_free_channel(fixture);
    fixture_release(fixture);
    fixture_stop_server(fixture);
    fixture->pool = vg_work_pool_stop(fixture->pool);
    (void)pthread_cond_destroy(&fixture->changed);
    (void)pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    vg_rpc_fini();
    return NULL;
}

struct vg_rpc_server *fixture_server(struct fixture *fixture)
{
    return fixture->server;
}

struct vg_rpc_channel *fixture_channel(struct fixture *fixture)
{
    return fixture->channel;
}

struct vg_executor *fixture_executor(struct fixture *fixture)
{
    return vg_work_pool_executor(fixture->pool);
}

const char *fixture_target(struct fixture *fixture)
{
    return fixture->target;
}

const struct vg_rpc_service *fixture_service(struct fixture *fixture)
{
    return &fixture->service;
}

/* Waits for a counter; a test that would wait for ever is killed by ctest's timeout. */
static void await_count(struct fixture *fixture, const int *counter, int count)
{
    (void)pthread_mutex_lock(&fixture->lock);
    while (*counter < count)
        (void)pthread_cond_wait(&fixture->changed, &fixture->lock);
    (void)pthread_mutex_unlock(&fixture->lock);
}

void fixture_await_held(struct fixture *fixture, int count)
{
    await_count(fixture, &fixture->held_count, count);
}

void fixture_await_cancelled(struct fixture *fixture, int count)
{
    await_count(fixture, &fixture->cancelled, count);
}

void fixture_await_streams_ended(struct fixture *fixture, int count)
{
    await_count(fixture, &fixture->streams_ended, count);
}

static int read_count(struct fixture *fixture, const int *counter)
{
    (void)pthread_mutex_lock(&fixture->lock);
    int value = *counter;
    (void)pthread_mutex_unlock(&fixture->lock);
    return value;
}

int fixture_sent(struct fixture *fixture)
{
    return read_count(fixture, &fixture->sent);
}

int fixture_submits(struct fixture *fixture)
{
    return read_count(fixture, &fixture->submits);
}

struct fixture_group {
    pthread_mutex_t lock;
    pthread_cond_t zero;
    int left;
};

struct fixture_group *fixture_group_new(int count)
{
    struct fixture_group *group = vg_xalloc(sizeof *group);

    (void)pthread_mutex_init(&group->lock, NULL);
    (void)pthread_cond_init(&group->zero, NULL);
    group->left = count;
    return group;
}

void fixture_group_done(struct fixture_group *group)
{
    (void)pthread_mutex_lock(&group->lock);
    if (--group->left == 0)
        (void)pthread_cond_broadcast(&group->zero);
    (void)pthread_mutex_unlock(&group->lock);
}

void fixture_group_wait(struct fixture_group *group)
{
    (void)pthread_mutex_lock(&group->lock);
    while (group->left > 0)
        (void)pthread_cond_wait(&group->zero, &group->lock);
    (void)pthread_mutex_unlock(&group->lock);
    (void)pthread_cond_destroy(&group->zero);
    (void)pthread_mutex_destroy(&group->lock);
    free(group);
}

static void submit_done(struct vg_task *task)
{
    struct submit *submit = VG_CONTAINER(task, struct submit, call.done);

    fixture_group_done(submit->group);
}

void submit_init(struct submit *submit, const char *model, const char *prompt)
{
    *submit = (struct submit){0};
    videogate__v1__submit_request__init(&submit->request);
    submit->request.model = (char *)model;
    submit->request.prompt = (char *)prompt;
    submit->call.service_method = SUBMIT;
    submit->call.request = &submit->request.base;
    submit->call.response_type = &videogate__v1__submit_response__descriptor;
    submit->call.deadline_ns = VG_NO_DEADLINE;
}

void submit_start(struct submit *submit, struct vg_rpc_channel *channel,
                  struct fixture_group *group)
{
    submit->group = group;
    submit->call.done.run = submit_done;
    vg_rpc_unary_start(channel, &submit->call);
}

int submit_wait(struct submit *submit, struct vg_rpc_channel *channel)
{
    return vg_rpc_unary_wait(channel, &submit->call);
}

const char *submit_echo(const struct submit *submit)
{
    const Videogate__V1__SubmitResponse *response =
        (const Videogate__V1__SubmitResponse *)submit->call.response;

    if (response == NULL ||
        response->outcome_case != VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED)
        return "";
    return response->accepted->upstream_id;
}

void submit_fini(struct submit *submit)
{
    if (submit->call.response != NULL)
        protobuf_c_message_free_unpacked(submit->call.response, NULL);
    submit->call.response = NULL;
}
