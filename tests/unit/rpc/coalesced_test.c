/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

static struct fixture *start(int coalesce, struct vg_metrics *metrics)
{
    struct fixture_options options = {
        .server = {.edge_batch = true, .threads = 2},
        .channel = {.coalesce = coalesce, .metrics = metrics},
    };

    return fixture_start(&options);
}

/* One call that is held, so that with coalesce 1 the line is busy and the next calls gather. */
static void occupy(struct fixture *fixture, struct submit *submit, struct fixture_group **group)
{
    *group = fixture_group_new(1);
    submit_init(submit, "hold", "");
    submit_start(submit, fixture_channel(fixture), *group);
    fixture_await_held(fixture, 1);
}

static void expect_error(struct submit *submit, int code, enum vg_err_kind kind)
{
    assert_false(submit->call.ok);
    assert_int_equal(submit->call.grpc_code, code);
    assert_int_equal(submit->call.err.kind, kind);
}

static bool written(struct vg_metrics *metrics, const char *line)
{
    struct vg_buf text;

    vg_buf_init(&text, 1 << 20);
    vg_metrics_write(metrics, &text);
    bool found = strstr(vg_buf_view(&text).data, line) != NULL;
    vg_buf_fini(&text);
    return found;
}

static void coalesced__a_batch_brings_each_its_own_end(void **state)
{
    static const char *const models[] = {"echo", "invalid", "later", "busy",
                                         "note", "nothing", "echo"};
    struct vg_metrics *metrics = vg_metrics_new();
    struct fixture *fixture = start(1, metrics);
    struct vg_rpc_metadata note = {"x-note", "mine"};
    struct submit submits[VG_COUNT(models)];
    struct fixture_group *group = fixture_group_new(VG_COUNT(models));
    struct fixture_group *first_group;
    struct submit first;

    (void)state;
    occupy(fixture, &first, &first_group);
    for (size_t i = 0; i < VG_COUNT(models); i++) {
        submit_init(&submits[i], models[i], models[i]);
        submits[i].call.metadata = &note;
        submits[i].call.metadata_count = 1;
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    submits[6].request.prompt = NULL; /* read at start, not later */
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_group_wait(group);
    assert_string_equal(submit_echo(&submits[0]), "echo");
    expect_error(&submits[1], VG_GRPC_INVALID_ARGUMENT, VG_ERR_UNSUPPORTED);
    assert_string_equal(submits[1].call.err.param, "size");
    assert_string_equal(submit_echo(&submits[2]), "later");
    expect_error(&submits[3], VG_GRPC_RESOURCE_EXHAUSTED, VG_ERR_RATE_LIMITED);
    assert_int_equal(submits[3].call.err.retry_after_ms, 1500);
    assert_string_equal(submit_echo(&submits[4]), "mine");
    expect_error(&submits[5], VG_GRPC_NOT_FOUND, VG_ERR_NOT_FOUND);
    assert_string_equal(submit_echo(&submits[6]), "echo");
    assert_true(written(metrics, "videogate_rpc_client_batches_total 1\n"));
    assert_true(written(metrics, "videogate_rpc_client_batched_calls_total 7\n"));
    for (size_t i = 0; i < VG_COUNT(models); i++)
        submit_fini(&submits[i]);
    submit_fini(&first);
    (void)fixture_stop(fixture);
    (void)vg_metrics_free(metrics);
}

static void coalesced__unknown_methods_fail_alone(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(4);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[4];

    (void)state;
    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 4; i++)
        submit_init(&submits[i], "echo", "e");
    submits[0].call.service_method = "/no.Service/At";
    submits[1].call.service_method = FETCH; /* streams do not travel in batches */
    submits[2].call.service_method = "/videogate.v1.EdgeService/Batch";
    for (int i = 0; i < 4; i++)
        submit_start(&submits[i], fixture_channel(fixture), group);
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_group_wait(group);
    for (int i = 0; i < 3; i++)
        expect_error(&submits[i], VG_GRPC_UNIMPLEMENTED, VG_ERR_UNIMPLEMENTED);
    assert_string_equal(submit_echo(&submits[3]), "e");
    submit_fini(&submits[3]);
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

static void coalesced__bad_requests_fail_alone(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(2);
    struct fixture_group *first_group;
    struct submit first;
    struct submit bad;
    struct submit good;

    (void)state;
    occupy(fixture, &first, &first_group);
    submit_init(&bad, "echo", "\xff");
    submit_init(&good, "echo", "g");
    submit_start(&bad, fixture_channel(fixture), group);
    submit_start(&good, fixture_channel(fixture), group);
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_group_wait(group);
    expect_error(&bad, VG_GRPC_INVALID_ARGUMENT, VG_ERR_INVALID_REQUEST);
    assert_string_equal(submit_echo(&good), "g");
    submit_fini(&good);
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

static void coalesced__cancel_in_the_queue(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(1);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submit;

    (void)state;
    occupy(fixture, &first, &first_group);
    submit_init(&submit, "echo", "");
    submit_start(&submit, fixture_channel(fixture), group);
    vg_rpc_unary_cancel(&submit.call);
    fixture_group_wait(group);
    expect_error(&submit, VG_GRPC_CANCELLED, VG_ERR_CANCELLED);
    fixture_release(fixture);
    fixture_group_wait(first_group);
    assert_int_equal(fixture_submits(fixture), 1); /* it never left */
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

/* Two held calls in one batch: one cancelled ends alone; with the second the batch itself is
 * cancelled. */
static void coalesced__cancel_in_flight(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *groups[2] = {fixture_group_new(1), fixture_group_new(1)};
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[2];

    (void)state;
    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 2; i++) {
        submit_init(&submits[i], "hold", "");
        submit_start(&submits[i], fixture_channel(fixture), groups[i]);
    }
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_await_held(fixture, 2);
    for (int i = 0; i < 2; i++) {
        vg_rpc_unary_cancel(&submits[i].call);
        fixture_group_wait(groups[i]);
        expect_error(&submits[i], VG_GRPC_CANCELLED, VG_ERR_CANCELLED);
    }
    fixture_await_cancelled(fixture, 2);
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

/* Three held in one batch, two with a deadline `ms` from now. True when all reached the server in
 * time, which is what the test is about: then each must end at its own deadline, on both sides, and
 * the third go on. */
static bool deadlines_round(int64_t ms)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *groups[3];
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[3];

    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 3; i++) {
        groups[i] = fixture_group_new(1);
        submit_init(&submits[i], "hold", "");
        submits[i].call.deadline_ns = vg_deadline_in_ms(i < 2 ? ms + ms / 5 * i : 600000);
        submit_start(&submits[i], fixture_channel(fixture), groups[i]);
    }
    fixture_release(fixture);
    fixture_group_wait(first_group);
    for (int i = 0; i < 2; i++) {
        fixture_group_wait(groups[i]);
        expect_error(&submits[i], VG_GRPC_DEADLINE_EXCEEDED, VG_ERR_DEADLINE);
        assert_true(vg_now_ns() >= submits[i].call.deadline_ns);
    }
    fixture_await_held(fixture, 1);
    bool arrived = fixture_submits(fixture) == 4;
    if (arrived)
        fixture_await_cancelled(fixture, 2);
    fixture_release(fixture);
    fixture_group_wait(groups[2]);
    assert_string_equal(submit_echo(&submits[2]), "released");
    submit_fini(&submits[2]);
    submit_fini(&first);
    (void)fixture_stop(fixture);
    return arrived;
}

static void coalesced__each_has_its_own_deadline(void **state)
{
    int64_t ms = 300;

    (void)state;
    while (!deadlines_round(ms))
        ms *= 2; /* a slow machine: the batch left too late */
}

static void coalesced__deadline_in_the_queue(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(1);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submit;

    (void)state;
    occupy(fixture, &first, &first_group);
    submit_init(&submit, "echo", "");
    submit.call.deadline_ns = vg_deadline_in_ms(200);
    submit_start(&submit, fixture_channel(fixture), group);
    fixture_group_wait(group);
    expect_error(&submit, VG_GRPC_DEADLINE_EXCEEDED, VG_ERR_DEADLINE);
    fixture_release(fixture);
    fixture_group_wait(first_group);
    assert_int_equal(fixture_submits(fixture), 1);
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

static void coalesced__large_and_alone_do_not_wait(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *first_group;
    char *prompt = calloc(1, 100001);
    struct submit first;
    struct submit submit;

    (void)state;
    assert_non_null(prompt);
    memset(prompt, 'x', 100000);
    occupy(fixture, &first, &first_group);
    submit_init(&submit, "echo", prompt);
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    submit_fini(&submit);
    submit_init(&submit, "echo", "small");
    submit.call.alone = true;
    assert_int_equal(submit_wait(&submit, fixture_channel(fixture)), 0);
    submit_fini(&submit);
    fixture_release(fixture);
    fixture_group_wait(first_group);
    submit_fini(&first);
    free(prompt);
    (void)fixture_stop(fixture);
}

static void coalesced__members_count_as_in_flight(void **state)
{
    struct vg_metrics *metrics = vg_metrics_new();
    struct fixture_options options = {
        .server = {.edge_batch = true, .max_in_flight = 3, .metrics = metrics},
        .channel = {.coalesce = 1},
    };
    struct fixture *fixture = fixture_start(&options);
    struct fixture_group *group = fixture_group_new(5);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[5];
    int refused = 0;

    (void)state;
    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 5; i++) {
        submit_init(&submits[i], "hold", "");
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_release(fixture);
    fixture_group_wait(first_group);
    while (!written(metrics, "videogate_rpc_server_refused_total 2\n"))
        (void)usleep(1000);
    fixture_await_held(fixture, 3);
    fixture_release(fixture);
    fixture_group_wait(group);
    for (int i = 0; i < 5; i++) {
        refused += !submits[i].call.ok && submits[i].call.err.kind == VG_ERR_OVERLOADED;
        submit_fini(&submits[i]);
    }
    assert_int_equal(refused, 2);
    submit_fini(&first);
    (void)fixture_stop(fixture);
    (void)vg_metrics_free(metrics);
}

static void coalesced__a_lost_batch_fails_each(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(3);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[3];

    (void)state;
    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 3; i++) {
        submit_init(&submits[i], "hold", "");
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_await_held(fixture, 3);
    fixture_stop_server(fixture);
    fixture_group_wait(group);
    for (int i = 0; i < 3; i++) {
        assert_false(submits[i].call.ok);
        assert_true(submits[i].call.grpc_code == VG_GRPC_UNAVAILABLE ||
                    submits[i].call.grpc_code == VG_GRPC_CANCELLED);
    }
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

static void coalesced__a_server_without_batches_fails_each(void **state)
{
    struct fixture_options options = {.channel = {.coalesce = 1}};
    struct fixture *fixture = fixture_start(&options);
    struct fixture_group *group = fixture_group_new(2);
    struct fixture_group *first_group;
    struct submit first;
    struct submit submits[2];

    (void)state;
    occupy(fixture, &first, &first_group);
    for (int i = 0; i < 2; i++) {
        submit_init(&submits[i], "echo", "");
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_release(fixture);
    fixture_group_wait(first_group);
    fixture_group_wait(group);
    for (int i = 0; i < 2; i++)
        expect_error(&submits[i], VG_GRPC_UNIMPLEMENTED, VG_ERR_UNIMPLEMENTED);
    submit_fini(&first);
    (void)fixture_stop(fixture);
}

static void coalesced__freeing_the_channel_ends_every_call(void **state)
{
    struct fixture *fixture = start(1, NULL);
    struct fixture_group *group = fixture_group_new(300);
    struct submit *submits = calloc(300, sizeof *submits);

    (void)state;
    for (int i = 0; i < 300; i++) {
        submit_init(&submits[i], "hold", "");
        submits[i].call.deadline_ns = vg_deadline_in_ms(600000);
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_await_held(fixture, 1);
    fixture_free_channel(fixture);
    fixture_group_wait(group); /* each was posted before the channel was gone */
    for (int i = 0; i < 300; i++)
        expect_error(&submits[i], VG_GRPC_CANCELLED, VG_ERR_CANCELLED);
    free(submits);
    (void)fixture_stop(fixture);
}

/* Everything at once: several channels' worth of calls, two executors, cancels and short deadlines
 * in between. */
static void coalesced__many_at_once(void **state)
{
    enum { MANY = 6000 };
    static const char *const models[] = {"echo", "later", "invalid", "echo"};
    struct vg_metrics *metrics = vg_metrics_new();
    struct fixture *fixture = start(2, metrics);
    struct fixture_group *group = fixture_group_new(MANY);
    struct submit *submits = calloc(MANY, sizeof *submits);
    int ended_early = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        submit_init(&submits[i], models[i % 4], "prompt");
        submits[i].call.executor = i % 2 ? fixture_executor(fixture) : NULL;
        submits[i].call.deadline_ns = vg_deadline_in_ms(i % 7 == 0 ? 5 : 600000);
        submit_start(&submits[i], fixture_channel(fixture), group);
    }
    fixture_group_wait(group);
    for (int i = 0; i < MANY; i++) {
        if (submits[i].call.grpc_code == VG_GRPC_DEADLINE_EXCEEDED) {
            assert_int_equal(i % 7, 0);
            ended_early++;
        } else if (i % 4 == 2) {
            expect_error(&submits[i], VG_GRPC_INVALID_ARGUMENT, VG_ERR_UNSUPPORTED);
        } else {
            assert_string_equal(submit_echo(&submits[i]), "prompt");
        }
        submit_fini(&submits[i]);
    }
    assert_in_range(ended_early, 0, MANY / 7 + 1);
    free(submits);
    (void)fixture_stop(fixture);
    (void)vg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coalesced__a_batch_brings_each_its_own_end),
        cmocka_unit_test(coalesced__unknown_methods_fail_alone),
        cmocka_unit_test(coalesced__bad_requests_fail_alone),
        cmocka_unit_test(coalesced__cancel_in_the_queue),
        cmocka_unit_test(coalesced__cancel_in_flight),
        cmocka_unit_test(coalesced__each_has_its_own_deadline),
        cmocka_unit_test(coalesced__deadline_in_the_queue),
        cmocka_unit_test(coalesced__large_and_alone_do_not_wait),
        cmocka_unit_test(coalesced__members_count_as_in_flight),
        cmocka_unit_test(coalesced__a_lost_batch_fails_each),
        cmocka_unit_test(coalesced__a_server_without_batches_fails_each),
        cmocka_unit_test(coalesced__freeing_the_channel_ends_every_call),
        cmocka_unit_test(coalesced__many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
