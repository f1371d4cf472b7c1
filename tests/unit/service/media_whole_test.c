/* SPDX-License-Identifier: Apache-2.0 */
#include "service/media_whole.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "service/media.h"

typedef bool whole_f(const uint8_t *data, size_t len);

static const char gif[] =
    "GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0"
    "\0\2\2D\1\0;";

/* Each length in a copy of its own, so that a read past the end is seen. */
static bool whole_at(whole_f *whole, const uint8_t *data, size_t len)
{
    uint8_t *copy = vg_xalloc(len);
    memcpy(copy, data, len);
    struct vg_media_info info;
    bool is = vg_media_sniff(copy, len, &info) && whole(copy, len);
    free(copy);
    return is;
}

static void check(whole_f *whole, const uint8_t *data, size_t len, size_t least, const char *name)
{
    uint8_t *longer = vg_xalloc(len + 1000);
    memcpy(longer, data, len);
    memset(longer + len, 'x', 1000);
    if (!whole_at(whole, data, len) || !whole_at(whole, longer, len + 1000))
        fail_msg("%s is whole", name);
    for (size_t cut = 1; cut < least; cut += cut < 2000 || cut > least - 2000 ? 1 : 97)
        if (whole_at(whole, data, cut))
            fail_msg("%s is not whole with %zu of %zu bytes", name, cut, len);
    free(longer);
}

static void whole__pictures_lose_it_with_their_last_byte(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        whole_f *whole;
        size_t after; /* bytes at the end without which it still is */
    } cases[] = {{"gray16.png", vg_png_whole, 0}, {"pal.png", vg_png_whole, 0},
                 {"rgba.png", vg_png_whole, 0},   {"small.png", vg_png_whole, 0},
                 {"small.jpg", vg_jpeg_whole, 0}, {"small.webp", vg_webp_whole, 0}};
    static uint8_t data[1 << 20];

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", VG_IMAGES, cases[i].file);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t len = fread(data, 1, sizeof(data), f);
        (void)fclose(f);
        check(cases[i].whole, data, len, len - cases[i].after, cases[i].file);
    }
    check(vg_gif_whole, (const uint8_t *)gif, sizeof(gif) - 1, sizeof(gif) - 1, "gif");
}

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void whole__needs_picture_data_and_sizes_that_fit(void **state)
{
    (void)state;
    static const char head[] = "\x89PNG\r\n\x1a\n";
    char png[64];
    memcpy(png, head, 8);
    memcpy(png + 8, "\0\0\0\0IEND....", 12);
    assert_false(vg_png_whole((const uint8_t *)png, 20)); /* nothing between head and end */
    memcpy(png + 8, "\xff\xff\xff\xffIDAT....", 12);
    assert_false(vg_png_whole((const uint8_t *)png, 20));
    assert_false(vg_jpeg_whole(BYTES("\xff\xd8\xff\xe0\0\4JF\xff\xd9"))); /* no scan */
    assert_false(vg_jpeg_whole(BYTES("\xff\xd8\xff\xda\0\4JFabc\xd9")));  /* not a mark */
    assert_false(vg_jpeg_whole(BYTES("\xff\xd8\xff\xda\0\4JF\xd9")));     /* its 0xff is ours */
    assert_true(vg_jpeg_whole(BYTES("\xff\xd8\xff\xda\0\4JFabc\xff\xd9\xd9\xd9")));
    assert_false(vg_jpeg_whole(BYTES("\xff\xd8\xff\xda\xff\4JFabc\xff\xd9"))); /* head too long */
    assert_false(vg_webp_whole(BYTES("RIFF\x16\0\0\0WEBPVP8 \xff\0\0\0..........")));
    assert_false(vg_webp_whole(BYTES("RIFF\0\0\0\0WEBPVP8 \0\0\0\0..........")));
    assert_true(vg_webp_whole(BYTES("RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0..........")));
    assert_true(vg_webp_whole(BYTES("RIFF\x15\0\0\0WEBPVP8 \x09\0\0\0.........")));
    assert_false(vg_gif_whole(BYTES("GIF89a\1\0\1\0\0\0\0;"))); /* no picture */
    assert_false(vg_gif_whole(BYTES("GIF89a\1\0\1\0\0\0\0Z;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole__pictures_lose_it_with_their_last_byte),
        cmocka_unit_test(whole__needs_picture_data_and_sizes_that_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
