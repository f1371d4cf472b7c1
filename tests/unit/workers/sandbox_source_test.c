/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/source.h"

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
#include "workers/providers/sandbox/render.h"

static char dir[] = "/tmp/vg-source-XXXXXX";
static char path[64];
static struct vg_buf source; /* two seconds of 320x180 */

static struct vg_render render_of(int seconds)
{
    struct vg_render render = {.audio = true, .path = path};
    render.scene.width = 320;
    render.scene.height = 180;
    render.scene.seconds = seconds;
    render.scene.prompt = "The source";
    render.scene.model = "sandbox";
    render.scene.font_file = TEST_FONT;
    return render;
}

static int set_up(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/clip.mp4", dir);
    struct vg_render render = render_of(2);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    vg_buf_init(&source, 64 << 20);
    assert_int_equal(vg_sandbox_read_file(&source, path, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vg_buf_fini(&source);
    (void)unlink(path);
    return rmdir(dir);
}

static void source__shows_each_frame_in_its_time(void **state)
{
    struct vg_source *s;
    const struct vg_picture *frame;
    struct test_clip clip;
    (void)state;
    struct vg_render render = render_of(2);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&clip, path);
    assert_int_equal(vg_source_open(&s, vg_buf_view(&source), 320, 180, NULL), 0);
    assert_true(vg_source_at(s, 0, &frame));
    assert_true(test_psnr(frame, clip.first) > 60);
    assert_true(vg_source_at(s, 47.0 / 24, &frame));
    assert_true(test_psnr(frame, clip.last) > 60);
    assert_false(vg_source_at(s, 2, &frame));
    assert_false(vg_source_at(s, 100, &frame));
    assert_true(test_psnr(frame, clip.last) > 60);
    vg_source_free(s);
    test_clip_fini(&clip);
}

static void source__fits_another_size(void **state)
{
    struct vg_source *s;
    const struct vg_picture *frame;
    (void)state;
    assert_int_equal(vg_source_open(&s, vg_buf_view(&source), 90, 160, NULL), 0);
    assert_true(vg_source_at(s, 1, &frame));
    assert_int_equal(frame->width, 90);
    assert_int_equal(frame->height, 160);
    assert_int_equal(frame->y[45], 16); /* a bar above */
    vg_source_free(s);
}

static void source__edit_keeps_length_and_changes_colour(void **state)
{
    struct test_clip before, after;
    (void)state;
    struct vg_render render = render_of(2);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&before, path);
    render.scene.source = vg_buf_view(&source);
    render.scene.prompt = "Make it blue";
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&after, path);
    assert_int_equal(after.frames, 48);
    assert_true(after.h264 && after.aac && after.index_first);
    /* Where no panel is: the same light, the colours changed about. */
    size_t at = (size_t)90 * 160 / 2 + 10;
    assert_true(abs((int)after.first->u[at] - (int)before.first->v[at]) < 6);
    assert_true(abs((int)after.first->v[at] - (int)before.first->u[at]) < 6);
    test_clip_fini(&before);
    test_clip_fini(&after);
}

static void source__extension_goes_on_from_its_end(void **state)
{
    struct test_clip before, after;
    (void)state;
    struct vg_render render = render_of(2);
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&before, path);
    render = render_of(4);
    render.scene.prompt = "And then it rains";
    render.scene.source = vg_buf_view(&source);
    render.scene.extend = true;
    assert_int_equal(vg_render_run(&render, NULL), 0);
    test_clip_probe(&after, path);
    assert_int_equal(after.frames, 96);
    assert_true(fabs(after.duration - 4) < 0.001);
    assert_true(test_psnr(after.first, before.first) > 30);
    assert_true(test_psnr(after.last, before.last) < 25);
    test_clip_fini(&before);
    test_clip_fini(&after);
}

static void refused(struct vg_view bytes)
{
    struct vg_source *s;
    struct vg_err err = {.kind = VG_ERR_MAX};
    assert_int_equal(vg_source_open(&s, bytes, 320, 180, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(err.param, "video");
}

static void source__refuses_what_cannot_be_decoded(void **state)
{
    struct vg_buf picture;
    (void)state;
    refused((struct vg_view){"", 0});
    refused(VG_VIEW("no video at all"));
    refused((struct vg_view){source.data, 500});
    vg_buf_init(&picture, 1 << 20);
    test_picture(&picture, "png", 64, 64, 1);
    refused(vg_buf_view(&picture));
    vg_buf_fini(&picture);
}

/* The index stands in front: what is cut off behind it is shorter, never worse. */
static void source__ends_where_it_is_cut(void **state)
{
    struct vg_source *s;
    const struct vg_picture *frame;
    (void)state;
    struct vg_view half = {source.data, source.len * 3 / 4};
    assert_int_equal(vg_source_open(&s, half, 320, 180, NULL), 0);
    assert_true(vg_source_at(s, 0, &frame));
    assert_false(vg_source_at(s, 1.99, &frame));
    vg_source_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source__shows_each_frame_in_its_time),
        cmocka_unit_test(source__fits_another_size),
        cmocka_unit_test(source__edit_keeps_length_and_changes_colour),
        cmocka_unit_test(source__extension_goes_on_from_its_end),
        cmocka_unit_test(source__refuses_what_cannot_be_decoded),
        cmocka_unit_test(source__ends_where_it_is_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
