/* SPDX-License-Identifier: Apache-2.0 */
/* The count of frames, by bytes made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "bridge/http/h2_limits.h"
#include "common/clock.h"

static const struct vg_http_limits limits = {.max_header_bytes = 32768,
                                             .max_continuations = 8,
                                             .frame_rate = 100,
                                             .reset_rate = 33,
                                             .error_rate = 20};

static struct vg_h2_limits make(void)
{
    struct vg_h2_limits l;
    vg_h2_limits_init(&l, &limits, 0);
    assert_int_equal(
        vg_h2_limits_feed(&l, (const uint8_t *)NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN, 0),
        VG_HTTP_LIMIT_MAX);
    return l;
}

/* A frame of `len` zeros. */
static enum vg_http_limit feed(struct vg_h2_limits *l, uint8_t type, uint8_t flags, uint8_t stream,
                               uint8_t len, int64_t now_ns)
{
    uint8_t bytes[VG_H2_FRAME_HEAD + 255] = {0, 0, len, type, flags, 0, 0, 0, stream};
    return vg_h2_limits_feed(l, bytes, VG_H2_FRAME_HEAD + (size_t)len, now_ns);
}

/* How many of these frames pass at once, and how many a second later. */
static void check_rate(uint8_t type, uint8_t len, int burst, int rate, enum vg_http_limit which)
{
    struct vg_h2_limits l = make();
    for (int i = 0; i < burst; i++)
        assert_int_equal(feed(&l, type, 0, 0, len, 0), VG_HTTP_LIMIT_MAX);
    assert_int_equal(feed(&l, type, 0, 0, len, 0), which);
    l = make();
    for (int i = 0; i < burst; i++)
        (void)feed(&l, type, 0, 0, len, 0);
    for (int i = 0; i < rate; i++)
        assert_int_equal(feed(&l, type, 0, 0, len, VG_NS_PER_S), VG_HTTP_LIMIT_MAX);
    assert_int_equal(feed(&l, type, 0, 0, len, VG_NS_PER_S), which);
}

static void h2_limits__bound_each_kind(void **state)
{
    (void)state;
    check_rate(NGHTTP2_RST_STREAM, 4, 495, 33, VG_HTTP_LIMIT_RESETS);
    check_rate(NGHTTP2_PING, 8, 1000, 100, VG_HTTP_LIMIT_CONTROL);
    check_rate(NGHTTP2_SETTINGS, 0, 1000, 100, VG_HTTP_LIMIT_CONTROL);
    check_rate(NGHTTP2_GOAWAY, 8, 1000, 100, VG_HTTP_LIMIT_CONTROL);
    check_rate(200, 0, 1000, 100, VG_HTTP_LIMIT_CONTROL);
    check_rate(NGHTTP2_WINDOW_UPDATE, 4, 1000, 100, VG_HTTP_LIMIT_UPDATES);
    check_rate(NGHTTP2_DATA, 0, 1000, 100, VG_HTTP_LIMIT_SMALL);
    check_rate(NGHTTP2_DATA, 15, 1000, 100, VG_HTTP_LIMIT_SMALL);
    check_rate(NGHTTP2_HEADERS, 0, 1000, 100, VG_HTTP_LIMIT_SMALL);
}

static void h2_limits__let_honest_frames_pass(void **state)
{
    (void)state;
    struct vg_h2_limits l = make();
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(feed(&l, NGHTTP2_DATA, 0, 1, 16, 0), VG_HTTP_LIMIT_MAX);
        assert_int_equal(feed(&l, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, 0, 0),
                         VG_HTTP_LIMIT_MAX);
        assert_int_equal(feed(&l, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, 9, 0),
                         VG_HTTP_LIMIT_MAX);
    }
    for (int i = 0; i < 5000; i++) { /* whoever reads gives windows back */
        vg_h2_limits_sent(&l, 16384);
        for (int k = 0; k < 16; k++)
            assert_int_equal(feed(&l, NGHTTP2_WINDOW_UPDATE, 0, 0, 4, 0), VG_HTTP_LIMIT_MAX);
    }
}

static void h2_limits__count_continuations_of_one_block(void **state)
{
    (void)state;
    struct vg_h2_limits l = make();
    for (int block = 0; block < 3; block++) {
        assert_int_equal(feed(&l, NGHTTP2_HEADERS, 0, 1, 9, 0), VG_HTTP_LIMIT_MAX);
        for (int i = 0; i < 8; i++)
            assert_int_equal(feed(&l, NGHTTP2_CONTINUATION, 0, 1, 9, 0), VG_HTTP_LIMIT_MAX);
    }
    assert_int_equal(feed(&l, NGHTTP2_CONTINUATION, 0, 1, 9, 0), VG_HTTP_LIMIT_CONTINUATIONS);
}

static void h2_limits__need_no_whole_frames(void **state)
{
    (void)state;
    struct vg_h2_limits l;
    vg_h2_limits_init(&l, &limits, 0);
    static const char magic[] = NGHTTP2_CLIENT_MAGIC;
    static const uint8_t ping[17] = {0, 0, 8, NGHTTP2_PING};
    for (size_t i = 0; i < NGHTTP2_CLIENT_MAGIC_LEN; i++)
        assert_int_equal(vg_h2_limits_feed(&l, (const uint8_t *)magic + i, 1, 0),
                         VG_HTTP_LIMIT_MAX);
    for (int i = 0; i < 1000; i++)
        for (size_t k = 0; k < sizeof(ping); k++)
            assert_int_equal(vg_h2_limits_feed(&l, ping + k, 1, 0), VG_HTTP_LIMIT_MAX);
    for (size_t k = 0; k < 8; k++)
        assert_int_equal(vg_h2_limits_feed(&l, ping + k, 1, 0), VG_HTTP_LIMIT_MAX);
    assert_int_equal(vg_h2_limits_feed(&l, ping + 8, 1, 0), VG_HTTP_LIMIT_CONTROL);
}

static void h2_limits__know_what_ended(void **state)
{
    (void)state;
    struct vg_h2_limits l = make();
    vg_h2_limits_ended(&l, 1, false);
    vg_h2_limits_ended(&l, 5, true);
    vg_h2_limits_ended(&l, 5, false); /* the reset counts */
    assert_int_equal(vg_h2_limits_reuse(&l, 1), VG_H2_REUSE_ENDED);
    assert_int_equal(vg_h2_limits_reuse(&l, 3), VG_H2_REUSE_UNKNOWN);
    assert_int_equal(vg_h2_limits_reuse(&l, 5), VG_H2_REUSE_RESET);
    assert_int_equal(feed(&l, NGHTTP2_DATA, 0, 5, 100, 0), VG_HTTP_LIMIT_MAX);
    assert_int_equal(feed(&l, NGHTTP2_DATA, 0, 1, 100, 0), VG_HTTP_LIMIT_STREAM_ID);
    for (int32_t id = 7; id < 7 + 2 * VG_H2_ENDED; id += 2)
        vg_h2_limits_ended(&l, id, false);
    assert_int_equal(vg_h2_limits_reuse(&l, 1), VG_H2_REUSE_UNKNOWN); /* too long ago */
}

static void h2_limits__bound_errors(void **state)
{
    (void)state;
    struct vg_h2_limits l = make();
    for (int i = 0; i < 200; i++)
        assert_true(vg_h2_limits_error(&l, 0));
    assert_false(vg_h2_limits_error(&l, 0));
    assert_true(vg_h2_limits_error(&l, VG_NS_PER_S));
    for (int i = 0; i < 198; i++) /* a day later the bucket is full, not more */
        (void)vg_h2_limits_error(&l, 86400 * VG_NS_PER_S);
    assert_true(vg_h2_limits_error(&l, 86400 * VG_NS_PER_S));
    assert_true(vg_h2_limits_error(&l, 86400 * VG_NS_PER_S));
    assert_false(vg_h2_limits_error(&l, 86400 * VG_NS_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2_limits__bound_each_kind),
        cmocka_unit_test(h2_limits__let_honest_frames_pass),
        cmocka_unit_test(h2_limits__count_continuations_of_one_block),
        cmocka_unit_test(h2_limits__need_no_whole_frames),
        cmocka_unit_test(h2_limits__know_what_ended),
        cmocka_unit_test(h2_limits__bound_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
