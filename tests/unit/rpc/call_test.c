/* SPDX-License-Identifier: Apache-2.0 */
/* The call and EdgeService.Batch without a network: a transport of the test's own in place of the
 * core. */
#include "common/rpc/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <videogate/v1/edge.pb-c.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/clock.h"
#include "common/rpc/batch.h"
#include "common/rpc/counted.h"
#include "common/work_pool.h"

struct outer {
    struct vg_rpc_call base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    struct vg_err err;
    Videogate__V1__BatchResponse *response; /* repacked */
};

static void outer_end(struct vg_rpc_call *base, const ProtobufCMessage *response,
                      const struct vg_err *err)
{
    struct outer *outer = VG_CONTAINER(base, struct outer, base);

    (void)pthread_mutex_lock(&outer->lock);
    assert_false(outer->ended);
    if (err != NULL)
        outer->err = *err;
    if (response != NULL) {
        size_t size = protobuf_c_message_get_packed_size(response);
        uint8_t *bytes = vg_xalloc(size + 1);

        (void)protobuf_c_message_pack(response, bytes);
        outer->response = videogate__v1__batch_response__unpack(NULL, size, bytes);
        free(bytes);
    }
    outer->ended = true;
    (void)pthread_cond_broadcast(&outer->changed);
    (void)pthread_mutex_unlock(&outer->lock);
}

static const struct vg_rpc_transport outer_transport = {.end = outer_end};

static void outer_init(struct outer *outer, const struct vg_rpc_entry *entry)
{
    *outer = (struct outer){0};
    (void)pthread_mutex_init(&outer->lock, NULL);
    (void)pthread_cond_init(&outer->changed, NULL);
    vg_rpc_call_init(&outer->base, &outer_transport, entry);
}

static void outer_await(struct outer *outer)
{
    (void)pthread_mutex_lock(&outer->lock);
    while (!outer->ended)
        (void)pthread_cond_wait(&outer->changed, &outer->lock);
    (void)pthread_mutex_unlock(&outer->lock);
}

static void outer_fini(struct outer *outer)
{
    vg_rpc_call_fini(&outer->base);
    if (outer->response != NULL)
        videogate__v1__batch_response__free_unpacked(outer->response, NULL);
    (void)pthread_cond_destroy(&outer->changed);
    (void)pthread_mutex_destroy(&outer->lock);
}

/* --- cancellation --- */

struct counted {
    struct vg_task task;
    atomic_int runs;
};

static void count_run(struct vg_task *task)
{
    atomic_fetch_add(&VG_CONTAINER(task, struct counted, task)->runs, 1);
}

static void call__tells_of_a_cancel_once(void **state)
{
    struct counted counted = {.task = {.run = count_run}};
    struct outer outer;

    (void)state;
    outer_init(&outer, NULL);
    vg_rpc_call_on_cancel(&outer.base, vg_rpc_inline_executor(), &counted.task);
    assert_false(vg_rpc_call_cancelled(&outer.base));
    vg_rpc_call_cancel(&outer.base);
    vg_rpc_call_cancel(&outer.base);
    assert_true(vg_rpc_call_cancelled(&outer.base));
    assert_int_equal(counted.runs, 1);
    assert_false(vg_rpc_call_clear_cancel(&outer.base));
    outer_fini(&outer);
}

static void call__tells_of_a_cancel_before_the_subscription(void **state)
{
    struct counted counted = {.task = {.run = count_run}};
    struct outer outer;

    (void)state;
    outer_init(&outer, NULL);
    vg_rpc_call_cancel(&outer.base);
    vg_rpc_call_on_cancel(&outer.base, vg_rpc_inline_executor(), &counted.task);
    assert_int_equal(counted.runs, 1);
    outer_fini(&outer);
}

static void call__gives_the_task_back(void **state)
{
    struct counted counted = {.task = {.run = count_run}};
    struct outer outer;

    (void)state;
    outer_init(&outer, NULL);
    vg_rpc_call_on_cancel(&outer.base, vg_rpc_inline_executor(), &counted.task);
    assert_true(vg_rpc_call_clear_cancel(&outer.base));
    vg_rpc_call_cancel(&outer.base);
    assert_int_equal(counted.runs, 0);
    outer_fini(&outer);
}

static void call__is_silent_after_its_end(void **state)
{
    struct counted counted = {.task = {.run = count_run}};
    struct vg_err err = {.kind = VG_ERR_NOT_FOUND};
    struct outer outer;

    (void)state;
    outer_init(&outer, NULL);
    vg_rpc_call_on_cancel(&outer.base, vg_rpc_inline_executor(), &counted.task);
    vg_rpc_call_fail(&outer.base, &err);
    vg_rpc_call_cancel(&outer.base);
    assert_int_equal(counted.runs, 0);
    assert_int_equal(outer.err.kind, VG_ERR_NOT_FOUND);
    outer_fini(&outer);
}

static void *cancel_thread(void *arg)
{
    vg_rpc_call_cancel(arg);
    return NULL;
}

/* Whatever the order, the task runs or comes back, never both, never neither. */
static void call__cancel_and_subscription_meet_between_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct counted counted = {.task = {.run = count_run}};
        struct outer outer;
        pthread_t thread;

        outer_init(&outer, NULL);
        assert_int_equal(pthread_create(&thread, NULL, cancel_thread, &outer.base), 0);
        vg_rpc_call_on_cancel(&outer.base, vg_rpc_inline_executor(), &counted.task);
        bool back = i % 2 == 0 && vg_rpc_call_clear_cancel(&outer.base);
        (void)pthread_join(thread, NULL);
        assert_int_equal(counted.runs, back ? 0 : 1);
        outer_fini(&outer);
    }
}

/* --- load --- */

static void load__refuses_over_the_cap(void **state)
{
    struct vg_metrics *metrics = vg_metrics_new();
    struct vg_rpc_load load;
    struct vg_err err = {0};

    (void)state;
    vg_rpc_load_init(&load, 2, metrics);
    assert_true(vg_rpc_load_enter(&load, &err));
    assert_true(vg_rpc_load_enter(&load, &err));
    assert_false(vg_rpc_load_enter(&load, &err));
    assert_int_equal(err.kind, VG_ERR_OVERLOADED);
    vg_rpc_load_leave(&load);
    assert_true(vg_rpc_load_enter(&load, &err));
    (void)vg_metrics_free(metrics);
}

/* --- batches --- */

struct site {
    struct vg_rpc_methods methods;
    struct vg_rpc_load load;
    struct vg_rpc_deadlines *deadlines;
    struct vg_rpc_batcher batcher;
    struct vg_work_pool *pool;
    struct vg_rpc_service service;
};

struct job {
    struct vg_task run;
    struct vg_task cancel;
    struct vg_rpc_call *call;
    atomic_int refs;
};

static void job_unref(struct job *job)
{
    if (vg_rpc_counted_unref(&job->refs))
        vg_rpc_counted_free(job);
}

static void job_run(struct vg_task *task)
{
    struct job *job = VG_CONTAINER(task, struct job, run);
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;

    if (vg_rpc_call_clear_cancel(job->call))
        job_unref(job);
    vg_rpc_call_reply(job->call, &response.base);
    job_unref(job);
}

static void job_cancelled(struct vg_task *task)
{
    job_unref(VG_CONTAINER(task, struct job, cancel));
}

/* Ends when it is cancelled: the job's only end. */
static void wait_cancelled(struct vg_task *task)
{
    struct job *job = VG_CONTAINER(task, struct job, cancel);
    struct vg_err err = {.kind = VG_ERR_CANCELLED};

    vg_rpc_call_fail(job->call, &err);
    job_unref(job);
}

static void site_submit(void *ctx, struct vg_rpc_call *call)
{
    struct site *site = ctx;
    struct job *job = vg_xalloc(sizeof *job);
    const Videogate__V1__SubmitRequest *request =
        (const Videogate__V1__SubmitRequest *)vg_rpc_call_request(call);
    bool wait = strcmp(request->model, "wait") == 0;

    job->run.run = job_run;
    job->cancel.run = wait ? wait_cancelled : job_cancelled;
    job->call = call;
    atomic_init(&job->refs, wait ? 1 : 2);
    vg_rpc_call_on_cancel(call, vg_work_pool_executor(site->pool), &job->cancel);
    if (!wait)
        vg_post(vg_work_pool_executor(site->pool), &job->run);
}

static void site_init(struct site *site)
{
    static const struct vg_rpc_method rows[] = {{"Submit", site_submit, false}};

    *site = (struct site){0};
    vg_rpc_methods_init(&site->methods);
    vg_rpc_load_init(&site->load, 1000, NULL);
    assert_int_equal(vg_rpc_deadlines_start(&site->deadlines, "test", NULL), 0);
    assert_int_equal(vg_work_pool_start(&site->pool, "test", 3, NULL), 0);
    site->service = (struct vg_rpc_service){&videogate__v1__provider_worker_service__descriptor,
                                            rows, VG_COUNT(rows), site};
    assert_int_equal(vg_rpc_methods_add(&site->methods, &site->service, false, NULL), 0);
    site->batcher = (struct vg_rpc_batcher){&site->methods, &site->load, site->deadlines};
    assert_int_equal(vg_rpc_batch_add(&site->batcher, &site->methods, NULL), 0);
    vg_rpc_methods_seal(&site->methods);
}

static void site_fini(struct site *site)
{
    site->pool = vg_work_pool_stop(site->pool);
    vg_rpc_deadlines_stop(site->deadlines);
    site->deadlines = vg_rpc_deadlines_free(site->deadlines);
    assert_int_equal(site->load.in_flight, 0);
    vg_rpc_methods_fini(&site->methods);
}

/* A batch of `count` Submits, each the same. */
static ProtobufCMessage *batch_request(size_t count, const char *model, int64_t timeout_ms)
{
    Videogate__V1__BatchRequest request = VIDEOGATE__V1__BATCH_REQUEST__INIT;
    Videogate__V1__SubmitRequest submit = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;
    Videogate__V1__BatchCall call = VIDEOGATE__V1__BATCH_CALL__INIT;
    Videogate__V1__BatchCall **calls = vg_xcalloc(count + 1, sizeof(Videogate__V1__BatchCall *));
    uint8_t payload[64];

    submit.model = (char *)model;
    call.method = (char *)"/videogate.v1.ProviderWorkerService/Submit";
    call.timeout_ms = timeout_ms;
    call.payload.data = payload;
    call.payload.len = videogate__v1__submit_request__pack(&submit, payload);
    for (size_t i = 0; i < count; i++)
        calls[i] = &call;
    request.calls = calls;
    request.n_calls = count;
    size_t size = videogate__v1__batch_request__get_packed_size(&request);
    uint8_t *bytes = vg_xalloc(size + 1);
    (void)videogate__v1__batch_request__pack(&request, bytes);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(&videogate__v1__batch_request__descriptor, NULL, size, bytes);
    free(bytes);
    free(calls);
    return message;
}

static void batch_start(struct site *site, struct outer *outer, ProtobufCMessage *request)
{
    const struct vg_rpc_entry *entry =
        vg_rpc_methods_find(&site->methods, "/videogate.v1.EdgeService/Batch");

    assert_non_null(entry);
    outer_init(outer, entry);
    outer->base.request = request;
    entry->handler(entry->ctx, &outer->base);
}

static void batch__answers_when_all_are_done(void **state)
{
    struct site site;
    struct outer outer;

    (void)state;
    site_init(&site);
    for (int round = 0; round < 50; round++) {
        batch_start(&site, &outer, batch_request(256, "run", 0));
        outer_await(&outer);
        assert_non_null(outer.response);
        assert_int_equal(outer.response->n_results, 256);
        for (size_t i = 0; i < 256; i++)
            assert_int_equal(outer.response->results[i]->code, VG_GRPC_OK);
        outer_fini(&outer);
    }
    site_fini(&site);
}

static void batch__holds_1_to_256_calls(void **state)
{
    struct site site;
    struct outer outer;

    (void)state;
    site_init(&site);
    for (size_t count = 0; count <= 257; count += 257) {
        batch_start(&site, &outer, batch_request(count, "run", 0));
        outer_await(&outer);
        assert_null(outer.response);
        assert_int_equal(outer.err.kind, VG_ERR_INVALID_REQUEST);
        outer_fini(&outer);
    }
    site_fini(&site);
}

static void batch__a_cancel_reaches_every_member(void **state)
{
    struct site site;
    struct outer outer;

    (void)state;
    site_init(&site);
    batch_start(&site, &outer, batch_request(100, "wait", 0));
    vg_rpc_call_cancel(&outer.base);
    outer_await(&outer);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(outer.response->results[i]->code, VG_GRPC_CANCELLED);
    outer_fini(&outer);
    site_fini(&site);
}

static void batch__members_run_out_of_their_own_time(void **state)
{
    struct site site;
    struct outer outer;

    (void)state;
    site_init(&site);
    batch_start(&site, &outer, batch_request(10, "wait", 30));
    outer_await(&outer);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(outer.response->results[i]->code, VG_GRPC_CANCELLED);
    outer_fini(&outer);
    site_fini(&site);
}

/* Ends, a cancel and deadlines at the same moment. */
static void batch__ends_once_between_threads(void **state)
{
    struct site site;
    struct outer outer;
    pthread_t thread;

    (void)state;
    site_init(&site);
    for (int round = 0; round < 200; round++) {
        batch_start(&site, &outer, batch_request(20, round % 2 ? "run" : "wait", 1 + round % 3));
        assert_int_equal(pthread_create(&thread, NULL, cancel_thread, &outer.base), 0);
        outer_await(&outer);
        (void)pthread_join(thread, NULL);
        assert_int_equal(outer.response->n_results, 20);
        outer_fini(&outer);
    }
    site_fini(&site);
}

static void methods__find_exact_paths_alone(void **state)
{
    static const struct vg_rpc_method wrong[] = {{"Submitt", site_submit, false}};
    const struct vg_rpc_service service = {&videogate__v1__provider_worker_service__descriptor,
                                           wrong, 1, NULL};
    struct site site;
    struct vg_err err = {0};

    (void)state;
    site_init(&site);
    assert_non_null(
        vg_rpc_methods_find(&site.methods, "/videogate.v1.ProviderWorkerService/Submit"));
    assert_null(vg_rpc_methods_find(&site.methods, "/videogate.v1.ProviderWorkerService/Submi"));
    assert_null(vg_rpc_methods_find(&site.methods, "/videogate.v1.ProviderWorkerService/Submit2"));
    assert_null(vg_rpc_methods_find(&site.methods, ""));
    assert_true(vg_rpc_methods_has_service(&site.methods, "videogate.v1.ProviderWorkerService"));
    assert_false(vg_rpc_methods_has_service(&site.methods, "videogate.v1.Provider"));
    assert_int_equal(vg_rpc_methods_add(&site.methods, &service, false, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INTERNAL);
    site_fini(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call__tells_of_a_cancel_once),
        cmocka_unit_test(call__tells_of_a_cancel_before_the_subscription),
        cmocka_unit_test(call__gives_the_task_back),
        cmocka_unit_test(call__is_silent_after_its_end),
        cmocka_unit_test(call__cancel_and_subscription_meet_between_threads),
        cmocka_unit_test(load__refuses_over_the_cap),
        cmocka_unit_test(batch__answers_when_all_are_done),
        cmocka_unit_test(batch__holds_1_to_256_calls),
        cmocka_unit_test(batch__a_cancel_reaches_every_member),
        cmocka_unit_test(batch__members_run_out_of_their_own_time),
        cmocka_unit_test(batch__ends_once_between_threads),
        cmocka_unit_test(methods__find_exact_paths_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
