/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grpc/health/v1/health.pb-c.h>
#include <pthread.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name
#define WORKER "videogate.v1.ProviderWorkerService"

static struct fixture *start(void)
{
    return fixture_start(&(struct fixture_options){.server = {.edge_batch = true}});
}

/* Check of a service: its status, or minus the gRPC code. */
static int check(struct fixture *fixture, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct vg_rpc_unary call = {.service_method = "/grpc.health.v1.Health/Check",
                                .request = &request.base,
                                .response_type =
                                    &grpc__health__v1__health_check_response__descriptor};

    request.service = (char *)service;
    if (vg_rpc_unary_wait(fixture_channel(fixture), &call) != 0)
        return -call.grpc_code;
    int status = (int)((Grpc__Health__V1__HealthCheckResponse *)call.response)->status;
    protobuf_c_message_free_unpacked(call.response, NULL);
    return status;
}

static void health__check(void **state)
{
    struct fixture *fixture = start();

    (void)state;
    assert_int_equal(check(fixture, ""), STATUS(SERVING));
    assert_int_equal(check(fixture, WORKER), STATUS(SERVING));
    assert_int_equal(check(fixture, "grpc.health.v1.Health"), STATUS(SERVING));
    assert_int_equal(check(fixture, "no.Service"), -VG_GRPC_NOT_FOUND);
    vg_rpc_server_set_serving(fixture_server(fixture), false);
    assert_int_equal(check(fixture, ""), STATUS(NOT_SERVING));
    assert_int_equal(check(fixture, WORKER), STATUS(NOT_SERVING));
    (void)fixture_stop(fixture);
}

static void health__list_names_every_service(void **state)
{
    static const char *const expected[] = {"",
                                           WORKER,
                                           "grpc.health.v1.Health",
                                           "grpc.reflection.v1.ServerReflection",
                                           "grpc.reflection.v1alpha.ServerReflection",
                                           "videogate.v1.EdgeService"};
    struct fixture *fixture = start();
    Grpc__Health__V1__HealthListRequest request = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    struct vg_rpc_unary call = {.service_method = "/grpc.health.v1.Health/List",
                                .request = &request.base,
                                .response_type =
                                    &grpc__health__v1__health_list_response__descriptor};

    (void)state;
    assert_int_equal(vg_rpc_unary_wait(fixture_channel(fixture), &call), 0);
    const Grpc__Health__V1__HealthListResponse *response =
        (const Grpc__Health__V1__HealthListResponse *)call.response;
    assert_int_equal(response->n_statuses, VG_COUNT(expected));
    for (size_t i = 0; i < VG_COUNT(expected); i++) {
        assert_string_equal(response->statuses[i]->key, expected[i]);
        assert_int_equal(response->statuses[i]->value->status, STATUS(SERVING));
    }
    protobuf_c_message_free_unpacked(call.response, NULL);
    (void)fixture_stop(fixture);
}

struct watch {
    struct vg_rpc_stream stream;
    Grpc__Health__V1__HealthCheckRequest request;
    pthread_mutex_t lock;
    pthread_cond_t event;
    bool come;
};

static void on_event(struct vg_task *task)
{
    struct watch *watch = VG_CONTAINER(task, struct watch, stream.event);

    (void)pthread_mutex_lock(&watch->lock);
    watch->come = true;
    (void)pthread_cond_signal(&watch->event);
    (void)pthread_mutex_unlock(&watch->lock);
}

static void watch_start(struct watch *watch, struct fixture *fixture, const char *service)
{
    *watch = (struct watch){0};
    (void)pthread_mutex_init(&watch->lock, NULL);
    (void)pthread_cond_init(&watch->event, NULL);
    grpc__health__v1__health_check_request__init(&watch->request);
    watch->request.service = (char *)service;
    watch->stream.service_method = "/grpc.health.v1.Health/Watch";
    watch->stream.request = &watch->request.base;
    watch->stream.response_type = &grpc__health__v1__health_check_response__descriptor;
    watch->stream.event.run = on_event;
    vg_rpc_stream_start(fixture_channel(fixture), &watch->stream);
}

/* The next status, or -1 at the end. Asks for the one after it. */
static int watch_take(struct watch *watch)
{
    int status = -1;

    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->come)
        (void)pthread_cond_wait(&watch->event, &watch->lock);
    watch->come = false;
    (void)pthread_mutex_unlock(&watch->lock);
    if (watch->stream.ended)
        return -1;
    status = (int)((Grpc__Health__V1__HealthCheckResponse *)watch->stream.message)->status;
    protobuf_c_message_free_unpacked(watch->stream.message, NULL);
    watch->stream.message = NULL;
    vg_rpc_stream_next(&watch->stream);
    return status;
}

static void health__watch_follows_every_change(void **state)
{
    struct fixture *fixture = start();
    struct watch watches[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        watch_start(&watches[i], fixture, i ? WORKER : "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(watch_take(&watches[i]), STATUS(SERVING));
    for (int round = 0; round < 10; round++) {
        vg_rpc_server_set_serving(fixture_server(fixture), round % 2);
        for (int i = 0; i < 3; i++)
            assert_int_equal(watch_take(&watches[i]),
                             round % 2 ? STATUS(SERVING) : STATUS(NOT_SERVING));
    }
    for (int i = 0; i < 3; i++) {
        vg_rpc_stream_cancel(&watches[i].stream);
        assert_int_equal(watch_take(&watches[i]), -1);
        assert_int_equal(watches[i].stream.grpc_code, VG_GRPC_CANCELLED);
    }
    (void)fixture_stop(fixture);
}

static void health__watch_of_an_unknown_service_waits(void **state)
{
    struct fixture *fixture = start();
    struct watch watch;

    (void)state;
    watch_start(&watch, fixture, "no.Service");
    assert_int_equal(watch_take(&watch), STATUS(SERVICE_UNKNOWN));
    vg_rpc_stream_cancel(&watch.stream);
    assert_int_equal(watch_take(&watch), -1);
    (void)fixture_stop(fixture);
}

/* Watchers hear of the drain, do not hold it up, and end with the server. */
static void health__watch_does_not_hold_a_drain(void **state)
{
    struct fixture *fixture = start();
    struct watch watch;

    (void)state;
    watch_start(&watch, fixture, "");
    assert_int_equal(watch_take(&watch), STATUS(SERVING));
    vg_rpc_server_drain(fixture_server(fixture), VG_NO_DEADLINE);
    assert_int_equal(watch_take(&watch), STATUS(NOT_SERVING));
    fixture_stop_server(fixture);
    assert_int_equal(watch_take(&watch), -1);
    assert_false(watch.stream.ok);
    (void)fixture_stop(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health__check),
        cmocka_unit_test(health__list_names_every_service),
        cmocka_unit_test(health__watch_follows_every_change),
        cmocka_unit_test(health__watch_of_an_unknown_service_waits),
        cmocka_unit_test(health__watch_does_not_hold_a_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
