/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/respond.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"

static struct vg_json *envelope(const struct vg_err *err)
{
    struct vg_buf buf;
    struct vg_json *root;
    vg_buf_init(&buf, 1 << 16);
    vg_envelope_write(err, &buf);
    assert_true(vg_buf_ok(&buf));
    assert_int_equal(vg_json_parse(&root, vg_buf_view(&buf), NULL), 0);
    vg_buf_fini(&buf);
    return root;
}

static void envelope__has_all_keys_for_every_kind(void **state)
{
    (void)state;
    for (int kind = 0; kind < VG_ERR_MAX; kind++) {
        struct vg_err err;
        (void)vg_err_set(&err, (enum vg_err_kind)kind, NULL);
        struct vg_json *root = envelope(&err);
        const struct vg_json *error = vg_json_get(root, "error");
        assert_int_equal(vg_json_count(root), 1);
        assert_int_equal(vg_json_count(error), 4);
        assert_true(strlen(vg_json_string(vg_json_get(error, "message"))) > 0);
        assert_true(strlen(vg_json_string(vg_json_get(error, "type"))) > 0);
        assert_int_equal(vg_json_type(vg_json_get(error, "param")), VG_JSON_NULL);
        const struct vg_json *code = vg_json_get(error, "code");
        assert_true(vg_json_type(code) == VG_JSON_NULL || strlen(vg_json_string(code)) > 0);
        root = vg_json_free(root);
    }
}

static void envelope__escapes_and_names_the_field(void **state)
{
    (void)state;
    struct vg_err err;
    (void)vg_err_param(&err, VG_ERR_INVALID_REQUEST, "a.b", "say \"no\"\n\x01\\");
    struct vg_json *root = envelope(&err);
    const struct vg_json *error = vg_json_get(root, "error");
    assert_string_equal(vg_json_string(vg_json_get(error, "message")), "say \"no\"\n\x01\\");
    assert_string_equal(vg_json_string(vg_json_get(error, "param")), "a.b");
    assert_string_equal(vg_json_string(vg_json_get(error, "type")), "invalid_request_error");
    root = vg_json_free(root);
}

static void retry_after__follows_the_error(void **state)
{
    (void)state;
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_UNAVAILABLE, NULL);
    assert_true(vg_retry_after_ms(&err) > 0);
    err.retry_after_ms = 2500;
    assert_int_equal(vg_retry_after_ms(&err), 2500);
    (void)vg_err_set(&err, VG_ERR_NOT_FOUND, NULL);
    assert_int_equal(vg_retry_after_ms(&err), 0);
    (void)vg_err_set(&err, VG_ERR_RATE_LIMITED, NULL);
    assert_true(vg_retry_after_ms(&err) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope__has_all_keys_for_every_kind),
        cmocka_unit_test(envelope__escapes_and_names_the_field),
        cmocka_unit_test(retry_after__follows_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
