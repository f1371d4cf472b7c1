/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/base64_stream.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

static int decode(struct vg_buf *out, const char *text, size_t piece)
{
    struct vg_base64_stream stream = {.kept_len = 0};
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += piece) {
        if (vg_base64_stream_feed(&stream, text + at, len - at < piece ? len - at : piece, out) !=
            0)
            return -1;
    }
    return vg_base64_stream_end(&stream, out);
}

static void stream__is_the_whole_decoder_in_pieces(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         "Zg==",    "Zg",       "Zm8=",     "Zm8",       "Zm9v",
        "Zm9vYg==", "Zm9vYmE", "Zm9vYmFy", "//77+w==", "A",         "Zg=",
        "Z===",     "====",    "=",        "Zm9v=",    "Zm9v==",    "Zm9v====",
        "Zm 9v",    "Zm-v",    "Zg==Zg==", "Z=g=",     "Zm9vZg==Z", "Zm9vYmFyZm9vYmFyZm9vYmFy",
    };
    for (size_t i = 0; i < VG_COUNT(texts); i++) {
        char whole[64];
        size_t whole_len = 0;
        int rc = vg_base64_decode(whole, &whole_len, texts[i], strlen(texts[i]));
        for (size_t piece = 1; piece < 12; piece++) {
            struct vg_buf out;
            vg_buf_init(&out, 100);
            assert_int_equal(decode(&out, texts[i], piece), rc);
            if (rc == 0)
                assert_true(vg_view_eq(vg_buf_view(&out), (struct vg_view){whole, whole_len}));
            vg_buf_fini(&out);
        }
    }
}

static void stream__says_when_there_is_no_room(void **state)
{
    (void)state;
    struct vg_buf out;
    vg_buf_init(&out, 5);
    assert_int_equal(decode(&out, "Zm9vYmFy", 8), -1);
    assert_false(vg_buf_ok(&out));
    vg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__is_the_whole_decoder_in_pieces),
        cmocka_unit_test(stream__says_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
