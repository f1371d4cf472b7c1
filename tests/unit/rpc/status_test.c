/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <google/rpc/status.pb-c.h>

#include "common/mem.h"

static void round_trip(const struct vg_err *err, struct vg_err *out)
{
    struct vg_buf details;

    vg_buf_init(&details, VG_RPC_DETAILS_MAX);
    vg_rpc_status_details(err, &details);
    assert_true(vg_buf_ok(&details));
    vg_rpc_status_parse((int)vg_err_info(err->kind)->grpc, vg_view_of(vg_err_text(err)),
                        vg_buf_view(&details), out);
    vg_buf_fini(&details);
}

static void status__every_kind_survives_the_wire(void **state)
{
    (void)state;
    for (int kind = 0; kind < VG_ERR_MAX; kind++) {
        struct vg_err err = {0};
        struct vg_err back;

        (void)vg_err_param(&err, (enum vg_err_kind)kind, "prompt", "text %d", kind);
        err.retry_after_ms = 61001;
        round_trip(&err, &back);
        assert_int_equal(back.kind, kind);
        assert_string_equal(back.param, "prompt");
        assert_string_equal(vg_err_text(&back), vg_err_text(&err));
        assert_int_equal(back.retry_after_ms, 61001);
    }
}

static void status__leaves_out_what_is_not_there(void **state)
{
    struct vg_err err = {.kind = VG_ERR_NOT_FOUND};
    struct vg_err back;

    (void)state;
    round_trip(&err, &back);
    assert_string_equal(back.param, "");
    assert_int_equal(back.retry_after_ms, 0);
    assert_string_equal(vg_err_text(&back), vg_err_text(&err));
}

static void status__longest_fields_fit(void **state)
{
    struct vg_err err = {.kind = VG_ERR_INVALID_REQUEST, .retry_after_ms = INT64_MAX};
    struct vg_err back;

    (void)state;
    memset(err.param, 'p', sizeof err.param - 1);
    memset(err.detail, 'd', sizeof err.detail - 1);
    round_trip(&err, &back);
    assert_string_equal(back.param, err.param);
    assert_string_equal(back.detail, err.detail);
    assert_int_equal(back.retry_after_ms, 86400000); /* held to a day */
}

static void status__a_bare_code_stands_for_a_kind(void **state)
{
    struct vg_err back;

    (void)state;
    for (int code = 1; code < VG_GRPC_MAX; code++) {
        vg_rpc_status_parse(code, VG_VIEW("why"), (struct vg_view){NULL, 0}, &back);
        assert_int_equal(back.kind, vg_err_kind_by_grpc(code));
        assert_string_equal(back.detail, "why");
    }
}

static void status__garbage_details_are_ignored(void **state)
{
    struct vg_err back;

    (void)state;
    vg_rpc_status_parse(VG_GRPC_NOT_FOUND, VG_VIEW("why"), VG_VIEW("\xff\xff\xff"), &back);
    assert_int_equal(back.kind, vg_err_kind_by_grpc(VG_GRPC_NOT_FOUND));
    assert_string_equal(back.detail, "why");
}

static void status__text_that_is_not_utf8_is_dropped(void **state)
{
    struct vg_err back;

    (void)state;
    vg_rpc_status_parse(VG_GRPC_INTERNAL, VG_VIEW("a\xff"), (struct vg_view){NULL, 0}, &back);
    assert_string_equal(back.detail, "");
}

static void status__a_long_text_is_cut(void **state)
{
    char text[2000];
    struct vg_err back;

    (void)state;
    memset(text, 'x', sizeof text);
    vg_rpc_status_parse(VG_GRPC_INTERNAL, (struct vg_view){text, sizeof text},
                        (struct vg_view){NULL, 0}, &back);
    assert_int_equal(strlen(back.detail), sizeof back.detail - 1);
}

/* Reasons of another domain are not ours, whatever they are called. */
static void status__foreign_reasons_are_not_taken_for_ours(void **state)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any *details[] = {&any};
    uint8_t value[64];
    uint8_t packed[256];
    struct vg_err back;

    (void)state;
    info.reason = (char *)"RATE_LIMITED";
    info.domain = (char *)"googleapis.com";
    any.type_url = (char *)"type.googleapis.com/google.rpc.ErrorInfo";
    any.value.data = value;
    any.value.len = protobuf_c_message_pack(&info.base, value);
    status.details = details;
    status.n_details = 1;
    size_t size = protobuf_c_message_pack(&status.base, packed);
    vg_rpc_status_parse(VG_GRPC_NOT_FOUND, VG_VIEW(""), (struct vg_view){(char *)packed, size},
                        &back);
    assert_int_equal(back.kind, vg_err_kind_by_grpc(VG_GRPC_NOT_FOUND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status__every_kind_survives_the_wire),
        cmocka_unit_test(status__leaves_out_what_is_not_there),
        cmocka_unit_test(status__longest_fields_fit),
        cmocka_unit_test(status__a_bare_code_stands_for_a_kind),
        cmocka_unit_test(status__garbage_details_are_ignored),
        cmocka_unit_test(status__text_that_is_not_utf8_is_dropped),
        cmocka_unit_test(status__a_long_text_is_cut),
        cmocka_unit_test(status__foreign_reasons_are_not_taken_for_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
