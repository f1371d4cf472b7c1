/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook sender is asked for an attempt once more: it joins, is told, or is made. */
#include "tests/unit/workers/webhook_receiver.h"

/* Asks for an attempt by its number, "/" and round 0. */
static void ask(struct vg_sender *sender, struct attempt *attempt, struct receiver *receiver,
                int32_t number)
{
    prepare(attempt, receiver, receiver->port, "/");
    attempt->delivery.timeout_ms = 30000;
    attempt->delivery.attempt = number;
    vg_sender_deliver(sender, &attempt->delivery);
}

struct barrier {
    struct vg_task task;
    bool passed;
};

static void pass(struct vg_task *task)
{
    pthread_mutex_lock(&mutex);
    VG_CONTAINER(task, struct barrier, task)->passed = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
}

/* All that was posted before has run. */
static void catch_up(struct vg_sender *sender)
{
    struct barrier barrier = {.task = {.run = pass}};
    vg_post(vg_sender_executor(sender), &barrier.task);
    pthread_mutex_lock(&mutex);
    while (!barrier.passed)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

static int requests_of(struct receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    int requests = receiver->requests;
    pthread_mutex_unlock(&receiver->mutex);
    return requests;
}

static void wait_for_requests(struct receiver *receiver, int count)
{
    while (requests_of(receiver) < count)
        usleep(1000);
}

/* Its caller is gone, once the receiver has the request. */
static void hang_up(struct vg_sender *sender, struct attempt *attempt)
{
    wait_for_requests(attempt->receiver, 1);
    vg_post(vg_sender_executor(sender), &attempt->cancel);
    catch_up(sender);
}

/* Answers whoever waits. */
static void answer_held(struct receiver *receiver, const char *answer)
{
    pthread_mutex_lock(&receiver->mutex);
    for (int i = 0; i < receiver->held_count; i++) {
        (void)send(receiver->held[i], answer, strlen(answer), MSG_NOSIGNAL);
        close(receiver->held[i]);
    }
    receiver->held_count = 0;
    pthread_mutex_unlock(&receiver->mutex);
}

static bool is_done(struct attempt *attempt)
{
    pthread_mutex_lock(&mutex);
    bool done = attempt->done;
    pthread_mutex_unlock(&mutex);
    return done;
}

static void expect(struct attempt *attempt, enum vg_delivery_origin origin, int status)
{
    wait_for(attempt);
    assert_true(attempt->delivery.ok);
    assert_int_equal(attempt->delivery.origin, origin);
    assert_int_equal(attempt->delivery.http_status, status);
    assert_int_equal(attempt->times, 1);
}

static void sender__an_attempt_that_ended_is_not_made_again(void **state)
{
    static const char busy[] =
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater";
    struct receiver receiver;
    struct attempt first, again;
    (void)state;
    receiver_start(&receiver, busy);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    ask(sender, &first, &receiver, 1);
    expect(&first, VG_DELIVERY_MADE, 503);
    ask(sender, &again, &receiver, 1);
    expect(&again, VG_DELIVERY_REMEMBERED, 503);
    assert_int_equal(again.delivery.outcome, VG_DELIVERY_RETRY);
    assert_int_equal(again.delivery.retry_after_ms, 7000);
    assert_int_equal(again.delivery.duration_ms, first.delivery.duration_ms);
    assert_string_equal(again.delivery.reason, "status_503");
    assert_string_equal(again.delivery.answer, "later");
    assert_int_equal(requests_of(&receiver), 1);
    ask(sender, &again, &receiver, 2);
    expect(&again, VG_DELIVERY_MADE, 503);
    for (int i = 0; i < 2; i++) { /* without a number: always */
        ask(sender, &again, &receiver, 0);
        expect(&again, VG_DELIVERY_MADE, 503);
    }
    assert_int_equal(requests_of(&receiver), 4);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

/* A redelivery on purpose counts from 1 again. */
static void sender__another_round_is_made(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 204 No Content\r\n\r\n");
    struct vg_sender *sender = start_sender(&open_guard, 8);
    ask(sender, &attempt, &receiver, 1);
    expect(&attempt, VG_DELIVERY_MADE, 204);
    prepare(&attempt, &receiver, receiver.port, "/");
    attempt.delivery.attempt = 1;
    attempt.delivery.round = 1;
    vg_sender_deliver(sender, &attempt.delivery);
    expect(&attempt, VG_DELIVERY_MADE, 204);
    assert_int_equal(requests_of(&receiver), 2);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__an_attempt_under_way_is_joined(void **state)
{
    struct receiver receiver;
    struct attempt first, second, third;
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    ask(sender, &first, &receiver, 1);
    wait_for_requests(&receiver, 1);
    ask(sender, &second, &receiver, 1);
    ask(sender, &third, &receiver, 1);
    hang_up(sender, &third);
    wait_for(&third); /* it leaves, the others stay */
    assert_string_equal(third.delivery.reason, "cancelled");
    assert_int_equal(third.times, 1);
    assert_false(is_done(&first) || is_done(&second));
    answer_held(&receiver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(&first, VG_DELIVERY_MADE, 200);
    expect(&second, VG_DELIVERY_JOINED, 200);
    assert_int_equal(second.delivery.outcome, VG_DELIVERY_DELIVERED);
    assert_string_equal(second.delivery.answer, "ok");
    assert_int_equal(requests_of(&receiver), 1);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

/* Nobody was answered: the receiver may not have it. */
static void sender__silence_is_not_remembered(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, ""); /* hangs up */
    struct vg_sender *sender = start_sender(&open_guard, 8);
    ask(sender, &attempt, &receiver, 1);
    expect(&attempt, VG_DELIVERY_MADE, 0);
    int before = requests_of(&receiver);
    pthread_mutex_lock(&receiver.mutex);
    receiver.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    pthread_mutex_unlock(&receiver.mutex);
    ask(sender, &attempt, &receiver, 1);
    expect(&attempt, VG_DELIVERY_MADE, 204);
    assert_int_equal(requests_of(&receiver), before + 1);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

/* Its service was killed: the next one joins it, or is told. */
static void sender__goes_on_when_its_caller_is_gone(void **state)
{
    struct receiver receiver;
    struct attempt first, second, third;
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 1); /* it keeps no other out */
    ask(sender, &first, &receiver, 1);
    hang_up(sender, &first);
    assert_false(is_done(&first));
    ask(sender, &second, &receiver, 1);
    hang_up(sender, &second);
    wait_for(&second);
    assert_false(is_done(&first));
    answer_held(&receiver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect(&first, VG_DELIVERY_MADE, 200);
    ask(sender, &third, &receiver, 1);
    expect(&third, VG_DELIVERY_REMEMBERED, 200);
    assert_int_equal(requests_of(&receiver), 1);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__waits_no_longer_than_the_lease(void **state)
{
    struct receiver receiver;
    struct attempt first, second;
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_lingering(&open_guard, 8, 300);
    ask(sender, &first, &receiver, 1);
    hang_up(sender, &first);
    expect(&first, VG_DELIVERY_MADE, 0);
    assert_string_equal(first.delivery.reason, "cancelled");
    ask(sender, &second, &receiver, 1); /* made again, and by now old when its caller goes */
    wait_for_requests(&receiver, 2);
    usleep(400 * 1000);
    hang_up(sender, &second);
    expect(&second, VG_DELIVERY_MADE, 0);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__a_stop_ends_all_who_wait(void **state)
{
    struct receiver receiver;
    struct attempt attempts[4];
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    ask(sender, &attempts[0], &receiver, 1);
    hang_up(sender, &attempts[0]);
    ask(sender, &attempts[1], &receiver, 1);
    ask(sender, &attempts[2], &receiver, 2);
    wait_for_requests(&receiver, 2);
    hang_up(sender, &attempts[2]); /* nobody waits for it */
    ask(sender, &attempts[3], &receiver, 3);
    vg_sender_stop(sender);
    for (size_t i = 0; i < VG_COUNT(attempts); i++) {
        assert_int_equal(attempts[i].times, 1);
        assert_int_not_equal(attempts[i].delivery.outcome, VG_DELIVERY_DELIVERED);
    }
    receiver_stop(&receiver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sender__an_attempt_that_ended_is_not_made_again),
        cmocka_unit_test(sender__another_round_is_made),
        cmocka_unit_test(sender__an_attempt_under_way_is_joined),
        cmocka_unit_test(sender__silence_is_not_remembered),
        cmocka_unit_test(sender__goes_on_when_its_caller_is_gone),
        cmocka_unit_test(sender__waits_no_longer_than_the_lease),
        cmocka_unit_test(sender__a_stop_ends_all_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
