/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/url.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "common/mem.h"

static void test_origin(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"https://api.x.ai/v1", "https://API.x.ai:443/other?q", true},
        {"http://h:80/", "http://h", true},
        {"https://h", "http://h", false},
        {"https://h", "https://h:444", false},
        {"https://h", "https://h.evil.org", false},
        {"https://h", "https://h@evil.org", false},
        {"https://h", "https://user@h", false},
        {"https://h", "not an address", false},
        {"https://h", "", false},
    };
    (void)state;
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        assert_int_equal(vg_url_same_origin(rows[i].a, rows[i].b), rows[i].same);
        assert_int_equal(vg_url_same_origin(rows[i].b, rows[i].a), rows[i].same);
    }
}

static void test_resolve(void **state)
{
    static const struct {
        const char *base, *reference, *whole; /* NULL: refused */
    } rows[] = {
        {"https://h/a/b?c", "/d", "https://h/d"},
        {"https://h/a/b?c", "d?e", "https://h/a/d?e"},
        {"https://h/a/b", "../x", "https://h/x"},
        {"https://h/a", "//other/y#z", "https://other/y"},
        {"https://h/a", "http://other:81/y", "http://other:81/y"},
        {"https://h/a", "file:///etc/passwd", NULL},
        {"https://h/a", "ftp://h/x", NULL},
        {"https://h/a", "https://user:pass@h/x", NULL},
    };
    (void)state;
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        struct vg_buf out;
        vg_buf_init(&out, 256);
        assert_int_equal(vg_url_resolve(rows[i].base, rows[i].reference, &out),
                         rows[i].whole != NULL);
        if (rows[i].whole)
            assert_string_equal(out.data, rows[i].whole);
        vg_buf_fini(&out);
    }
}

static void test_escape(void **state)
{
    struct vg_buf out;
    (void)state;
    vg_buf_init(&out, 256);
    vg_url_escape("a-Z.0_~/?&=%\xc3\xa9 ", &out);
    assert_string_equal(out.data, "a-Z.0_~%2F%3F%26%3D%25%C3%A9%20");
    vg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
