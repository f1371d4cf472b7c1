/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/render.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <libavutil/log.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "tests/unit/workers/media.h"
#include "workers/providers/sandbox/files.h"

static char dir[] = "/tmp/vg-render-XXXXXX";
static char path[64];
static char other[64];

static struct vg_render render_of(int width, int height, int seconds, bool audio)
{
    struct vg_render render = {.audio = audio, .path = path};
    render.scene.width = width;
    render.scene.height = height;
    render.scene.seconds = seconds;
    render.scene.prompt = "A test of the renderer with an \xc3\xa4 and a \xe2\x82\xac sign";
    render.scene.model = "sandbox";
    render.scene.font_file = TEST_FONT;
    return render;
}

static void render__makes_what_was_asked(void **state)
{
    struct test_clip clip;
    struct vg_err err;
    (void)state;
    struct vg_render render = render_of(320, 180, 2, true);
    assert_int_equal(vg_render_run(&render, &err), 0);
    test_clip_probe(&clip, path);
    assert_int_equal(clip.streams, 2);
    assert_true(clip.h264);
    assert_true(clip.aac);
    assert_int_equal(clip.width, 320);
    assert_int_equal(clip.height, 180);
    assert_int_equal(clip.channels, 2);
    assert_int_equal(clip.sample_rate, 48000);
    assert_int_equal(clip.frames, 48);
    assert_true(fabs(clip.duration - 2) < 0.001);
    assert_true(fabs(clip.video - 2) < 0.001);
    assert_true(fabs(clip.audio - 2) < 0.001);
    assert_true(clip.index_first);
    test_clip_fini(&clip);
}

static void render__without_audio_has_one_track(void **state)
{
    struct test_clip clip;
    (void)state;
    struct vg_render render = render_of(128, 256, 1, false);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&clip, path);
    assert_int_equal(clip.streams, 1);
    assert_int_equal(clip.width, 128);
    assert_int_equal(clip.height, 256);
    assert_int_equal(clip.frames, 24);
    test_clip_fini(&clip);
}

static void render__smallest_size_works(void **state)
{
    struct test_clip clip;
    (void)state;
    struct vg_render render = render_of(64, 64, 1, true);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&clip, path);
    assert_int_equal(clip.frames, 24);
    test_clip_fini(&clip);
}

static void render__first_and_last_frame_are_the_given(void **state)
{
    struct vg_buf first;
    struct vg_buf last;
    struct vg_picture *want_first;
    struct vg_picture *want_last;
    struct test_clip clip;
    struct vg_err err;
    (void)state;
    vg_buf_init(&first, 1 << 20);
    vg_buf_init(&last, 1 << 20);
    test_picture(&first, "png", 400, 300, 0);
    test_picture(&last, "mjpeg", 300, 400, 1);
    struct vg_render render = render_of(320, 180, 2, false);
    render.scene.first_frame = vg_buf_view(&first);
    render.scene.last_frame = vg_buf_view(&last);
    assert_int_equal(vg_render_run(&render, &err), 0);
    assert_int_equal(vg_picture_decode(&want_first, vg_buf_view(&first), 320, 180,
                                       VG_PICTURE_LETTERBOX, "", NULL),
                     0);
    assert_int_equal(
        vg_picture_decode(&want_last, vg_buf_view(&last), 320, 180, VG_PICTURE_LETTERBOX, "", NULL),
        0);
    test_clip_probe(&clip, path);
    assert_int_equal(clip.frames, 48);
    assert_true(test_psnr(clip.first, want_first) > 35);
    assert_true(test_psnr(clip.last, want_last) > 35);
    /* Half a second later the picture has given way to the animation. */
    assert_true(test_psnr(clip.middle, want_first) < 20);
    assert_true(test_psnr(clip.middle, want_last) < 20);
    test_clip_fini(&clip);
    vg_picture_free(want_first);
    vg_picture_free(want_last);
    vg_buf_fini(&first);
    vg_buf_fini(&last);
}

static struct vg_picture *draw(const struct vg_scene_desc *desc, int number)
{
    struct vg_scene *scene;
    struct vg_err err;
    assert_int_equal(vg_scene_new(&scene, desc, &err), 0);
    struct vg_picture *picture = vg_picture_new(desc->width, desc->height);
    vg_scene_draw(scene, number, picture);
    vg_scene_free(scene);
    return picture;
}

static int white_pixels(const struct vg_picture *picture, int from_row, int to_row)
{
    int count = 0;
    for (int i = from_row * picture->width; i < to_row * picture->width; i++)
        count += picture->y[i] > 225;
    return count;
}

static void scene__shows_the_prompt(void **state)
{
    (void)state;
    struct vg_render render = render_of(640, 360, 1, false);
    render.scene.prompt = "MMMM WWWW MMMM WWWW MMMM WWWW MMMM WWWW";
    struct vg_picture *with = draw(&render.scene, 5);
    render.scene.prompt = ".";
    struct vg_picture *without = draw(&render.scene, 5);
    assert_true(white_pixels(with, 180, 360) > 1000);
    assert_true(white_pixels(without, 180, 360) < 100);
    vg_picture_free(with);
    vg_picture_free(without);
}

static void scene__shows_references_as_insets(void **state)
{
    struct vg_buf bytes;
    (void)state;
    vg_buf_init(&bytes, 1 << 20);
    test_picture(&bytes, "png", 100, 100, 0);
    struct vg_render render = render_of(640, 360, 1, false);
    struct vg_picture *without = draw(&render.scene, 3);
    for (int i = 0; i < VG_SCENE_INSETS; i++)
        render.scene.insets[i] = vg_buf_view(&bytes);
    struct vg_picture *with = draw(&render.scene, 3);
    /* Right upper corner: the white frame of the first inset, the inset within. */
    assert_int_equal(with->y[(ptrdiff_t)13 * 640 + 600], 235);
    assert_int_not_equal(without->y[(ptrdiff_t)13 * 640 + 600], 235);
    assert_int_not_equal(with->y[(ptrdiff_t)40 * 640 + 600], 235);
    int same = 0;
    for (int x = 0; x < 300; x++)
        same += with->y[(ptrdiff_t)150 * 640 + x] == without->y[(ptrdiff_t)150 * 640 + x];
    assert_int_equal(same, 300);
    vg_picture_free(with);
    vg_picture_free(without);
    vg_buf_fini(&bytes);
}

static void scene__moves_and_stands_still(void **state)
{
    (void)state;
    struct vg_render render = render_of(320, 180, 2, false);
    struct vg_picture *a = draw(&render.scene, 0);
    struct vg_picture *b = draw(&render.scene, 40);
    assert_true(test_psnr(a, b) < 35);
    render.scene.still = true;
    struct vg_picture *c = draw(&render.scene, 0);
    struct vg_picture *d = draw(&render.scene, 40);
    assert_true(test_psnr(c, d) == 99);
    vg_picture_free(a);
    vg_picture_free(b);
    vg_picture_free(c);
    vg_picture_free(d);
}

static void scene__outputs_of_one_prompt_differ(void **state)
{
    (void)state;
    struct vg_render render = render_of(320, 180, 1, false);
    struct vg_picture *a = draw(&render.scene, 0);
    render.scene.seed = 1;
    struct vg_picture *b = draw(&render.scene, 0);
    assert_true(test_psnr(a, b) < 30);
    vg_picture_free(a);
    vg_picture_free(b);
}

static void render__same_description_same_bytes(void **state)
{
    char sha_a[VG_SHA256_HEX_SIZE];
    char sha_b[VG_SHA256_HEX_SIZE];
    int64_t size_a;
    int64_t size_b;
    (void)state;
    struct vg_render render = render_of(160, 96, 1, true);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    assert_int_equal(vg_sandbox_hash_file(path, &size_a, sha_a, NULL), 0);
    render.path = other;
    assert_int_equal(vg_render_run(&render, NULL), 0);
    assert_int_equal(vg_sandbox_hash_file(other, &size_b, sha_b, NULL), 0);
    assert_int_equal(size_a, size_b);
    assert_string_equal(sha_a, sha_b);
}

static bool stop_at_half(void *ctx, int percent)
{
    *(int *)ctx = percent;
    return percent < 50;
}

static void render__cancel_leaves_no_file(void **state)
{
    struct vg_err err;
    int reached = 0;
    (void)state;
    struct vg_render render = render_of(160, 96, 1, true);
    render.progress = stop_at_half;
    render.ctx = &reached;
    assert_int_equal(vg_render_run(&render, &err), -1);
    assert_int_equal(err.kind, VG_ERR_CANCELLED);
    assert_int_equal(reached, 50);
    assert_int_equal(access(path, F_OK), -1);
}

static void render__errors_are_said(void **state)
{
    struct vg_err err;
    (void)state;
    (void)unlink(other);
    struct vg_render render = render_of(160, 96, 1, false);
    render.scene.font_file = "/nowhere/font.ttf";
    assert_int_equal(vg_render_run(&render, &err), -1);
    assert_non_null(strstr(err.detail, "/nowhere/font.ttf"));
    render = render_of(160, 96, 1, false);
    render.path = "/nowhere/clip.mp4";
    assert_int_equal(vg_render_run(&render, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INTERNAL);
    render = render_of(160, 96, 1, false);
    render.scene.last_frame = VG_VIEW("no picture");
    assert_int_equal(vg_render_run(&render, &err), -1);
    assert_string_equal(err.param, "last_frame");
    /* A full disk is told apart, wherever libav notices it. */
    render = render_of(320, 180, 2, true);
    assert_int_equal(symlink("/dev/full", other), 0); /* the link goes on failure, not the device */
    render.path = other;
    assert_int_equal(vg_render_run(&render, &err), -1);
    assert_int_equal(err.kind, VG_ERR_STORAGE_FULL);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/a.mp4", dir);
    (void)snprintf(other, sizeof(other), "%s/b.mp4", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(dir);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(render__makes_what_was_asked),
        cmocka_unit_test(render__without_audio_has_one_track),
        cmocka_unit_test(render__smallest_size_works),
        cmocka_unit_test(render__first_and_last_frame_are_the_given),
        cmocka_unit_test(scene__shows_the_prompt),
        cmocka_unit_test(scene__shows_references_as_insets),
        cmocka_unit_test(scene__moves_and_stands_still),
        cmocka_unit_test(scene__outputs_of_one_prompt_differ),
        cmocka_unit_test(render__same_description_same_bytes),
        cmocka_unit_test(render__cancel_leaves_no_file),
        cmocka_unit_test(render__errors_are_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
