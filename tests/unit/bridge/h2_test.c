/* SPDX-License-Identifier: Apache-2.0 */
/* The server session against nghttp2's client, both in memory; and against bytes made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "tests/unit/bridge/session_fixture.h"

struct client_stream {
    int32_t id;
    char status[8];
    char content_length[16];
    struct vg_buf body;
    bool ended, closed;
    uint32_t code;
    const char *upload;
    size_t upload_left;
};

struct client {
    nghttp2_session *ng;
    struct client_stream streams[600];
    size_t count;
    int resets, goaways;
    uint32_t goaway_code;
    bool hold_credit; /* no window updates */
    struct fixture f;
};

static struct client_stream *find(struct client *c, int32_t id)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->streams[i].id == id)
            return &c->streams[i];
    return NULL;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)ng, (void)flags;
    struct client_stream *s = find(user, frame->hd.stream_id);
    if (!s)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        (void)snprintf(s->status, sizeof(s->status), "%.*s", (int)value_len, (const char *)value);
    if (name_len == 14 && memcmp(name, "content-length", 14) == 0)
        (void)snprintf(s->content_length, sizeof(s->content_length), "%.*s", (int)value_len,
                       (const char *)value);
    return 0;
}

static int on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                    void *user)
{
    (void)flags;
    struct client *c = user;
    struct client_stream *s = find(c, id);
    if (s)
        (void)vg_buf_add(&s->body, data, len);
    if (!c->hold_credit)
        (void)nghttp2_session_consume(ng, id, len);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    (void)ng;
    struct client *c = user;
    struct client_stream *s = find(c, frame->hd.stream_id);
    if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        s->ended = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        c->resets++;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaways++;
        c->goaway_code = frame->goaway.error_code;
    }
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    (void)ng;
    struct client_stream *s = find(user, id);
    if (s) {
        s->closed = true;
        s->code = code;
    }
    return 0;
}

static void client_init(struct client *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    memset(c, 0, sizeof(*c));
    fixture_init(&c->f, true);
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    assert_int_equal(nghttp2_session_client_new2(&c->ng, cb, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void client_fini(struct client *c)
{
    nghttp2_session_del(c->ng);
    for (size_t i = 0; i < c->count; i++)
        vg_buf_fini(&c->streams[i].body);
    fixture_fini(&c->f);
}

/* Carries bytes both ways until both are silent; the client's in pieces of `piece` bytes. */
static void exchange(struct client *c, size_t piece)
{
    for (;;) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(c->ng, &data);
        assert_true(n >= 0);
        for (size_t at = 0; at < (size_t)n; at += piece)
            fixture_feed(&c->f, data + at, (size_t)n - at < piece ? (size_t)n - at : piece);
        fixture_run(&c->f);
        size_t got = c->f.out.len;
        if (got)
            assert_int_equal(nghttp2_session_mem_recv(c->ng, (const uint8_t *)c->f.out.data, got),
                             (ssize_t)got);
        vg_buf_clear(&c->f.out);
        if (n == 0 && got == 0)
            return;
    }
}

static ssize_t upload(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                      nghttp2_data_source *source, void *user)
{
    (void)ng, (void)id, (void)user;
    struct client_stream *s = source->ptr;
    size_t n = s->upload_left < len ? s->upload_left : len;
    if (s->upload_left == SIZE_MAX)
        return NGHTTP2_ERR_DEFERRED; /* a body that never comes */
    memcpy(buf, s->upload, n);
    s->upload += n;
    s->upload_left -= n;
    if (s->upload_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static struct client_stream *request_with(struct client *c, const char *method, const char *path,
                                          const char *body, size_t len, const nghttp2_nv *more,
                                          size_t more_count)
{
    struct client_stream *s = &c->streams[c->count++];
    nghttp2_nv *headers = vg_xcalloc(4 + more_count, sizeof(nghttp2_nv));
    headers[0] = nv(":method", method);
    headers[1] = nv(":path", path);
    headers[2] = nv(":scheme", "http");
    headers[3] = nv(":authority", "a");
    if (more_count)
        memcpy(headers + 4, more, more_count * sizeof(nghttp2_nv));
    vg_buf_init(&s->body, 64 << 20);
    s->upload = body;
    s->upload_left = len;
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = upload};
    s->id =
        nghttp2_submit_request(c->ng, NULL, headers, 4 + more_count, body ? &provider : NULL, NULL);
    assert_true(s->id > 0);
    free(headers);
    return s;
}

static struct client_stream *request(struct client *c, const char *method, const char *path,
                                     const char *body)
{
    return request_with(c, method, path, body, body ? strlen(body) : 0, NULL, 0);
}

static void h2__answers_requests_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        struct client c;
        client_init(&c);
        struct client_stream *get = request(&c, "GET", "/none?x=1", NULL);
        struct client_stream *post = request(&c, "POST", "/echo", "hello");
        struct client_stream *head = request(&c, "HEAD", "/len/100", NULL);
        struct client_stream *chunks = request(&c, "GET", "/chunks", NULL);
        exchange(&c, piece);
        assert_string_equal(get->status, "404");
        assert_string_equal(post->status, "200");
        assert_memory_equal(post->body.data, "hello", 5);
        assert_string_equal(head->content_length, "100");
        assert_int_equal(head->body.len, 0);
        assert_string_equal(chunks->content_length, "");
        assert_int_equal(chunks->body.len, 5);
        assert_true(get->closed && post->closed && head->closed && chunks->closed);
        assert_int_equal(c.f.open, 0);
        assert_int_equal(c.resets, 0);
        client_fini(&c);
    }
}

static void h2__carries_large_bodies_both_ways(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    size_t len = 3000000;
    char *big = vg_xalloc(len);
    memset(big, 'y', len);
    struct client_stream *up = request_with(&c, "POST", "/echo", big, len, NULL, 0);
    struct client_stream *down = request(&c, "GET", "/len/2500000", NULL);
    exchange(&c, 100000);
    assert_int_equal(up->body.len, len);
    assert_memory_equal(up->body.data, big, len);
    assert_int_equal(down->body.len, 2500000);
    assert_true(up->closed && down->closed);
    free(big);
    client_fini(&c);
}

static void h2__holds_the_window_back_without_credit(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    c.f.hoard = true;
    size_t len = 2000000;
    char *big = vg_xalloc(len);
    struct client_stream *up = request_with(&c, "POST", "/echo", big, len, NULL, 0);
    exchange(&c, 100000);
    assert_int_equal(len - up->upload_left, VG_STREAM_WINDOW);
    /* The stream goes; the connection's window must come back whole, or the next uploads would
     * starve. */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(nghttp2_submit_rst_stream(c.ng, NGHTTP2_FLAG_NONE, up->id, NGHTTP2_CANCEL),
                         0);
        up = request_with(&c, "POST", "/echo", big, len, NULL, 0);
        exchange(&c, 100000);
        assert_int_equal(len - up->upload_left, VG_STREAM_WINDOW);
    }
    assert_int_equal(c.f.open, 1);
    free(big);
    client_fini(&c);
}

static void h2__answers_early_and_spares_the_rest(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    size_t len = 2000000;
    char *big = vg_xalloc(len);
    struct client_stream *s = request_with(&c, "POST", "/early", big, len, NULL, 0);
    exchange(&c, 100000);
    assert_string_equal(s->status, "200");
    assert_memory_equal(s->body.data, "early", 5);
    assert_true(s->closed);
    assert_int_equal(s->code, NGHTTP2_NO_ERROR);
    assert_true(s->upload_left > 0);
    assert_int_equal(c.f.open, 0);
    free(big);
    client_fini(&c);
}

static void h2__refuses_bad_heads(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    struct client_stream *fragment = request(&c, "GET", "/a#b", NULL);
    nghttp2_nv many[100];
    for (size_t i = 0; i < VG_COUNT(many); i++)
        many[i] = nv("cookie", "a=b");
    struct client_stream *fields = request_with(&c, "GET", "/echo", NULL, 0, many, VG_COUNT(many));
    char *long_value = vg_xalloc(40000);
    memset(long_value, 'v', 39999);
    nghttp2_nv wide = nv("x-wide", long_value);
    struct client_stream *bytes = request_with(&c, "GET", "/echo", NULL, 0, &wide, 1);
    exchange(&c, 100000);
    assert_string_equal(fragment->status, "400");
    assert_string_equal(fields->status, "431");
    assert_string_equal(bytes->status, "431");
    assert_int_equal(c.f.requests, 0);
    struct client_stream *fine = request(&c, "GET", "/echo", NULL);
    exchange(&c, 100000);
    assert_string_equal(fine->status, "200"); /* the connection lives */
    free(long_value);
    client_fini(&c);
}

static void h2__ends_a_connection_that_bombs_fields(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    size_t n = 3000;
    nghttp2_nv *many = vg_xcalloc(n, sizeof(*many));
    for (size_t i = 0; i < n; i++)
        many[i] = nv("a", "");
    (void)request_with(&c, "GET", "/echo", NULL, 0, many, n);
    exchange(&c, 100000);
    assert_int_equal(c.goaways, 1);
    assert_int_equal(c.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(c.f.session->ops->finished(c.f.session));
    free(many);
    client_fini(&c);
}

static void h2__survives_and_ends_rapid_resets(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    int rounds = 0;
    while (!c.goaways && rounds < 3000) {
        c.count = 0;
        struct client_stream *s = request(&c, "GET", "/hold", NULL);
        exchange(&c, 100000);
        vg_buf_fini(&s->body);
        if (nghttp2_submit_rst_stream(c.ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL) != 0)
            break;
        exchange(&c, 100000);
        rounds++;
    }
    c.count = 0;
    assert_true(rounds > 400 && rounds < 3000);
    assert_int_equal(c.goaways, 1);
    assert_true(c.f.open <= 1 && c.f.session->ops->finished(c.f.session));
    assert_int_equal(c.f.env.bitten[VG_HTTP_LIMIT_RESETS], 1);
    client_fini(&c);
}

/* A window that overflows makes us reset the stream (CVE-2025-8671): counted, then the connection
 * ends.
 */
static void h2__counts_the_resets_it_is_made_to_send(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    exchange(&c, 100000);
    int rounds = 0;
    while (!c.goaways && rounds < 1000) {
        c.count = 0;
        struct client_stream *s = request(&c, "GET", "/hold", NULL);
        exchange(&c, 100000);
        vg_buf_fini(&s->body);
        uint8_t frame[13] = {0, 0, 4, NGHTTP2_WINDOW_UPDATE, 0};
        frame[5] = (uint8_t)((uint32_t)s->id >> 24);
        frame[6] = (uint8_t)(s->id >> 16);
        frame[7] = (uint8_t)(s->id >> 8);
        frame[8] = (uint8_t)s->id;
        memcpy(frame + 9, "\x7f\xff\xff\xff", 4);
        fixture_feed(&c.f, frame, sizeof(frame));
        exchange(&c, 100000);
        rounds++;
    }
    c.count = 0;
    assert_int_equal(c.goaways, 1);
    assert_int_equal(c.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(rounds >= 200 && rounds < 250);
    client_fini(&c);
}

static void h2__reaps_streams_on_a_closed_window(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    c.hold_credit = true;
    struct client_stream *s = request(&c, "GET", "/len/1000000", NULL);
    exchange(&c, 100000);
    assert_int_equal(s->body.len, 65535);
    assert_false(s->closed);
    fixture_after(&c.f, 2000);
    exchange(&c, 100000);
    assert_false(s->closed);
    fixture_after(&c.f, 2000);
    exchange(&c, 100000);
    assert_true(s->closed);
    assert_int_equal(s->code, NGHTTP2_CANCEL);
    assert_int_equal(c.f.open, 0);
    client_fini(&c);
}

static void h2__times_out(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    struct client_stream *s = request_with(&c, "POST", "/echo", "", SIZE_MAX, NULL, 0);
    exchange(&c, 100000);
    fixture_after(&c.f, 1500);
    assert_int_equal(c.f.fails, 0);
    fixture_after(&c.f, 1500);
    exchange(&c, 100000);
    assert_int_equal(c.f.fails, 1);
    assert_string_equal(s->status, "408");
    assert_true(s->closed);
    fixture_after(&c.f, 11000); /* and then an idle connection */
    exchange(&c, 100000);
    assert_int_equal(c.goaways, 1);
    assert_int_equal(c.goaway_code, NGHTTP2_NO_ERROR);
    client_fini(&c);

    client_init(&c); /* a header block that never ends */
    exchange(&c, 100000);
    static const uint8_t frame[] = {0, 0, 1, NGHTTP2_HEADERS, 0, 0, 0, 0, 1, 0x82};
    fixture_feed(&c.f, frame, sizeof(frame));
    fixture_after(&c.f, 1500);
    exchange(&c, 100000);
    assert_int_equal(c.goaways, 1);
    client_fini(&c);
}

static void h2__resets_a_cut_answer(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    struct client_stream *s = request(&c, "GET", "/cut", NULL);
    exchange(&c, 100000);
    assert_true(s->closed);
    assert_false(s->ended);
    assert_int_equal(s->code, NGHTTP2_INTERNAL_ERROR);
    client_fini(&c);
}

static void h2__drains_with_two_goaways(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    struct client_stream *held = request(&c, "GET", "/hold", NULL);
    exchange(&c, 100000);
    c.f.session->ops->drain(c.f.session);
    exchange(&c, 100000);
    assert_int_equal(c.goaways, 1);
    fixture_after(&c.f, 300);
    exchange(&c, 100000);
    assert_int_equal(c.goaways, 2);
    assert_false(c.f.session->ops->finished(c.f.session));
    fixture_release(&c.f);
    exchange(&c, 100000);
    assert_string_equal(held->status, "200");
    assert_true(held->ended);
    assert_true(c.f.session->ops->finished(c.f.session));
    client_fini(&c);
}

static void h2__serves_many_streams_at_once(void **state)
{
    (void)state;
    struct client c;
    client_init(&c);
    exchange(&c, 100000);
    for (int i = 0; i < 300; i++)
        (void)request(&c, "GET", "/hold", NULL);
    exchange(&c, 100000);
    assert_int_equal(c.f.open, 100); /* the limit; the client queues the rest */
    for (int i = 0; i < 3; i++) {
        fixture_release(&c.f);
        exchange(&c, 100000);
    }
    assert_int_equal(c.f.closed, 300);
    for (int i = 0; i < 300; i++)
        assert_string_equal(c.streams[i].status, "200");
    client_fini(&c);
}

static void h2__ends_on_garbage(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    fixture_feed(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_true(f.session->ops->finished(f.session));
    assert_int_equal(f.requests, 0);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2__answers_requests_in_pieces_of_any_size),
        cmocka_unit_test(h2__carries_large_bodies_both_ways),
        cmocka_unit_test(h2__holds_the_window_back_without_credit),
        cmocka_unit_test(h2__answers_early_and_spares_the_rest),
        cmocka_unit_test(h2__refuses_bad_heads),
        cmocka_unit_test(h2__ends_a_connection_that_bombs_fields),
        cmocka_unit_test(h2__survives_and_ends_rapid_resets),
        cmocka_unit_test(h2__counts_the_resets_it_is_made_to_send),
        cmocka_unit_test(h2__reaps_streams_on_a_closed_window),
        cmocka_unit_test(h2__times_out),
        cmocka_unit_test(h2__resets_a_cut_answer),
        cmocka_unit_test(h2__drains_with_two_goaways),
        cmocka_unit_test(h2__serves_many_streams_at_once),
        cmocka_unit_test(h2__ends_on_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
