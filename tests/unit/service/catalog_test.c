/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

static const char good[] =
    "{\"version\":1,\"default_model\":\"b\",\"models\":["
    "{\"name\":\"b\",\"owned_by\":\"o\",\"created\":7,\"default_size\":\"1280x720\",\"default_"
    "seconds\":8,\"routes\":["
    "{\"provider\":\"p\",\"model\":\"P/"
    "b:1\",\"sizes\":[\"1280x720\",\"3840x2160\"],\"seconds\":[4,8],"
    "\"seconds_with_image\":[4],\"audio\":\"both\",\"inputs\":{\"image\":\"optional\",\"last_"
    "frame\":true,"
    "\"references\":{\"min\":1,\"max\":3}},\"price_per_second\":{\"default_audio\":0.4,\"default\":"
    "0.2,\"4k\":0.6},"
    "\"deadline_s\":600,\"max_attempts\":3}]},"
    "{\"name\":\"a\",\"owned_by\":\"o\",\"created\":7,\"status\":\"closed\",\"default_size\":"
    "\"160x90\","
    "\"default_seconds\":1,\"routes\":[{\"provider\":\"q\",\"model\":\"a\",\"sizes\":[\"160x90\"],"
    "\"seconds\":{\"min\":1,\"max\":60},\"audio\":\"off\",\"price_per_second\":{\"default\":0},"
    "\"deadline_s\":60,"
    "\"max_attempts\":1}]}]}";

/* The good text with its first `from` replaced. */
static char *edited(const char *from, const char *to)
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    size_t size = sizeof(good) + strlen(to);
    char *text = vg_xalloc(size);
    (void)snprintf(text, size, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

static struct vg_catalog *parsed(const char *text)
{
    struct vg_catalog *catalog = NULL;
    struct vg_err err = {.kind = VG_ERR_INTERNAL};
    if (vg_catalog_parse(&catalog, "t.json", vg_view_of(text), &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    return catalog;
}

static void catalog__reads_every_field(void **state)
{
    (void)state;
    struct vg_catalog *c = parsed(good);
    size_t count = 0;
    const struct vg_model *models = vg_catalog_models(c, &count);
    assert_int_equal(count, 2);
    assert_string_equal(models[0].name, "a");
    assert_true(models[0].closed);
    assert_int_equal(models[0].max_seconds, 60);
    const struct vg_model *b = vg_catalog_default(c);
    assert_string_equal(b->name, "b");
    assert_int_equal(b->created, 7);
    assert_int_equal(b->default_seconds, 8);
    assert_int_equal(b->max_seconds, 8);
    const struct vg_route *r = &b->routes[0];
    assert_string_equal(r->provider, "p");
    assert_string_equal(r->model, "P/b:1");
    assert_true(vg_route_has_size(r, (struct vg_size){3840, 2160}));
    assert_false(vg_route_has_size(r, (struct vg_size){720, 1280}));
    assert_true(vg_seconds_has(r->seconds, 4));
    assert_false(vg_seconds_has(r->seconds, 5));
    assert_false(vg_seconds_has(r->seconds_with_image, 8));
    assert_true(vg_seconds_has(r->seconds_with_references, 8));
    assert_int_equal(r->audio, VG_AUDIO_BOTH);
    assert_int_equal(r->image, VG_NEED_OPTIONAL);
    assert_true(r->last_frame);
    assert_int_equal(r->references_min, 1);
    assert_int_equal(r->references_max, 3);
    assert_int_equal(r->deadline_s, 600);
    assert_int_equal(r->max_attempts, 3);
    (void)vg_catalog_free(c);
}

static void catalog__finds_whole_names_only(void **state)
{
    (void)state;
    struct vg_catalog *c = parsed(good);
    assert_non_null(vg_catalog_find(c, "a", 1));
    assert_non_null(vg_catalog_find(c, "bcd", 1));
    assert_null(vg_catalog_find(c, "bcd", 2));
    assert_null(vg_catalog_find(c, "", 0));
    (void)vg_catalog_free(c);
}

static void catalog__prices_by_class_and_sound(void **state)
{
    (void)state;
    struct vg_catalog *c = parsed(good);
    const struct vg_route *r = &vg_catalog_default(c)->routes[0];
    const struct vg_size hd = {1280, 720};
    const struct vg_size uhd = {2160, 3840};
    assert_true(vg_route_price(r, hd, 8, true) > 3.19 && vg_route_price(r, hd, 8, true) < 3.21);
    assert_true(vg_route_price(r, hd, 8, false) > 1.59 && vg_route_price(r, hd, 8, false) < 1.61);
    assert_true(vg_route_price(r, uhd, 8, false) > 4.79 && vg_route_price(r, uhd, 8, false) < 4.81);
    (void)vg_catalog_free(c);
}

static void catalog__names_place_and_rule_of_a_mistake(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"{\"version\":1,", "{\"version\":2,", "version: must be a whole number from 1 to 1"},
        {"{\"version\":1,", "{", "\"version\" is missing"},
        {"{\"version\":1,", "{\"version\":1,\"extra\":0,", "unknown key \"extra\""},
        {"{\"version\":1,", "{\"version\":1,,", "t.json: "},
        {"\"default_model\":\"b\"", "\"default_model\":\"zz\"", "\"zz\" is not among the models"},
        {"\"name\":\"a\"", "\"name\":\"b\"", "\"b\" stands twice"},
        {"\"name\":\"a\"", "\"name\":\"A\"", "models[1].name: must be 1 to 64 characters"},
        {"\"name\":\"a\"", "\"name\":\"a/b\"", "models[1].name"},
        {"\"name\":\"a\"", "\"name\":\"\"", "models[1].name"},
        {"\"name\":\"a\"", "\"name\":3", "is a number"},
        {"\"created\":7", "\"created\":-1", "models[0].created"},
        {"\"created\":7", "\"created\":1.5", "models[0].created"},
        {"\"status\":\"closed\"", "\"status\":\"shut\"", "must be one of \"live\", \"closed\""},
        {"\"default_size\":\"160x90\"", "\"default_size\":\"320x180\"",
         "no route makes default_size"},
        {"\"default_seconds\":8", "\"default_seconds\":5",
         "no route makes default_size with default_seconds"},
        {"\"1280x720\",\"3840x2160\"", "\"1280x720\",\"1280x720\"",
         "models[0].routes[0].sizes[1]: the size stands twice"},
        {"\"1280x720\",\"3840x2160\"", "\"1281x720\"", "both sides must be even"},
        {"\"1280x720\",\"3840x2160\"", "\"9000x720\"", "from 16 to 8192"},
        {"\"1280x720\",\"3840x2160\"", "\"1280*720\"", "WIDTHxHEIGHT"},
        {"\"1280x720\",\"3840x2160\"", "", "must be a list of 1 to"},
        {"\"seconds\":[4,8]", "\"seconds\":[4,4]", "4 stands twice"},
        {"\"seconds\":[4,8]", "\"seconds\":[0]", "from 1 to 64"},
        {"\"seconds\":[4,8]", "\"seconds\":[65]", "from 1 to 64"},
        {"\"seconds\":[4,8]", "\"seconds\":[]", "must be a list of seconds"},
        {"\"seconds\":[4,8]", "\"seconds\":8", "must be a list of seconds"},
        {"{\"min\":1,\"max\":60}", "{\"min\":9,\"max\":6}", "min is larger than max"},
        {"{\"min\":1,\"max\":60}", "{\"min\":9}", "\"max\" is missing"},
        {"\"audio\":\"both\"", "\"audio\":true", "must be one of \"both\", \"on\", \"off\""},
        {"\"image\":\"optional\"", "\"image\":\"none\"", "last_frame needs image"},
        {"\"last_frame\":true", "\"last_frame\":1", "must be true or false"},
        {"{\"min\":1,\"max\":3}", "{\"min\":3,\"max\":1}", "min is larger than max"},
        {"{\"min\":1,\"max\":3}", "{\"min\":1,\"max\":10}", "from 1 to 9"},
        {"\"default_audio\":0.4", "\"default_loud\":0.4", "unknown price key \"default_loud\""},
        {"\"default_audio\":0.4", "\"default_audio\":-1", "USD per second"},
        {"\"default_audio\":0.4", "\"default_audio\":\"1\"", "USD per second"},
        {"\"deadline_s\":600", "\"deadline_s\":1", "deadline_s: must be a whole number from 10"},
        {"\"max_attempts\":3", "\"max_attempts\":0",
         "max_attempts: must be a whole number from 1 to 20"},
        {"\"max_attempts\":3", "\"max_attempts\":3,\"max_attempts\":3", "t.json: "},
        {"\"provider\":\"p\",", "", "models[0].routes[0]: \"provider\" is missing"},
        {"\"provider\":\"p\"", "\"provider\":\"p q\"", "routes[0].provider"},
    };

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_catalog *catalog = NULL;
        struct vg_err err = {.kind = VG_ERR_INTERNAL};
        char *text = edited(cases[i].from, cases[i].to);
        if (vg_catalog_parse(&catalog, "t.json", vg_view_of(text), &err) == 0)
            fail_msg("accepted: %s", cases[i].to);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        if (!strstr(vg_err_text(&err), cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", vg_err_text(&err), cases[i].says);
        assert_null(catalog);
        free(text);
    }
}

static void catalog__says_that_the_file_is_missing(void **state)
{
    (void)state;
    struct vg_catalog *catalog = NULL;
    struct vg_err err;
    assert_int_equal(vg_catalog_load(&catalog, "/nonexistent/catalog.json", &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "/nonexistent/catalog.json: No such file"));
}

static void catalog__refuses_a_file_without_end(void **state)
{
    (void)state;
    struct vg_catalog *catalog = NULL;
    struct vg_err err;
    assert_int_equal(vg_catalog_load(&catalog, "/dev/zero", &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "larger than"));
}

/* The shipped file: the seed's models and the sandbox's, with the prices of the original. */
static void catalog__ships_the_models_of_the_seed(void **state)
{
    (void)state;
    static const char *const names[] = {"veo-3.1-generate-preview",
                                        "veo-3.1-fast-generate-preview",
                                        "sora-2",
                                        "sora-2-pro",
                                        "sandbox",
                                        "sandbox-instant",
                                        "sandbox-fail",
                                        "sandbox-moderation",
                                        "sandbox-slow",
                                        "sandbox-never",
                                        "sandbox-flaky",
                                        "sandbox-ambiguous",
                                        "sandbox-truncated"};
    struct vg_catalog *c = NULL;
    struct vg_err err = {.kind = VG_ERR_INTERNAL};
    if (vg_catalog_load(&c, VG_CATALOG_FILE, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    for (size_t i = 0; i < VG_COUNT(names); i++)
        assert_non_null(vg_catalog_find(c, names[i], strlen(names[i])));
    assert_string_equal(vg_catalog_default(c)->name, "veo-3.1-generate-preview");
    const struct vg_route *veo = &vg_catalog_default(c)->routes[0];
    double usd = vg_route_price(veo, (struct vg_size){3840, 2160}, 8, true);
    assert_true(usd > 4.79 && usd < 4.81);
    const struct vg_route *sandbox = &vg_catalog_find(c, "sandbox", 7)->routes[0];
    assert_true(vg_route_has_size(sandbox, (struct vg_size){160, 90}));
    assert_true(vg_seconds_has(sandbox->seconds, 1) && vg_seconds_has(sandbox->seconds, 60));
    (void)vg_catalog_free(c);
}

static void size__is_parsed_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "x",         "1280x",  "x720",      "1280X720",
                                      "01280x720", "1280x0720", "-1x720", "1280x-1",   "1280 x 720",
                                      "1280x720 ", "123456x1",  "0x0",    "1280x720x1"};
    struct vg_size size = {0, 0};
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        if (vg_size_parse(vg_view_of(bad[i]), &size))
            fail_msg("accepted \"%s\"", bad[i]);
    assert_true(vg_size_parse(vg_view_of("1280x720"), &size));
    assert_int_equal(size.width, 1280);
    assert_int_equal(size.height, 720);
}

static void size__has_a_class(void **state)
{
    (void)state;
    assert_string_equal(vg_size_class((struct vg_size){720, 1280}), "720p");
    assert_string_equal(vg_size_class((struct vg_size){854, 480}), "480p");
    assert_string_equal(vg_size_class((struct vg_size){1792, 1024}), "hd");
    assert_string_equal(vg_size_class((struct vg_size){3840, 2160}), "4k");
    assert_string_equal(vg_size_class((struct vg_size){160, 90}), "default");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog__reads_every_field),
        cmocka_unit_test(catalog__finds_whole_names_only),
        cmocka_unit_test(catalog__prices_by_class_and_sound),
        cmocka_unit_test(catalog__names_place_and_rule_of_a_mistake),
        cmocka_unit_test(catalog__says_that_the_file_is_missing),
        cmocka_unit_test(catalog__refuses_a_file_without_end),
        cmocka_unit_test(catalog__ships_the_models_of_the_seed),
        cmocka_unit_test(size__is_parsed_strictly),
        cmocka_unit_test(size__has_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
