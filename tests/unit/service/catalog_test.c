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
    "\"seconds_with_image\":[4],\"rules\":[{\"when\":{\"class\":[\"4k\"],\"image\":false},"
    "\"seconds\":[8]}],"
    "\"images\":{\"types\":[\"image/"
    "png\"],\"min_side\":300,\"match_size\":true},\"extra\":[\"seed\",\"cfgScale\"],"
    "\"audio\":\"both\",\"inputs\":{\"image\":\"optional\",\"last_"
    "frame\":true,"
    "\"references\":{\"min\":1,\"max\":3}},\"price_per_second\":{\"default_audio\":0.4,\"default\":"
    "0.2,\"4k\":0.6},"
    "\"deadline_s\":600,\"max_attempts\":3}]},"
    "{\"name\":\"a\",\"owned_by\":\"o\",\"created\":7,\"status\":\"closed\",\"closed_on\":\"2026-"
    "09-24\","
    "\"aliases\":[\"a-1\",\"c\"],\"source\":\"a page\",\"checked\":\"2026-11-23\",\"default_size\":"
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
    assert_int_equal(r->images.types, VG_IMAGE_PNG);
    assert_int_equal(r->images.min_side, 300);
    assert_int_equal(r->images.max_bytes, 20 << 20);
    assert_true(r->images.match_size);
    assert_true(vg_route_takes_extra(r, "seed") && vg_route_takes_extra(r, "cfgScale"));
    assert_false(vg_route_takes_extra(r, "see"));
    assert_string_equal(models[0].closed_on, "2026-09-24");
    assert_int_equal(r->audio, VG_AUDIO_BOTH);
    assert_int_equal(r->image, VG_NEED_OPTIONAL);
    assert_true(r->last_frame);
    assert_int_equal(r->references_min, 1);
    assert_int_equal(r->references_max, 3);
    assert_int_equal(r->deadline_s, 600);
    assert_int_equal(r->max_attempts, 3);
    (void)vg_catalog_free(c);
}

static void catalog__rules_narrow_the_lengths(void **state)
{
    (void)state;
    struct vg_catalog *c = parsed(good);
    const struct vg_route *r = &vg_catalog_default(c)->routes[0];
    struct vg_rule_case of = {.size = {3840, 2160}};
    assert_false(vg_seconds_has(vg_route_lengths(r, &of), 4));
    assert_true(vg_seconds_has(vg_route_lengths(r, &of), 8));
    of.image = true; /* the rule is for none */
    assert_true(vg_seconds_has(vg_route_lengths(r, &of), 4));
    of = (struct vg_rule_case){.size = {1280, 720}};
    assert_true(vg_seconds_has(vg_route_lengths(r, &of), 4));
    assert_string_equal(r->rules[0].where, " at 4k without image");
    (void)vg_catalog_free(c);
}

static void catalog__knows_aliases_pins_and_upstream_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text, *model, *provider, *upstream;
    } cases[] = {
        {"b", "b", NULL, NULL},         {"a-1", "a", NULL, NULL},   {"c", "a", NULL, NULL},
        {"p/b", "b", "p", NULL},        {"q/c", "a", "q", NULL},    {"p/P/b:1", "b", "p", "P/b:1"},
        {"q/b", NULL, NULL, NULL},      {"p/a", NULL, NULL, NULL},  {"P/b:1", NULL, NULL, NULL},
        {"p/P/b:12", NULL, NULL, NULL}, {"p/", NULL, NULL, NULL},   {"/b", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},         {"pp/b", NULL, NULL, NULL}, {"q/P/b:1", NULL, NULL, NULL},
    };
    struct vg_catalog *c = parsed(good);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_catalog_pick pick = {.model = NULL};
        if (vg_catalog_pick(c, cases[i].text, &pick) != (cases[i].model != NULL))
            fail_msg("\"%s\"", cases[i].text);
        if (!cases[i].model)
            continue;
        assert_string_equal(pick.model->name, cases[i].model);
        assert_string_equal(pick.provider ? pick.provider : "-",
                            cases[i].provider ? cases[i].provider : "-");
        assert_string_equal(pick.upstream ? pick.upstream : "-",
                            cases[i].upstream ? cases[i].upstream : "-");
        assert_true(vg_catalog_picks(&pick, &pick.model->routes[0]));
    }
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
        {"\"status\":\"closed\"", "\"status\":\"shut\"",
         "must be one of \"live\", \"preview\", \"closed\""},
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
        {"\"2026-09-24\"", "\"2026-9-24\"", "models[1].closed_on: must be a date"},
        {"\"2026-09-24\"", "\"2026-13-24\"", "closed_on: must be a date"},
        {"\"2026-09-24\"", "20260924", "closed_on: must be a date"},
        {"\"status\":\"closed\"", "\"status\":\"live\"", "closed_on is for what is closed"},
        {"\"a-1\",\"c\"", "\"c\",\"c\"", "models[1].aliases: \"c\" stands twice"},
        {"\"a-1\",\"c\"", "\"b\"", "the name \"b\" stands twice"},
        {"\"a-1\",\"c\"", "", "aliases: must be a list of 1 to 16 names"},
        {"\"source\":\"a page\"", "\"source\":\"\"", "source: must be a text of 1 to 1000"},
        {"\"class\":[\"4k\"]", "\"class\":[\"5k\"]",
         "rules[0].when.class: \"5k\" is not a class of sizes"},
        {"\"class\":[\"4k\"],\"image\":false", "", "rules[0].when: must have a condition"},
        {"\"image\":false},\"seconds\":[8]", "\"image\":false},\"seconds\":[5]",
         "rules[0] leaves none of the lengths"},
        {"\"min_side\":300", "\"min_side\":0", "images.min_side: must be a whole number"},
        {"\"min_side\":300", "\"min_side\":300,\"max_side\":200", "min_side is larger"},
        {"\"min_side\":300", "\"min_aspect\":2,\"max_aspect\":1", "min_aspect is larger"},
        {"\"min_side\":300", "\"max_aspect\":\"1\"", "max_aspect: must be a number from 0.01"},
        {"[\"image/png\"]", "[\"image/bmp\"]", "images.types: must be one of"},
        {"[\"image/png\"]", "[]", "images.types: must be a list of media types"},
        {"\"cfgScale\"", "\"seed\"", "extra: \"seed\" stands twice"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog__reads_every_field),
        cmocka_unit_test(catalog__rules_narrow_the_lengths),
        cmocka_unit_test(catalog__knows_aliases_pins_and_upstream_ids),
        cmocka_unit_test(catalog__finds_whole_names_only),
        cmocka_unit_test(catalog__prices_by_class_and_sound),
        cmocka_unit_test(catalog__names_place_and_rule_of_a_mistake),
        cmocka_unit_test(catalog__says_that_the_file_is_missing),
        cmocka_unit_test(catalog__refuses_a_file_without_end),
        cmocka_unit_test(catalog__ships_the_models_of_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
