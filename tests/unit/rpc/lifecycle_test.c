/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

struct drain {
    pthread_t thread;
    struct fixture *fixture;
    int64_t deadline_ns;
    atomic_bool over;
};

static void *drain_run(void *arg)
{
    struct drain *drain = arg;

    vg_rpc_server_drain(fixture_server(drain->fixture), drain->deadline_ns);
    atomic_store(&drain->over, true);
    return NULL;
}

static void drain_start(struct drain *drain, struct fixture *fixture, int64_t deadline_ns)
{
    drain->fixture = fixture;
    drain->deadline_ns = deadline_ns;
    atomic_init(&drain->over, false);
    assert_int_equal(pthread_create(&drain->thread, NULL, drain_run, drain), 0);
}

/* Until a new connection is refused. */
static void await_closed(struct fixture *fixture)
{
    for (;;) {
        struct vg_rpc_channel *channel = fixture_open(fixture, (struct vg_rpc_channel_options){0});
        struct submit submit;

        submit_init(&submit, "echo", "");
        int rc = submit_wait(&submit, channel);
        submit_fini(&submit);
        (void)vg_rpc_channel_free(channel);
        if (rc != 0) {
            assert_int_equal(submit.call.grpc_code, VG_GRPC_UNAVAILABLE);
            return;
        }
    }
}

static void lifecycle__a_drain_lets_calls_end_and_refuses_new_ones(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    struct fixture_group *group = fixture_group_new(1);
    struct submit held;
    struct drain drain;

    (void)state;
    submit_init(&held, "hold", "");
    submit_start(&held, fixture_channel(fixture), group);
    fixture_await_held(fixture, 1);
    drain_start(&drain, fixture, vg_deadline_in_ms(600000));
    await_closed(fixture);
    assert_false(atomic_load(&drain.over));
    fixture_release(fixture);
    (void)pthread_join(drain.thread, NULL);
    fixture_stop_server(fixture);
    fixture_group_wait(group);
    assert_string_equal(submit_echo(&held), "released"); /* the answer left before the stop */
    submit_fini(&held);
    (void)fixture_stop(fixture);
}

static void lifecycle__a_drain_ends_at_its_deadline(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    struct fixture_group *group = fixture_group_new(1);
    struct submit held;
    int64_t deadline_ns;

    (void)state;
    submit_init(&held, "hold", "");
    submit_start(&held, fixture_channel(fixture), group);
    fixture_await_held(fixture, 1);
    deadline_ns = vg_deadline_in_ms(200);
    vg_rpc_server_drain(fixture_server(fixture), deadline_ns);
    assert_true(vg_now_ns() >= deadline_ns);
    fixture_stop_server(fixture);
    fixture_group_wait(group);
    assert_false(held.call.ok);
    fixture_await_cancelled(fixture, 1);
    (void)fixture_stop(fixture);
}

static void lifecycle__an_idle_drain_is_over_at_once(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    submit_fini(&submit);
    vg_rpc_server_drain(fixture_server(fixture), VG_NO_DEADLINE);
    fixture_stop_server(fixture);
    (void)fixture_stop(fixture);
}

/* A handler's module that holds a call over the stop, and answers later. */
static struct vg_rpc_call *kept;
static atomic_bool kept_set;

static void keep_submit(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    kept = call;
    atomic_store(&kept_set, true);
}

static void lifecycle__a_reply_after_the_stop_is_dropped(void **state)
{
    static const struct vg_rpc_method rows[] = {{"Submit", keep_submit, false}};
    const struct vg_rpc_service service = {&videogate__v1__provider_worker_service__descriptor,
                                           rows, 1, NULL};
    struct vg_rpc_server_options options = {
        .listen = "127.0.0.1:0", .services = &service, .service_count = 1, .edge_batch = true};
    struct fixture *fixture = fixture_start(&(struct fixture_options){.no_channel = true});
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    struct fixture_group *group = fixture_group_new(1);
    struct vg_rpc_server *server;
    struct vg_rpc_channel *channel;
    struct submit submit;
    char target[32];

    (void)state;
    assert_int_equal(vg_rpc_server_start(&server, &options, NULL), 0);
    (void)snprintf(target, sizeof target, "127.0.0.1:%d", vg_rpc_server_port(server));
    struct vg_rpc_channel_options channel_options = {.target = target};
    assert_int_equal(vg_rpc_channel_new(&channel, &channel_options, NULL), 0);
    submit_init(&submit, "keep", "");
    submit_start(&submit, channel, group);
    while (!atomic_load(&kept_set))
        ;
    server = vg_rpc_server_stop(server);
    fixture_group_wait(group);
    assert_false(submit.call.ok);
    assert_true(vg_rpc_call_cancelled(kept));
    vg_rpc_call_reply(kept, &response.base);
    (void)vg_rpc_channel_free(channel);
    (void)fixture_stop(fixture);
}

static void lifecycle__a_taken_port_is_an_error(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){.no_channel = true});
    struct vg_rpc_server_options options = {.listen = fixture_target(fixture),
                                            .services = fixture_service(fixture),
                                            .service_count = 1,
                                            .edge_batch = true};
    struct vg_rpc_server *server = NULL;
    struct vg_err err = {0};

    (void)state;
    assert_int_equal(vg_rpc_server_start(&server, &options, &err), -1);
    assert_null(server);
    assert_int_equal(err.kind, VG_ERR_UNAVAILABLE);
    assert_non_null(strstr(vg_err_text(&err), fixture_target(fixture)));
    (void)fixture_stop(fixture);
}

static void lifecycle__a_wrong_method_row_is_an_error(void **state)
{
    static const struct vg_rpc_method rows[] = {{"Submitt", keep_submit, false}};
    const struct vg_rpc_service service = {&videogate__v1__provider_worker_service__descriptor,
                                           rows, 1, NULL};
    struct vg_rpc_server_options options = {
        .listen = "127.0.0.1:0", .services = &service, .service_count = 1};
    struct vg_rpc_server *server;
    struct vg_err err = {0};

    (void)state;
    assert_int_equal(vg_rpc_server_start(&server, &options, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INTERNAL);
}

static void lifecycle__a_channel_finds_a_server_that_comes_back(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    struct vg_rpc_server_options options = {.listen = fixture_target(fixture),
                                            .services = fixture_service(fixture),
                                            .service_count = 1};
    struct vg_rpc_server *server;
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    submit_fini(&submit);
    fixture_stop_server(fixture);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    assert_int_equal(submit.call.grpc_code, VG_GRPC_UNAVAILABLE);
    assert_int_equal(vg_rpc_server_start(&server, &options, NULL), 0);
    while (submit_wait(&submit, fixture_channel(fixture)) != 0)
        assert_int_equal(submit.call.grpc_code, VG_GRPC_UNAVAILABLE);
    submit_fini(&submit);
    server = vg_rpc_server_stop(server);
    (void)fixture_stop(fixture);
}

static void lifecycle__stop_under_load(void **state)
{
    enum { MANY = 500 };

    (void)state;
    for (int round = 0; round < 6; round++) {
        struct fixture_options options = {.server = {.threads = 2, .edge_batch = true},
                                          .channel = {.coalesce = round % 2 ? 2 : 0}};
        struct fixture *fixture = fixture_start(&options);
        struct fixture_group *group = fixture_group_new(MANY);
        struct submit *submits = calloc(MANY, sizeof *submits);

        for (int i = 0; i < MANY; i++) {
            submit_init(&submits[i], i % 2 ? "later" : "echo", "x");
            submits[i].call.executor = fixture_executor(fixture);
            submit_start(&submits[i], fixture_channel(fixture), group);
        }
        if (round % 3 == 0)
            fixture_stop_server(fixture);
        else if (round % 3 == 1)
            fixture_free_channel(fixture);
        fixture_group_wait(group);
        for (int i = 0; i < MANY; i++)
            submit_fini(&submits[i]);
        free(submits);
        (void)fixture_stop(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifecycle__a_drain_lets_calls_end_and_refuses_new_ones),
        cmocka_unit_test(lifecycle__a_drain_ends_at_its_deadline),
        cmocka_unit_test(lifecycle__an_idle_drain_is_over_at_once),
        cmocka_unit_test(lifecycle__a_reply_after_the_stop_is_dropped),
        cmocka_unit_test(lifecycle__a_taken_port_is_an_error),
        cmocka_unit_test(lifecycle__a_wrong_method_row_is_an_error),
        cmocka_unit_test(lifecycle__a_channel_finds_a_server_that_comes_back),
        cmocka_unit_test(lifecycle__stop_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
