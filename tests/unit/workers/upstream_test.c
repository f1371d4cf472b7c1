/* SPDX-License-Identifier: Apache-2.0 */
/* The base of HTTP providers through its vtable, with an adapter and a server of the test's own. */
#include "workers/upstream/upstream.h"

#include "tests/unit/workers/recorder.h"
#include "workers/upstream/adapter.h"
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"

/* --- a server: canned answers by path, one request a connection --- */

struct server {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t mutex;
    char log[64 * 1024]; /* heads of all requests */
    atomic_int requests;
    char other[64]; /* origin that redirects go to */
    char video[300 * 1024];
};

static struct server base_server, other_server;

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void answer(int fd, const char *status, const char *headers, const char *body, size_t len)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", status,
                     len, headers);
    send_all(fd, head, (size_t)n);
    send_all(fd, body, len);
}

static void answer_json(int fd, const char *status, const char *body)
{
    answer(fd, status, "Content-Type: application/json\r\n", body, strlen(body));
}

static void inline_video(int fd, struct server *s)
{
    size_t size = vg_base64_encoded_size(sizeof(s->video));
    char *body = malloc(size + 64);
    int at = snprintf(body, 64, "{\"skip\":[\"x\"],\"file\":\"");
    vg_base64_encode(body + at, s->video, sizeof(s->video));
    memcpy(body + at + size, "\"}", 3);
    answer(fd, "200 OK", "Content-Type: application/json\r\n", body, strlen(body));
    free(body);
}

static const char cut[] =
    "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\nContent-Length: "
    "9\r\n\r\nabc";

static void serve(struct server *s, int fd, const char *request)
{
    char text[256];
    const char *path = strchr(request, ' ') + 1;
#define IS(p) (strncmp(path, p, strlen(p)) == 0)
    if (IS("/create"))
        answer_json(fd, "200 OK", "{\"id\":\"up1\"}");
    else if (IS("/refuse"))
        answer_json(fd, "401 Unauthorized", "{\"error\":{\"code\":\"bad_key\"}}");
    else if (IS("/limit"))
        answer(fd, "429 Too Many", "Retry-After: 7\r\n", "{}", 2);
    else if (IS("/drop"))
        return; /* the connection closes after the request came */
    else if (IS("/gateway"))
        answer_json(fd, "502 Bad Gateway", "<html>");
    else if (IS("/garbled"))
        answer_json(fd, "200 OK", "{\"id\":");
    else if (IS("/disguised"))
        answer_json(fd, "200 OK", "{\"code\":422,\"msg\":\"violates usage guidelines\"}");
    else if (IS("/poll"))
        answer_json(fd, "200 OK", "{\"state\":\"running\"}");
    else if (IS("/video.mp4"))
        answer(fd, "200 OK", "Content-Type: video/mp4\r\n", s->video, sizeof(s->video));
    else if (IS("/away")) {
        (void)snprintf(text, sizeof(text), "Location: %s/video.mp4\r\n", s->other);
        answer(fd, "302 Found", text, "", 0);
    } else if (IS("/loop"))
        answer(fd, "302 Found", "Location: /loop\r\n", "", 0);
    else if (IS("/page"))
        answer(fd, "200 OK", "Content-Type: text/html\r\n", "<html>", 6);
    else if (IS("/cut"))
        send_all(fd, cut, sizeof(cut) - 1);
    else if (IS("/inline"))
        inline_video(fd, s);
    else
        answer_json(fd, "404 Not Found", "{}");
#undef IS
}

static void *run_server(void *ctx)
{
    struct server *s = ctx;
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        char request[8192] = "";
        size_t len = 0;
        while (!strstr(request, "\r\n\r\n") && len < sizeof(request) - 1) {
            ssize_t n = read(fd, request + len, sizeof(request) - 1 - len);
            if (n <= 0)
                break;
            len += (size_t)n;
            request[len] = '\0';
        }
        if (len > 0) {
            pthread_mutex_lock(&s->mutex);
            strncat(s->log, request, sizeof(s->log) - strlen(s->log) - 1);
            pthread_mutex_unlock(&s->mutex);
            atomic_fetch_add(&s->requests, 1);
            serve(s, fd, request);
        }
        shutdown(fd, SHUT_WR);
        while (read(fd, request, sizeof(request)) > 0)
            continue;
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    pthread_mutex_init(&s->mutex, NULL);
    for (size_t i = 0; i < sizeof(s->video); i++)
        s->video[i] = (char)(i * 31);
    memcpy(s->video + 4, "ftyp", 4);
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static bool heard(struct server *s, const char *text)
{
    pthread_mutex_lock(&s->mutex);
    bool yes = strstr(s->log, text) != NULL;
    pthread_mutex_unlock(&s->mutex);
    return yes;
}

static void forget(struct server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->log[0] = '\0';
    pthread_mutex_unlock(&s->mutex);
}

/* --- an adapter: the prompt is the path --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (vg_call_ok(call, answer))
        vg_call_accepted(call, vg_call_text(call, answer->json, "id"), 0);
}

static void submit(struct vg_call *call)
{
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_call_put_extra(call, w, (const char *const[]){"taken", NULL});
    vg_json_object_close(w);
    vg_call_post(call, call->submit->prompt, true, on_created);
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (vg_call_ok(call, answer))
        vg_call_running(call, -1, 0);
}

static void poll(struct vg_call *call)
{
    if (strcmp(call->upstream_id, "renew") == 0) {
        call->state->result = (char *)"/video.mp4";
        vg_call_finished(call, NULL);
        return;
    }
    vg_call_get(call, "/poll", on_polled);
}

static void fetch(struct vg_call *call)
{
    vg_call_stream(call,
                   &(struct vg_call_stream){
                       .url = call->state->result,
                       .inline_key = strcmp(call->upstream_id, "inline") == 0 ? "file" : NULL});
}

static void lookup(struct vg_call *call)
{
    if (strcmp(call->state->credential, call->lookup->token) == 0)
        vg_call_found(call, "up9");
    else
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT);
}

static const char *const codes[] = {"error.code", NULL};
static const char *const messages[] = {"msg", NULL};
static const struct vg_adapter adapter = {.name = "test",
                                          .auth = "Authorization: Bearer ",
                                          .ok_path = "code",
                                          .ok_value = "0",
                                          .ok_is_status = true,
                                          .code_paths = codes,
                                          .message_paths = messages,
                                          .result_needs_key = true,
                                          .typical_ms = 1000,
                                          .submit = submit,
                                          .poll = poll,
                                          .fetch = fetch,
                                          .lookup = lookup};
static const struct vg_provider provider = {.name = "test",
                                            .adapter = &adapter,
                                            .start = vg_upstream_start,
                                            .stop = vg_upstream_stop,
                                            .submit = vg_upstream_submit,
                                            .poll = vg_upstream_poll,
                                            .fetch = vg_upstream_fetch,
                                            .cancel = vg_upstream_cancel,
                                            .lookup = vg_upstream_lookup};

static struct vg_upstream_config config;
static struct vg_adapter_config keys;
static char base_url[320];
static void *self;

static void begin(const char *key_text)
{
    struct vg_err err;
    const struct vg_provider_env env = {
        .provider = &provider, .upstream = &config, .config = &keys};

    keys.keys = (char *)key_text;
    config.base_url = base_url;
    config.result_allow_http = config.result_allow_any_port = true;
    config.result_allow_nets = (char *)"127.0.0.0/8";
    assert_int_equal(vg_upstream_start(&self, &env, &err), 0);
}

static void end(void)
{
    vg_upstream_stop(self);
}

static Videogate__V1__SubmitResponse *do_submit(const char *path)
{
    Videogate__V1__SubmitRequest request = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;
    struct call call;

    request.prompt = (char *)path;
    request.extra = (char *)"{\"seed\":7,\"list\":[1,\"a\",{\"b\":null}],\"taken\":1}";
    call_init(&call);
    vg_upstream_submit(self, &request, &call.op);
    call_wait(&call);
    assert_false(call.failed);
    void *response = call_unpack(&call, &videogate__v1__submit_response__descriptor);
    call_fini(&call);
    return response;
}

static void submit_fails(const char *path, Videogate__V1__ErrorClass class, bool maybe)
{
    Videogate__V1__SubmitResponse *r = do_submit(path);

    assert_int_equal(r->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR);
    assert_int_equal(r->error->class_, class);
    assert_int_equal(r->error->maybe_submitted, maybe);
    assert_true(!maybe || !r->error->fallback_ok);
    videogate__v1__submit_response__free_unpacked(r, NULL);
}

/* A state as Submit would have made it. */
static size_t state_for(uint8_t out[1024], const char *result)
{
    Videogate__Store__V1__UpstreamState state = VIDEOGATE__STORE__V1__UPSTREAM_STATE__INIT;
    Videogate__V1__SubmitResponse *r = do_submit("/create");
    Videogate__Store__V1__UpstreamState *made = videogate__store__v1__upstream_state__unpack(
        NULL, r->accepted->poll_state.len, r->accepted->poll_state.data);

    state.credential = made->credential;
    state.base_url = made->base_url;
    state.result = (char *)result;
    size_t size = videogate__store__v1__upstream_state__pack(&state, out);
    videogate__store__v1__upstream_state__free_unpacked(made, NULL);
    videogate__v1__submit_response__free_unpacked(r, NULL);
    return size;
}

static void do_fetch(struct call *call, const char *id, const char *result)
{
    Videogate__V1__FetchRequest request = VIDEOGATE__V1__FETCH_REQUEST__INIT;
    uint8_t state[1024];

    request.upstream_id = (char *)id;
    request.poll_state = (ProtobufCBinaryData){state_for(state, result), state};
    forget(&base_server);
    forget(&other_server);
    call_init(call);
    vg_upstream_fetch(self, &request, &call->op);
    call_wait(call);
}

static void fetch_is_whole(const char *id, const char *result)
{
    struct call call;

    do_fetch(&call, id, result);
    assert_int_equal(call.fetch_error, 0);
    assert_int_equal(call.data.len, sizeof(base_server.video));
    assert_memory_equal(call.data.data, base_server.video, call.data.len);
    call_fini(&call);
}

static void fetch_fails(const char *result, Videogate__V1__ErrorClass class)
{
    struct call call;

    do_fetch(&call, "job", result);
    assert_int_equal(call.fetch_error, (int)class);
    call_fini(&call);
}

/* --- tests --- */

static void test_submit(void **state)
{
    (void)state;
    begin("key-one");
    forget(&base_server);
    Videogate__V1__SubmitResponse *r = do_submit("/create");
    assert_int_equal(r->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED);
    assert_string_equal(r->accepted->upstream_id, "up1");
    videogate__v1__submit_response__free_unpacked(r, NULL);
    assert_true(heard(&base_server, "Authorization: Bearer key-one\r\n"));
    assert_true(heard(&base_server, "{\"seed\":7,\"list\":[1,\"a\",{\"b\":null}]}"));
    submit_fails("/drop", VG_CLASS(NETWORK), true);
    submit_fails("/gateway", VG_CLASS(UPSTREAM_INTERNAL), true);
    submit_fails("/garbled", VG_CLASS(UPSTREAM_INTERNAL), true);
    submit_fails("/disguised", VG_CLASS(CONTENT_FILTERED), false);
    end();
}

/* A key that was refused or limited rests; the others go on; with none left the answer is ours. */
static void test_keys_rest(void **state)
{
    (void)state;
    begin("key-one key-two");
    submit_fails("/refuse", VG_CLASS(AUTH), false);
    submit_fails("/limit", VG_CLASS(RATE_LIMITED), false);
    int before = atomic_load(&base_server.requests);
    Videogate__V1__SubmitResponse *r = do_submit("/create");
    assert_int_equal(r->error->class_, VG_CLASS(RATE_LIMITED));
    assert_true(r->error->retry_after_ms > 0 && r->error->retry_after_ms <= 7000);
    videogate__v1__submit_response__free_unpacked(r, NULL);
    assert_int_equal(atomic_load(&base_server.requests), before);
    end();
}

static void test_nobody_there(void **state)
{
    char saved[256];
    (void)state;
    memcpy(saved, base_url, sizeof(saved));
    (void)snprintf(base_url, sizeof(base_url), "http://127.0.0.1:1,%.250s", saved);
    begin("key");
    submit_fails("/create", VG_CLASS(NETWORK), false);
    Videogate__V1__SubmitResponse *r = do_submit("/create"); /* the other address is chosen now */
    assert_int_equal(r->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED);
    videogate__v1__submit_response__free_unpacked(r, NULL);
    end();
    memcpy(base_url, saved, sizeof(saved));
}

static Videogate__V1__PollResponse *do_poll(const uint8_t *data, size_t size)
{
    Videogate__V1__PollRequest request = VIDEOGATE__V1__POLL_REQUEST__INIT;
    struct call call;

    request.upstream_id = (char *)"up1";
    request.poll_state = (ProtobufCBinaryData){size, (uint8_t *)data};
    call_init(&call);
    vg_upstream_poll(self, &request, &call.op);
    call_wait(&call);
    void *response = call_unpack(&call, &videogate__v1__poll_response__descriptor);
    call_fini(&call);
    return response;
}

static void test_poll(void **state)
{
    uint8_t data[1024];
    (void)state;
    begin("key rpm=12"); /* two requests at once, then one in five seconds */
    size_t size = state_for(data, "");
    Videogate__V1__PollResponse *r = do_poll(data, size);
    assert_int_equal(r->state_case, VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING);
    assert_int_equal(r->running->progress, 95); /* submitted in 1970 as far as the state says */
    videogate__v1__poll_response__free_unpacked(r, NULL);
    int before = atomic_load(&base_server.requests);
    r = do_poll(data, size); /* no budget left: nothing is asked */
    assert_int_equal(r->state_case, VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING);
    assert_true(r->running->poll_after_ms > 1000);
    assert_int_equal(atomic_load(&base_server.requests), before);
    videogate__v1__poll_response__free_unpacked(r, NULL);
    end();
    begin("another"); /* the key that made it is not there any more */
    r = do_poll(data, size);
    assert_int_equal(r->state_case, VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR);
    assert_true(r->error->retryable);
    videogate__v1__poll_response__free_unpacked(r, NULL);
    r = do_poll((const uint8_t *)"\xff\xff", 2);
    assert_int_equal(r->state_case, VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR);
    videogate__v1__poll_response__free_unpacked(r, NULL);
    end();
}

static void test_fetch(void **state)
{
    (void)state;
    begin("secret-key");
    fetch_is_whole("job", "/video.mp4");
    assert_true(heard(&base_server, "Bearer secret-key"));
    fetch_is_whole("job", "/away"); /* the key does not go to the other host */
    assert_true(heard(&other_server, "GET /video.mp4"));
    assert_false(heard(&other_server, "secret-key"));
    fetch_is_whole("renew", "/gone"); /* the link is renewed by a poll */
    fetch_is_whole("inline", "/inline");
    fetch_fails("/loop", VG_CLASS(UPSTREAM_INTERNAL));
    fetch_fails("/page", VG_CLASS(UPSTREAM_INTERNAL));
    fetch_fails("/cut", VG_CLASS(UPSTREAM_INTERNAL));
    fetch_fails("/gone", VG_CLASS(UPSTREAM_INTERNAL)); /* the poll says: still running */
    fetch_fails("http://169.254.169.254/latest", VG_CLASS(NETWORK));
    fetch_fails("file:///etc/passwd", VG_CLASS(NETWORK));
    end();
}

static void test_lookup_asks_each_key(void **state)
{
    Videogate__V1__LookupRequest request = VIDEOGATE__V1__LOOKUP_REQUEST__INIT;
    Videogate__V1__SubmitRequest asked = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;
    static const char *const tokens[] = {"nobody", "c8df51469c30"}; /* SHA-256 of "key-two" */
    (void)state;
    begin("key-one key-two key-three");
    request.submit = &asked;
    for (size_t i = 0; i < VG_COUNT(tokens); i++) {
        struct call call;
        request.token = (char *)tokens[i];
        call_init(&call);
        vg_upstream_lookup(self, &request, &call.op);
        call_wait(&call);
        Videogate__V1__LookupResponse *r =
            call_unpack(&call, &videogate__v1__lookup_response__descriptor);
        assert_int_equal(r->outcome, i == 0 ? VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT
                                            : VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND);
        assert_true(i == 0 || strcmp(r->accepted->upstream_id, "up9") == 0);
        videogate__v1__lookup_response__free_unpacked(r, NULL);
        call_fini(&call);
    }
    end();
}

static int setup(void **state)
{
    (void)state;
    server_start(&base_server);
    server_start(&other_server);
    (void)snprintf(base_url, sizeof(base_url), "http://127.0.0.1:%d", base_server.port);
    (void)snprintf(base_server.other, sizeof(base_server.other), "http://127.0.0.1:%d",
                   other_server.port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&base_server);
    server_stop(&other_server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit),       cmocka_unit_test(test_keys_rest),
        cmocka_unit_test(test_nobody_there), cmocka_unit_test(test_poll),
        cmocka_unit_test(test_fetch),        cmocka_unit_test(test_lookup_asks_each_key),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
