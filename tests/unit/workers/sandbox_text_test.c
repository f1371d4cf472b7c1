/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/text.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define FONT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

static struct vg_mask *draw(const char *utf8, struct vg_text_box box)
{
    struct vg_text *text;
    assert_int_equal(vg_text_open(&text, FONT, NULL), 0);
    struct vg_mask *mask = vg_text_draw(text, utf8, box);
    vg_text_close(text);
    assert_true(mask->width <= box.width);
    return mask;
}

static long ink(const struct vg_mask *mask)
{
    long sum = 0;
    for (int i = 0; i < mask->width * mask->height; i++)
        sum += mask->data[i];
    return sum;
}

static const struct vg_text_box wide = {400, 200, 20, 8};

static void text__wraps_at_words(void **state)
{
    (void)state;
    struct vg_mask *one = draw("word", wide);
    struct vg_mask *many = draw("word word word word word word word word word word word", wide);
    assert_true(many->height >= 2 * one->height);
    assert_true(many->width > one->width);
    assert_true(ink(many) > 10 * ink(one));
    vg_mask_free(one);
    vg_mask_free(many);
}

static void text__newlines_begin_lines(void **state)
{
    (void)state;
    struct vg_mask *one = draw("a", wide);
    struct vg_mask *three = draw("a\n\na", wide);
    assert_int_equal(three->height, 3 * one->height);
    assert_true(ink(three) == 2 * ink(one));
    vg_mask_free(one);
    vg_mask_free(three);
}

static void text__breaks_long_words(void **state)
{
    char word[300];
    (void)state;
    memset(word, 'W', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    struct vg_mask *mask = draw(word, wide);
    assert_true(mask->height > 40);
    vg_mask_free(mask);
}

static void text__shrinks_then_cuts(void **state)
{
    (void)state;
    char *text = vg_xalloc(20001);
    for (int i = 0; i < 20000; i++)
        text[i] = i % 6 == 5 ? ' ' : 'x';
    struct vg_text_box box = {200, 60, 30, 10};
    struct vg_mask *mask = draw(text, box);
    assert_true(mask->height <= 60);
    assert_true(ink(mask) > 0);
    vg_mask_free(mask);
    free(text);
}

static void text__utf8_is_one_glyph_each(void **state)
{
    (void)state;
    struct vg_mask *plain = draw("uuuu", wide);
    struct vg_mask *umlaut = draw("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", wide);
    assert_int_equal(plain->width, umlaut->width);
    assert_true(ink(umlaut) > ink(plain));
    struct vg_mask *strange = draw("\xf0\x9f\x8e\xac \xe4\xbd\xa0\xe5\xa5\xbd \xd7\xa9", wide);
    vg_mask_free(plain);
    vg_mask_free(umlaut);
    vg_mask_free(strange);
}

static void text__nothing_is_a_mask_too(void **state)
{
    static const char *const texts[] = {"", " ", "\n", "\t \n \x01"};
    (void)state;
    for (size_t i = 0; i < VG_COUNT(texts); i++) {
        struct vg_mask *mask = draw(texts[i], wide);
        assert_true(mask->width >= 1 && mask->height >= 1);
        assert_int_equal(ink(mask), 0);
        vg_mask_free(mask);
    }
}

static void text__tiny_box_is_survived(void **state)
{
    (void)state;
    struct vg_text *text;
    assert_int_equal(vg_text_open(&text, FONT, NULL), 0);
    struct vg_text_box box = {1, 1, 4, 1};
    struct vg_mask *mask = vg_text_draw(text, "some words in no place", box);
    assert_true(mask->width >= 1);
    vg_mask_free(mask);
    vg_text_close(text);
}

static void text__missing_font_is_said(void **state)
{
    struct vg_text *text;
    struct vg_err err;
    (void)state;
    assert_int_equal(vg_text_open(&text, "/nowhere.ttf", &err), -1);
    assert_non_null(strstr(err.detail, "/nowhere.ttf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__wraps_at_words),
        cmocka_unit_test(text__newlines_begin_lines),
        cmocka_unit_test(text__breaks_long_words),
        cmocka_unit_test(text__shrinks_then_cuts),
        cmocka_unit_test(text__utf8_is_one_glyph_each),
        cmocka_unit_test(text__nothing_is_a_mask_too),
        cmocka_unit_test(text__tiny_box_is_survived),
        cmocka_unit_test(text__missing_font_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
