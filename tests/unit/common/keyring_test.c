/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/crypto.h"
#include "common/keyring.h"

#define OLD "the old secret key"
#define NEW "the new secret key"
#define AAD VG_VIEW("video_1")

static struct vg_keyring ring_of(const char *first, const char *others)
{
    struct vg_keyring ring;

    assert_int_equal(vg_keyring_init(&ring, first, others, NULL), 0);
    return ring;
}

static void seal(const struct vg_keyring *ring, struct vg_buf *out)
{
    vg_buf_init(out, 256);
    assert_int_equal(vg_keyring_seal(ring, out, AAD, VG_VIEW("secret")), 0);
}

static int opens(const struct vg_keyring *ring, struct vg_view aad, const struct vg_buf *sealed)
{
    struct vg_buf plain;

    vg_buf_init(&plain, 256);
    int rc = vg_keyring_open(ring, &plain, aad, vg_buf_view(sealed));
    if (rc == 0)
        assert_true(vg_view_eqs(vg_buf_view(&plain), "secret"));
    else
        assert_int_equal(plain.len, 0);
    vg_buf_fini(&plain);
    return rc;
}

static void keyring__a_rotation(void **state)
{
    struct vg_keyring before = ring_of(OLD, NULL), coming = ring_of(OLD, NEW),
                      during = ring_of(NEW, " " OLD " "), after = ring_of(NEW, "");
    struct vg_buf old, fresh;
    (void)state;

    seal(&before, &old);
    assert_int_equal(opens(&before, AAD, &old), 0);
    assert_int_equal(opens(&during, AAD, &old), 0);
    assert_int_equal(opens(&after, AAD, &old), -1);
    seal(&during, &fresh);
    assert_int_equal(opens(&coming, AAD, &fresh), 0); /* a replica that is not there yet */
    assert_int_equal(opens(&before, AAD, &fresh), -1);
    assert_int_equal(opens(&after, AAD, &fresh), 0);
    assert_int_equal(opens(&after, VG_VIEW("video_2"), &fresh), -1);
    assert_memory_equal(fresh.data, after.marks[0], VG_KEYRING_MARK);
    assert_memory_equal(old.data, before.marks[0], VG_KEYRING_MARK);
    assert_memory_not_equal(old.data, fresh.data, VG_KEYRING_MARK);
    vg_buf_fini(&old);
    vg_buf_fini(&fresh);
}

static void keyring__opens_what_has_no_mark(void **state)
{
    struct vg_keyring during = ring_of(NEW, OLD), after = ring_of(NEW, NULL);
    struct vg_buf old;
    uint8_t key[32];
    (void)state;

    vg_sha256(key, OLD, strlen(OLD));
    vg_buf_init(&old, 256);
    assert_int_equal(vg_seal(&old, key, AAD, VG_VIEW("secret")), 0);
    assert_int_equal(opens(&during, AAD, &old), 0);
    assert_int_equal(opens(&after, AAD, &old), -1);
    vg_buf_fini(&old);
}

static void keyring__every_flipped_bit_is_noticed(void **state)
{
    struct vg_keyring ring = ring_of(NEW, OLD);
    struct vg_buf sealed;
    (void)state;

    seal(&ring, &sealed);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(opens(&ring, AAD, &sealed), -1);
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t len = 0; len < sealed.len; len++) {
        struct vg_buf cut = sealed;
        cut.len = len;
        assert_int_equal(opens(&ring, AAD, &cut), -1);
    }
    vg_buf_fini(&sealed);
}

static void keyring__refuses(void **state)
{
    struct vg_keyring ring;
    struct vg_err err;
    (void)state;

    assert_int_equal(vg_keyring_init(&ring, "short", NULL, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "secret-key"));
    assert_int_equal(vg_keyring_init(&ring, NEW, OLD ",,", &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "old-secret-key"));
    assert_int_equal(ring.count, 0);
    assert_int_equal(vg_keyring_init(&ring, NEW,
                                     OLD "," OLD "," OLD "," OLD "," OLD "," OLD "," OLD "," OLD,
                                     &err),
                     -1);
}

static void keyring__without_room_changes_nothing(void **state)
{
    struct vg_keyring ring = ring_of(NEW, NULL);
    struct vg_buf out;
    (void)state;

    vg_buf_init(&out, 20);
    assert_int_equal(vg_buf_adds(&out, "x"), 0);
    assert_int_equal(vg_keyring_seal(&ring, &out, AAD, VG_VIEW("secret")), -1);
    assert_int_equal(out.len, 1);
    vg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyring__a_rotation),
        cmocka_unit_test(keyring__opens_what_has_no_mark),
        cmocka_unit_test(keyring__every_flipped_bit_is_noticed),
        cmocka_unit_test(keyring__refuses),
        cmocka_unit_test(keyring__without_room_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
