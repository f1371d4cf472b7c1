/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/picture.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <libavutil/log.h>
#include <string.h>

#include "common/mem.h"
#include "tests/unit/workers/media.h"

static void picture__every_format_shows_the_same(void **state)
{
    static const char *const encoders[] = {"png", "mjpeg", "libwebp"};
    struct vg_picture *pictures[3];
    struct vg_err err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct vg_buf bytes;
        vg_buf_init(&bytes, 1 << 20);
        test_picture(&bytes, encoders[i], 200, 120, 0);
        assert_int_equal(vg_picture_decode(&pictures[i], vg_buf_view(&bytes), 320, 180,
                                           VG_PICTURE_LETTERBOX, "image", &err),
                         0);
        assert_int_equal(pictures[i]->width, 320);
        assert_int_equal(pictures[i]->height, 180);
        vg_buf_fini(&bytes);
    }
    assert_true(test_psnr(pictures[0], pictures[1]) > 30);
    assert_true(test_psnr(pictures[0], pictures[2]) > 30);
    for (int i = 0; i < 3; i++)
        vg_picture_free(pictures[i]);
}

static void picture__letterbox_keeps_the_shape(void **state)
{
    struct vg_picture *picture;
    struct vg_buf bytes;
    (void)state;
    vg_buf_init(&bytes, 1 << 20);
    test_picture(&bytes, "png", 100, 100, 0);
    assert_int_equal(vg_picture_decode(&picture, vg_buf_view(&bytes), 320, 180,
                                       VG_PICTURE_LETTERBOX, "image", NULL),
                     0);
    const uint8_t *row = picture->y + (ptrdiff_t)90 * 320;
    assert_int_equal(row[0], 16);
    assert_int_equal(row[66], 16);
    assert_true(row[75] > 20);
    assert_true(row[240] > 20);
    assert_int_equal(row[253], 16);
    assert_int_equal(picture->u[(ptrdiff_t)45 * 160], 128);
    vg_picture_free(picture);
    assert_int_equal(
        vg_picture_decode(&picture, vg_buf_view(&bytes), 60, 40, VG_PICTURE_INSET, "image", NULL),
        0);
    assert_int_equal(picture->width, 40);
    assert_int_equal(picture->height, 40);
    vg_picture_free(picture);
    vg_buf_fini(&bytes);
}

static void picture__transparency_lies_over_black(void **state)
{
    struct vg_picture *picture;
    struct vg_buf bytes;
    (void)state;
    vg_buf_init(&bytes, 1 << 20);
    test_half_transparent(&bytes, 64, 64);
    assert_int_equal(vg_picture_decode(&picture, vg_buf_view(&bytes), 64, 64, VG_PICTURE_LETTERBOX,
                                       "image", NULL),
                     0);
    assert_true(picture->y[10] >= 233);
    assert_true(picture->y[50] <= 18);
    vg_picture_free(picture);
    vg_buf_fini(&bytes);
}

static void expect_refused(struct vg_view bytes, const char *words)
{
    struct vg_picture *picture;
    struct vg_err err;
    assert_int_equal(
        vg_picture_decode(&picture, bytes, 64, 64, VG_PICTURE_LETTERBOX, "last_frame", &err), -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(err.param, "last_frame");
    assert_non_null(strstr(err.detail, words));
}

static void picture__refuses_what_is_no_picture(void **state)
{
    (void)state;
    expect_refused((struct vg_view){"", 0}, "empty");
    expect_refused(VG_VIEW("GIF89a not one of ours"), "not PNG, JPEG or WebP");
    expect_refused(VG_VIEW("\x89PNG\r\n\x1a\n"), "damaged");
    expect_refused(VG_VIEW("\xff\xd8\xff"), "damaged");
    expect_refused(VG_VIEW("RIFF\x10\0\0\0WEBP"), "damaged");
    struct vg_buf big;
    vg_buf_init(&big, VG_PICTURE_MAX_BYTES + 1);
    assert_non_null(vg_buf_reserve(&big, VG_PICTURE_MAX_BYTES + 1));
    memset(big.data, 0, VG_PICTURE_MAX_BYTES + 1);
    vg_buf_commit(&big, VG_PICTURE_MAX_BYTES + 1);
    expect_refused(vg_buf_view(&big), "larger than 20 MiB");
    vg_buf_fini(&big);
}

static void picture__refuses_a_side_that_is_too_long(void **state)
{
    struct vg_buf bytes;
    (void)state;
    vg_buf_init(&bytes, 1 << 20);
    test_picture(&bytes, "png", VG_PICTURE_MAX_SIDE + 8, 8, 0);
    expect_refused(vg_buf_view(&bytes), "larger than 8192");
    vg_buf_fini(&bytes);
}

static void picture__refuses_cut_files(void **state)
{
    static const char *const encoders[] = {"png", "mjpeg", "libwebp"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct vg_buf bytes;
        vg_buf_init(&bytes, 1 << 20);
        test_picture(&bytes, encoders[i], 200, 120, 0);
        expect_refused((struct vg_view){bytes.data, bytes.len / 2}, "damaged");
        vg_buf_fini(&bytes);
    }
}

/* Whatever the bytes say, the answer is a picture of the asked size or an error. */
static void picture__survives_flipped_bytes(void **state)
{
    static const char *const encoders[] = {"png", "mjpeg", "libwebp"};
    uint32_t random = 12345;
    (void)state;
    for (int round = 0; round < 600; round++) {
        struct vg_picture *picture;
        struct vg_buf bytes;
        vg_buf_init(&bytes, 1 << 20);
        test_picture(&bytes, encoders[round % 3], 40, 30, 0);
        for (int flip = 0; flip < 4; flip++) {
            random = random * 1664525 + 1013904223;
            ((uint8_t *)bytes.data)[random / 256 % bytes.len] ^= (uint8_t)random;
        }
        if (vg_picture_decode(&picture, vg_buf_view(&bytes), 64, 64, VG_PICTURE_LETTERBOX, "image",
                              NULL) == 0) {
            assert_int_equal(picture->width, 64);
            vg_picture_free(picture);
        }
        vg_buf_fini(&bytes);
    }
}

static void picture__mix_goes_from_one_to_the_other(void **state)
{
    (void)state;
    struct vg_picture *a = vg_picture_new(4, 4);
    struct vg_picture *b = vg_picture_new(4, 4);
    struct vg_picture *c = vg_picture_new(4, 4);
    memset(b->y, 216, 16);
    vg_picture_mix(c, a, b, 256);
    assert_int_equal(c->y[5], 16);
    vg_picture_mix(c, a, b, 0);
    assert_int_equal(c->y[5], 216);
    vg_picture_mix(c, a, b, 128);
    assert_int_equal(c->y[5], 116);
    assert_int_equal(c->u[1], 128);
    vg_picture_free(a);
    vg_picture_free(b);
    vg_picture_free(c);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picture__every_format_shows_the_same),
        cmocka_unit_test(picture__letterbox_keeps_the_shape),
        cmocka_unit_test(picture__transparency_lies_over_black),
        cmocka_unit_test(picture__refuses_what_is_no_picture),
        cmocka_unit_test(picture__refuses_a_side_that_is_too_long),
        cmocka_unit_test(picture__refuses_cut_files),
        cmocka_unit_test(picture__survives_flipped_bytes),
        cmocka_unit_test(picture__mix_goes_from_one_to_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
