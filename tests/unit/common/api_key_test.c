/* SPDX-License-Identifier: Apache-2.0 */
#include "common/api_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

#define OLD "vg_000000000000000000000000000000000000000034arTE"

static enum vg_api_key_form read_key(const char *key, char id[VG_ID_SIZE])
{
    return vg_api_key_read(vg_view_of(key), id);
}

static void api_key__carries_its_id(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "key_00000000000000000000000000000000", "key_00000000000000000000000000000001",
        "key_019234567890abcdef0123456789abcd", "key_ffffffffffffffffffffffffffffffff"};
    char key[VG_API_KEY_SIZE], other[VG_API_KEY_SIZE], id[VG_ID_SIZE];

    for (size_t i = 0; i < VG_COUNT(ids); i++) {
        vg_api_key_new(key, ids[i]);
        vg_api_key_new(other, ids[i]);
        assert_string_not_equal(key, other);
        assert_int_equal(strlen(key), VG_API_KEY_SIZE - 1);
        assert_memory_equal(key, "vg_", 3);
        assert_memory_equal(key, other, 26);
        assert_int_equal(read_key(key, id), VG_API_KEY_WITH_ID);
        assert_string_equal(id, ids[i]);
    }
}

static void api_key__checksum_catches_every_changed_character(void **state)
{
    (void)state;
    char key[VG_API_KEY_SIZE], id[VG_ID_SIZE];

    vg_id_new(id, "key");
    vg_api_key_new(key, id);
    for (size_t i = 0; key[i]; i++) {
        static const char others[] = {'a', 'b', '!', '_', '\x80', ' '};
        char kept = key[i];
        for (size_t j = 0; j < sizeof(others); j++) {
            if (others[j] == kept)
                continue;
            key[i] = others[j];
            assert_int_equal(read_key(key, id), VG_API_KEY_JUNK);
            assert_string_equal(id, "");
        }
        key[i] = kept;
    }
    assert_int_equal(read_key(key, id), VG_API_KEY_WITH_ID);
    for (size_t len = 0; len < VG_API_KEY_SIZE - 1; len++)
        assert_int_equal(vg_api_key_read((struct vg_view){key, len}, id), VG_API_KEY_JUNK);
    assert_int_equal(read_key("", id), VG_API_KEY_JUNK);
}

/* Keys live in databases for years: what makes one is frozen. CRC-32 (IEEE) in base62. */
static void api_key__form_is_frozen(void **state)
{
    (void)state;
    char id[VG_ID_SIZE];

    assert_int_equal(read_key(OLD, id), VG_API_KEY_OLD);
    assert_string_equal(id, "");
    assert_int_equal(
        read_key("vg_02xo5jsSawu899DBh7NISb_00000000000000000000000000000000026xtGk", id),
        VG_API_KEY_WITH_ID);
    assert_string_equal(id, "key_019234567890abcdef0123456789abcd");
}

/* 22 digits can say more than 128 bits; the checksum of this one is right. */
static void api_key__refuses_an_id_that_is_too_large(void **state)
{
    (void)state;
    char id[VG_ID_SIZE];

    assert_int_equal(
        read_key("vg_zzzzzzzzzzzzzzzzzzzzzz_00000000000000000000000000000000039GuFl", id),
        VG_API_KEY_JUNK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(api_key__carries_its_id),
        cmocka_unit_test(api_key__checksum_catches_every_changed_character),
        cmocka_unit_test(api_key__form_is_frozen),
        cmocka_unit_test(api_key__refuses_an_id_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
