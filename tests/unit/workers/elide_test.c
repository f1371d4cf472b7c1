/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/elide.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"

struct run {
    struct vg_buf out, handed;
    bool found;
    size_t pieces_allowed; /* on_string says no after so many */
};

static bool on_string(void *ctx, const char *data, size_t len)
{
    struct run *run = ctx;
    if (run->pieces_allowed == 0)
        return false;
    run->pieces_allowed--;
    return vg_buf_add(&run->handed, data, len) == 0;
}

/* Feeds `text` in pieces of `piece` bytes; key NULL: nothing is handed on. */
static int run_filter(struct run *run, struct vg_view text, size_t piece, size_t keep,
                      const char *key, size_t index)
{
    const struct vg_elide_options options = {.out = &run->out,
                                             .keep = keep,
                                             .key = key,
                                             .index = index,
                                             .on_string = on_string,
                                             .ctx = run};
    struct vg_elide *elide = vg_elide_new(&options);
    int rc = 0;
    for (size_t at = 0; at < text.len && rc == 0; at += piece)
        rc = vg_elide_feed(elide, text.data + at, text.len - at < piece ? text.len - at : piece);
    if (rc == 0)
        rc = vg_elide_end(elide);
    run->found = vg_elide_found(elide);
    assert_null(vg_elide_free(elide));
    return rc;
}

static void run_init(struct run *run, size_t max)
{
    memset(run, 0, sizeof(*run));
    vg_buf_init(&run->out, max);
    vg_buf_init(&run->handed, 1 << 20);
    run->pieces_allowed = SIZE_MAX;
}

static void run_fini(struct run *run)
{
    vg_buf_fini(&run->out);
    vg_buf_fini(&run->handed);
}

static void elide__leaves_out_long_strings_only(void **state)
{
    (void)state;
    static const struct {
        const char *text, *skeleton;
    } rows[] = {
        {"{\"a\": \"1234\", \"b\": [1, \"12345\", true]}",
         "{\"a\": \"1234\", \"b\": [1, \"\", true]}"},
        {"\"12345\"", "\"\""},
        {" [ ] ", " [ ] "},
        {"{\"a key that is long\": \"\"}", "{\"a key that is long\": \"\"}"},
        {"[\"\\n\\n\", \"\\n\\n1\", \"\\u0031\"]", "[\"\\n\\n\", \"\", \"\"]"},
        {"[\"\xe2\x82\xac\", \"\xe2\x82\xac\xe2\x82\xac\"]", "[\"\xe2\x82\xac\", \"\"]"},
        {"{\"a\":{\"x\":\"12345\",\"12345\":{\"y\":\"12345\"}}}",
         "{\"a\":{\"x\":\"\",\"12345\":{\"y\":\"\"}}}"},
        {"", ""},
    };
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            struct run run;
            run_init(&run, 1000);
            assert_int_equal(run_filter(&run, vg_view_of(rows[i].text), piece, 4, NULL, 0), 0);
            assert_string_equal(vg_buf_view(&run.out).data, rows[i].skeleton);
            assert_false(run.found);
            run_fini(&run);
        }
    }
}

#define VIDEOS                                                                                     \
    "{\"bytes\":\"QQ==\",\"videos\":[{\"mimeType\":\"bytes\",\"bytes\":\"a\\/b\\u003d\\n\"},"      \
    "{\"bytes\":[\"\",{\"bytes\":\"\\ud83d\\ude00\"},\"last\"]}],\"\\u0062ytes\":\"escaped key\"}"

static void elide__hands_on_the_nth_string_under_a_key(void **state)
{
    (void)state;
    static const char *const found[] = {"QQ==", "a/b=\n",     "", "\xf0\x9f\x98\x80",
                                        "last", "escaped key"};
    for (size_t i = 0; i < VG_COUNT(found); i++) {
        for (size_t piece = 1; piece < 30; piece++) {
            struct run run;
            run_init(&run, 1000);
            assert_int_equal(run_filter(&run, VG_VIEW(VIDEOS), piece, 100, "bytes", i), 0);
            assert_true(run.found);
            assert_string_equal(vg_buf_view(&run.handed).data, found[i]);
            run_fini(&run);
        }
    }
    struct run run;
    run_init(&run, 1000);
    assert_int_equal(run_filter(&run, VG_VIEW(VIDEOS), 7, 100, "bytes", VG_COUNT(found)), 0);
    assert_false(run.found);
    assert_string_equal(vg_buf_view(&run.out).data, VIDEOS);
    run_fini(&run);
}

static void elide__refuses_what_the_parser_would(void **state)
{
    (void)state;
    static const struct vg_view bad[] = {
        VG_VIEW("[\"12345"),
        VG_VIEW("[\"12345\""),
        VG_VIEW("[\"1234567\\x\"]"),
        VG_VIEW("[\"12345\n\"]"),
        VG_VIEW("[\"12345\\u0000\"]"),
        VG_VIEW("[\"12345\\u00g0\"]"),
        VG_VIEW("[\"12345\\ud800\"]"),
        VG_VIEW("[\"12345\\udc00\"]"),
        VG_VIEW("[\"1\\ud800\\u0041\"]"),
        VG_VIEW("[\"1\\ud800\\n\"]"),
        VG_VIEW("[\"12345\xff\"]"),
        VG_VIEW("[\"12345\xc3\"]"),
        VG_VIEW("[\"12345\xed\xa0\x80\"]"),
        VG_VIEW("[\"12345\xc0\x80\"]"),
        VG_VIEW("[}"),
        VG_VIEW("]"),
        VG_VIEW("[\"12345\\\0\"]"),
        VG_VIEW("[\"\\ud800\\ud800\"]"),
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            struct run run;
            run_init(&run, 1000);
            assert_int_equal(run_filter(&run, bad[i], piece, 4, NULL, 0), -1);
            run_fini(&run);
        }
    }
}

static void elide__depth_is_the_parsers(void **state)
{
    (void)state;
    char text[2 * (VG_JSON_MAX_DEPTH + 1) + 1];
    for (size_t depth = VG_JSON_MAX_DEPTH; depth <= VG_JSON_MAX_DEPTH + 1; depth++) {
        struct run run;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        run_init(&run, 1000);
        assert_int_equal(run_filter(&run, (struct vg_view){text, 2 * depth}, 9, 4, NULL, 0),
                         depth <= VG_JSON_MAX_DEPTH ? 0 : -1);
        run_fini(&run);
    }
}

static void elide__memory_is_that_of_the_skeleton(void **state)
{
    (void)state;
    static const char head[] = "{\"video\":\"", tail[] = "\",\"done\":true}";
    struct run run;
    run_init(&run, 2 * VG_ELIDE_KEEP);
    const struct vg_elide_options options = {.out = &run.out, .keep = VG_ELIDE_KEEP};
    struct vg_elide *elide = vg_elide_new(&options);
    char block[10007];
    memset(block, 'A', sizeof(block));
    assert_int_equal(vg_elide_feed(elide, head, sizeof(head) - 1), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(vg_elide_feed(elide, block, sizeof(block)), 0); /* 100 MB */
    assert_int_equal(vg_elide_feed(elide, tail, sizeof(tail) - 1), 0);
    assert_int_equal(vg_elide_end(elide), 0);
    assert_string_equal(vg_buf_view(&run.out).data, "{\"video\":\"\",\"done\":true}");
    assert_true(run.out.cap <= 2 * VG_ELIDE_KEEP + 1);
    vg_elide_free(elide);
    run_fini(&run);
}

static void elide__a_full_buffer_ends_it_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t max = 0; max < 40; max++) {
        int rc[30];
        for (size_t piece = 1; piece < VG_COUNT(rc); piece++) {
            struct run run;
            run_init(&run, max);
            rc[piece] = run_filter(&run, VG_VIEW("{\"abc\":\"0123456789\"}"), piece, 8, NULL, 0);
            assert_true(rc[piece] == rc[1] && rc[piece] == (max < 16 ? -1 : 0));
            run_fini(&run);
        }
    }
}

static void elide__stops_when_told(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, 1000);
    run.pieces_allowed = 3;
    assert_int_equal(run_filter(&run, VG_VIEW("{\"a\":\"12345\"}"), 1, 4, "a", 0), -1);
    assert_string_equal(run.handed.data, "123");
    assert_false(run.found);
    run_fini(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elide__leaves_out_long_strings_only),
        cmocka_unit_test(elide__hands_on_the_nth_string_under_a_key),
        cmocka_unit_test(elide__refuses_what_the_parser_would),
        cmocka_unit_test(elide__depth_is_the_parsers),
        cmocka_unit_test(elide__memory_is_that_of_the_skeleton),
        cmocka_unit_test(elide__a_full_buffer_ends_it_however_it_is_cut),
        cmocka_unit_test(elide__stops_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
