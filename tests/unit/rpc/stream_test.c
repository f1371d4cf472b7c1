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
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

/* A stream whose events a test waits for one by one. */
struct reader {
    struct vg_rpc_stream stream;
    Videogate__V1__FetchRequest request;
    pthread_mutex_t lock;
    pthread_cond_t event;
    int events; /* come and not taken */
};

static void on_event(struct vg_task *task)
{
    struct reader *reader = VG_CONTAINER(task, struct reader, stream.event);

    (void)pthread_mutex_lock(&reader->lock);
    reader->events++;
    assert_int_equal(reader->events, 1); /* never two at a time */
    (void)pthread_cond_signal(&reader->event);
    (void)pthread_mutex_unlock(&reader->lock);
}

static void reader_start(struct reader *reader, struct fixture *fixture, const char *count,
                         size_t bytes, int64_t deadline_ns, struct vg_executor *executor)
{
    *reader = (struct reader){0};
    (void)pthread_mutex_init(&reader->lock, NULL);
    (void)pthread_cond_init(&reader->event, NULL);
    videogate__v1__fetch_request__init(&reader->request);
    reader->request.upstream_id = (char *)count;
    reader->request.poll_state.data = calloc(1, bytes + 1);
    reader->request.poll_state.len = bytes;
    reader->stream.service_method = FETCH;
    reader->stream.request = &reader->request.base;
    reader->stream.response_type = &videogate__v1__fetch_response__descriptor;
    reader->stream.deadline_ns = deadline_ns;
    reader->stream.event.run = on_event;
    reader->stream.executor = executor;
    vg_rpc_stream_start(fixture_channel(fixture), &reader->stream);
    free(reader->request.poll_state.data);
}

/* True: a message, of `bytes` bytes. False: the end. */
static bool reader_take(struct reader *reader, size_t bytes)
{
    (void)pthread_mutex_lock(&reader->lock);
    while (reader->events == 0)
        (void)pthread_cond_wait(&reader->event, &reader->lock);
    reader->events--;
    (void)pthread_mutex_unlock(&reader->lock);
    if (reader->stream.ended)
        return false;
    const Videogate__V1__FetchResponse *response =
        (const Videogate__V1__FetchResponse *)reader->stream.message;
    assert_non_null(response);
    assert_int_equal(response->part_case, VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA);
    assert_int_equal(response->data.len, bytes);
    protobuf_c_message_free_unpacked(reader->stream.message, NULL);
    reader->stream.message = NULL;
    return true;
}

/* Reads to the end; how many messages came. */
static int reader_drain(struct reader *reader, size_t bytes)
{
    int count = 0;

    while (reader_take(reader, bytes)) {
        count++;
        vg_rpc_stream_next(&reader->stream);
    }
    return count;
}

static void reader_fini(struct reader *reader)
{
    (void)pthread_cond_destroy(&reader->event);
    (void)pthread_mutex_destroy(&reader->lock);
}

static struct fixture *plain(void)
{
    return fixture_start(&(struct fixture_options){0});
}

static void stream__brings_every_message_and_the_end(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "100", 10, VG_NO_DEADLINE, NULL);
    assert_int_equal(reader_drain(&reader, 10), 100);
    assert_true(reader.stream.ok);
    reader_fini(&reader);
    reader_start(&reader, fixture, "100", 10, VG_NO_DEADLINE, fixture_executor(fixture));
    assert_int_equal(reader_drain(&reader, 10), 100);
    assert_true(reader.stream.ok);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__may_be_empty(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "0", 10, VG_NO_DEADLINE, NULL);
    assert_int_equal(reader_drain(&reader, 10), 0);
    assert_true(reader.stream.ok);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__brings_the_error(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "many", 10, VG_NO_DEADLINE, NULL);
    assert_int_equal(reader_drain(&reader, 10), 0);
    assert_false(reader.stream.ok);
    assert_int_equal(reader.stream.grpc_code, VG_GRPC_INVALID_ARGUMENT);
    assert_int_equal(reader.stream.err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(reader.stream.err.param, "upstream_id");
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

/* The sender's count once it has stopped growing. */
static int settled_sent(struct fixture *fixture)
{
    int last = -1;
    int now = fixture_sent(fixture);

    while (now != last || now == 0) {
        (void)usleep(300000);
        last = now;
        now = fixture_sent(fixture);
    }
    return now;
}

static void stream__a_slow_reader_holds_the_sender(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "2000", 65536, VG_NO_DEADLINE, NULL);
    assert_true(reader_take(&reader, 65536));
    int sent = settled_sent(fixture);
    assert_in_range(sent, 1, 1500); /* of 125 MiB */
    vg_rpc_stream_next(&reader.stream);
    assert_int_equal(reader_drain(&reader, 65536), 1999);
    assert_true(reader.stream.ok);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__cancel_ends_both_sides(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "1000000000", 1000, VG_NO_DEADLINE, NULL);
    assert_true(reader_take(&reader, 1000));
    vg_rpc_stream_cancel(&reader.stream);
    vg_rpc_stream_next(&reader.stream);
    (void)reader_drain(&reader, 1000);
    assert_false(reader.stream.ok);
    assert_int_equal(reader.stream.grpc_code, VG_GRPC_CANCELLED);
    assert_int_equal(reader.stream.err.kind, VG_ERR_CANCELLED);
    fixture_await_streams_ended(fixture, 1);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__ends_at_its_deadline(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "1000000000", 65536, vg_deadline_in_ms(300), NULL);
    (void)reader_drain(&reader, 65536);
    assert_int_equal(reader.stream.grpc_code, VG_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(reader.stream.err.kind, VG_ERR_DEADLINE);
    fixture_await_streams_ended(fixture, 1);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__ends_with_the_server(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "1000000000", 65536, VG_NO_DEADLINE, NULL);
    assert_true(reader_take(&reader, 65536));
    fixture_stop_server(fixture);
    vg_rpc_stream_next(&reader.stream);
    (void)reader_drain(&reader, 65536);
    assert_false(reader.stream.ok);
    fixture_await_streams_ended(fixture, 1);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__outlives_the_channel_while_a_message_is_held(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;
    struct reader pump_reader;

    (void)state;
    reader_start(&reader, fixture, "1000000000", 1000, VG_NO_DEADLINE, fixture_executor(fixture));
    reader_start(&pump_reader, fixture, "1000000000", 1000, VG_NO_DEADLINE, NULL);
    assert_true(reader_take(&reader, 1000));
    assert_true(reader_take(&pump_reader, 1000));
    fixture_free_channel(fixture);
    vg_rpc_stream_cancel(&reader.stream);
    vg_rpc_stream_next(&reader.stream);
    assert_false(reader_take(&reader, 1000));
    assert_int_equal(reader.stream.grpc_code, VG_GRPC_CANCELLED);
    vg_rpc_stream_next(&pump_reader.stream);
    assert_false(reader_take(&pump_reader, 1000));
    assert_int_equal(pump_reader.stream.grpc_code, VG_GRPC_CANCELLED);
    reader_fini(&reader);
    reader_fini(&pump_reader);
    (void)fixture_stop(fixture);
}

static void stream__wrong_message_type_is_a_bad_gateway(void **state)
{
    struct fixture *fixture = plain();
    struct reader reader;

    (void)state;
    reader_start(&reader, fixture, "0", 10, VG_NO_DEADLINE, NULL);
    (void)reader_drain(&reader, 10);
    reader_fini(&reader);
    reader_start(&reader, fixture, "5", 10, vg_deadline_in_ms(60000), NULL);
    (void)reader_drain(&reader, 10);
    assert_true(reader.stream.ok);
    reader.stream.response_type = &videogate__v1__poll_response__descriptor;
    uint8_t garbage[] = {0xff, 0xff};
    reader.request.poll_state = (ProtobufCBinaryData){sizeof garbage, garbage};
    vg_rpc_stream_start(fixture_channel(fixture), &reader.stream);
    (void)reader_drain(&reader, 10);
    assert_int_equal(reader.stream.grpc_code, VG_GRPC_INTERNAL);
    assert_int_equal(reader.stream.err.kind, VG_ERR_BAD_GATEWAY);
    reader_fini(&reader);
    (void)fixture_stop(fixture);
}

static void stream__too_many_are_refused(void **state)
{
    struct fixture_options options = {.server = {.max_in_flight = 1}};
    struct fixture *fixture = fixture_start(&options);
    struct reader first;
    struct reader second;

    (void)state;
    reader_start(&first, fixture, "1000000000", 65536, VG_NO_DEADLINE, NULL);
    assert_true(reader_take(&first, 65536));
    reader_start(&second, fixture, "1", 10, VG_NO_DEADLINE, NULL);
    assert_int_equal(reader_drain(&second, 10), 0);
    assert_int_equal(second.stream.err.kind, VG_ERR_OVERLOADED);
    vg_rpc_stream_cancel(&first.stream);
    vg_rpc_stream_next(&first.stream);
    (void)reader_drain(&first, 65536);
    reader_fini(&first);
    reader_fini(&second);
    (void)fixture_stop(fixture);
}

static void stream__many_at_once(void **state)
{
    enum { MANY = 50 };
    struct fixture_options options = {.server = {.threads = 2}};
    struct fixture *fixture = fixture_start(&options);
    struct reader readers[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++)
        reader_start(&readers[i], fixture, "20", 5000, VG_NO_DEADLINE,
                     i % 2 ? fixture_executor(fixture) : NULL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(reader_drain(&readers[i], 5000), 20);
        assert_true(readers[i].stream.ok);
        reader_fini(&readers[i]);
    }
    (void)fixture_stop(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__brings_every_message_and_the_end),
        cmocka_unit_test(stream__may_be_empty),
        cmocka_unit_test(stream__brings_the_error),
        cmocka_unit_test(stream__a_slow_reader_holds_the_sender),
        cmocka_unit_test(stream__cancel_ends_both_sides),
        cmocka_unit_test(stream__ends_at_its_deadline),
        cmocka_unit_test(stream__ends_with_the_server),
        cmocka_unit_test(stream__outlives_the_channel_while_a_message_is_held),
        cmocka_unit_test(stream__wrong_message_type_is_a_bad_gateway),
        cmocka_unit_test(stream__too_many_are_refused),
        cmocka_unit_test(stream__many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
