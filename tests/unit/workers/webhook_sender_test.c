/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "common/crypto.h"
#include "tests/unit/workers/webhook_receiver.h"
#include "workers/webhook/webhook.h"

static void begin_with(struct vg_sender *sender, struct attempt *attempt, int port,
                       const char *path, void (*begun)(struct vg_delivery *),
                       struct receiver *receiver)
{
    prepare(attempt, receiver, port, path);
    attempt->delivery.begun = begun;
    vg_sender_deliver(sender, &attempt->delivery);
}

static void begin(struct vg_sender *sender, struct attempt *attempt, int port, const char *path)
{
    begin_with(sender, attempt, port, path, NULL, NULL);
}

/* Value of a header of the last request, to the end of its line. */
static void header(struct receiver *receiver, const char *name, char out[256])
{
    char start[64];
    pthread_mutex_lock(&receiver->mutex);
    (void)snprintf(start, sizeof(start), "\r\n%s: ", name);
    const char *at = memmem(receiver->last, receiver->last_len, start, strlen(start));
    assert_non_null(at);
    at += strlen(start);
    const char *end = strstr(at, "\r\n");
    assert_non_null(end);
    (void)snprintf(out, 256, "%.*s", (int)(end - at), at);
    pthread_mutex_unlock(&receiver->mutex);
}

/* What a receiver does: HMAC over id.timestamp.body with OpenSSL itself. */
static void expect_signature(struct receiver *receiver, const void *key, size_t key_len)
{
    char id[256];
    char timestamp[256];
    char signature[256];
    char text[1024];
    unsigned char mac[32];
    unsigned char base64[64];
    unsigned mac_len = sizeof(mac);
    header(receiver, "webhook-id", id);
    header(receiver, "webhook-timestamp", timestamp);
    header(receiver, "webhook-signature", signature);
    signature[strcspn(signature, " ")] = '\0'; /* of the newest secret */
    int len = snprintf(text, sizeof(text), "%s.%s.%s", id, timestamp, BODY);
    assert_non_null(
        HMAC(EVP_sha256(), key, (int)key_len, (unsigned char *)text, (size_t)len, mac, &mac_len));
    EVP_EncodeBlock(base64, mac, 32);
    assert_memory_equal(signature, "v1,", 3);
    assert_string_equal(signature + 3, (char *)base64);
    long long sent = (long long)strtod(timestamp, NULL);
    long long now = (long long)time(NULL);
    assert_true(sent <= now && sent > now - 300);
}

static void sender__delivers_a_signed_body(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    char value[256];
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 204 No Content\r\n\r\n");
    struct vg_sender *sender = start_sender(&open_guard, 8);
    begin(sender, &attempt, receiver.port, "/hook?token=abc");
    wait_for(&attempt);
    assert_true(attempt.delivery.ok);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_DELIVERED);
    assert_int_equal(attempt.delivery.http_status, 204);
    assert_string_equal(attempt.delivery.reason, "");
    assert_memory_equal(receiver.last, "POST /hook?token=abc HTTP/1.1\r\n", 31);
    header(&receiver, "webhook-id", value);
    assert_string_equal(value, "evt_1");
    header(&receiver, "Content-Type", value);
    assert_string_equal(value, "application/json");
    header(&receiver, "User-Agent", value);
    assert_string_equal(value, "Videogate/" VG_VERSION);
    size_t body = sizeof(BODY) - 1;
    assert_memory_equal(receiver.last + receiver.last_len - body, BODY, body);
    expect_signature(&receiver, "plain secret", 12);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__decodes_whsec_secrets(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    struct vg_sender *sender = start_sender(&open_guard, 8);
    memset(&attempt, 0, sizeof(attempt));
    (void)snprintf(attempt.url, sizeof(attempt.url), "http://127.0.0.1:%d/", receiver.port);
    attempt.delivery.id = "evt_2";
    attempt.delivery.url = attempt.url;
    attempt.delivery.secret = "whsec_c2VjcmV0IGJ5dGVz"; /* "secret bytes" */
    attempt.delivery.body = VG_VIEW(BODY);
    attempt.delivery.done = on_done;
    vg_sender_deliver(sender, &attempt.delivery);
    wait_for(&attempt);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_DELIVERED);
    expect_signature(&receiver, "secret bytes", 12);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

/* During a rotation the header has a signature of each secret, newest first. */
static void sender__all_good_secrets_sign(void **state)
{
    static const char *const old[] = {"old secret", "whsec_c2VjcmV0IGJ5dGVz"};
    struct receiver receiver;
    struct attempt attempt;
    char value[256], timestamp[256], want[3][48], line[160];
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 204 No Content\r\n\r\n");
    struct vg_sender *sender = start_sender(&open_guard, 8);
    memset(&attempt, 0, sizeof(attempt));
    (void)snprintf(attempt.url, sizeof(attempt.url), "http://127.0.0.1:%d/", receiver.port);
    attempt.delivery.id = "evt_1";
    attempt.delivery.url = attempt.url;
    attempt.delivery.secret = "new secret";
    attempt.delivery.old_secrets = old;
    attempt.delivery.old_count = VG_COUNT(old);
    attempt.delivery.body = VG_VIEW(BODY);
    attempt.delivery.done = on_done;
    vg_sender_deliver(sender, &attempt.delivery);
    wait_for(&attempt);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_DELIVERED);
    header(&receiver, "webhook-timestamp", timestamp);
    header(&receiver, "webhook-signature", value);
    int64_t at = (int64_t)strtod(timestamp, NULL);
    vg_webhook_sign(want[0], "new secret", "evt_1", at, VG_VIEW(BODY));
    vg_webhook_sign(want[1], old[0], "evt_1", at, VG_VIEW(BODY));
    vg_webhook_sign(want[2], old[1], "evt_1", at, VG_VIEW(BODY));
    (void)snprintf(line, sizeof(line), "%s %s %s", want[0], want[1], want[2]);
    assert_string_equal(value, line);
    expect_signature(&receiver, "new secret", 10);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__sorts_the_answers(void **state)
{
    static const struct {
        const char *answer;
        enum vg_delivery_outcome outcome;
        int status;
        const char *reason;
        int64_t retry_after_ms;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", VG_DELIVERY_DELIVERED, 200, "", 0},
        {"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", VG_DELIVERY_DELIVERED, 299, "", 0},
        {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", VG_DELIVERY_GONE, 410, "status_410", 0},
        {"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad", VG_DELIVERY_RETRY, 400, "status_400",
         0},
        {"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", VG_DELIVERY_RETRY, 503,
         "status_503", 7000},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", VG_DELIVERY_DELIVERED, 200, "", 0},
    };
    (void)state;
    struct vg_sender *sender = start_sender(&open_guard, 8);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct receiver receiver;
        struct attempt attempt;
        receiver_start(&receiver, cases[i].answer);
        begin(sender, &attempt, receiver.port, "/");
        wait_for(&attempt);
        assert_true(attempt.delivery.ok);
        assert_int_equal(attempt.delivery.outcome, cases[i].outcome);
        assert_int_equal(attempt.delivery.http_status, cases[i].status);
        assert_string_equal(attempt.delivery.reason, cases[i].reason);
        assert_int_equal(attempt.delivery.retry_after_ms, cases[i].retry_after_ms);
        assert_int_equal(receiver.requests, 1);
        receiver_stop(&receiver);
    }
    vg_sender_stop(sender);
}

static void sender__follows_no_redirect(void **state)
{
    struct receiver target;
    struct receiver receiver;
    struct attempt attempt;
    char answer[256];
    (void)state;
    receiver_start(&target, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)snprintf(answer, sizeof(answer),
                   "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%d/\r\n"
                   "Content-Length: 0\r\n\r\n",
                   target.port);
    receiver_start(&receiver, answer);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    begin(sender, &attempt, receiver.port, "/");
    wait_for(&attempt);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_RETRY);
    assert_int_equal(attempt.delivery.http_status, 307);
    assert_string_equal(attempt.delivery.reason, "status_307");
    vg_sender_stop(sender);
    receiver_stop(&receiver);
    receiver_stop(&target);
    assert_int_equal(target.requests, 0);
}

static void sender__long_answers_are_cut_off(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    receiver.answer_repeats = 4096; /* 4 MiB */
    struct vg_sender *sender = start_sender(&open_guard, 8);
    begin(sender, &attempt, receiver.port, "/");
    wait_for(&attempt);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_DELIVERED);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__keeps_the_first_of_an_answer(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(
        &receiver,
        "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n<p>\x1b[2J\tno \xc3\xa9 \xff</p>");
    receiver.answer_repeats = 1;
    struct vg_sender *sender = start_sender(&open_guard, 8);
    begin(sender, &attempt, receiver.port, "/");
    wait_for(&attempt);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_RETRY);
    assert_memory_equal(attempt.delivery.answer, "<p> [2J no \xc3\xa9 ?</p>xxx", 21);
    assert_int_equal(strlen(attempt.delivery.answer), VG_WEBHOOK_ANSWER);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void answer__ends_at_a_character(void **state)
{
    char body[VG_WEBHOOK_ANSWER + 8], out[VG_WEBHOOK_ANSWER + 1];
    (void)state;
    memset(body, 'x', sizeof(body));
    body[VG_WEBHOOK_ANSWER - 1] = '\xc3';
    body[VG_WEBHOOK_ANSWER] = '\xa9';
    vg_webhook_answer(out, (struct vg_view){body, sizeof(body)});
    assert_int_equal(strlen(out), VG_WEBHOOK_ANSWER - 1);
    vg_webhook_answer(out, (struct vg_view){"\xf0\x9f\x8e\xac\x7f\xe2\x82", 7});
    assert_string_equal(out, "\xf0\x9f\x8e\xac ??");
    vg_webhook_answer(out, (struct vg_view){NULL, 0});
    assert_string_equal(out, "");
}

/* A pair beside a secret: both kinds in one header. */
static void sender__both_kinds_sign(void **state)
{
    static const char *const old[] = {"plain secret"};
    struct receiver receiver;
    struct attempt attempt;
    char value[256];
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 204 No Content\r\n\r\n");
    struct vg_sender *sender = start_sender(&open_guard, 8);
    memset(&attempt, 0, sizeof(attempt));
    (void)snprintf(attempt.url, sizeof(attempt.url), "http://127.0.0.1:%d/", receiver.port);
    attempt.delivery.id = "evt_1";
    attempt.delivery.url = attempt.url;
    attempt.delivery.secret = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    attempt.delivery.old_secrets = old;
    attempt.delivery.old_count = 1;
    attempt.delivery.body = VG_VIEW(BODY);
    attempt.delivery.done = on_done;
    vg_sender_deliver(sender, &attempt.delivery);
    wait_for(&attempt);
    header(&receiver, "webhook-signature", value);
    assert_memory_equal(value, "v1a,", 4);
    assert_int_equal(strcspn(value, " "), 4 + 88);
    assert_memory_equal(value + 4 + 88, " v1,", 4);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__silence_times_out(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    memset(&attempt, 0, sizeof(attempt));
    (void)snprintf(attempt.url, sizeof(attempt.url), "http://127.0.0.1:%d/", receiver.port);
    attempt.delivery.id = "evt_3";
    attempt.delivery.url = attempt.url;
    attempt.delivery.secret = "s";
    attempt.delivery.body = VG_VIEW(BODY);
    attempt.delivery.timeout_ms = 1000;
    attempt.delivery.done = on_done;
    vg_sender_deliver(sender, &attempt.delivery);
    wait_for(&attempt);
    assert_true(attempt.delivery.ok);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_RETRY);
    assert_int_equal(attempt.delivery.http_status, 0);
    assert_string_equal(attempt.delivery.reason, "timeout");
    assert_true(attempt.delivery.duration_ms >= 900);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void on_begun(struct vg_delivery *delivery)
{
    struct attempt *attempt = (struct attempt *)delivery;
    vg_post(vg_sender_executor(delivery->sender), &attempt->cancel);
}

static void sender__hangs_up_when_cancelled(void **state)
{
    (void)state;
    struct receiver receiver;
    struct attempt attempt;
    char byte;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 4);
    begin_with(sender, &attempt, receiver.port, "/", on_begun, &receiver);
    wait_for(&attempt);
    assert_true(attempt.delivery.ok);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_RETRY);
    assert_string_equal(attempt.delivery.reason, "cancelled");
    assert_int_equal(receiver.held_count, 1);
    assert_int_equal(recv(receiver.held[0], &byte, 1, 0), 0); /* the connection is gone, too */
    assert_int_equal(receiver.requests, 1);
    vg_sender_stop(sender);
    receiver_stop(&receiver);
}

static void sender__nobody_there_is_retried(void **state)
{
    struct receiver receiver;
    struct attempt attempt;
    (void)state;
    receiver_start(&receiver, "");
    int port = receiver.port;
    receiver_stop(&receiver);
    struct vg_sender *sender = start_sender(&open_guard, 8);
    begin(sender, &attempt, port, "/");
    wait_for(&attempt);
    assert_true(attempt.delivery.ok);
    assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_RETRY);
    assert_string_equal(attempt.delivery.reason, "connect");
    vg_sender_stop(sender);
}

static void sender__private_addresses_are_refused(void **state)
{
    static const struct vg_http_guard closed = {.allow_http = true, .allow_any_port = true};
    static const struct vg_http_guard https_only = {.allow_any_port = true,
                                                    .allow_nets = "127.0.0.0/8"};
    static const struct {
        const struct vg_http_guard *guard;
        const char *host; /* NULL: not a URL at all */
    } cases[] = {{&closed, "127.0.0.1"},  {&closed, "localhost"}, {&closed, "[::1]"},
                 {&closed, "0x7f000001"}, {&closed, "10.1.2.3"},  {&https_only, "127.0.0.1"},
                 {&open_guard, NULL}};
    struct receiver receiver;
    (void)state;
    receiver_start(&receiver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct attempt attempt;
        struct vg_sender *sender = start_sender(cases[i].guard, 8);
        memset(&attempt, 0, sizeof(attempt));
        if (cases[i].host)
            (void)snprintf(attempt.url, sizeof(attempt.url), "http://%s:%d/", cases[i].host,
                           receiver.port);
        else
            (void)snprintf(attempt.url, sizeof(attempt.url), "not a url");
        attempt.delivery.id = "evt_4";
        attempt.delivery.url = attempt.url;
        attempt.delivery.secret = "s";
        attempt.delivery.body = VG_VIEW(BODY);
        attempt.delivery.done = on_done;
        vg_sender_deliver(sender, &attempt.delivery);
        wait_for(&attempt);
        assert_true(attempt.delivery.ok);
        assert_int_equal(attempt.delivery.outcome, VG_DELIVERY_REFUSED);
        assert_int_equal(attempt.delivery.http_status, 0);
        vg_sender_stop(sender);
    }
    receiver_stop(&receiver);
    assert_int_equal(receiver.requests, 0);
}

static void sender__over_the_cap_is_refused_at_once(void **state)
{
    struct receiver receiver;
    struct attempt attempts[3];
    (void)state;
    receiver_start(&receiver, NULL);
    struct vg_sender *sender = start_sender(&open_guard, 2);
    for (int i = 0; i < 3; i++)
        begin(sender, &attempts[i], receiver.port, "/");
    wait_for(&attempts[2]);
    assert_false(attempts[2].delivery.ok);
    assert_int_equal(attempts[2].delivery.err.kind, VG_ERR_OVERLOADED);
    /* The stop ends what still waits. */
    vg_sender_stop(sender);
    for (int i = 0; i < 2; i++) {
        assert_true(attempts[i].done);
        assert_int_not_equal(attempts[i].delivery.outcome, VG_DELIVERY_DELIVERED);
    }
    receiver_stop(&receiver);
}

static void sender__bad_parameters_are_named(void **state)
{
    (void)state;
    struct vg_sender *sender = start_sender(&open_guard, 2);
    static const char *const old[11] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "", "11"};
    const struct {
        const char *id, *secret;
        int64_t timeout_ms;
        const char *param;
        size_t old_count;
    } cases[] = {{"", "s", 0, "id", 0},
                 {"a.b", "s", 0, "id", 0},
                 {"a\r\nb", "s", 0, "id", 0},
                 {"evt", "", 0, "secret", 0},
                 {"evt", "s", 0, "old_secrets", 10}, /* the tenth is empty */
                 {"evt", "s", 0, "old_secrets", 11},
                 {"evt", "s", 999, "timeout_ms", 0},
                 {"evt", "s", 60001, "timeout_ms", 0}};
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct attempt attempt;
        memset(&attempt, 0, sizeof(attempt));
        attempt.delivery.id = cases[i].id;
        attempt.delivery.url = "http://127.0.0.1/";
        attempt.delivery.secret = cases[i].secret;
        attempt.delivery.timeout_ms = cases[i].timeout_ms;
        attempt.delivery.old_secrets = old;
        attempt.delivery.old_count = cases[i].old_count;
        attempt.delivery.done = on_done;
        vg_sender_deliver(sender, &attempt.delivery);
        assert_true(attempt.done);
        assert_false(attempt.delivery.ok);
        assert_int_equal(attempt.delivery.err.kind, VG_ERR_INVALID_REQUEST);
        assert_string_equal(attempt.delivery.err.param, cases[i].param);
    }
    vg_sender_stop(sender);
}

static void webhook__log_shows_the_host_alone(void **state)
{
    static const struct {
        const char *url, *host;
    } cases[] = {{"https://example.com/hook?token=secret", "example.com"},
                 {"https://example.com:8443", "example.com:8443"},
                 {"https://user:pass@example.com/", "example.com"},
                 {"https://a@b@c/", "c"},
                 {"https://example.com?x=1@y", "example.com"},
                 {"nonsense", ""},
                 {"", ""}};
    char host[64];
    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        vg_webhook_host(host, sizeof(host), cases[i].url);
        assert_string_equal(host, cases[i].host);
    }
    vg_webhook_host(host, 8, "https://a-long-name.example.com/");
    assert_string_equal(host, "a-long-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sender__delivers_a_signed_body),
        cmocka_unit_test(sender__decodes_whsec_secrets),
        cmocka_unit_test(sender__all_good_secrets_sign),
        cmocka_unit_test(sender__sorts_the_answers),
        cmocka_unit_test(sender__follows_no_redirect),
        cmocka_unit_test(sender__long_answers_are_cut_off),
        cmocka_unit_test(sender__keeps_the_first_of_an_answer),
        cmocka_unit_test(answer__ends_at_a_character),
        cmocka_unit_test(sender__both_kinds_sign),
        cmocka_unit_test(sender__silence_times_out),
        cmocka_unit_test(sender__hangs_up_when_cancelled),
        cmocka_unit_test(sender__nobody_there_is_retried),
        cmocka_unit_test(sender__private_addresses_are_refused),
        cmocka_unit_test(sender__over_the_cap_is_refused_at_once),
        cmocka_unit_test(sender__bad_parameters_are_named),
        cmocka_unit_test(webhook__log_shows_the_host_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
