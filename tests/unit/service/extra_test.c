/* SPDX-License-Identifier: Apache-2.0 */
#include "service/extra.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *first_takes[] = {"seed", "negative_prompt"};
static const char *second_takes[] = {"seed", "lora"};
static struct vg_route routes[] = {{.extra = first_takes, .extra_count = 2},
                                   {.extra = second_takes, .extra_count = 2},
                                   {.extra_count = 0}};
static const struct vg_model model = {.routes = routes, .route_count = 3};

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

static void extra__goes_to_those_who_take_it(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    struct vg_extra extra;
    struct vg_err err;
    assert_int_equal(
        vg_extra_read("{ \"lora\": {\"a\": [1, 0.1]}, \"unknown\": 1, \"seed\": 42,"
                      " \"negative_prompt\": \"a \\\"b\\\" \\u00e9\", \"other\": null}",
                      &model, arena, &extra, &err),
        0);
    assert_int_equal(extra.count, 3);
    assert_string_equal(
        or_none(vg_extra_of(&extra, NULL, arena)),
        "{\"lora\":{\"a\":[1,0.1]},\"seed\":42,\"negative_prompt\":\"a \\\"b\\\" é\"}");
    assert_string_equal(or_none(vg_extra_of(&extra, &routes[0], arena)),
                        "{\"seed\":42,\"negative_prompt\":\"a \\\"b\\\" é\"}");
    assert_string_equal(or_none(vg_extra_of(&extra, &routes[1], arena)),
                        "{\"lora\":{\"a\":[1,0.1]},\"seed\":42}");
    assert_null(vg_extra_of(&extra, &routes[2], arena));
    assert_int_equal(vg_extra_read("{\"unknown\":1}", &model, arena, &extra, &err), 0);
    assert_null(vg_extra_of(&extra, NULL, arena));
    (void)vg_arena_free(arena);
}

static void extra__is_strict_and_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *param;
    } bad[] = {{"", "extra"},
               {"[]", "extra"},
               {"42", "extra"},
               {"{\"seed\":}", "extra"},
               {"{\"seed\":1} x", "extra"},
               {"{\"seed\":1,\"seed\":2}", "extra"},
               {"{\"seed\":null}", "seed"}};
    struct vg_arena *arena = vg_arena_new();
    struct vg_extra extra;
    struct vg_err err;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_int_equal(vg_extra_read(bad[i].text, &model, arena, &extra, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        assert_string_equal(err.param, bad[i].param);
    }
    static char large[70000];
    memset(large, 'x', sizeof(large) - 1);
    char *text = vg_arena_printf(arena, "{\"seed\":\"%.*s\"}", (int)VG_EXTRA_MAX_BYTES, large);
    assert_int_equal(vg_extra_read(text, &model, arena, &extra, &err), -1);
    assert_string_equal(err.param, "seed");
    text =
        vg_arena_printf(arena, "{\"seed\":\"%.*s\",\"lora\":\"%.*s\"}", 9000, large, 9000, large);
    assert_int_equal(vg_extra_read(text, &model, arena, &extra, &err), -1);
    assert_string_equal(err.param, "lora");
    text = vg_arena_printf(arena, "{\"seed\":\"%.*s\"}", (int)VG_EXTRA_MAX_BYTES - 30, large);
    assert_int_equal(vg_extra_read(text, &model, arena, &extra, &err), 0);
    assert_true(strlen(vg_extra_of(&extra, NULL, arena)) <= VG_EXTRA_MAX_BYTES);
    text = vg_arena_printf(arena, "{\"unknown\":\"%s\"}", large);
    assert_int_equal(vg_extra_read(text, &model, arena, &extra, &err), -1);
    (void)vg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extra__goes_to_those_who_take_it),
        cmocka_unit_test(extra__is_strict_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
