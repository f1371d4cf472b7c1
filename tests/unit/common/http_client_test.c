/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/client.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"
#include "tests/unit/common/http_server.h"

/* One test: a server, a loop, a client, and what came back of the last transfer. */
struct fixture {
    struct http_server *server; /* owned */
    struct vg_http_guard guard;
    struct vg_loop *loop;
    struct vg_http_client *client;
    struct vg_http_transfer *transfer;
    char url[256];
    char *request; /* owned: what the server got last */

    int done;
    int expected; /* stop the loop after so many */
    int status;
    char reason[32]; /* "" for NULL */
    bool sent;
    char body[64]; /* its beginning */
    size_t body_len;
    char content_type[64];
    int64_t retry_after_ms;

    size_t streamed;
    int heads;
    int64_t announced;
    size_t end_after; /* on_data returns false from here on; 0: never */
    bool cancel_in_data;
    bool start_in_data;
    bool again_in_done;
    bool pause_each;
    int pauses;
    struct vg_timer resume;
};

static struct fixture f;

static int set_up_with(const struct vg_http_guard *guard)
{
    f = (struct fixture){.expected = 1};
    f.server = http_server_start();
    f.loop = vg_loop_new();
    if (guard)
        f.guard = *guard;
    return vg_http_client_new(&f.client, f.loop, guard ? &f.guard : NULL, NULL);
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(NULL);
}

static int set_up_guarded(void **state)
{
    static const struct vg_http_guard guard = {
        .allow_http = true, .allow_any_port = true, .allow_nets = "127.0.0.0/8"};

    (void)state;
    return set_up_with(&guard);
}

static int tear_down(void **state)
{
    (void)state;
    f.client = vg_http_client_free(f.client);
    f.loop = vg_loop_free(f.loop);
    f.server = http_server_stop(f.server);
    free(f.request);
    return 0;
}

static const char *last_request(void)
{
    free(f.request);
    f.request = http_server_take_request(f.server);
    assert_non_null(f.request);
    return f.request;
}

static const char *url_of(const char *path)
{
    (void)snprintf(f.url, sizeof(f.url), "http://127.0.0.1:%d%s", http_server_port(f.server), path);
    return f.url;
}

static void on_done(void *ctx, const struct vg_http_result *result);

static struct vg_http_request get(const char *url)
{
    return (struct vg_http_request){.method = "GET",
                                    .url = url,
                                    .timeout_ms = 20000,
                                    .max_response = 4096,
                                    .on_done = on_done,
                                    .ctx = &f};
}

static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct fixture *fx = ctx;

    fx->status = result->status;
    (void)vg_strcpy(fx->reason, sizeof(fx->reason), result->reason ? result->reason : "");
    fx->sent = result->sent;
    fx->body_len = result->body.len;
    (void)snprintf(fx->body, sizeof(fx->body), "%.*s", (int)result->body.len,
                   result->body.len ? result->body.data : "");
    (void)vg_strcpy(fx->content_type, sizeof(fx->content_type),
                    result->content_type ? result->content_type : "");
    fx->retry_after_ms = result->retry_after_ms;
    assert_true(result->duration_ms >= 0);
    if (fx->again_in_done) {
        struct vg_http_request request = get(url_of("/ok"));
        fx->again_in_done = false;
        assert_non_null(vg_http_start(fx->client, &request));
    }
    if (++fx->done == fx->expected)
        vg_loop_stop(fx->loop);
}

static void run(const struct vg_http_request *request)
{
    int before = f.done;

    f.expected = before + 1;
    f.transfer = vg_http_start(f.client, request);
    assert_non_null(f.transfer);
    assert_int_equal(f.done, before); /* never inside the call */
    vg_loop_run(f.loop);
    assert_int_equal(f.done, before + 1);
}

static void run_get(const char *path)
{
    struct vg_http_request request = get(url_of(path));

    run(&request);
}

static void expect_failure(const char *reason, int status, bool sent)
{
    assert_string_equal(f.reason, reason);
    assert_int_equal(f.status, status);
    assert_int_equal(f.sent, sent);
}

static void http_client__gets_a_whole_answer(void **state)
{
    (void)state;
    run_get("/ok");
    expect_failure("", 200, true);
    assert_string_equal(f.body, "hello");
    assert_string_equal(f.content_type, "text/plain");
    assert_int_equal(f.retry_after_ms, 0);
}

static void http_client__reuses_the_connection_for_get(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        run_get("/ok");
    assert_int_equal(http_server_connects(f.server), 1);
    assert_int_equal(http_server_requests(f.server), 3);
}

static void http_client__posts_body_and_headers(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer k", "Content-Type: text/x", NULL};
    struct vg_http_request request = get(url_of("/ok"));

    (void)state;
    request.method = "POST";
    request.headers = headers;
    request.body = VG_VIEW("{\"a\":\"b\"}");
    run(&request);
    expect_failure("", 200, true);
    const char *last = last_request();
    assert_memory_equal(last, "POST /ok HTTP/1.1\r\n", 19);
    assert_non_null(strstr(last, "\r\nAuthorization: Bearer k\r\n"));
    assert_non_null(strstr(last, "\r\nContent-Type: text/x\r\n"));
    assert_non_null(strstr(last, "\r\nContent-Length: 9\r\n"));
    assert_non_null(strstr(last, "\r\nUser-Agent: videogate/"));
    assert_null(strcasestr(last, "expect:"));
    assert_non_null(strstr(last, "\r\n\r\n{\"a\":\"b\"}"));
}

static void http_client__speaks_every_method(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    char start[32];

    (void)state;
    for (size_t i = 0; i < VG_COUNT(methods); i++) {
        struct vg_http_request request = get(url_of("/empty"));
        request.method = methods[i];
        run(&request);
        expect_failure("", 204, true);
        (void)snprintf(start, sizeof(start), "%s /empty HTTP/1.1\r\n", methods[i]);
        const char *last = last_request();
        assert_memory_equal(last, start, strlen(start));
        assert_null(strcasestr(last, "content-type:"));
    }
}

static void http_client__tells_a_truncated_body(void **state)
{
    (void)state;
    run_get("/truncated");
    expect_failure("truncated", 200, true);
    run_get("/truncated-chunk");
    expect_failure("truncated", 200, true);
}

static void http_client__ends_at_the_deadline(void **state)
{
    struct vg_http_request request = get(url_of("/never"));

    (void)state;
    request.timeout_ms = 50;
    run(&request);
    expect_failure("timeout", 0, true);
    request.url = url_of("/drip");
    request.max_response = 16UL * LARGE;
    run(&request);
    expect_failure("timeout", 200, true);
}

static void http_client__bounds_the_body(void **state)
{
    struct vg_http_request request = get(url_of("/large"));

    (void)state;
    run(&request);
    expect_failure("too_large", 200, true);
    request.url = url_of("/endless");
    run(&request);
    expect_failure("too_large", 200, true);
    assert_true(f.body_len <= 4096);
    request.url = url_of("/ok");
    request.max_response = 4;
    run(&request);
    expect_failure("too_large", 200, true);
    request.max_response = 5;
    run(&request);
    expect_failure("", 200, true);
}

static void http_client__bounds_the_headers(void **state)
{
    (void)state;
    run_get("/header-bomb");
    expect_failure("protocol", 200, true);
    run_get("/interim-flood");
    expect_failure("protocol", 0, true);
    run_get("/interim");
    expect_failure("", 200, true);
}

/* An answer that ends in two places is none: what follows the first end could be another's. */
static void http_client__takes_one_length(void **state)
{
    (void)state;
    run_get("/two-lengths");
    expect_failure("protocol", 200, true);
    assert_int_equal(f.body_len, 0);
    run_get("/length-list");
    expect_failure("protocol", 200, true);
    run_get("/length-sign");
    expect_failure("protocol", 200, true);
    run_get("/same-lengths");
    expect_failure("", 200, true);
    assert_string_equal(f.body, "hello");
}

static void http_client__follows_no_redirect(void **state)
{
    (void)state;
    run_get("/redirect");
    expect_failure("", 302, true);
    assert_string_equal(f.body, "gone");
    assert_int_equal(http_server_requests(f.server), 1);
}

static void http_client__reads_retry_after(void **state)
{
    (void)state;
    run_get("/wait-seconds");
    expect_failure("", 429, true);
    assert_int_equal(f.retry_after_ms, 7000);
    run_get("/wait-date");
    assert_true(f.retry_after_ms > 0 && f.retry_after_ms <= 100000);
    run_get("/wait-long");
    assert_int_equal(f.retry_after_ms, 86400000);
    run_get("/wait-past");
    assert_int_equal(f.retry_after_ms, 0);
}

static void http_client__keeps_no_cookies(void **state)
{
    (void)state;
    run_get("/cookie");
    run_get("/ok");
    assert_null(strcasestr(last_request(), "cookie:"));
}

static void http_client__ignores_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1/", 1), 0);
    assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1/", 1), 0);
    run_get("/ok");
    expect_failure("", 200, true);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("all_proxy"), 0);
}

static void http_client__knows_when_nothing_was_sent(void **state)
{
    struct vg_http_request request = get(f.url);
    int port, fd = listen_on_loopback(&port);

    (void)state;
    close(fd);
    (void)snprintf(f.url, sizeof(f.url), "http://127.0.0.1:%d/", port);
    run(&request);
    expect_failure("connect", 0, false);
    (void)snprintf(f.url, sizeof(f.url), "http://host.invalid/");
    request.connect_timeout_ms = 3000;
    run(&request); /* a machine without a resolver only times out */
    assert_true(strcmp(f.reason, "dns") == 0 || strcmp(f.reason, "timeout") == 0);
    assert_false(f.sent);
    (void)snprintf(f.url, sizeof(f.url), "https://127.0.0.1:%d/", http_server_port(f.server));
    run(&request);
    expect_failure("tls", 0, false);
    assert_int_equal(http_server_requests(f.server), 0);
}

static void http_client__knows_when_something_was_sent(void **state)
{
    struct vg_http_request request = get(url_of("/reset"));

    (void)state;
    request.method = "POST";
    run(&request);
    expect_failure("reset", 0, true);
    assert_int_equal(http_server_requests(f.server), 1);
    run_get("/garbage");
    expect_failure("protocol", 0, true);
}

static void http_client__post_is_sent_once(void **state)
{
    struct vg_http_request request = get(url_of("/once"));

    (void)state;
    /* The pooled connection dies under the second request: GET is repeated on a new one. */
    run(&request);
    run(&request);
    expect_failure("", 200, true);
    assert_int_equal(http_server_requests(f.server), 3);
    /* POST does not take it in the first place... */
    request.method = "POST";
    run(&request);
    expect_failure("", 200, true);
    assert_int_equal(http_server_requests(f.server), 4);
    /* ...unless the receiver knows repetitions. */
    request.repeatable = true;
    run(&request);
    expect_failure("", 200, true);
    assert_true(http_server_requests(f.server) >= 6); /* two dead connections were in the pool */
}

static void http_client__refuses_bad_addresses_and_headers(void **state)
{
    static const char *const urls[] = {"",
                                       "ftp://127.0.0.1/",
                                       "file:///etc/passwd",
                                       "http://",
                                       "gopher://x/",
                                       "http://u:p@127.0.0.1/",
                                       "http://[x",
                                       "http://127.0.0.1:99999/"};
    static const char *const headers[] = {"X-A: b\r\nX-Evil: c", NULL};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(urls); i++) {
        struct vg_http_request request = get(urls[i]);
        run(&request);
        if (strcmp(f.reason, "url") != 0 && strcmp(f.reason, "protocol") != 0)
            fail_msg("%s: %s", urls[i], f.reason);
        assert_false(f.sent);
    }
    struct vg_http_request request = get(url_of("/ok"));
    request.headers = headers;
    run(&request);
    expect_failure("protocol", 0, false);
    assert_int_equal(http_server_requests(f.server), 0);
}

static void on_head(void *ctx, const struct vg_http_head *head)
{
    struct fixture *fx = ctx;

    fx->heads++;
    fx->announced = head->length;
    assert_int_equal(head->status, 200);
    assert_int_equal(fx->streamed, 0);
    (void)vg_strcpy(fx->content_type, sizeof(fx->content_type),
                    head->content_type ? head->content_type : "");
}

static void on_resume(struct vg_timer *timer)
{
    (void)timer;
    vg_http_resume(f.transfer);
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct fixture *fx = ctx;

    assert_non_null(data);
    assert_true(len > 0);
    fx->streamed += len;
    if (fx->cancel_in_data) {
        vg_http_cancel(fx->transfer);
        vg_http_cancel(fx->transfer);
    }
    if (fx->start_in_data) {
        struct vg_http_request request = get(url_of("/ok"));
        fx->start_in_data = false;
        assert_non_null(vg_http_start(fx->client, &request));
    }
    if (fx->pause_each && ++fx->pauses <= 5) {
        vg_http_pause(fx->transfer);
        vg_timer_start(&fx->resume, vg_deadline_in_ms(5));
    }
    return fx->end_after == 0 || fx->streamed < fx->end_after;
}

static struct vg_http_request stream(const char *path)
{
    struct vg_http_request request = get(url_of(path));

    request.max_response = 16UL * LARGE;
    request.on_data = on_data;
    request.on_head = on_head;
    return request;
}

static void http_client__streams_a_body(void **state)
{
    struct vg_http_request request = stream("/large");

    (void)state;
    run(&request);
    expect_failure("", 200, true);
    assert_int_equal(f.streamed, LARGE);
    assert_int_equal(f.heads, 1);
    assert_int_equal(f.announced, LARGE);
    assert_string_equal(f.content_type, "video/mp4");
    assert_int_equal(f.body_len, 0);
}

static void http_client__streams_only_successes(void **state)
{
    struct vg_http_request request = stream("/missing");

    (void)state;
    run(&request);
    expect_failure("", 404, true);
    assert_int_equal(f.streamed, 0);
    assert_int_equal(f.heads, 0);
    assert_string_equal(f.body, "missing");
}

static void http_client__bounds_a_stream(void **state)
{
    struct vg_http_request request = stream("/endless");

    (void)state;
    request.max_response = 2UL * LARGE;
    run(&request);
    expect_failure("too_large", 200, true);
    assert_true(f.streamed <= 2UL * LARGE);
}

static void http_client__pauses_and_resumes_a_stream(void **state)
{
    struct vg_http_request request = stream("/large");

    (void)state;
    vg_timer_init(&f.resume, f.loop, on_resume);
    f.pause_each = true;
    run(&request);
    expect_failure("", 200, true);
    assert_int_equal(f.streamed, LARGE);
    assert_true(f.pauses > 5);
}

static void http_client__paused_transfer_still_times_out(void **state)
{
    struct vg_http_request request = stream("/large");

    (void)state;
    request.timeout_ms = 50;
    f.transfer = vg_http_start(f.client, &request);
    vg_http_pause(f.transfer);
    vg_loop_run(f.loop);
    assert_string_equal(f.reason, "timeout");
    assert_int_equal(f.streamed, 0);
}

static void http_client__on_data_may_end_it(void **state)
{
    struct vg_http_request request = stream("/endless");

    (void)state;
    f.end_after = 1;
    run(&request);
    expect_failure("cancelled", 200, true);
}

static void http_client__cancels_from_on_data(void **state)
{
    struct vg_http_request request = stream("/endless");

    (void)state;
    f.cancel_in_data = true;
    run(&request);
    expect_failure("cancelled", 200, true);
    size_t streamed = f.streamed;
    run_get("/ok"); /* the client is as good as new */
    expect_failure("", 200, true);
    assert_int_equal(f.streamed, streamed);
}

static void http_client__cancels_before_anything_left(void **state)
{
    struct vg_http_request request = get(url_of("/ok"));

    (void)state;
    f.transfer = vg_http_start(f.client, &request);
    vg_http_cancel(f.transfer);
    assert_int_equal(f.done, 0);
    vg_loop_run(f.loop);
    assert_int_equal(f.done, 1);
    assert_string_equal(f.reason, "cancelled");
}

static void http_client__starts_from_callbacks(void **state)
{
    struct vg_http_request request = stream("/large");

    (void)state;
    f.start_in_data = true;
    f.again_in_done = true;
    f.expected = 3;
    f.transfer = vg_http_start(f.client, &request);
    vg_loop_run(f.loop);
    assert_int_equal(f.done, 3);
    assert_int_equal(http_server_requests(f.server), 3);
}

static void http_client__runs_many_at_once(void **state)
{
    (void)state;
    f.expected = 20;
    for (int i = 0; i < 20; i++) {
        struct vg_http_request request = get(url_of("/ok"));
        assert_non_null(vg_http_start(f.client, &request));
    }
    vg_loop_run(f.loop);
    assert_int_equal(f.done, 20);
    assert_int_equal(http_server_requests(f.server), 20);
}

static void http_client__free_ends_every_transfer(void **state)
{
    struct vg_http_request request = get(url_of("/never"));

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_non_null(vg_http_start(f.client, &request));
    request.url = url_of("/ok");
    run(&request); /* the others are under way now */
    assert_int_equal(f.done, 1);
    f.client = vg_http_client_free(f.client);
    assert_int_equal(f.done, 4);
    assert_string_equal(f.reason, "cancelled");
}

static void http_client__guard_lets_configured_nets_through(void **state)
{
    (void)state;
    run_get("/ok");
    expect_failure("", 200, true);
}

static void http_client__guard_refuses_the_url(void **state)
{
    static const char *const urls[] = {"http://10.0.0.1/", "http://[::1]/", "http://0x7f.1@x/",
                                       "http://169.254.169.254/latest/", "https://%31.com/"};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(urls); i++) {
        struct vg_http_request request = get(urls[i]);
        run(&request);
        expect_failure("refused", 0, false);
    }
}

/* What DNS rebinding does: the name was good at the check and is not at the socket. */
static void http_client__guard_refuses_at_the_socket(void **state)
{
    struct vg_http_request request = get(url_of("/ok"));

    (void)state;
    assert_non_null(vg_http_start(f.client, &request));
    f.guard.allow_nets = NULL;
    vg_loop_run(f.loop);
    expect_failure("refused", 0, false);
    assert_int_equal(http_server_connects(f.server), 0);
}

/* "localhost" passes the form check here, and libcurl resolves it to both loopback addresses by
 * itself. */
static void http_client__guard_refuses_localhost_at_the_socket(void **state)
{
    struct vg_http_request request = get(f.url);

    (void)state;
    (void)snprintf(f.url, sizeof(f.url), "http://localhost:%d/ok", http_server_port(f.server));
    assert_non_null(vg_http_start(f.client, &request));
    f.guard.allow_nets = "10.0.0.0/8";
    vg_loop_run(f.loop);
    expect_failure("refused", 0, false);
    assert_int_equal(http_server_connects(f.server), 0);
}

static void http_client__guard_judges_pooled_connections(void **state)
{
    struct vg_http_request request = get(url_of("/ok"));

    (void)state;
    run_get("/ok");
    f.expected = f.done + 1;
    assert_non_null(vg_http_start(f.client, &request));
    f.guard.allow_nets = NULL;
    vg_loop_run(f.loop);
    expect_failure("refused", 0, false);
    assert_int_equal(http_server_connects(f.server), 1);
    assert_int_equal(http_server_requests(f.server), 1);
}

static void http_client__egress_is_judged_at_the_socket(void **state)
{
    struct vg_http_request request = get(f.url);

    (void)state;
    (void)snprintf(f.url, sizeof(f.url), "http://localhost:%d/ok", http_server_port(f.server));
    f.guard.egress = "10.0.0.0/8"; /* the name may lead there: it does not */
    run(&request);
    expect_failure("refused", 0, false);
    assert_int_equal(http_server_connects(f.server), 0);
    f.guard.egress = "10.0.0.0/8,localhost";
    run(&request);
    expect_failure("", 200, true);
}

static void http_client__never_calls_ourselves(void **state)
{
    char own[64];
    struct vg_http_request request = get(f.url);

    (void)state;
    (void)snprintf(f.url, sizeof(f.url), "http://localhost:%d/ok", http_server_port(f.server));
    (void)snprintf(own, sizeof(own), "0.0.0.0:%d", http_server_port(f.server));
    f.guard.own[0] = own;
    run(&request);
    expect_failure("refused", 0, false);
    assert_int_equal(http_server_connects(f.server), 0);
}

static void http_client__needs_a_good_guard(void **state)
{
    const struct vg_http_guard guard = {.allow_nets = "nonsense"};
    struct vg_http_client *client = NULL;

    (void)state;
    assert_int_equal(vg_http_client_new(&client, f.loop, &guard, NULL), -1);
    assert_null(client);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define GUARDED(name) cmocka_unit_test_setup_teardown(name, set_up_guarded, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(http_client__gets_a_whole_answer),
        CASE(http_client__reuses_the_connection_for_get),
        CASE(http_client__posts_body_and_headers),
        CASE(http_client__speaks_every_method),
        CASE(http_client__tells_a_truncated_body),
        CASE(http_client__ends_at_the_deadline),
        CASE(http_client__bounds_the_body),
        CASE(http_client__bounds_the_headers),
        CASE(http_client__takes_one_length),
        CASE(http_client__follows_no_redirect),
        CASE(http_client__reads_retry_after),
        CASE(http_client__keeps_no_cookies),
        CASE(http_client__ignores_the_environment),
        CASE(http_client__knows_when_nothing_was_sent),
        CASE(http_client__knows_when_something_was_sent),
        CASE(http_client__post_is_sent_once),
        CASE(http_client__refuses_bad_addresses_and_headers),
        CASE(http_client__streams_a_body),
        CASE(http_client__streams_only_successes),
        CASE(http_client__bounds_a_stream),
        CASE(http_client__pauses_and_resumes_a_stream),
        CASE(http_client__paused_transfer_still_times_out),
        CASE(http_client__on_data_may_end_it),
        CASE(http_client__cancels_from_on_data),
        CASE(http_client__cancels_before_anything_left),
        CASE(http_client__starts_from_callbacks),
        CASE(http_client__runs_many_at_once),
        CASE(http_client__free_ends_every_transfer),
        GUARDED(http_client__guard_lets_configured_nets_through),
        GUARDED(http_client__guard_refuses_the_url),
        GUARDED(http_client__guard_refuses_at_the_socket),
        GUARDED(http_client__guard_refuses_localhost_at_the_socket),
        GUARDED(http_client__guard_judges_pooled_connections),
        GUARDED(http_client__egress_is_judged_at_the_socket),
        GUARDED(http_client__never_calls_ourselves),
        CASE(http_client__needs_a_good_guard),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as vg_process does for every program */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
