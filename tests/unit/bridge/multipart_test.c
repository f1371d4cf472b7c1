/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/multipart.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/mem.h"

#define TYPE "multipart/form-data; boundary=b"
#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

/* "name=body" of each part, files with a star, joined by '|'; or "!" and why not. The body is
 * copied to its own length, so that a read beyond it is seen. */
static char *read_all(const char *type, const char *body, size_t len, char *out, size_t size)
{
    char *copy = malloc(len ? len : 1);
    struct vg_multipart form;
    struct vg_part part;
    struct vg_err err;
    size_t used = 0;
    int more;

    memcpy(copy, body, len);
    out[0] = '\0';
    more = vg_multipart_begin(&form, vg_view_of(type), (struct vg_view){copy, len}, &err);
    while (more >= 0 && (more = vg_multipart_next(&form, &part, &err)) > 0)
        used += (size_t)snprintf(out + used, size - used, "%s%s%s=%.*s", used ? "|" : "", part.name,
                                 part.file ? "*" : "", (int)part.body.len,
                                 part.body.len ? part.body.data : "");
    if (more < 0) {
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        (void)snprintf(out, size, "!%s", err.detail);
    }
    free(copy);
    return out;
}

static void gives(const char *type, const char *body, const char *want)
{
    char out[4096];
    assert_string_equal(read_all(type, body, strlen(body), out, sizeof(out)), want);
}

static void refuses(const char *type, const char *body, const char *why)
{
    char out[4096];
    (void)read_all(type, body, strlen(body), out, sizeof(out));
    if (out[0] != '!' || !strstr(out, why))
        fail_msg("'%s' gave '%s', not '%s'", body, out, why);
}

static void multipart__reads_parts(void **state)
{
    (void)state;
    gives(TYPE, "--b--", "");
    gives(TYPE, "--b--\r\nepilogue --b", "");
    gives(TYPE, "--b\r\n" FIELD("a") "1\r\n--b\r\n" FIELD("c[d]") "2\r\n--b--\r\n", "a=1|c[d]=2");
    gives(TYPE, "preamble\r\n--b\r\n" FIELD("a") "\r\n--b--", "a=");
    gives(TYPE, "--b\r\n" FIELD("a") "--b--", "a=");
    gives(TYPE, "--b \t\r\n" FIELD("a") "x\r\n--c\r\n\r\n--b--", "a=x\r\n--c\r\n");
    gives(TYPE,
          "--b\r\ncontent-type: image/png\r\nCONTENT-DISPOSITION: Form-Data; filename=x; name=f\r\n"
          "Content-Transfer-Encoding: binary\r\n\r\n\r\n\r\n--b--",
          "f*=\r\n");
    gives(TYPE,
          "--b\r\nContent-Disposition: form-data; name=\"a\\\"b;\"; "
          "filename*=UTF-8''x\r\n\r\n1\r\n--b--",
          "a\"b;*=1");
}

static void multipart__finds_the_boundary(void **state)
{
    (void)state;
    gives("multipart/form-data;boundary=\"b\"", "--b--", "");
    gives("multipart/form-data; charset=utf-8; Boundary=b", "--b--", "");
    gives("multipart/form-data; boundary=----formdata-undici-012345678901",
          "------formdata-undici-012345678901\r\n" FIELD(
              "a") "1\r\n------formdata-undici-012345678901--",
          "a=1");
    gives("multipart/form-data; boundary=\"a b?c\"", "--a b?c--", "");
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"b",
        "multipart/form-data; boundary=\"b \"",
        "multipart/form-data; boundary=b\xc3\xa9",
        "multipart/form-data; "
        "boundary=0123456789012345678901234567890123456789012345678901234567890"
        "1234567890",
        "multipart/form-data boundary=b",
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        refuses(bad[i], "--b--", "no usable boundary");
}

static void multipart__refuses_what_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"", "does not occur"},
        {"x=1", "does not occur"},
        {"--b", "delimiter is broken"},
        {"--b-", "delimiter is broken"},
        {"--bx\r\n", "delimiter is broken"},
        {"--b\n" FIELD("a") "1\r\n--b--", "delimiter is broken"},
        {"--b\r\n", "headers do not end"},
        {"--b\r\n\r\n1\r\n--b--", "no disposition"},
        {"--b\r\nContent-Type: a/b\r\n\r\n1\r\n--b--", "no disposition"},
        {"--b\r\nContent-Disposition form-data\r\n\r\n1\r\n--b--", "broken header"},
        {"--b\r\n: x\r\n\r\n1\r\n--b--", "broken header"},
        {"--b\r\nContent-Disposition: form-data\n\r\n1\r\n--b--", "broken header"},
        {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--b--", "not form-data"},
        {"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--", "no usable name"},
        {"--b\r\nContent-Disposition: form-data; name=\r\n\r\n1\r\n--b--", "no usable name"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--b--", "no usable name"},
        {"--b\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\n1\r\n--b--",
         "no usable name"},
        {"--b\r\nContent-Disposition: form-data; name=a; x\r\n\r\n1\r\n--b--", "no usable name"},
        {"--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
         "name=b\r\n\r\n1\r\n--b--",
         "two dispositions"},
        {"--b\r\nContent-Transfer-Encoding: base64\r\n" FIELD("a") "1\r\n--b--", "encoded parts"},
        {"--b\r\n" FIELD("a") "1", "cut off"},
        {"--b\r\n" FIELD("a") "1\r\n--b", "delimiter is broken"},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        refuses(TYPE, cases[i].body, cases[i].why);
}

/* Every prefix of a good form but the whole is refused or, behind the closing delimiter, whole. */
static void multipart__sees_every_cut(void **state)
{
    (void)state;
    static const char body[] = "--b\r\n" FIELD("a") "1\r\n--b\r\nContent-Disposition: form-data; "
                                                    "name=f; filename=\"x\"\r\n\r\n\r\n--\r\n--b--";
    char out[256];
    for (size_t len = 0; len < sizeof(body) - 1; len++) {
        (void)read_all(TYPE, body, len, out, sizeof(out));
        assert_int_equal(out[0], '!');
    }
    assert_string_equal(read_all(TYPE, body, sizeof(body) - 1, out, sizeof(out)), "a=1|f*=\r\n--");
}

static void multipart__is_bounded(void **state)
{
    (void)state;
    struct vg_buf body;
    char out[8192];
    vg_buf_init(&body, 1 << 20);
    for (size_t i = 0; i < VG_MULTIPART_MAX_PARTS + 1; i++)
        (void)vg_buf_adds(&body, "--b\r\n" FIELD("a") "1\r\n");
    (void)vg_buf_adds(&body, "--b--");
    (void)read_all(TYPE, body.data, body.len, out, sizeof(out));
    assert_non_null(strstr(out, "more than 256 parts"));
    vg_buf_clear(&body);
    (void)vg_buf_adds(&body, "--b\r\nX-Long: ");
    for (size_t i = 0; i < VG_MULTIPART_MAX_HEAD; i++)
        (void)vg_buf_addc(&body, 'x');
    (void)vg_buf_adds(&body, "\r\n" FIELD("a") "1\r\n--b--");
    (void)read_all(TYPE, body.data, body.len, out, sizeof(out));
    assert_non_null(strstr(out, "headers do not end"));
    vg_buf_clear(&body);
    (void)vg_buf_adds(&body, "--b\r\n");
    for (size_t i = 0; i < 20; i++)
        (void)vg_buf_adds(&body, "X: y\r\n");
    (void)vg_buf_adds(&body, FIELD("a") "1\r\n--b--");
    (void)read_all(TYPE, body.data, body.len, out, sizeof(out));
    assert_non_null(strstr(out, "headers do not end"));
    vg_buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multipart__reads_parts),
        cmocka_unit_test(multipart__finds_the_boundary),
        cmocka_unit_test(multipart__refuses_what_is_none),
        cmocka_unit_test(multipart__sees_every_cut),
        cmocka_unit_test(multipart__is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
