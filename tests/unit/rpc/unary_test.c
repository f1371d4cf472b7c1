/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

static struct fixture *plain(void)
{
    return fixture_start(&(struct fixture_options){0});
}

static void expect_error(struct submit *submit, int code, enum vg_err_kind kind)
{
    assert_false(submit->call.ok);
    assert_null(submit->call.response);
    assert_int_equal(submit->call.grpc_code, code);
    assert_int_equal(submit->call.err.kind, kind);
}

static void unary__echoes(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "a cat \xf0\x9f\x90\x88");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "a cat \xf0\x9f\x90\x88");
    assert_true(vg_rpc_channel_ready(fixture_channel(fixture), false));
    submit_fini(&submit);
    (void)fixture_stop(fixture);
}

static void unary__may_be_answered_from_another_thread(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "later", "x");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "x");
    submit_fini(&submit);
    (void)fixture_stop(fixture);
}

static void unary__carries_metadata(void **state)
{
    struct fixture *fixture = plain();
    struct vg_rpc_metadata rows[] = {{"x-other", "1"}, {"x-note", "hello"}};
    struct submit submit;

    (void)state;
    submit_init(&submit, "note", "");
    submit.call.metadata = rows;
    submit.call.metadata_count = 2;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "hello");
    submit_fini(&submit);
    submit.call.metadata_count = 0;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "");
    submit_fini(&submit);
    (void)fixture_stop(fixture);
}

static void unary__refuses_metadata_that_is_not_ascii(void **state)
{
    struct fixture *fixture = plain();
    struct vg_rpc_metadata bad_value = {"x-note", "a\nb"};
    struct vg_rpc_metadata bad_key = {"X-Note", "a"};
    struct submit submit;

    (void)state;
    submit_init(&submit, "note", "");
    submit.call.metadata = &bad_value;
    submit.call.metadata_count = 1;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST);
    submit.call.metadata = &bad_key;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST);
    assert_int_equal(fixture_submits(fixture), 0);
    (void)fixture_stop(fixture);
}

static void unary__carries_the_error_with_its_details(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "invalid", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INVALID_ARGUMENT, VG_ERR_UNSUPPORTED);
    assert_string_equal(submit.call.err.param, "size");
    assert_string_equal(vg_err_text(&submit.call.err), "Gr\xc3\xb6\xc3\x9f"
                                                       "e 9x9 fits not.");
    submit_init(&submit, "busy", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_RESOURCE_EXHAUSTED, VG_ERR_RATE_LIMITED);
    assert_int_equal(submit.call.err.retry_after_ms, 1500);
    (void)fixture_stop(fixture);
}

static void unary__unknown_methods_are_unimplemented(void **state)
{
    struct fixture *fixture = plain();
    const char *methods[] = {"/videogate.v1.ProviderWorkerService/Describe",
                             "/videogate.v1.ProviderWorkerService/Nothing", "/no.Service/At"};
    struct submit submit;

    (void)state;
    for (size_t i = 0; i < VG_COUNT(methods); i++) {
        submit_init(&submit, "echo", "");
        submit.call.service_method = methods[i];
        assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
        expect_error(&submit, VG_GRPC_UNIMPLEMENTED, VG_ERR_UNIMPLEMENTED);
    }
    (void)fixture_stop(fixture);
}

static void unary__passes_the_deadline_on(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "deadline", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "none");
    submit_fini(&submit);
    submit.call.deadline_ns = vg_deadline_in_ms(60000);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_string_equal(submit_echo(&submit), "future");
    submit_fini(&submit);
    (void)fixture_stop(fixture);
}

static void unary__ends_at_its_deadline_on_both_sides(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "hold", "");
    submit.call.deadline_ns = vg_deadline_in_ms(300);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_DEADLINE_EXCEEDED, VG_ERR_DEADLINE);
    /* The core counts in whole milliseconds and rounds. */
    assert_true(vg_now_ns() >= submit.call.deadline_ns - 10 * VG_NS_PER_MS);
    fixture_await_cancelled(fixture, 1);
    (void)fixture_stop(fixture);
}

static void unary__cancel_ends_it_on_both_sides(void **state)
{
    struct fixture *fixture = plain();
    struct fixture_group *group = fixture_group_new(1);
    struct submit submit;

    (void)state;
    submit_init(&submit, "hold", "");
    submit_start(&submit, fixture_channel(fixture), group);
    fixture_await_held(fixture, 1);
    vg_rpc_unary_cancel(&submit.call);
    fixture_group_wait(group);
    expect_error(&submit, VG_GRPC_CANCELLED, VG_ERR_CANCELLED);
    fixture_await_cancelled(fixture, 1);
    (void)fixture_stop(fixture);
}

static void unary__big_messages_pass_up_to_the_limits(void **state)
{
    struct fixture_options options = {.server = {.max_message = 1 << 20},
                                      .channel = {.max_message = 2 << 20}};
    struct fixture *fixture = fixture_start(&options);
    struct submit submit;
    char *prompt = malloc(2 << 20);

    (void)state;
    assert_non_null(prompt);
    memset(prompt, 'x', 2 << 20);
    prompt[(1 << 20) - 100] = '\0';
    submit_init(&submit, "echo", prompt);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    assert_int_equal(strlen(submit_echo(&submit)), (1 << 20) - 100);
    submit_fini(&submit);
    prompt[(1 << 20) - 100] = 'x';
    prompt[(2 << 20) - 1] = '\0';
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    assert_int_equal(submit.call.grpc_code, VG_GRPC_RESOURCE_EXHAUSTED);
    submit_init(&submit, "big", "");
    submit.request.seconds = 1900;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    submit_fini(&submit);
    submit.request.seconds = 3000;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    assert_int_equal(submit.call.grpc_code, VG_GRPC_RESOURCE_EXHAUSTED);
    free(prompt);
    (void)fixture_stop(fixture);
}

/* Packs as a SubmitRequest whose prompt is not UTF-8, and as bytes that are no message at all. */
static void unary__bad_requests_are_invalid(void **state)
{
    struct fixture *fixture = plain();
    Videogate__V1__FetchRequest other = VIDEOGATE__V1__FETCH_REQUEST__INIT;
    uint8_t bytes[] = {0xff, 0xff, 0xff};
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "bad \xff");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST);
    /* Field 2 of FetchRequest is `model` of SubmitRequest: bytes where a string should be. */
    other.poll_state = (ProtobufCBinaryData){sizeof bytes, bytes};
    submit.call.request = &other.base;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST);
    assert_int_equal(fixture_submits(fixture), 0);
    (void)fixture_stop(fixture);
}

static void unary__an_answer_that_is_no_message_is_a_bad_gateway(void **state)
{
    struct fixture *fixture = plain();
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "text");
    /* SubmitResponse's field 1 is a message; here it is read as fixed-size numbers in
     * SubmitRequest's place. */
    submit.call.response_type = &videogate__v1__running__descriptor;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_INTERNAL, VG_ERR_BAD_GATEWAY);
    (void)fixture_stop(fixture);
}

static void unary__too_many_in_flight_are_refused(void **state)
{
    struct fixture_options options = {.server = {.max_in_flight = 2}};
    struct fixture *fixture = fixture_start(&options);
    struct fixture_group *group = fixture_group_new(2);
    struct submit held[2];
    struct submit submit;

    (void)state;
    for (int i = 0; i < 2; i++) {
        submit_init(&held[i], "hold", "");
        submit_start(&held[i], fixture_channel(fixture), group);
    }
    fixture_await_held(fixture, 2);
    submit_init(&submit, "echo", "");
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), -1);
    expect_error(&submit, VG_GRPC_RESOURCE_EXHAUSTED, VG_ERR_OVERLOADED);
    assert_true(submit.call.err.retry_after_ms > 0);
    fixture_release(fixture);
    fixture_group_wait(group);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(submit_echo(&held[i]), "released");
        submit_fini(&held[i]);
    }
    submit_fini(&submit);
    (void)fixture_stop(fixture);
}

static void unary__the_channel_has_its_own_cap(void **state)
{
    struct fixture_options options = {.channel = {.max_in_flight = 1}};
    struct fixture *fixture = fixture_start(&options);
    struct fixture_group *group = fixture_group_new(1);
    struct fixture_group *second = fixture_group_new(1);
    struct submit held;
    struct submit submit;

    (void)state;
    submit_init(&held, "hold", "");
    submit_start(&held, fixture_channel(fixture), group);
    fixture_await_held(fixture, 1);
    submit_init(&submit, "echo", "");
    submit_start(&submit, fixture_channel(fixture), second);
    fixture_group_wait(second);
    expect_error(&submit, VG_GRPC_RESOURCE_EXHAUSTED, VG_ERR_OVERLOADED);
    assert_int_equal(fixture_submits(fixture), 1);
    fixture_release(fixture);
    fixture_group_wait(group);
    submit_fini(&held);
    (void)fixture_stop(fixture);
}

static void unary__nobody_there_is_unavailable(void **state)
{
    struct fixture *fixture = plain();
    struct vg_rpc_channel_options options = {.target = "127.0.0.1:1"};
    struct vg_rpc_channel *channel;
    struct submit submit;

    (void)state;
    assert_int_equal(vg_rpc_channel_new(&channel, &options, NULL), 0);
    submit_init(&submit, "echo", "");
    submit.call.deadline_ns = vg_deadline_in_ms(20000);
    assert_int_equal(submit_wait(&submit, channel), -1);
    expect_error(&submit, VG_GRPC_UNAVAILABLE, VG_ERR_UNAVAILABLE);
    assert_false(vg_rpc_channel_ready(channel, true));
    (void)vg_rpc_channel_free(channel);
    (void)fixture_stop(fixture);
}

static void unary__many_at_once(void **state)
{
    enum { MANY = 2000 };
    struct fixture_options options = {.server = {.threads = 2}};
    struct fixture *fixture = fixture_start(&options);
    struct fixture_group *group = fixture_group_new(MANY);
    struct submit *submits = calloc(MANY, sizeof *submits);
    char prompts[MANY][8];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(prompts[i], sizeof prompts[i], "%d", i);
        submit_init(&submits[i], i % 3 ? "echo" : "later", prompts[i]);
        submits[i].call.executor = i % 2 ? fixture_executor(fixture) : NULL;
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_group_wait(group);
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(submit_echo(&submits[i]), prompts[i]);
        submit_fini(&submits[i]);
    }
    free(submits);
    (void)fixture_stop(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary__echoes),
        cmocka_unit_test(unary__may_be_answered_from_another_thread),
        cmocka_unit_test(unary__carries_metadata),
        cmocka_unit_test(unary__refuses_metadata_that_is_not_ascii),
        cmocka_unit_test(unary__carries_the_error_with_its_details),
        cmocka_unit_test(unary__unknown_methods_are_unimplemented),
        cmocka_unit_test(unary__passes_the_deadline_on),
        cmocka_unit_test(unary__ends_at_its_deadline_on_both_sides),
        cmocka_unit_test(unary__cancel_ends_it_on_both_sides),
        cmocka_unit_test(unary__big_messages_pass_up_to_the_limits),
        cmocka_unit_test(unary__bad_requests_are_invalid),
        cmocka_unit_test(unary__an_answer_that_is_no_message_is_a_bad_gateway),
        cmocka_unit_test(unary__too_many_in_flight_are_refused),
        cmocka_unit_test(unary__the_channel_has_its_own_cap),
        cmocka_unit_test(unary__nobody_there_is_unavailable),
        cmocka_unit_test(unary__many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
