/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/http/h1_head.h"
#include "tests/unit/bridge/session_fixture.h"

#define HOST "Host: a\r\n"

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; at && (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static const char *text_of(const struct vg_buf *buf)
{
    return buf->data ? buf->data : "";
}

static void feed(struct fixture *f, const char *text)
{
    fixture_feed(f, text, strlen(text));
}

static bool finished(const struct fixture *f)
{
    return f->session->ops->finished(f->session);
}

/* Runs the bytes whole, then cut at each position: output and requests must be the same. */
static void check_splits(const char *bytes, size_t len, const char *want_log,
                         const char *want_status)
{
    struct fixture whole;
    fixture_init(&whole, false);
    fixture_feed(&whole, bytes, len);
    if (want_log)
        assert_string_equal(text_of(&whole.log), want_log);
    if (want_status) {
        assert_true(whole.out.len > 12);
        assert_memory_equal(whole.out.data + 9, want_status, 3);
    }
    for (size_t at = 1; at < len; at++) {
        struct fixture f;
        fixture_init(&f, false);
        fixture_feed(&f, bytes, at);
        fixture_feed(&f, bytes + at, len - at);
        assert_string_equal(text_of(&f.log), text_of(&whole.log));
        assert_string_equal(text_of(&f.out), text_of(&whole.out));
        assert_int_equal(finished(&f), finished(&whole));
        fixture_fini(&f);
    }
    struct fixture f; /* byte by byte */
    fixture_init(&f, false);
    for (size_t i = 0; i < len; i++)
        fixture_feed(&f, bytes + i, 1);
    assert_string_equal(text_of(&f.out), text_of(&whole.out));
    fixture_fini(&f);
    fixture_fini(&whole);
}

static void h1__parses_alike_however_the_bytes_come(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *log;
    } cases[] = {
        {"GET /echo HTTP/1.1\r\n" HOST "\r\n", "GET /echo body=0;"},
        {"\r\n\r\nGET /echo?x=y HTTP/1.1\r\nHOST:a\r\nX:\r\n\r\n", "GET /echo body=0;"},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "POST /echo body=5;"},
        {"POST /echo HTTP/1.1\r\n" HOST
         "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\nT: v\r\n\r\n",
         "POST /echo body=5;"},
        {"GET /echo HTTP/1.1\r\n" HOST "\r\nPOST /echo HTTP/1.1\r\n" HOST
         "Content-Length: 2\r\n\r\nhiGET /none "
         "HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         "GET /echo body=0;POST /echo body=2;GET /none body=0;"},
        {"GET http://b/echo HTTP/1.1\r\n" HOST "\r\n", "GET /echo body=0;"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * body=0;"},
        {"GET /chunks HTTP/1.1\r\n" HOST "\r\n", "GET /chunks body=0;"},
        {"HEAD /len/100 HTTP/1.1\r\n" HOST "\r\nGET /echo HTTP/1.0\r\n\r\n",
         "HEAD /len/100 body=0;GET /echo body=0;"},
        {"POST /early HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbodyGET /echo HTTP/1.1\r\n" HOST
         "\r\n",
         "GET /echo body=0;"},
        {"GET /echo HTTP/1.1\r\n" HOST
         "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /echo HTTP/1.1\r\n" HOST "\r\n",
         "GET /echo body=0;GET /echo body=0;"},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        check_splits(cases[i].bytes, strlen(cases[i].bytes), cases[i].log, NULL);
}

#define BAD(head) "POST /echo HTTP/1.1\r\n" HOST head
static void h1__refuses_and_closes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *status;
    } cases[] = {
        {"GET /echo HTTP/1.1\r\n\r\n", "400"},                     /* no Host */
        {"GET /echo HTTP/1.1\r\n" HOST HOST "\r\n", "400"},        /* two */
        {"GET /echo HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},        /* no host name */
        {"GET /echo HTTP/1.1\r\nHost:\r\n\r\n", "400"},            /* an empty one */
        {"GET /echo HTTP/1.1\nHost: a\n\n", "400"},                /* bare LF */
        {"GET /echo HTTP/1.1\r\nHost: a\n\r\n", "400"},            /* bare LF */
        {"GET /echo HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n", "400"}, /* obs-fold */
        {"GET /echo HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "400"},  /* bare CR */
        {"GET /echo HTTP/1.1\r\n" HOST "X : a\r\n\r\n", "400"},    /* space before colon */
        {"GET /echo HTTP/1.1\r\n" HOST ": a\r\n\r\n", "400"},      /* no name */
        {"GET /echo HTTP/1.1\r\n" HOST "X\x01: a\r\n\r\n", "400"}, /* bad name */
        {"GET /echo HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", "400"},  /* bad value */
        {"GET  /echo HTTP/1.1\r\n" HOST "\r\n", "400"},            /* two spaces */
        {"GET /echo  HTTP/1.1\r\n" HOST "\r\n", "400"},            /* two spaces */
        {"GET /e cho HTTP/1.1\r\n" HOST "\r\n", "400"},            /* space in the target */
        {"GET /echo#x HTTP/1.1\r\n" HOST "\r\n", "400"},           /* fragment */
        {"GET echo HTTP/1.1\r\n" HOST "\r\n", "400"},              /* no slash */
        {"GET * HTTP/1.1\r\n" HOST "\r\n", "400"},                 /* asterisk for GET */
        {"GET /echo HTTP/1.2\r\n" HOST "\r\n", "400"},             /* version */
        {"GET /echo HTTP/2.0\r\n" HOST "\r\n", "400"},             /* version */
        {"GET /echo HTTP/0.9\r\n" HOST "\r\n", "400"},             /* version */
        {"GET /echo RTSP/1.0\r\n" HOST "\r\n", "400"},             /* protocol */
        {"GET /echo\r\n\r\n", "400"},                              /* HTTP/0.9 */
        {"FOO /echo HTTP/1.1\r\n" HOST "\r\n", "405"},             /* unknown method */
        {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405"},    /* no proxy */
        {BAD("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"},
        {BAD("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), "400"},
        {BAD("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "400"},
        {BAD("Content-Length: 3, 3\r\n\r\nabc"), "400"},
        {BAD("Content-Length: +3\r\n\r\nabc"), "400"},
        {BAD("Content-Length: -3\r\n\r\nabc"), "400"},
        {BAD("Content-Length: 0x3\r\n\r\nabc"), "400"},
        {BAD("Content-Length: 3 3\r\n\r\nabc"), "400"},
        {BAD("Content-Length:\r\n\r\n"), "400"},
        {BAD("Content-Length: 99999999999999999999999\r\n\r\n"), "400"},
        {BAD("Content-Length: 9223372036854775808\r\n\r\n"), "400"},
        {BAD("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "501"},
        {BAD("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), "400"},
        {BAD("Transfer-Encoding: identity\r\n\r\n"), "400"},
        {BAD("Transfer-Encoding: xchunked\r\n\r\n"), "400"},
        {BAD("Transfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc"), "501"},
        {BAD("Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n"),
         "400"},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, false);
        feed(&f, cases[i].bytes);
        if (f.refusals != 1 || memcmp(f.out.data + 9, cases[i].status, 3) != 0)
            fail_msg("case %zu: %s gives %.60s", i, cases[i].bytes, text_of(&f.out));
        assert_int_equal(f.requests, 0);
        assert_true(finished(&f));
        assert_int_equal(count(f.out.data, "connection: close\r\n"), 1);
        fixture_fini(&f);
        if (cases[i].status[0] == '4' && i % 3 == 0)
            check_splits(cases[i].bytes, strlen(cases[i].bytes), NULL, cases[i].status);
    }
}

static void h1__refuses_nul_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "GET /echo HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    check_splits(bytes, sizeof(bytes) - 1, NULL, "400");
}

static void h1__fails_bodies_with_bad_chunks(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "x\r\n",
        "0x3\r\nabc\r\n",
        "3_0\r\n",
        "+3\r\nabc\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcX",
        "3\r\nabc\n0\r\n",
        "3\r\nabc\rX",
        "fffffffffffffffff\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "0\r\nbad\r\n\r\n",
        "-1\r\n",
        "\r\n",
        " 3\r\nabc\r\n",
        "3 \r\nabc\r\n",
    };
    for (size_t i = 0; i < VG_COUNT(bodies); i++) {
        struct fixture f;
        fixture_init(&f, false);
        feed(&f, BAD("Transfer-Encoding: chunked\r\n\r\n"));
        feed(&f, bodies[i]);
        if (f.fails != 1)
            fail_msg("%s passes: %s", bodies[i], text_of(&f.out));
        assert_memory_equal(f.out.data + 9, "400", 3);
        assert_true(finished(&f));
        fixture_fini(&f);
    }
}

static void h1__bounds_the_head(void **state)
{
    (void)state;
    struct fixture f;
    struct vg_buf b;
    vg_buf_init(&b, 1 << 20);
    /* 101 fields */
    (void)vg_buf_adds(&b, "GET /echo HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++)
        (void)vg_buf_adds(&b, "a: b\r\n");
    (void)vg_buf_adds(&b, "\r\n");
    fixture_init(&f, false);
    fixture_feed(&f, b.data, b.len);
    assert_memory_equal(f.out.data + 9, "431", 3);
    fixture_fini(&f);
    /* one long field */
    vg_buf_clear(&b);
    (void)vg_buf_adds(&b, "GET /echo HTTP/1.1\r\nHost: a\r\nX: ");
    memset(vg_buf_reserve(&b, 33000), 'x', 33000);
    vg_buf_commit(&b, 33000);
    (void)vg_buf_adds(&b, "\r\n\r\n");
    fixture_init(&f, false);
    fixture_feed(&f, b.data, b.len);
    assert_memory_equal(f.out.data + 9, "431", 3);
    fixture_fini(&f);
    /* a head that never ends, also of empty lines */
    fixture_init(&f, false);
    vg_buf_clear(&b);
    for (size_t i = 0; i < VG_H1_MAX_HEAD / 2 + 1; i++)
        (void)vg_buf_adds(&b, "\r\n");
    fixture_feed(&f, b.data, b.len);
    assert_int_equal(f.refusals, 1);
    fixture_fini(&f);
    /* a target too long */
    fixture_init(&f, false);
    vg_buf_clear(&b);
    (void)vg_buf_adds(&b, "GET /");
    memset(vg_buf_reserve(&b, 9000), 'x', 9000);
    vg_buf_commit(&b, 9000);
    (void)vg_buf_adds(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_feed(&f, b.data, b.len);
    assert_memory_equal(f.out.data + 9, "414", 3);
    fixture_fini(&f);
    vg_buf_fini(&b);
}

static void h1__answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    feed(&f, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /none HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(f.requests, 1); /* the second waits */
    assert_int_equal(f.out.len, 0);
    assert_true(f.in.len > 0);
    fixture_release(&f);
    assert_int_equal(f.requests, 2);
    assert_true(strstr(f.out.data, "held") < strstr(f.out.data, "none"));
    assert_false(finished(&f));
    fixture_fini(&f);
}

static void h1__keeps_or_closes_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool closed;
        const char *header;
    } cases[] = {
        {"GET /echo HTTP/1.1\r\n" HOST "\r\n", false, NULL},
        {"GET /echo HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", true, "connection: close"},
        {"GET /echo HTTP/1.0\r\n\r\n", true, "connection: close"},
        {"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, "connection: keep-alive"},
        {"GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "connection: close"},
        {"GET /chunks HTTP/1.1\r\n" HOST "\r\n", false, "transfer-encoding: chunked"},
        {"POST /early HTTP/1.1\r\n" HOST "Content-Length: 900000\r\n\r\n", true,
         "connection: close"},
        {"POST /early HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", true,
         "connection: close"},
        {"POST /early HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", true,
         "connection: close"},
        {"GET /cut HTTP/1.1\r\n" HOST "\r\n", true, NULL},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, false);
        feed(&f, cases[i].bytes);
        assert_int_equal(finished(&f), cases[i].closed);
        if (cases[i].header)
            assert_non_null(strstr(f.out.data, cases[i].header));
        fixture_fini(&f);
    }
}

static void h1__sends_100_continue_only_when_it_waits(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    feed(&f, BAD("Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n"));
    assert_string_equal(text_of(&f.out), "HTTP/1.1 100 Continue\r\n\r\n");
    feed(&f, "hi");
    assert_int_equal(count(f.out.data, "HTTP/1.1"), 2);
    assert_non_null(strstr(f.out.data, "\r\n\r\nhi"));
    fixture_fini(&f);
    fixture_init(&f, false);
    feed(&f, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(count(f.out.data, "100 Continue"), 0);
    fixture_fini(&f);
}

static void h1__stops_taking_a_body_without_credit(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    f.hoard = true;
    feed(&f, BAD("Content-Length: 1000000\r\n\r\n"));
    char *big = vg_xalloc(1000000);
    fixture_feed(&f, big, 1000000);
    assert_int_equal(f.in.len, 1000000 - VG_STREAM_WINDOW);
    f.env.now_ns += 100 * VG_NS_PER_S; /* we are the slow one: no timeout */
    f.session->ops->tick(f.session);
    assert_int_equal(f.fails, 0);
    free(big);
    fixture_fini(&f);
}

static void h1__sends_large_bodies_with_back_pressure(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    (void)vg_buf_adds(&f.in, "GET /len/3000000 HTTP/1.1\r\n" HOST "\r\n");
    size_t used = f.session->ops->feed(f.session, f.in.data, f.in.len);
    assert_int_equal(used, f.in.len);
    vg_buf_clear(&f.in);
    size_t body = 0;
    while (body < 3000000) {
        struct vg_buf piece;
        vg_buf_init(&piece, 1 << 20);
        f.session->ops->produce(f.session, &piece, 10000);
        assert_true(piece.len > 0 && piece.len <= 10000);
        for (size_t i = 0; i < piece.len; i++)
            body += piece.data[i] == 'x';
        vg_buf_fini(&piece);
        /* "x-..." is in no header of the fixture; "text/plain" is not sent by /len */
    }
    fixture_fini(&f);
}

static void h1__times_out(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false); /* idle: closed without a word */
    fixture_after(&f, 9000);
    assert_false(finished(&f));
    fixture_after(&f, 2000);
    assert_true(finished(&f));
    assert_int_equal(f.out.len, 0);
    fixture_fini(&f);

    fixture_init(&f, false); /* half a head: 408 */
    feed(&f, "GET /ec");
    fixture_after(&f, 1500);
    assert_memory_equal(f.out.data + 9, "408", 3);
    assert_true(finished(&f));
    fixture_fini(&f);

    fixture_init(&f, false); /* a stray CRLF is no request */
    feed(&f, "\r\n");
    fixture_after(&f, 1500);
    assert_int_equal(f.out.len, 0);
    assert_true(finished(&f));
    fixture_fini(&f);

    fixture_init(&f, false); /* a body that drips: 408 */
    feed(&f, BAD("Content-Length: 100000\r\n\r\n"));
    for (int i = 0; i < 5; i++) {
        feed(&f, "x");
        fixture_after(&f, 500);
    }
    assert_int_equal(f.fails, 1);
    assert_memory_equal(f.out.data + 9, "408", 3);
    fixture_fini(&f);

    fixture_init(&f, false); /* a body that comes: none */
    feed(&f, BAD("Content-Length: 100000\r\n\r\n"));
    char block[2048] = {0};
    for (int i = 0; i < 20; i++) {
        fixture_feed(&f, block, sizeof(block));
        fixture_after(&f, 1500);
    }
    assert_int_equal(f.fails, 0);
    fixture_fini(&f);
}

static void h1__bounds_chunk_framing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    feed(&f, BAD("Transfer-Encoding: chunked\r\n\r\n1;"));
    char ext[4096];
    memset(ext, 'a', sizeof(ext));
    for (int i = 0; i < 20 && !f.fails; i++)
        fixture_feed(&f, ext, sizeof(ext));
    assert_int_equal(f.fails, 1);
    fixture_fini(&f);
}

static void h1__ends_with_the_peer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false); /* half-close after a whole request: the answer still comes */
    feed(&f, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    f.session->ops->eof(f.session);
    assert_false(finished(&f));
    fixture_release(&f);
    f.session->ops->eof(f.session);
    assert_int_equal(count(f.out.data, "held"), 1);
    assert_true(finished(&f));
    fixture_fini(&f);

    fixture_init(&f, false); /* within a body */
    feed(&f, BAD("Content-Length: 10\r\n\r\nabc"));
    f.session->ops->eof(f.session);
    fixture_run(&f);
    assert_int_equal(f.fails, 1);
    assert_true(finished(&f));
    fixture_fini(&f);
}

/* One more each time all is gone, whatever the low-water mark; over with the peer. */
static void h1__writes_again_once_drained(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    static const char request[] = "GET /watch HTTP/1.1\r\n" HOST "\r\n";
    (void)f.session->ops->feed(f.session, request, sizeof(request) - 1);
    assert_int_equal(f.events, 0); /* the head is still queued */
    for (int i = 0; i < 20; i++)   /* the connection takes a little each time */
        f.session->ops->produce(f.session, &f.out, f.out.len + FIXTURE_EVENT / 8);
    assert_in_range(f.events, 2, 3);
    size_t before = f.out.len;
    f.session->ops->produce(f.session, &f.out, f.out.len); /* it takes nothing */
    assert_true(f.out.len == before);
    f.session->ops->eof(f.session);
    f.session->ops->produce(f.session, &f.out, f.out.len + FIXTURE_EVENT);
    assert_int_equal(f.closed, 1);
    assert_true(finished(&f));
    fixture_fini(&f);
}

static void h1__drains(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    f.session->ops->drain(f.session);
    assert_true(finished(&f));
    fixture_fini(&f);

    fixture_init(&f, false);
    feed(&f, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /none HTTP/1.1\r\n" HOST "\r\n");
    f.session->ops->drain(f.session);
    fixture_release(&f);
    assert_int_equal(f.requests, 1);
    assert_int_equal(count(f.out.data, "connection: close"), 1);
    assert_true(finished(&f));
    fixture_fini(&f);
}

static void sniff__tells_the_versions_apart(void **state)
{
    (void)state;
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (size_t i = 1; i < sizeof(preface) - 1; i++)
        assert_int_equal(vg_http_sniff(preface, i), VG_SNIFF_MORE);
    assert_int_equal(vg_http_sniff(preface, sizeof(preface) - 1), VG_SNIFF_H2);
    assert_int_equal(vg_http_sniff("POST", 4), VG_SNIFF_H1);
    assert_int_equal(vg_http_sniff("PRI * HTTP/1.1", 14), VG_SNIFF_H1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h1__parses_alike_however_the_bytes_come),
        cmocka_unit_test(h1__refuses_and_closes),
        cmocka_unit_test(h1__refuses_nul_bytes),
        cmocka_unit_test(h1__fails_bodies_with_bad_chunks),
        cmocka_unit_test(h1__bounds_the_head),
        cmocka_unit_test(h1__answers_pipelined_requests_in_order),
        cmocka_unit_test(h1__keeps_or_closes_the_connection),
        cmocka_unit_test(h1__sends_100_continue_only_when_it_waits),
        cmocka_unit_test(h1__stops_taking_a_body_without_credit),
        cmocka_unit_test(h1__sends_large_bodies_with_back_pressure),
        cmocka_unit_test(h1__times_out),
        cmocka_unit_test(h1__bounds_chunk_framing),
        cmocka_unit_test(h1__ends_with_the_peer),
        cmocka_unit_test(h1__writes_again_once_drained),
        cmocka_unit_test(h1__drains),
        cmocka_unit_test(sniff__tells_the_versions_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
