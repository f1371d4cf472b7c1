/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/result_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static void result__is_compared_with_what_was_asked(void **state)
{
    (void)state;
    static const struct {
        struct vg_variant_facts facts;
        enum vg_result_kind kind, wanted;
    } cases[] = {
        {{.width = 160, .height = 90, .length_us = 4000000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_AS_ASKED},
        {{.width = 160, .height = 90, .length_us = 4500000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_AS_ASKED},
        {{.width = 160, .height = 90, .length_us = 3500000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_AS_ASKED},
        {{.width = 160, .height = 90, .length_us = 4501000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_DIFFERS},
        {{.width = 160, .height = 90, .length_us = 3499000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_DIFFERS},
        {{.width = 90, .height = 160, .length_us = 4000000, .has_audio = true},
         VG_RESULT_AS_ASKED,
         VG_RESULT_DIFFERS},
        {{.width = 160, .height = 90, .length_us = 4000000}, VG_RESULT_AS_ASKED, VG_RESULT_DIFFERS},
        {{.width = 0}, VG_RESULT_BAD, VG_RESULT_BAD},
        {{.width = 0}, VG_RESULT_UNSEEN, VG_RESULT_UNSEEN},
        {{.width = 0}, VG_RESULT_UNREAD, VG_RESULT_UNREAD},
    };
    Videogate__Store__V1__JobSpec asked = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    asked.width = 160;
    asked.height = 90;
    asked.seconds = 4;
    asked.audio = 1;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_result result = {.kind = cases[i].kind, .facts = cases[i].facts};
        vg_result_compare(&result, &asked);
        if (result.kind != cases[i].wanted)
            fail_msg("case %zu: %d", i, (int)result.kind);
    }
}

static void result__is_told_in_a_few_words(void **state)
{
    (void)state;
    const struct vg_result result = {
        .facts = {.width = 160, .height = 90, .length_us = 4041667, .has_audio = false}};
    Videogate__Store__V1__JobSpec asked = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    struct vg_buf text;
    vg_buf_init(&text, 200);
    vg_result_say(&result, &text);
    assert_string_equal(text.data, "160x90, 4042 ms, silent");
    vg_buf_clear(&text);
    asked.width = 1280;
    asked.height = 720;
    asked.seconds = 8;
    asked.audio = 1;
    vg_result_say_asked(&asked, &text);
    assert_string_equal(text.data, "1280x720, 8000 ms, sound");
    vg_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result__is_compared_with_what_was_asked),
        cmocka_unit_test(result__is_told_in_a_few_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
