/* SPDX-License-Identifier: Apache-2.0 */
#include "service/image_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/media.h"

static void expect(const struct vg_image_rules *rules, const char *type, int32_t width,
                   int32_t height, size_t bytes, const char *says)
{
    const struct vg_picture picture = {.info = {type, width, height}, .bytes = {NULL, bytes}};
    const struct vg_size video = {1280, 720};
    struct vg_buf why;
    vg_buf_init(&why, 512);
    bool fits = vg_image_fits(rules, &picture, video, &why);
    assert_int_equal(vg_image_fits(rules, &picture, video, NULL), fits);
    if (fits != !says || (says && strcmp(says, why.data) != 0))
        fail_msg("%s %dx%d: \"%s\"", type, width, height, why.data ? why.data : "fits");
    vg_buf_fini(&why);
}

static void image__fits_or_says_why(void **state)
{
    (void)state;
    struct vg_image_rules rules;
    vg_image_rules_default(&rules);
    expect(&rules, "image/png", 1, 1, 1, NULL);
    expect(&rules, "image/webp", VG_PICTURE_MAX_SIDE, 1, VG_PICTURE_MAX_BYTES, NULL);
    expect(&rules, "image/gif", 64, 64, 1,
           "type image/gif is unsupported (supported types: image/png, image/jpeg, image/webp)");
    rules = (struct vg_image_rules){.types = VG_IMAGE_JPEG,
                                    .max_bytes = 10 << 20,
                                    .min_side = 300,
                                    .max_side = 6000,
                                    .min_aspect = 0.4,
                                    .max_aspect = 2.5};
    expect(&rules, "image/jpeg", 300, 750, 10 << 20, NULL);
    expect(&rules, "image/jpeg", 750, 300, 1, NULL);
    expect(&rules, "image/png", 300, 300, 1,
           "type image/png is unsupported (supported types: image/jpeg)");
    expect(&rules, "image/jpeg", 299, 300, 1,
           "299x300 is unsupported (supported sides: 300 to 6000 pixels)");
    expect(&rules, "image/jpeg", 6001, 6000, 1,
           "6001x6000 is unsupported (supported sides: 300 to 6000 pixels)");
    expect(&rules, "image/jpeg", 300, 751, 1,
           "300x751 is unsupported (supported aspects, width over height: 0.4 to 2.5)");
    expect(&rules, "image/jpeg", 751, 300, 1,
           "751x300 is unsupported (supported aspects, width over height: 0.4 to 2.5)");
    expect(&rules, "image/jpeg", 300, 300, (10 << 20) + (1 << 19),
           "10.5MB are unsupported (supported: 10.0MB)");
    rules.match_size = true;
    expect(&rules, "image/jpeg", 1280, 720, 1, NULL);
    expect(&rules, "image/jpeg", 720, 1280, 1,
           "720x1280 must match the size of the video, 1280x720");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(image__fits_or_says_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
