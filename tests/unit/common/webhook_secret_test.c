/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/crypto.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/webhook_secret.h"

#define HMAC_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define AT 1614265330
#define BODY "{\"test\": 2432232314}"
#define HMAC_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
/* RFC 8032, 7.1, test 1: the private key, and with the public half behind it. */
#define PAIR "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
#define PAIR_LONG                                                                                  \
    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/"                               \
    "tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="
#define PUBLIC "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const char *sign(struct vg_buf *buf, const char *text)
{
    vg_buf_fini(buf);
    vg_buf_init(buf, 4096);
    assert_int_equal(vg_webhook_secret_sign(buf, text, ID, AT, VG_VIEW(BODY)), 0);
    assert_true(buf->data[0] == ' ');
    return buf->data + 1;
}

/* A strict verifier of one v1a signature. */
static bool verifies(const char *signature, const char *public_key, const char *id, long long at,
                     const char *body)
{
    uint8_t key[64], mac[128];
    size_t len = 0;
    char text[256];

    if (strncmp(signature, "v1a,", 4) != 0 || strlen(signature) != 4 + 88)
        return false;
    assert_int_equal(vg_base64_decode(key, &len, public_key + 5, strlen(public_key) - 5), 0);
    assert_int_equal(len, VG_ED25519_KEY_SIZE);
    assert_int_equal(vg_base64_decode(mac, &len, signature + 4, 88), 0);
    assert_int_equal(len, VG_ED25519_SIGNATURE_SIZE);
    int n = snprintf(text, sizeof(text), "%s.%lld.%s", id, at, body);
    return vg_ed25519_verify(key, mac, (struct vg_view){text, (size_t)n});
}

static void webhook_secret__both_kinds_sign(void **state)
{
    struct vg_buf buf = {.data = NULL};
    (void)state;

    assert_string_equal(sign(&buf, HMAC_SECRET), HMAC_SIGNATURE);
    assert_true(verifies(sign(&buf, PAIR), PUBLIC, ID, AT, BODY));
    assert_true(verifies(sign(&buf, PAIR_LONG), PUBLIC, ID, AT, BODY));
    assert_false(verifies(sign(&buf, PAIR), PUBLIC, ID, AT, BODY " "));
    assert_false(verifies(sign(&buf, PAIR), PUBLIC, ID, AT + 1, BODY));
    assert_false(verifies(sign(&buf, PAIR), PUBLIC, "msg_2", AT, BODY));
    vg_buf_fini(&buf);
}

static void webhook_secret__a_list_signs_with_all(void **state)
{
    struct vg_buf one = {.data = NULL}, all = {.data = NULL};
    (void)state;

    const char *both = sign(&all, HMAC_SECRET " " PAIR);
    const char *pair = sign(&one, PAIR);
    assert_memory_equal(both, HMAC_SIGNATURE " ", sizeof(HMAC_SIGNATURE));
    assert_string_equal(both + sizeof(HMAC_SIGNATURE), pair); /* ed25519 has no chance in it */
    /* One part that is none, or an eleventh: the whole is one raw secret. */
    static const char *const raw[] = {
        HMAC_SECRET " x", "x " HMAC_SECRET, HMAC_SECRET "  " HMAC_SECRET, HMAC_SECRET " ",
        "whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a whsec_a"};
    for (size_t i = 0; i < VG_COUNT(raw); i++)
        assert_null(strchr(sign(&all, raw[i]), ' '));
    vg_buf_fini(&one);
    vg_buf_fini(&all);
}

static void webhook_secret__bad_pairs_are_told(void **state)
{
    static const char *const bad[] = {
        "whsk_", "whsk_AAAA", "whsk_not base64",
        "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/"
        "tPJZAc6DuFy89qmIyWvAhpo9wdRGA==",
        HMAC_SECRET " whsk_AAAA"};
    static const char *const good[] = {
        HMAC_SECRET, PAIR, PAIR_LONG, "plain", HMAC_SECRET " " PAIR, "plain whsk_AAAA"};
    char out[VG_WEBHOOK_KEY_SIZE];
    (void)state;

    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_false(vg_webhook_secret_ok(bad[i]));
        assert_false(vg_webhook_secret_public(out, bad[i]));
    }
    for (size_t i = 0; i < VG_COUNT(good); i++)
        assert_true(vg_webhook_secret_ok(good[i]));
    assert_true(vg_webhook_secret_public(out, PAIR_LONG));
    assert_string_equal(out, PUBLIC);
}

static void webhook_secret__new_ones_differ_and_sign(void **state)
{
    char a[VG_WEBHOOK_KEY_SIZE], b[VG_WEBHOOK_KEY_SIZE], shown[VG_WEBHOOK_KEY_SIZE];
    struct vg_buf buf = {.data = NULL};
    (void)state;

    vg_webhook_secret_new(a, VG_WEBHOOK_V1);
    vg_webhook_secret_new(b, VG_WEBHOOK_V1);
    assert_int_equal(strlen(a), 6 + 32);
    assert_memory_equal(a, "whsec_", 6);
    assert_string_not_equal(a, b);
    assert_false(vg_webhook_secret_public(shown, a));
    vg_webhook_secret_new(a, VG_WEBHOOK_V1A);
    vg_webhook_secret_new(b, VG_WEBHOOK_V1A);
    assert_string_not_equal(a, b);
    assert_true(vg_webhook_secret_public(shown, a));
    assert_true(verifies(sign(&buf, a), shown, ID, AT, BODY));
    assert_false(verifies(sign(&buf, b), shown, ID, AT, BODY));
    vg_buf_fini(&buf);
}

static void webhook_secret__needs_room(void **state)
{
    struct vg_buf buf;
    (void)state;

    vg_buf_init(&buf, 20);
    assert_int_equal(vg_webhook_secret_sign(&buf, PAIR, ID, AT, VG_VIEW(BODY)), -1);
    vg_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(webhook_secret__both_kinds_sign),
        cmocka_unit_test(webhook_secret__a_list_signs_with_all),
        cmocka_unit_test(webhook_secret__bad_pairs_are_told),
        cmocka_unit_test(webhook_secret__new_ones_differ_and_sign),
        cmocka_unit_test(webhook_secret__needs_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
