/* SPDX-License-Identifier: Apache-2.0 */
/* The whole bridge on real sockets, with a service of its own behind it. */
#include "bridge/app.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/rpc/client.h"
#include "common/str.h"
#include "tests/unit/bridge/fake_service.h"

#define KEY "authorization: Bearer k\r\n"
#define JSON "content-type: application/json\r\n"

struct world {
    struct fake fake;
    struct vg_bridge_config config;
    struct vg_bridge *bridge;
    char service[32];
};

static void world_start(struct world *w)
{
    struct vg_err err;
    vg_rpc_init();
    int port = fake_start(&w->fake, "127.0.0.1:0");
    (void)snprintf(w->service, sizeof(w->service), "127.0.0.1:%d", port);
    w->config = (struct vg_bridge_config){
        .listen = (char *)(uintptr_t) "127.0.0.1:0",
        .service = w->service,
        .threads = 2,
        .coalesce = 4,
        .max_body = 64 << 20,
        .body_memory = 256 << 20,
        .max_connections = 100,
        .max_headers = 100,
        .max_creates = 100,
        .max_header_bytes = 32768,
        .max_head_memory = 1 << 19,
        .max_stalled = 4 << 20,
        .max_continuations = 8,
        .frame_rate = 100,
        .reset_rate = 33,
        .error_rate = 20,
        .max_streams = 100,
        .max_watchers = 2,
        .sse_heartbeat_ms = 100,
        .sse_recheck_ms = 60000,
        .idle_ms = 60000,
        .header_ms = 60000,
        .body_ms = 60000,
        .stall_ms = 60000,
        .rpc_ms = 20000,
    };
    w->bridge = vg_bridge_new(&w->config);
    assert_int_equal(vg_bridge_start(w->bridge, &err), 0);
}

static void world_stop(struct world *w)
{
    vg_bridge_stop(w->bridge);
    w->bridge = vg_bridge_free(w->bridge);
    fake_stop(&w->fake);
    vg_rpc_fini();
}

/* --- a client that blocks --- */

struct answer {
    int status;
    char head[8192];
    struct vg_buf body;
    bool cut; /* the connection ended before the body */
};

static int dial(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)vg_bridge_port(w->bridge))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 60};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void send_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; /* refused early; the answer is there */
        at += n;
        len -= (size_t)n;
    }
}

static const char *header(const struct answer *a, const char *name)
{
    static char value[512];
    size_t len = strlen(name);
    for (const char *line = strstr(a->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
            continue;
        const char *from = line + 2 + len + 1;
        while (*from == ' ')
            from++;
        (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(from, "\r"), from);
        return value;
    }
    return NULL;
}

/* Reads one response; the body of HEAD and 304 is known to be absent. */
static void receive(int fd, struct answer *a, bool no_body)
{
    memset(a, 0, sizeof(*a));
    vg_buf_init(&a->body, 128 << 20);
    size_t n = 0;
    while (n < sizeof(a->head) - 1 && (n < 4 || memcmp(a->head + n - 4, "\r\n\r\n", 4) != 0)) {
        ssize_t got = recv(fd, a->head + n, 1, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
    }
    int64_t status, length = 0;
    assert_int_equal(vg_parse_i64((struct vg_view){a->head + 9, 3}, 100, 999, &status), 0);
    a->status = (int)status;
    const char *text = header(a, "content-length");
    if (text)
        assert_int_equal(vg_parse_i64(vg_view_of(text), 0, INT64_MAX, &length), 0);
    if (no_body || status == 204 || status == 304)
        return;
    while ((int64_t)a->body.len < length) {
        char block[65536];
        size_t want = (size_t)(length - (int64_t)a->body.len);
        ssize_t got = recv(fd, block, want < sizeof(block) ? want : sizeof(block), 0);
        if (got <= 0) {
            a->cut = true;
            return;
        }
        assert_int_equal(vg_buf_add(&a->body, block, (size_t)got), 0);
    }
}

static void ask(const struct world *w, const char *method, const char *target, const char *headers,
                const void *body, size_t len, struct answer *a)
{
    char head[2048];
    int fd = dial(w);
    int n =
        snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: a\r\n%s", method, target, headers);
    if (body)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "content-length: %zu\r\n", len);
    n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    send_all(fd, head, (size_t)n);
    if (body)
        send_all(fd, body, len);
    receive(fd, a, strcmp(method, "HEAD") == 0);
    (void)close(fd);
}

static void get(const struct world *w, const char *target, const char *headers, struct answer *a)
{
    ask(w, "GET", target, headers, NULL, 0, a);
}

static void post(const struct world *w, const char *target, const char *headers, const char *body,
                 struct answer *a)
{
    ask(w, "POST", target, headers, body, strlen(body), a);
}

static struct vg_json *json(const struct answer *a)
{
    struct vg_json *root;
    if (vg_json_parse(&root, vg_buf_view(&a->body), NULL) != 0)
        fail_msg("no JSON: %.*s", (int)a->body.len, a->body.data);
    return root;
}

static void check_error(struct answer *a, int status, const char *type, const char *code)
{
    assert_int_equal(a->status, status);
    assert_non_null(header(a, "x-request-id"));
    struct vg_json *root = json(a);
    const struct vg_json *error = vg_json_get(root, "error");
    assert_string_equal(vg_json_string(vg_json_get(error, "type")), type);
    if (code)
        assert_string_equal(vg_json_string(vg_json_get(error, "code")), code);
    else
        assert_int_equal(vg_json_type(vg_json_get(error, "code")), VG_JSON_NULL);
    root = vg_json_free(root);
    vg_buf_fini(&a->body);
}

/* --- tests --- */

static struct world *the_world(void **state)
{
    return *state;
}

static void app__creates_a_video(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    post(w, "/v1/videos",
         KEY JSON "Idempotency-Key: k-1\r\nx-no-fallback: true\r\nx-request-id: mine-7\r\n",
         "{\"prompt\":\"a \\u00e9 city\",\"seconds\":\"8\",\"zzz\":1}", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "x-request-id"), "mine-7");
    assert_string_equal(header(&a, "openai-poll-after-ms"), "1500");
    assert_string_equal(w->fake.authorization, "Bearer k");
    assert_string_equal(w->fake.request_id, "k-1");
    assert_true(w->fake.no_fallback);
    struct vg_json *root = json(&a);
    assert_string_equal(vg_json_string(vg_json_get(root, "object")), "video");
    assert_string_equal(vg_json_string(vg_json_get(root, "prompt")), "a \xc3\xa9 city");
    assert_string_equal(vg_json_string(vg_json_get(root, "seconds")), "8");
    assert_string_equal(vg_json_string(vg_json_get(root, "status")), "queued");
    root = vg_json_free(root);
    vg_buf_fini(&a.body);

    post(w, "/v1/videos", "x-api-key: other\r\n" JSON, "{\"prompt\":\"x\"}", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(w->fake.authorization, "Bearer other");
    assert_string_equal(w->fake.request_id, "");
    assert_false(w->fake.no_fallback);
    assert_true(strncmp(header(&a, "x-request-id"), "req_", 4) == 0);
    vg_buf_fini(&a.body);
}

#define FORM "content-type: multipart/form-data; boundary=x\r\n"
#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

static void app__takes_forms(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    static const char body[] = "--x\r\n" FIELD("prompt") "a \xc3\xa9 city\r\n--x\r\n" FIELD(
        "seconds") "8\r\n--x\r\n" FIELD("audio") "false\r\n--x\r\n" FIELD("tags[]") "t\r\n--x\r\n"
                                                                                    "Content-"
                                                                                    "Disposition: "
                                                                                    "form-data; "
                                                                                    "name="
                                                                                    "\"image\"; "
                                                                                    "filename=\"a."
                                                                                    "png\"\r\n"
                                                                                    "Content-Type: "
                                                                                    "application/"
                                                                                    "octet-"
                                                                                    "stream\r\n\r\n"
                                                                                    "\xff\xd8\xff"
                                                                                    "\xe0\r\n--x--"
                                                                                    "\r\n";
    post(w, "/v1/videos", KEY FORM "Idempotency-Key: form\r\n", body, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(w->fake.request_id, "form");
    assert_int_equal(w->fake.image_bytes, 4);
    struct vg_json *root = json(&a);
    assert_string_equal(vg_json_string(vg_json_get(root, "prompt")), "a \xc3\xa9 city");
    root = vg_json_free(root);
    vg_buf_fini(&a.body);
    post(w, "/v1/videos/characters", KEY FORM, body, &a);
    assert_non_null(strstr(a.body.data, "Characters are not supported"));
    check_error(&a, 400, "invalid_request_error", NULL);
}

static void app__takes_chunked_bodies(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    int fd = dial(w);
    static const char bytes[] =
        "POST /v1/videos HTTP/1.1\r\nHost: a\r\n" KEY JSON
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pro\r\nb\r\nmpt\":\"chu\"}\r\n0\r\n\r\n";
    for (size_t i = 0; i < sizeof(bytes) - 1; i++)
        send_all(fd, bytes + i, 1);
    receive(fd, &a, false);
    assert_int_equal(a.status, 200);
    struct vg_json *root = json(&a);
    assert_string_equal(vg_json_string(vg_json_get(root, "prompt")), "chu");
    root = vg_json_free(root);
    vg_buf_fini(&a.body);
    (void)close(fd);
}

static void app__takes_large_bodies(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    struct vg_buf b;
    size_t len = 12 << 20; /* base64 of 9 MiB */
    vg_buf_init(&b, 64 << 20);
    (void)vg_buf_adds(&b, "{\"prompt\":\"x\",\"image\":\"data:image/png;base64,");
    memset(vg_buf_reserve(&b, len), 'A', len);
    vg_buf_commit(&b, len);
    (void)vg_buf_adds(&b, "\"}");
    ask(w, "POST", "/v1/videos", KEY JSON, b.data, b.len, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(w->fake.image_bytes, len / 4 * 3);
    vg_buf_fini(&a.body);
    b.data[b.len - 1] = 'x'; /* refused on the pool */
    ask(w, "POST", "/v1/videos", KEY JSON, b.data, b.len, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    vg_buf_fini(&b);
}

static void app__refuses_what_is_no_create(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    int before = atomic_load(&w->fake.creates);
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "null",
                                      "{\"prompt\":1}",
                                      "{\"prompt\":\"\\u0000\"}",
                                      "{\"prompt\":\"a\",\"prompt\":\"b\"}",
                                      "{\"prompt\":\"\xff\"}",
                                      "{\"prompt\":\"x\"} x"};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        post(w, "/v1/videos", KEY JSON, bad[i], &a);
        check_error(&a, 400, "invalid_request_error", NULL);
    }
    post(w, "/v1/videos", KEY "content-type: text/plain\r\n", "{}", &a);
    check_error(&a, 415, "invalid_request_error", "unsupported_media_type");
    post(w, "/v1/videos", KEY, "{}", &a);
    check_error(&a, 415, "invalid_request_error", "unsupported_media_type");
    post(w, "/v1/videos", KEY "content-type: multipart/form-data\r\n", "--x--", &a);
    assert_non_null(strstr(a.body.data, "boundary"));
    check_error(&a, 400, "invalid_request_error", NULL);
    post(w, "/v1/videos", KEY FORM, "--x\r\n" FIELD("prompt") "cut off", &a);
    assert_non_null(strstr(a.body.data, "cut off"));
    check_error(&a, 400, "invalid_request_error", NULL);
    post(w, "/v1/videos", KEY FORM, "--x\r\n" FIELD("image") "\r\n--x--\r\n", &a);
    assert_non_null(strstr(a.body.data, "image: must not be empty"));
    check_error(&a, 400, "invalid_request_error", NULL);
    post(w, "/v1/webhook_endpoints", KEY FORM, "--x--", &a);
    check_error(&a, 415, "invalid_request_error", "unsupported_media_type");
    post(w, "/v1/videos", KEY JSON "content-encoding: gzip\r\n", "x", &a);
    check_error(&a, 415, "invalid_request_error", "unsupported_media_type");
    post(w, "/v1/videos", KEY JSON "Idempotency-Key: a b\r\n", "{\"prompt\":\"x\"}", &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    post(w, "/v1/videos", "authorization: Bearer \xc3\xa9\r\n" JSON, "{\"prompt\":\"x\"}", &a);
    check_error(&a, 401, "invalid_request_error", "invalid_api_key");
    ask(w, "POST", "/v1/videos", KEY JSON "transfer-encoding: chunked\r\n", "", 0, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    assert_int_equal(atomic_load(&w->fake.creates), before);
}

static void app__refuses_bodies_over_the_limit(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    size_t len = (64 << 20) + 1;
    char *big = vg_xalloc(len);
    memset(big, ' ', len);
    ask(w, "POST", "/v1/videos", KEY JSON, big, len, &a); /* by its Content-Length */
    check_error(&a, 413, "invalid_request_error", "request_too_large");
    int fd = dial(w); /* by what comes */
    static const char head[] = "POST /v1/videos HTTP/1.1\r\nHost: a\r\n" KEY JSON
                               "Transfer-Encoding: chunked\r\n\r\n4000001\r\n";
    send_all(fd, head, sizeof(head) - 1);
    send_all(fd, big, len);
    receive(fd, &a, false);
    check_error(&a, 413, "invalid_request_error", "request_too_large");
    (void)close(fd);
    free(big);
    post(w, "/v1/videos/x/cancel", KEY "content-length: 70000\r\nx: ", "",
         &a); /* a body that nobody reads */
    assert_true(a.status == 400 || a.status == 413);
    vg_buf_fini(&a.body);
}

static void app__translates_errors_of_the_service(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    post(w, "/v1/videos", KEY JSON, "{\"prompt\":\"busy\"}", &a);
    assert_string_equal(header(&a, "retry-after"), "3");
    assert_string_equal(header(&a, "retry-after-ms"), "2500");
    assert_non_null(strstr(a.body.data, "Too busy."));
    assert_non_null(strstr(a.body.data, "\"param\":\"prompt\""));
    check_error(&a, 429, "rate_limit_error", "rate_limit_exceeded");
    post(w, "/v1/videos", KEY JSON, "{\"prompt\":\"secret\"}", &a);
    assert_null(strstr(a.body.data, "password")); /* what a 500 says stays inside */
    assert_string_equal(header(&a, "x-should-retry"), "false");
    check_error(&a, 500, "api_error", NULL);
    get(w, "/v1/videos/video_404", KEY, &a);
    check_error(&a, 404, "invalid_request_error", "not_found");
    post(w, "/v1/videos/x/cancel", KEY, "", &a); /* not in the fake */
    check_error(&a, 501, "api_error", NULL);
}

static void app__serves_the_small_routes(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    get(w, "/v1/videos/video_%31", KEY, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body.data, "\"id\":\"video_1\""));
    vg_buf_fini(&a.body);
    get(w, "/v1/videos?limit=3&order=asc&after=video_9", KEY, &a);
    assert_int_equal(a.status, 200);
    struct vg_json *root = json(&a);
    assert_string_equal(vg_json_string(vg_json_get(root, "object")), "list");
    assert_string_equal(vg_json_string(vg_json_get(root, "first_id")), "video_9-3-1");
    assert_string_equal(vg_json_string(vg_json_get(root, "last_id")), "video_last");
    assert_true(vg_json_bool(vg_json_get(root, "has_more")));
    assert_int_equal(vg_json_count(vg_json_get(root, "data")), 2);
    root = vg_json_free(root);
    vg_buf_fini(&a.body);
    static const char *const bad[] = {"/v1/videos?limit=101", "/v1/videos?limit=x",
                                      "/v1/videos?order=up", "/v1/videos?after=%00"};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        get(w, bad[i], KEY, &a);
        check_error(&a, 400, "invalid_request_error", NULL);
    }
    ask(w, "DELETE", "/v1/videos/video_1", KEY, NULL, 0, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body.data,
                        "{\"id\":\"video_1\",\"object\":\"video.deleted\",\"deleted\":true}");
    vg_buf_fini(&a.body);
    get(w, "/v1/models/openai/sora-2", KEY, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body.data, "\"object\":\"model\""));
    vg_buf_fini(&a.body);
    get(w, "/v1/models/none", KEY, &a);
    check_error(&a, 404, "invalid_request_error", "not_found");
    get(w, "/v1/usage?start_time=yesterday", KEY, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    get(w, "/v1/usage?start_time=1&end_time=-2", KEY, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    get(w, "/healthz", "", &a);
    assert_int_equal(a.status, 200);
    vg_buf_fini(&a.body);
    get(w, "/metrics", "", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body.data, "videogate_bridge_requests_total{route=\"GET /healthz\"}"));
    vg_buf_fini(&a.body);
}

static void app__serves_its_documents(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    char etag[160];
    get(w, "/openapi.json", "", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "content-type"), "application/json");
    assert_string_equal(header(&a, "access-control-allow-origin"), "*");
    assert_null(header(&a, "content-security-policy"));
    assert_memory_equal(a.body.data, "{", 1);
    (void)snprintf(etag, sizeof(etag), "if-none-match: %s\r\n", header(&a, "etag"));
    vg_buf_fini(&a.body);
    get(w, "/openapi.json", etag, &a);
    assert_int_equal(a.status, 304);
    assert_int_equal(a.body.len, 0);
    vg_buf_fini(&a.body);
    get(w, "/docs", etag, &a); /* the tag of another document */
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "content-type"), "text/html; charset=utf-8");
    assert_non_null(strstr(header(&a, "content-security-policy"), "default-src 'none'"));
    assert_null(header(&a, "access-control-allow-origin"));
    vg_buf_fini(&a.body);
}

static void app__answers_unknown_paths_and_methods(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    get(w, "/v1/nothing", KEY, &a);
    check_error(&a, 404, "invalid_request_error", "not_found");
    ask(w, "PATCH", "/v1/videos/x", KEY, "{}", 2, &a);
    assert_string_equal(header(&a, "allow"), "DELETE, GET, HEAD, OPTIONS");
    check_error(&a, 405, "invalid_request_error", "method_not_allowed");
    ask(w, "FOO", "/v1/videos", KEY, NULL, 0, &a);
    assert_non_null(header(&a, "allow"));
    check_error(&a, 405, "invalid_request_error", "method_not_allowed");
    ask(w, "OPTIONS", "/v1/videos", "", NULL, 0, &a);
    assert_int_equal(a.status, 204);
    assert_string_equal(header(&a, "allow"), "GET, HEAD, POST, OPTIONS");
    ask(w, "GET", "/v1/videos", "bad header\r\n", NULL, 0, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
}

static bool is_file(const struct vg_buf *body, int64_t first)
{
    for (size_t i = 0; i < body->len; i++)
        if (body->data[i] != (char)((first + (int64_t)i) * 31))
            return false;
    return true;
}

static void app__serves_content_and_ranges(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    static const struct {
        const char *headers;
        int status;
        int64_t first, length;
        const char *content_range;
    } cases[] = {
        {"", 200, 0, FAKE_SIZE, NULL},
        {"range: bytes=0-99\r\n", 206, 0, 100, "bytes 0-99/1000000"},
        {"range: bytes=999990-\r\n", 206, 999990, 10, "bytes 999990-999999/1000000"},
        {"range: bytes=5-2000000\r\n", 206, 5, FAKE_SIZE - 5, "bytes 5-999999/1000000"},
        {"range: bytes=-50\r\n", 206, FAKE_SIZE - 50, 50, "bytes 999950-999999/1000000"},
        {"range: bytes=x-y\r\n", 200, 0, FAKE_SIZE, NULL},
        {"range: bytes=0-9\r\nif-range: \"abc123\"\r\n", 206, 0, 10, "bytes 0-9/1000000"},
        {"range: bytes=0-9\r\nif-range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 206, 0, 10,
         "bytes 0-9/1000000"},
        {"range: bytes=0-9\r\nif-range: \"other\"\r\n", 200, 0, FAKE_SIZE, NULL},
        {"range: bytes=0-9\r\nif-range: W/\"abc123\"\r\n", 200, 0, FAKE_SIZE, NULL},
        {"range: bytes=2000000-\r\nif-range: \"other\"\r\n", 200, 0, FAKE_SIZE, NULL},
        {"range: bytes=0-1,4-5\r\nif-range: \"other\"\r\n", 200, 0, FAKE_SIZE, NULL},
        {"if-none-match: \"other\"\r\n", 200, 0, FAKE_SIZE, NULL},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        char headers[256];
        (void)snprintf(headers, sizeof(headers), KEY "%s", cases[i].headers);
        get(w, "/v1/videos/video_1/content", headers, &a);
        if (a.status != cases[i].status)
            fail_msg("%s gives %d", cases[i].headers, a.status);
        assert_int_equal(a.body.len, cases[i].length);
        assert_true(is_file(&a.body, cases[i].first));
        assert_string_equal(header(&a, "content-type"), "video/mp4");
        assert_string_equal(header(&a, "etag"), "\"abc123\"");
        assert_string_equal(header(&a, "accept-ranges"), "bytes");
        assert_string_equal(header(&a, "last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
        if (cases[i].content_range)
            assert_string_equal(header(&a, "content-range"), cases[i].content_range);
        else
            assert_null(header(&a, "content-range"));
        vg_buf_fini(&a.body);
    }
    static const char *const bad[] = {"range: bytes=1000000-\r\n", "range: bytes=0-1,4-5\r\n",
                                      "range: bytes=-0\r\n"};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        char headers[256];
        (void)snprintf(headers, sizeof(headers), KEY "%s", bad[i]);
        get(w, "/v1/videos/video_1/content", headers, &a);
        assert_string_equal(header(&a, "content-range"), "bytes */1000000");
        check_error(&a, 416, "invalid_request_error", "range_not_satisfiable");
    }
}

static void app__serves_content_heads_and_validators(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    ask(w, "HEAD", "/v1/videos/video_1/content", KEY "range: bytes=0-5\r\n", NULL, 0, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "content-length"), "1000000");
    get(w, "/v1/videos/video_1/content", KEY "if-none-match: \"x\", \"abc123\"\r\n", &a);
    assert_int_equal(a.status, 304);
    assert_string_equal(header(&a, "etag"), "\"abc123\"");
    get(w, "/v1/videos/video_1/content", KEY "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        &a);
    assert_int_equal(a.status, 304);
    get(w, "/v1/videos/video_404/content", KEY, &a);
    check_error(&a, 404, "invalid_request_error", "not_found");
    get(w, "/v1/videos/video_1/content?index=x", KEY, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    get(w, "/v1/videos/video_1/content?variant=poster", KEY, &a);
    check_error(&a, 400, "invalid_request_error", NULL);
    get(w, "/v1/videos/video_cut/content", KEY, &a); /* it breaks off: the client must see it */
    assert_int_equal(a.status, 200);
    assert_true(a.cut);
    assert_true(a.body.len < FAKE_SIZE);
    vg_buf_fini(&a.body);
}

/* Waits for something that another thread will do; the test's timeout is the limit. */
static void wait_until(bool (*done)(struct world *), struct world *w)
{
    const struct timespec pause = {.tv_nsec = 5 * VG_NS_PER_MS};
    while (!done(w))
        (void)nanosleep(&pause, NULL);
}

#define CONTENT_ID "video_0123456789abcdef0123456789abcdef"

static void app__serves_links_and_variants(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    get(w, "/v1/videos/" CONTENT_ID "/content", KEY, &a);
    assert_string_equal(header(&a, "cache-control"), "private");
    assert_string_equal(header(&a, "content-disposition"),
                        "inline; filename=\"" CONTENT_ID ".mp4\"");
    vg_buf_fini(&a.body);
    static const char *const paths[] = {"/v1/videos/" CONTENT_ID "/content?token=good",
                                        "/v1/videos/logs/" CONTENT_ID "/content?token=good"};
    for (size_t i = 0; i < VG_COUNT(paths); i++) { /* nobody's key */
        get(w, paths[i], "", &a);
        assert_int_equal(a.status, 200);
        const char *cache = header(&a, "cache-control");
        assert_ptr_equal(strstr(cache, "public, max-age="), cache);
        assert_non_null(strstr(cache, ", immutable"));
        vg_buf_fini(&a.body);
    }
    get(w, "/v1/videos/" CONTENT_ID "/content?index=2&variant=thumbnail&token=good", "", &a);
    assert_string_equal(header(&a, "content-type"), "image/webp");
    assert_string_equal(header(&a, "content-disposition"),
                        "inline; filename=\"" CONTENT_ID "-2-thumbnail.webp\"");
    vg_buf_fini(&a.body);
    get(w, "/v1/videos/" CONTENT_ID "/content?variant=spritesheet", KEY, &a);
    assert_string_equal(header(&a, "content-disposition"),
                        "inline; filename=\"" CONTENT_ID "-spritesheet.jpg\"");
    vg_buf_fini(&a.body);
    get(w, "/v1/videos/" CONTENT_ID "/content?token=bad", KEY, &a);
    check_error(&a, 401, "invalid_request_error", "invalid_api_key");
    char path[512];
    (void)snprintf(path, sizeof(path), "/v1/videos/" CONTENT_ID "/content?token=%0200d", 0);
    get(w, path, KEY, &a);
    check_error(&a, 401, "invalid_request_error", "invalid_api_key");
}

static bool no_downloads(struct world *w)
{
    return atomic_load(&w->fake.downloads) == 0;
}

static void app__reads_no_further_than_the_client(void **state)
{
    struct world *w = the_world(state);
    static const char request[] =
        "GET /v1/videos/video_big/content HTTP/1.1\r\nHost: a\r\n" KEY "\r\n";
    wait_until(no_downloads, w);
    atomic_store(&w->fake.messages, 0);
    int cancelled = atomic_load(&w->fake.cancelled);
    int fd = dial(w);
    send_all(fd, request, sizeof(request) - 1);
    char block[1000];
    assert_true(recv(fd, block, sizeof(block), 0) > 0);
    /* The stream must come to a stand long before its 512 messages: two looks in a row that see the
     * same number. */
    const struct timespec pause = {.tv_nsec = 300 * VG_NS_PER_MS};
    long before, now = -1;
    do {
        before = now;
        (void)nanosleep(&pause, NULL);
        now = atomic_load(&w->fake.messages);
    } while (now != before);
    assert_true(now < 400);
    assert_int_equal(atomic_load(&w->fake.downloads), 1);
    (void)close(fd); /* with unread bytes: a reset; the stream must be cancelled */
    wait_until(no_downloads, w);
    assert_int_equal(atomic_load(&w->fake.cancelled), cancelled + 1);
}

static void app__resumes_a_slow_reader(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    get(w, "/v1/videos/video_big/content", KEY, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, FAKE_BIG);
    assert_true(is_file(&a.body, 0));
    vg_buf_fini(&a.body);
}

static void app__pipelines_and_keeps_alive(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    struct vg_buf b;
    vg_buf_init(&b, 1 << 20);
    for (int i = 0; i < 50; i++)
        (void)vg_buf_addf(&b, "GET /v1/videos/video_%d HTTP/1.1\r\nHost: a\r\n" KEY "\r\n", i);
    int fd = dial(w);
    send_all(fd, b.data, b.len);
    for (int i = 0; i < 50; i++) {
        char want[32];
        (void)snprintf(want, sizeof(want), "\"id\":\"video_%d\"", i);
        receive(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.body.data, want));
        vg_buf_fini(&a.body);
    }
    (void)close(fd);
    vg_buf_fini(&b);
}

static void app__sheds_over_the_cap_and_lives_on(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    int fds[120];
    for (size_t i = 0; i < VG_COUNT(fds); i++)
        fds[i] = dial(w);
    int hung_up = 0;
    for (size_t i = 0; i < VG_COUNT(fds); i++) {
        static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        send_all(fds[i], request, sizeof(request) - 1);
        receive(fds[i], &a, false);
        hung_up += a.status == 0;
        vg_buf_fini(&a.body);
    }
    assert_true(hung_up >= 20 && hung_up < 120);
    for (size_t i = 0; i < VG_COUNT(fds); i++)
        (void)close(fds[i]);
    do { /* the closes have to be seen first */
        get(w, "/healthz", "", &a);
        vg_buf_fini(&a.body);
    } while (a.status == 0);
    assert_int_equal(a.status, 200);
}

/* A second bridge that has no place for creates: told at once, with the body still to come. */
static void app__refuses_creates_beyond_its_places(void **state)
{
    struct world *w = the_world(state);
    struct vg_bridge_config config = w->config;
    struct vg_err err;
    struct answer a;
    config.max_creates = 0;
    struct world full = {.bridge = vg_bridge_new(&config)};
    assert_int_equal(vg_bridge_start(full.bridge, &err), 0);
    int fd = dial(&full);
    static const char head[] =
        "POST /v1/videos HTTP/1.1\r\nHost: a\r\n" KEY JSON "Content-Length: 100\r\n\r\n";
    send_all(fd, head, sizeof(head) - 1);
    receive(fd, &a, false);
    assert_non_null(header(&a, "retry-after"));
    check_error(&a, 503, "api_error", "overloaded");
    (void)close(fd);
    get(&full, "/v1/videos/video_1", KEY, &a); /* others are served */
    assert_int_equal(a.status, 200);
    vg_buf_fini(&a.body);
    vg_bridge_stop(full.bridge);
    full.bridge = vg_bridge_free(full.bridge);
}

static void app__says_unavailable_without_the_service(void **state)
{
    struct world *w = the_world(state);
    struct answer a;
    char listen[32];
    (void)snprintf(listen, sizeof(listen), "%s", w->service);
    fake_stop(&w->fake);
    get(w, "/v1/videos/video_1", KEY, &a);
    assert_non_null(header(&a, "retry-after"));
    assert_null(strstr(a.body.data, "127.0.0.1"));
    check_error(&a, 503, "api_error", NULL);
    get(w, "/v1/videos/video_1/content", KEY, &a);
    check_error(&a, 503, "api_error", NULL);
    do {
        get(w, "/readyz", "", &a);
        vg_buf_fini(&a.body);
    } while (a.status != 503);
    (void)fake_start(&w->fake, listen); /* and back without a restart */
    do {
        get(w, "/v1/videos/video_1", KEY, &a);
        vg_buf_fini(&a.body);
    } while (a.status != 200);
}

static void app__drains(void **state)
{
    struct world *w = the_world(state);
    static const char request[] =
        "GET /v1/videos/video_big/content HTTP/1.1\r\nHost: a\r\n" KEY "\r\n";
    struct answer a;
    int idle = dial(w);
    int busy = dial(w);
    send_all(busy, request, sizeof(request) - 1);
    char byte;
    assert_int_equal(recv(busy, &byte, 1, MSG_PEEK), 1);
    vg_bridge_drain(w->bridge, vg_deadline_in_ms(300)); /* the download is longer than that */
    assert_int_equal(recv(idle, &byte, 1, 0), 0);
    receive(busy, &a, false); /* and goes on until stop */
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, FAKE_BIG);
    vg_buf_fini(&a.body);
    int64_t start = vg_now_ns();
    vg_bridge_drain(w->bridge,
                    vg_deadline_in_ms(60000)); /* nothing is left: long before the deadline */
    assert_true(vg_now_ns() - start < 50 * VG_NS_PER_S);
    (void)close(idle);
    (void)close(busy);
}

static void app__stops_in_the_middle(void **state)
{
    struct world *w = the_world(state);
    static const char request[] =
        "GET /v1/videos/video_big/content HTTP/1.1\r\nHost: a\r\n" KEY "\r\n";
    int fds[4];
    world_stop(w);
    world_start(w);
    char byte;
    for (size_t i = 0; i < VG_COUNT(fds); i++) {
        fds[i] = dial(w);
        send_all(fds[i], request, sizeof(request) - 1);
        assert_int_equal(recv(fds[i], &byte, 1, MSG_PEEK), 1);
    }
    world_stop(w); /* with downloads under way; the sanitizers watch */
    world_start(w);
    for (size_t i = 0; i < VG_COUNT(fds); i++)
        (void)close(fds[i]);
}

static void app__refuses_a_port_that_is_taken(void **state)
{
    struct world *w = the_world(state);
    struct vg_bridge_config config = w->config;
    struct vg_err err;
    char listen[32];
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%d", vg_bridge_port(w->bridge));
    config.listen = listen;
    struct vg_bridge *second = vg_bridge_new(&config);
    assert_int_equal(vg_bridge_start(second, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), listen));
    second = vg_bridge_free(second);
}

static int setup(void **state)
{
    struct world *w = vg_xalloc(sizeof(*w));
    world_start(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_stop(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app__creates_a_video),
        cmocka_unit_test(app__takes_forms),
        cmocka_unit_test(app__takes_chunked_bodies),
        cmocka_unit_test(app__takes_large_bodies),
        cmocka_unit_test(app__refuses_what_is_no_create),
        cmocka_unit_test(app__refuses_bodies_over_the_limit),
        cmocka_unit_test(app__translates_errors_of_the_service),
        cmocka_unit_test(app__serves_the_small_routes),
        cmocka_unit_test(app__serves_its_documents),
        cmocka_unit_test(app__answers_unknown_paths_and_methods),
        cmocka_unit_test(app__serves_content_and_ranges),
        cmocka_unit_test(app__serves_content_heads_and_validators),
        cmocka_unit_test(app__serves_links_and_variants),
        cmocka_unit_test(app__reads_no_further_than_the_client),
        cmocka_unit_test(app__resumes_a_slow_reader),
        cmocka_unit_test(app__pipelines_and_keeps_alive),
        cmocka_unit_test(app__sheds_over_the_cap_and_lives_on),
        cmocka_unit_test(app__refuses_creates_beyond_its_places),
        cmocka_unit_test(app__says_unavailable_without_the_service),
        cmocka_unit_test(app__refuses_a_port_that_is_taken),
        cmocka_unit_test(app__stops_in_the_middle),
        cmocka_unit_test(app__drains),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
