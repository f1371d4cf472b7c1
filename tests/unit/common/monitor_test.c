/* SPDX-License-Identifier: Apache-2.0 */
#include "common/monitor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

struct fixture {
    struct vg_metrics *metrics;
    struct vg_monitor *monitor;
    atomic_bool ready;
};

static bool is_ready(void *ctx, char *why, size_t why_size)
{
    struct fixture *f = ctx;
    (void)snprintf(why, why_size, "database is away");
    return atomic_load(&f->ready);
}

static int setup(void **state)
{
    static const struct vg_metric_desc table[] = {
        {"test_total", VG_METRIC_COUNTER, "Test.", NULL, NULL}};
    struct fixture *f = vg_xalloc(sizeof *f);
    f->metrics = vg_metrics_new();
    vg_metric_add(vg_metrics_register(f->metrics, table, 1), 0, 0, 7);
    struct vg_err err;
    int rc = vg_monitor_start(
        &f->monitor,
        &(struct vg_monitor_options){
            .listen = "127.0.0.1:0", .metrics = f->metrics, .ready = is_ready, .ready_ctx = f},
        &err);
    *state = f;
    return rc;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vg_monitor_stop(f->monitor);
    vg_metrics_free(f->metrics);
    free(f);
    return 0;
}

static int dial(const struct fixture *f)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)vg_monitor_port(f->monitor)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void receive_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    (void)close(fd);
}

/* Sends `request` in pieces of `piece` bytes and reads the answer to its end. */
static const char *ask(const struct fixture *f, const char *request, size_t piece)
{
    static char answer[65536];
    int fd = dial(f);
    size_t len = strlen(request);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        if (send(fd, request + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            break; /* refused early: the answer is there already */
    }
    receive_all(fd, answer, sizeof answer);
    return answer;
}

static void expect(const char *answer, const char *status, const char *body)
{
    assert_memory_equal(answer, status, strlen(status));
    const char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    assert_string_equal(at + 4, body);
    char length[64];
    (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    assert_non_null(strstr(answer, length));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
}

static void monitor__answers_health_readiness_and_metrics(void **state)
{
    struct fixture *f = *state;
    static const char get_ready[] = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    expect(ask(f, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1000), "HTTP/1.1 200 OK\r\n", "ok\n");
    expect(ask(f, get_ready, 1000), "HTTP/1.1 503 Service Unavailable\r\n",
           "not ready: database is away\n");
    atomic_store(&f->ready, true);
    expect(ask(f, get_ready, 1000), "HTTP/1.1 200 OK\r\n", "ready\n");
    const char *metrics = ask(f, "GET /metrics?x=1 HTTP/1.0\r\n\r\n", 1000);
    expect(metrics, "HTTP/1.1 200 OK\r\n",
           "# HELP test_total Test.\n# TYPE test_total counter\ntest_total 7\n");
    assert_non_null(strstr(metrics, "text/plain; version=0.0.4; charset=utf-8"));
}

static void monitor__takes_requests_byte_by_byte(void **state)
{
    expect(ask(*state, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1), "HTTP/1.1 200 OK\r\n",
           "ok\n");
}

static void monitor__refuses_paths_and_methods(void **state)
{
    struct fixture *f = *state;
    const char *answer = ask(f, "POST /healthz HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", 1000);
    expect(answer, "HTTP/1.1 405 ", "Method Not Allowed\n");
    assert_non_null(strstr(answer, "Allow: GET\r\n"));
    expect(ask(f, "GET / HTTP/1.1\r\n\r\n", 1000), "HTTP/1.1 404 ", "Not Found\n");
    expect(ask(f, "GET /healthz/ HTTP/1.1\r\n\r\n", 1000), "HTTP/1.1 404 ", "Not Found\n");
    expect(ask(f, "DELETE /other HTTP/1.1\r\n\r\n", 1000), "HTTP/1.1 404 ", "Not Found\n");
    char longer[600] = "GET /";
    memset(longer + 5, 'a', 400);
    memcpy(longer + 405, " HTTP/1.1\r\n\r\n", 14);
    expect(ask(f, longer, 1000), "HTTP/1.1 404 ", "Not Found\n");
}

static void monitor__refuses_junk(void **state)
{
    struct fixture *f = *state;
    expect(ask(f, "\x16\x03\x01junk\r\n\r\n", 1000), "HTTP/1.1 400 ", "Bad Request\n");
    expect(ask(f, "GET /healthz FTP/1.1\r\n\r\n", 1000), "HTTP/1.1 400 ", "Bad Request\n");
    expect(ask(f, "GET /healthz HTTP/1.1\r\nContent-Length: x\r\n\r\n", 1000), "HTTP/1.1 400 ",
           "Bad Request\n");
}

static void monitor__bounds_the_request(void **state)
{
    static char request[20000] = "GET /healthz HTTP/1.1\r\nX: ";
    memset(request + strlen(request), 'x', 15000);
    expect(ask(*state, request, 1000), "HTTP/1.1 431 ", "Request Header Fields Too Large\n");
}

static void monitor__more_than_32_wait_their_turn(void **state)
{
    struct fixture *f = *state;
    int idle[32];
    for (size_t i = 0; i < VG_COUNT(idle); i++)
        idle[i] = dial(f);
    int late = dial(f);
    static const char request[] = "GET /healthz HTTP/1.1\r\n\r\n";
    assert_int_equal(send(late, request, sizeof request - 1, 0), sizeof request - 1);
    for (size_t i = 0; i < VG_COUNT(idle); i++)
        (void)close(idle[i]);
    static char answer[1000];
    receive_all(late, answer, sizeof answer);
    expect(answer, "HTTP/1.1 200 OK\r\n", "ok\n");
}

static void monitor__stops_with_open_connections(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    assert_int_equal(send(fd, "GET", 3, 0), 3);
    f->monitor = vg_monitor_stop(f->monitor);
    assert_null(f->monitor);
    (void)close(fd);
}

static void monitor__says_why_it_cannot_listen(void **state)
{
    struct fixture *f = *state;
    char taken[64];
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", vg_monitor_port(f->monitor));
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                      "127.0.0.1:x"};
    struct vg_monitor *second = NULL;
    struct vg_err err;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        struct vg_monitor_options options = {.listen = bad[i]};
        assert_int_equal(vg_monitor_start(&second, &options, &err), -1);
        assert_non_null(strstr(err.detail, "ADDRESS:PORT"));
    }
    struct vg_monitor_options options = {.listen = taken};
    assert_int_equal(vg_monitor_start(&second, &options, &err), -1);
    assert_non_null(strstr(err.detail, "Address already in use"));
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(monitor__answers_health_readiness_and_metrics, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(monitor__takes_requests_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__refuses_paths_and_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__refuses_junk, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__bounds_the_request, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__more_than_32_wait_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__stops_with_open_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(monitor__says_why_it_cannot_listen, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
