/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"

static const char *hex_of(const uint8_t digest[VG_SHA256_SIZE])
{
    static char text[VG_SHA256_HEX_SIZE];
    vg_hex_encode(text, digest, VG_SHA256_SIZE);
    return text;
}

/* FIPS 180-4 examples. */
static const struct {
    const char *text, *hex;
} sha_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256__matches_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(sha_vectors); i++) {
        uint8_t digest[VG_SHA256_SIZE];
        vg_sha256(digest, sha_vectors[i].text, strlen(sha_vectors[i].text));
        assert_string_equal(hex_of(digest), sha_vectors[i].hex);
    }
}

static void sha256__piecewise_is_the_same(void **state)
{
    (void)state;
    struct vg_sha256 *sha = vg_sha256_new();
    char block[1000], hex[VG_SHA256_HEX_SIZE];
    memset(block, 'a', sizeof block);
    for (int i = 0; i < 1000; i++)
        vg_sha256_update(sha, block, sizeof block);
    vg_sha256_hex(sha, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_null(vg_sha256_free(sha));
    assert_null(vg_sha256_free(NULL));
}

/* RFC 4231 test cases 1, 2, 6 and the empty key. */
static void hmac__matches_rfc_4231(void **state)
{
    (void)state;
    char key[131];
    uint8_t mac[VG_SHA256_SIZE];
    memset(key, 0x0b, 20);
    vg_hmac_sha256(mac, (struct vg_view){key, 20}, VG_VIEW("Hi There"));
    assert_string_equal(hex_of(mac),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    vg_hmac_sha256(mac, VG_VIEW("Jefe"), VG_VIEW("what do ya want for nothing?"));
    assert_string_equal(hex_of(mac),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    vg_hmac_sha256(mac, (struct vg_view){key, sizeof key},
                   VG_VIEW("Test Using Larger Than Block-Size Key - Hash Key First"));
    assert_string_equal(hex_of(mac),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    vg_hmac_sha256(mac, VG_VIEW(""), VG_VIEW(""));
    assert_string_equal(hex_of(mac),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void webhook__matches_the_standard_vector(void **state)
{
    (void)state;
    char signature[48];
    vg_webhook_sign(signature, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                    "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, VG_VIEW("{\"test\": 2432232314}"));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void webhook__other_secrets_are_raw_bytes(void **state)
{
    (void)state;
    static const char *const secrets[] = {"your-secret", "whsec_not base64!", "whsec_A"};
    for (size_t i = 0; i < VG_COUNT(secrets); i++) {
        char signature[48], expected[48] = "v1,";
        uint8_t mac[VG_SHA256_SIZE];
        vg_hmac_sha256(mac, vg_view_of(secrets[i]), VG_VIEW("evt_1.1700000000.{}"));
        vg_base64_encode(expected + 3, mac, sizeof mac);
        vg_webhook_sign(signature, secrets[i], "evt_1", 1700000000, VG_VIEW("{}"));
        assert_string_equal(signature, expected);
    }
}

static void equal_ct__tells_apart(void **state)
{
    (void)state;
    assert_true(vg_equal_ct("abcd", "abcd", 4));
    assert_false(vg_equal_ct("abcd", "abce", 4));
    assert_true(vg_equal_ct("abcd", "abce", 3));
}

static void seal__opens_again(void **state)
{
    (void)state;
    static const char *const plains[] = {"", "s", "a longer secret of more than one block of AES"};
    uint8_t key[32];
    vg_sha256(key, "key", 3);
    for (size_t i = 0; i < VG_COUNT(plains); i++) {
        struct vg_buf sealed, again, plain;
        vg_buf_init(&sealed, 1000);
        vg_buf_init(&again, 1000);
        vg_buf_init(&plain, 1000);
        assert_int_equal(vg_seal(&sealed, key, VG_VIEW("row"), vg_view_of(plains[i])), 0);
        assert_int_equal(vg_seal(&again, key, VG_VIEW("row"), vg_view_of(plains[i])), 0);
        assert_int_equal(sealed.len, 12 + strlen(plains[i]) + 16);
        assert_false(vg_view_eq(vg_buf_view(&sealed), vg_buf_view(&again))); /* fresh nonce */
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), vg_buf_view(&sealed)), 0);
        assert_string_equal(vg_buf_view(&plain).data, plains[i]);
        vg_buf_fini(&sealed);
        vg_buf_fini(&again);
        vg_buf_fini(&plain);
    }
}

static void seal__every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t key[32];
    struct vg_buf sealed, plain;
    vg_sha256(key, "key", 3);
    vg_buf_init(&sealed, 1000);
    vg_buf_init(&plain, 1000);
    assert_int_equal(vg_seal(&sealed, key, VG_VIEW("row"), VG_VIEW("secret")), 0);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), vg_buf_view(&sealed)), -1);
        assert_int_equal(plain.len, 0);
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
    }
    struct vg_view all = vg_buf_view(&sealed);
    for (size_t len = 0; len < all.len; len++)
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), (struct vg_view){all.data, len}),
                         -1);
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("other"), all), -1);
    key[0] ^= 1;
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), all), -1);
    key[0] ^= 1;
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), all), 0);
    vg_buf_fini(&sealed);
    vg_buf_fini(&plain);
}

static void seal__without_room_changes_nothing(void **state)
{
    (void)state;
    uint8_t key[32] = {0};
    struct vg_buf small;
    vg_buf_init(&small, 30);
    assert_int_equal(vg_seal(&small, key, VG_VIEW(""), VG_VIEW("12345")), -1);
    assert_int_equal(small.len, 0);
    vg_buf_fini(&small);
}

static void api_key__is_wellformed_and_new_each_time(void **state)
{
    (void)state;
    char key[VG_API_KEY_SIZE], other[VG_API_KEY_SIZE];
    vg_api_key_new(key);
    vg_api_key_new(other);
    assert_int_equal(strlen(key), VG_API_KEY_SIZE - 1);
    assert_memory_equal(key, "vg_", 3);
    assert_string_not_equal(key, other);
    assert_true(vg_api_key_wellformed(key, strlen(key)));
}

static void api_key__checksum_catches_every_changed_character(void **state)
{
    (void)state;
    char key[VG_API_KEY_SIZE];
    vg_api_key_new(key);
    for (size_t i = 0; i < VG_API_KEY_SIZE - 1; i++) {
        char kept = key[i];
        key[i] = kept == 'a' ? 'b' : 'a';
        assert_false(vg_api_key_wellformed(key, VG_API_KEY_SIZE - 1));
        key[i] = '!';
        assert_false(vg_api_key_wellformed(key, VG_API_KEY_SIZE - 1));
        key[i] = kept;
    }
    assert_false(vg_api_key_wellformed(key, VG_API_KEY_SIZE - 2));
    assert_false(vg_api_key_wellformed(key, 0));
    assert_true(vg_api_key_wellformed(key, VG_API_KEY_SIZE - 1));
}

/* Keys live in databases for years: the checksum's definition is frozen. CRC-32 (IEEE) of the first
 * 43 characters. */
static void api_key__checksum_is_frozen(void **state)
{
    (void)state;
    static const char key[] = "vg_0000000000000000000000000000000000000000"
                              "34arTE";
    assert_true(vg_api_key_wellformed(key, sizeof key - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256__matches_the_vectors),
        cmocka_unit_test(sha256__piecewise_is_the_same),
        cmocka_unit_test(hmac__matches_rfc_4231),
        cmocka_unit_test(webhook__matches_the_standard_vector),
        cmocka_unit_test(webhook__other_secrets_are_raw_bytes),
        cmocka_unit_test(equal_ct__tells_apart),
        cmocka_unit_test(seal__opens_again),
        cmocka_unit_test(seal__every_flipped_bit_is_noticed),
        cmocka_unit_test(seal__without_room_changes_nothing),
        cmocka_unit_test(api_key__is_wellformed_and_new_each_time),
        cmocka_unit_test(api_key__checksum_catches_every_changed_character),
        cmocka_unit_test(api_key__checksum_is_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
