/* SPDX-License-Identifier: Apache-2.0 */
#include "service/pepper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/api_key.h"

#define KEY VG_VIEW("vg_some key or other")
#define SECRET "a secret key of the tests"

static struct vg_peppers *make(const char *text, const char *secret_key)
{
    struct vg_peppers *peppers = NULL;
    struct vg_err err;

    assert_int_equal(vg_peppers_new(&peppers, text, secret_key, NULL, &err), 0);
    return peppers;
}

static bool opens(const char *text, const char *secret_key, const struct vg_peppered *row)
{
    struct vg_peppers *peppers = make(text, secret_key);
    bool good = vg_pepper_check(peppers, KEY, row);

    (void)vg_peppers_free(peppers);
    return good;
}

static struct vg_peppered row_of(const char *text, const char *secret_key)
{
    struct vg_peppers *peppers = make(text, secret_key);
    struct vg_peppered row;

    vg_pepper_make(peppers, KEY, &row);
    (void)vg_peppers_free(peppers);
    return row;
}

static void pepper__knows_its_own_alone(void **state)
{
    (void)state;
    struct vg_peppers *peppers = make(NULL, SECRET);
    struct vg_peppered row, none = {.pepper = 0};

    vg_pepper_make(peppers, KEY, &row);
    assert_int_not_equal(row.pepper, 0);
    assert_true(vg_pepper_check(peppers, KEY, &row));
    assert_false(vg_pepper_check(peppers, VG_VIEW("vg_another"), &row));
    assert_false(vg_pepper_check(peppers, KEY, NULL));
    assert_false(vg_pepper_check(peppers, KEY, &none));
    row.hash[31] ^= 1;
    assert_false(vg_pepper_check(peppers, KEY, &row));
    (void)vg_peppers_free(peppers);
}

/* A row whose pepper nobody knows is nobody's, whatever its hash. */
static void pepper__goes_by_the_name(void **state)
{
    (void)state;
    struct vg_peppered row = row_of(NULL, SECRET);

    row.pepper ^= 2;
    assert_false(opens(NULL, SECRET, &row));
}

static void pepper__can_be_replaced(void **state)
{
    (void)state;
    const char *old = "the first pepper", *both = "the second pepper, the first pepper";
    struct vg_peppered row = row_of(old, SECRET), fresh = row_of(both, SECRET);

    assert_int_not_equal(row.pepper, fresh.pepper);
    assert_true(opens(both, SECRET, &row));
    assert_true(opens("the second pepper", SECRET, &fresh));
    assert_false(opens("the second pepper", SECRET, &row));
    assert_false(opens(NULL, SECRET, &row));
}

/* Keys made before key-peppers was set stay good; a configured pepper does not hang on secret-key.
 */
static void pepper__of_secret_key_stays_good(void **state)
{
    (void)state;
    struct vg_peppered derived = row_of("", SECRET), own = row_of("the first pepper", SECRET);

    assert_true(opens("the first pepper", SECRET, &derived));
    assert_false(opens("the first pepper", "another secret key", &derived));
    assert_true(opens("the first pepper", "another secret key", &own));
}

static void pepper__refuses_bad_lists(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "short", "0123456789abcdef,", ",0123456789abcdef", "0123456789abcdef,short",
        ("0123456789abcdef1,0123456789abcdef2,0123456789abcdef3,0123456789abcdef4,"
         "0123456789abcdef5,"
         "0123456789abcdef6,0123456789abcdef7,0123456789abcdef8,0123456789abcdef9")};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct vg_peppers *peppers = NULL;
        struct vg_err err;
        assert_int_equal(vg_peppers_new(&peppers, bad[i], SECRET, NULL, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pepper__knows_its_own_alone),
        cmocka_unit_test(pepper__goes_by_the_name),
        cmocka_unit_test(pepper__can_be_replaced),
        cmocka_unit_test(pepper__of_secret_key_stays_good),
        cmocka_unit_test(pepper__refuses_bad_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
