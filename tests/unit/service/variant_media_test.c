/* SPDX-License-Identifier: Apache-2.0 */
#include "service/variant_media.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

/* The fuzzer's seeds, made with ffmpeg. */
struct file {
    char *data;
    size_t size;
    int64_t reads_left; /* then it is stopped */
    bool broken;        /* the disk fails */
};

static struct file load(const char *name)
{
    char path[512];
    struct file f = {.data = vg_xalloc(1 << 16), .reads_left = 1000000};
    (void)snprintf(path, sizeof(path), "%s/%s", VG_CLIPS, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    f.size = fread(f.data, 1, 1 << 16, file);
    assert_int_equal(fclose(file), 0);
    assert_true(f.size > 0);
    return f;
}

static int read_file(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len)
{
    const struct file *f = ctx;
    if (f->broken)
        return -1;
    assert_in_range(offset, 0, f->size);
    *out_len = len < f->size - (size_t)offset ? len : f->size - (size_t)offset;
    memcpy(buf, f->data + offset, *out_len);
    return 0;
}

static bool stop(void *ctx)
{
    return --((struct file *)ctx)->reads_left < 0;
}

static struct vg_variant_source source_of(struct file *f)
{
    return (struct vg_variant_source){
        .ctx = f, .size = (int64_t)f->size, .read = read_file, .stop = stop};
}

static unsigned le24(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (unsigned)u[0] | (unsigned)u[1] << 8 | (unsigned)u[2] << 16;
}

/* A lossy WebP: RIFF, then a VP8 frame whose head has the size. */
static void check_webp(const struct vg_buf *out, unsigned width, unsigned height)
{
    assert_true(out->len > 30);
    assert_memory_equal(out->data, "RIFF", 4);
    assert_memory_equal(out->data + 8, "WEBPVP8 ", 8);
    assert_memory_equal(out->data + 23, "\x9d\x01\x2a", 3);
    assert_int_equal(le24(out->data + 26) & 0x3fff, width);
    assert_int_equal(le24(out->data + 28) & 0x3fff, height);
}

/* Width and height of the frame header (SOF0). */
static void check_jpeg(const struct vg_buf *out, unsigned width, unsigned height)
{
    const unsigned char *u = (const unsigned char *)out->data;
    assert_memory_equal(u, "\xff\xd8\xff", 3);
    assert_memory_equal(u + out->len - 2, "\xff\xd9", 2);
    for (size_t at = 2; at + 9 < out->len; at += 2U + ((size_t)u[at + 2] << 8 | u[at + 3])) {
        assert_int_equal(u[at], 0xff);
        if (u[at + 1] != 0xc0)
            continue;
        assert_int_equal((unsigned)u[at + 5] << 8 | u[at + 6], height);
        assert_int_equal((unsigned)u[at + 7] << 8 | u[at + 8], width);
        return;
    }
    fail_msg("no frame header");
}

static void media__makes_both_of_each_format(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned width, height; /* thumbnail */
        unsigned sheet_height;
    } cases[] = {
        {"colour.mp4", 96, 54, 4 * 90},
        {"fragments.mp4", 36, 64, 4 * 284},
        {"small.webm", 64, 36, 4 * 90},
        {"black.mp4", 64, 36, 4 * 90}, /* nothing better than black */
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct file f = load(cases[i].name);
        const struct vg_variant_source source = source_of(&f);
        struct vg_err err;
        struct vg_buf out;
        vg_buf_init(&out, VG_VARIANT_MAX_BYTES);
        if (vg_variant_thumbnail(&source, &out, &err) < 0)
            fail_msg("%s: %s", cases[i].name, vg_err_text(&err));
        check_webp(&out, cases[i].width, cases[i].height);
        vg_buf_clear(&out);
        if (vg_variant_spritesheet(&source, &out, &err) < 0)
            fail_msg("%s: %s", cases[i].name, vg_err_text(&err));
        check_jpeg(&out, 800, cases[i].sheet_height);
        vg_buf_fini(&out);
        free(f.data);
    }
}

static void media__is_the_same_each_time(void **state)
{
    (void)state;
    struct file f = load("colour.mp4");
    const struct vg_variant_source source = source_of(&f);
    struct vg_buf out[2];
    for (size_t i = 0; i < 2; i++) {
        vg_buf_init(&out[i], VG_VARIANT_MAX_BYTES);
        assert_int_equal(vg_variant_thumbnail(&source, &out[i], NULL), 0);
        assert_int_equal(vg_variant_spritesheet(&source, &out[i], NULL), 0);
    }
    assert_int_equal(out[0].len, out[1].len);
    assert_memory_equal(out[0].data, out[1].data, out[0].len);
    vg_buf_fini(&out[0]);
    vg_buf_fini(&out[1]);
    free(f.data);
}

/* The red half is a far larger file than a black picture: colour has been chosen. */
static void media__passes_over_a_black_beginning(void **state)
{
    (void)state;
    struct file black = load("black.mp4");
    struct file first = load("black_first.mp4");
    const struct vg_variant_source black_source = source_of(&black);
    const struct vg_variant_source first_source = source_of(&first);
    struct vg_buf a, b;
    vg_buf_init(&a, VG_VARIANT_MAX_BYTES);
    vg_buf_init(&b, VG_VARIANT_MAX_BYTES);
    assert_int_equal(vg_variant_thumbnail(&black_source, &a, NULL), 0);
    assert_int_equal(vg_variant_thumbnail(&first_source, &b, NULL), 0);
    assert_false(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    vg_buf_fini(&a);
    vg_buf_fini(&b);
    free(black.data);
    free(first.data);
}

static void refused(struct file *f)
{
    const struct vg_variant_source source = source_of(f);
    struct vg_err err = {.kind = VG_ERR_MAX};
    struct vg_buf out;
    vg_buf_init(&out, VG_VARIANT_MAX_BYTES);
    assert_int_equal(vg_variant_thumbnail(&source, &out, &err), -1);
    assert_int_equal(err.kind, VG_ERR_NO_VARIANT);
    assert_true(err.detail[0]);
    assert_int_equal(vg_variant_spritesheet(&source, &out, &err), -1);
    assert_int_equal(out.len, 0);
    vg_buf_fini(&out);
}

static void media__refuses_what_is_no_video(void **state)
{
    (void)state;
    static const char *const names[] = {"sound.mp4", "cut.mp4"};
    for (size_t i = 0; i < VG_COUNT(names); i++) {
        struct file f = load(names[i]);
        refused(&f);
        free(f.data);
    }
    static char junk[] = "#EXTM3U\nfile:///etc/passwd\n"; /* a format that is not on the list */
    struct file f = {.data = junk, .size = sizeof(junk) - 1, .reads_left = 1000000};
    refused(&f);
    f.size = 0;
    refused(&f);
}

static void media__refuses_too_many_pixels(void **state)
{
    (void)state;
    struct file f = load("colour.mp4");
    /* The size as the track's description says it (stsd: avc1). */
    size_t at = 0;
    for (size_t i = 0; i + 36 < f.size; i++)
        if (memcmp(f.data + i, "avc1", 4) == 0 && f.data[i + 29] == 96)
            at = i;
    assert_true(at > 0);
    memcpy(f.data + at + 28, "\x7f\xff\x7f\xff", 4);
    refused(&f);
    free(f.data);
}

static void media__ends_when_told(void **state)
{
    (void)state;
    for (int64_t reads = 0; reads < 40; reads++) {
        struct file f = load("colour.mp4");
        f.reads_left = reads;
        const struct vg_variant_source source = source_of(&f);
        struct vg_err err = {.kind = VG_ERR_MAX};
        struct vg_buf out;
        vg_buf_init(&out, VG_VARIANT_MAX_BYTES);
        if (vg_variant_spritesheet(&source, &out, &err) < 0)
            assert_int_equal(err.kind, VG_ERR_NO_VARIANT);
        else
            assert_true(f.reads_left >= 0);
        vg_buf_fini(&out);
        free(f.data);
    }
    struct file f = load("colour.mp4");
    f.broken = true;
    refused(&f);
    free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(media__makes_both_of_each_format),
        cmocka_unit_test(media__is_the_same_each_time),
        cmocka_unit_test(media__passes_over_a_black_beginning),
        cmocka_unit_test(media__refuses_what_is_no_video),
        cmocka_unit_test(media__refuses_too_many_pixels),
        cmocka_unit_test(media__ends_when_told),
    };
    vg_variant_media_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
