/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <google/rpc/status.pb-c.h>
#include <videogate/v1/edge.pb-c.h>
#include <videogate/v1/worker.pb-c.h>

#define BAD (char *)"\xc3("
#define GOOD (char *)"gr\xc3\xb6n"

static void message__utf8_in_plain_strings(void **state)
{
    Videogate__V1__SubmitRequest request = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;

    (void)state;
    assert_true(vg_rpc_message_utf8(&request.base));
    request.prompt = GOOD;
    assert_true(vg_rpc_message_utf8(&request.base));
    request.model = BAD;
    assert_false(vg_rpc_message_utf8(&request.base));
}

static void message__utf8_in_the_set_member_of_a_oneof_alone(void **state)
{
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;
    Videogate__V1__Accepted accepted = VIDEOGATE__V1__ACCEPTED__INIT;

    (void)state;
    accepted.upstream_id = BAD;
    response.accepted = &accepted;
    assert_true(vg_rpc_message_utf8(&response.base));
    response.outcome_case = VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED;
    assert_false(vg_rpc_message_utf8(&response.base));
}

static void message__utf8_in_repeated_messages(void **state)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation rows[2] = {
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT,
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT};
    Google__Rpc__BadRequest__FieldViolation *list[] = {&rows[0], &rows[1]};

    (void)state;
    bad.field_violations = list;
    bad.n_field_violations = 2;
    rows[1].field = GOOD;
    assert_true(vg_rpc_message_utf8(&bad.base));
    rows[1].field = BAD;
    assert_false(vg_rpc_message_utf8(&bad.base));
}

static void message__unpack_is_strict_when_asked(void **state)
{
    const uint8_t bad_prompt[] = {0x1a, 0x01, 0xff};
    ProtobufCMessage *message;

    (void)state;
    assert_null(vg_rpc_message_unpack(&videogate__v1__submit_request__descriptor, bad_prompt,
                                      sizeof bad_prompt, true));
    message = vg_rpc_message_unpack(&videogate__v1__submit_request__descriptor, bad_prompt,
                                    sizeof bad_prompt, false);
    assert_non_null(message);
    protobuf_c_message_free_unpacked(message, NULL);
    assert_null(vg_rpc_message_unpack(&videogate__v1__submit_request__descriptor, bad_prompt, 2,
                                      false)); /* cut off */
}

/* `count` empty calls, two bytes each. */
static bool batch_bounded(size_t count)
{
    uint8_t *bytes = calloc(count, 2);

    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[2 * i] = 0x0a;
    bool bounded =
        vg_rpc_message_bounded(&videogate__v1__batch_request__descriptor, bytes, 2 * count);
    free(bytes);
    return bounded;
}

static void message__fields_are_bounded(void **state)
{
    (void)state;
    assert_true(batch_bounded(VG_RPC_FIELDS_MAX));
    assert_false(batch_bounded(VG_RPC_FIELDS_MAX + 1));
    /* Fields inside a field count as well. */
    size_t inner = VG_RPC_FIELDS_MAX * 2;
    uint8_t *bytes = calloc(1, inner + 5);
    assert_non_null(bytes);
    bytes[0] = 0x0a;
    for (size_t i = 0, rest = inner; i < 4; i++, rest >>= 7)
        bytes[1 + i] = (uint8_t)((rest & 0x7f) | (i < 3 ? 0x80 : 0));
    for (size_t i = 0; i < inner; i += 2)
        bytes[5 + i] = 0x10; /* timeout_ms: 0 */
    assert_false(
        vg_rpc_message_bounded(&videogate__v1__batch_request__descriptor, bytes, inner + 5));
    free(bytes);
}

static void message__malformed_bytes_are_not_bounded(void **state)
{
    static const struct {
        uint8_t bytes[12];
        size_t len;
    } rows[] = {
        {{0x0a}, 1},             /* no length */
        {{0x0a, 0x05, 0x00}, 3}, /* too short */
        {{0x0b, 0x0c}, 2},       /* groups */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 12},
        {{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 11},
        {{0x09, 0x00}, 2}, /* eight bytes wanted */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_false(vg_rpc_message_bounded(&videogate__v1__batch_request__descriptor,
                                            rows[i].bytes, rows[i].len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message__utf8_in_plain_strings),
        cmocka_unit_test(message__utf8_in_the_set_member_of_a_oneof_alone),
        cmocka_unit_test(message__utf8_in_repeated_messages),
        cmocka_unit_test(message__unpack_is_strict_when_asked),
        cmocka_unit_test(message__fields_are_bounded),
        cmocka_unit_test(message__malformed_bytes_are_not_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
