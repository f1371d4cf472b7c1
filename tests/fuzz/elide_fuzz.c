/* SPDX-License-Identifier: Apache-2.0 */
/* Any text, cut anywhere: the filter's outcome is that of the text in one piece; what it lets
 * through parses exactly when the text does, into the same values but for strings left out; the
 * string handed on is the one in the parsed text, and its base64 is read as in one piece. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/base64_stream.h"
#include "workers/upstream/elide.h"

#define KEY "b"

struct run {
    struct vg_buf out, string;
    int rc;
    bool found;
};

static bool on_string(void *ctx, const char *data, size_t len)
{
    struct run *run = ctx;
    VG_ASSERT(vg_buf_add(&run->string, data, len) == 0);
    return true;
}

/* `pieces` gives the lengths of the pieces in turn. */
static void filter(struct run *run, struct vg_view text, size_t keep, struct vg_view pieces)
{
    vg_buf_init(&run->out, 1 << 20);
    vg_buf_init(&run->string, 1 << 20);
    const struct vg_elide_options options = {
        .out = &run->out, .keep = keep, .key = KEY, .index = 1, .on_string = on_string, .ctx = run};
    struct vg_elide *elide = vg_elide_new(&options);
    size_t at = 0, turn = 0;
    run->rc = 0;
    while (at < text.len && run->rc == 0) {
        size_t n = pieces.len ? (uint8_t)pieces.data[turn++ % pieces.len] % 16 + 1 : text.len;
        if (n > text.len - at)
            n = text.len - at;
        run->rc = vg_elide_feed(elide, text.data + at, n);
        at += n;
    }
    if (run->rc == 0)
        run->rc = vg_elide_end(elide);
    run->found = vg_elide_found(elide);
    vg_elide_free(elide);
}

struct walk {
    size_t keep;
    size_t seen;
    const char *wanted; /* the string that is to be handed on */
};

static void compare(struct walk *walk, const struct vg_json *full, const struct vg_json *thin,
                    bool under_key)
{
    VG_ASSERT(vg_json_type(full) == vg_json_type(thin));
    VG_ASSERT(vg_json_count(full) == vg_json_count(thin));
    const char *text = vg_json_string(full);
    if (text) {
        bool handed = under_key && walk->seen++ == 1;
        if (handed)
            walk->wanted = text;
        /* Escapes are longer as written, never shorter. */
        if (strlen(text) > walk->keep || handed)
            VG_ASSERT(!*vg_json_string(thin));
        else
            VG_ASSERT(!*vg_json_string(thin) || strcmp(text, vg_json_string(thin)) == 0);
    }
    bool object = vg_json_type(full) == VG_JSON_OBJECT;
    const struct vg_json *a = vg_json_first(full), *b = vg_json_first(thin);
    for (; a; a = vg_json_next(a), b = vg_json_next(b)) {
        VG_ASSERT(!object || strcmp(vg_json_key(a), vg_json_key(b)) == 0);
        compare(walk, a, b, object ? strcmp(vg_json_key(a), KEY) == 0 : under_key);
    }
}

static void check_base64(struct vg_view text, struct vg_view pieces)
{
    uint8_t *whole = vg_xalloc((text.len / 4 + 1) * 3);
    size_t len = 0, at = 0, turn = 0;
    int rc = vg_base64_decode(whole, &len, text.data, text.len), stream_rc = 0;
    struct vg_base64_stream stream = {.kept_len = 0};
    struct vg_buf out;
    vg_buf_init(&out, 1 << 20);
    while (at < text.len && stream_rc == 0) {
        size_t n = pieces.len ? (uint8_t)pieces.data[turn++ % pieces.len] % 16 + 1 : text.len;
        if (n > text.len - at)
            n = text.len - at;
        stream_rc = vg_base64_stream_feed(&stream, text.data + at, n, &out);
        at += n;
    }
    if (stream_rc == 0)
        stream_rc = vg_base64_stream_end(&stream, &out);
    VG_ASSERT(rc == stream_rc);
    if (rc == 0)
        VG_ASSERT(vg_view_eq(vg_buf_view(&out), (struct vg_view){(const char *)whole, len}));
    vg_buf_fini(&out);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 5 || size > 100000)
        return 0;
    /* The first byte is the length that still passes, the next four cut the text. */
    struct vg_view pieces = {(const char *)data + 1, 4}, text = {(const char *)data + 5, size - 5};
    struct run one, cut;
    filter(&one, text, data[0], (struct vg_view){"", 0});
    filter(&cut, text, data[0], pieces);
    VG_ASSERT(one.rc == cut.rc);
    struct vg_json *full = NULL, *thin = NULL;
    int full_rc = vg_json_parse(&full, text, NULL);
    if (one.rc == 0) {
        VG_ASSERT(vg_view_eq(vg_buf_view(&one.out), vg_buf_view(&cut.out)));
        VG_ASSERT(vg_view_eq(vg_buf_view(&one.string), vg_buf_view(&cut.string)));
        VG_ASSERT(one.found == cut.found);
        VG_ASSERT(vg_json_parse(&thin, vg_buf_view(&one.out), NULL) == full_rc);
    }
    if (full_rc == 0) {
        struct walk walk = {.keep = data[0]};
        VG_ASSERT(one.rc == 0);
        compare(&walk, full, thin, false);
        VG_ASSERT(one.found == (walk.wanted != NULL));
        if (walk.wanted)
            VG_ASSERT(vg_view_eqs(vg_buf_view(&one.string), walk.wanted));
    }
    check_base64(full_rc == 0 ? vg_buf_view(&one.string) : text, pieces);
    vg_json_free(full);
    vg_json_free(thin);
    vg_buf_fini(&one.out);
    vg_buf_fini(&one.string);
    vg_buf_fini(&cut.out);
    vg_buf_fini(&cut.string);
    return 0;
}
