/* SPDX-License-Identifier: Apache-2.0 */
#include "service/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/translate.h"

static const char text[] =
    "{\"version\": 1, \"default_model\": \"m\", \"models\": [{\"name\": \"m\", \"owned_by\": "
    "\"o\", "
    "\"created\": 1, \"default_size\": \"1280x720\", \"default_seconds\": 4, \"routes\": ["
    "{\"provider\": \"a\", \"model\": \"a\", \"sizes\": [\"1280x720\"], \"seconds\": [4, 8], "
    "\"audio\": \"both\", \"inputs\": {\"image\": \"optional\"}, "
    "\"price_per_second\": {\"720p_audio\": 0.4, \"720p_video\": 0.2, \"default\": 9}, "
    "\"price_per_image_input\": 0.01, \"deadline_s\": 60, \"max_attempts\": 1},"
    "{\"provider\": \"b\", \"model\": \"b\", \"sizes\": [\"1280x720\", \"1920x1080\"], "
    "\"seconds\": [4, 8], \"audio\": \"both\", \"price_per_second\": {\"1080p\": 0.05184}, "
    "\"deadline_s\": 60, \"max_attempts\": 1}]}]}";

static struct vg_price_quote quote(const char *model, const char *provider, int32_t width,
                                   int32_t height, bool audio, bool pictures)
{
    struct vg_catalog *catalog = NULL;
    struct vg_err err;
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    Videogate__Store__V1__Route route = VIDEOGATE__STORE__V1__ROUTE__INIT;
    Videogate__Store__V1__Route *routes[] = {&route};
    Videogate__Store__V1__MediaRef ref = VIDEOGATE__STORE__V1__MEDIA_REF__INIT;
    Videogate__Store__V1__MediaRef *refs[] = {&ref, &ref};

    if (vg_catalog_parse(&catalog, "test", vg_view_of(text), &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    route.provider = vg_pb_text(provider);
    spec.routes = routes;
    spec.n_routes = 1;
    spec.width = width;
    spec.height = height;
    spec.seconds = 8;
    spec.audio = audio;
    if (pictures) {
        spec.image = &ref;
        spec.references = refs;
        spec.n_references = 2;
    }
    struct vg_price_quote out = vg_price_of(catalog, model, &spec, 8);
    (void)vg_catalog_unref(catalog);
    return out;
}

static void price__is_seconds_times_the_routes_price(void **state)
{
    (void)state;
    assert_int_equal(quote("m", "a", 1280, 720, true, false).output, 3200000);
    assert_int_equal(quote("m", "a", 1280, 720, false, false).output, 1600000);
    assert_int_equal(quote("m", "b", 1920, 1080, false, false).output, 414720);
    assert_int_equal(quote("m", "a", 1280, 720, true, false).input, 0);
    assert_int_equal(quote("m", "a", 1280, 720, true, true).input, 30000);
    assert_int_equal(quote("m", "b", 1920, 1080, true, true).input, 0);
}

static void price__a_rerouted_job_costs_what_the_model_says(void **state)
{
    (void)state;
    assert_int_equal(quote("m", "elsewhere", 1280, 720, true, false).output, 3200000);
    assert_int_equal(quote("m", "a", 1920, 1080, true, false).output, 414720);
}

static void price__tells_two_routes_of_a_provider_apart(void **state)
{
    (void)state;
    static const char two[] =
        "{\"version\": 1, \"default_model\": \"m\", \"models\": [{\"name\": \"m\", \"owned_by\": "
        "\"o\", \"created\": 1, \"default_size\": \"1280x720\", \"default_seconds\": 4, "
        "\"routes\": ["
        "{\"provider\": \"a\", \"model\": \"x\", \"sizes\": [\"1280x720\"], \"seconds\": [4], "
        "\"audio\": \"on\", \"price_per_second\": {\"default\": 1}, \"deadline_s\": 60, "
        "\"max_attempts\": 1}, {\"provider\": \"a\", \"model\": \"y\", \"sizes\": [\"1280x720\"], "
        "\"seconds\": [4], \"audio\": \"off\", \"price_per_second\": {\"default\": 2}, "
        "\"deadline_s\": 60, \"max_attempts\": 1}]}]}";
    struct vg_catalog *catalog = NULL;
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    Videogate__Store__V1__Route route = VIDEOGATE__STORE__V1__ROUTE__INIT;
    Videogate__Store__V1__Route *routes[] = {&route};

    assert_int_equal(vg_catalog_parse(&catalog, "test", vg_view_of(two), NULL), 0);
    spec.routes = routes;
    spec.n_routes = 1;
    spec.width = 1280;
    spec.height = 720;
    route.provider = vg_pb_text("a");
    route.model = vg_pb_text("y");
    assert_int_equal(vg_price_of(catalog, "m", &spec, 4).output, 8000000);
    route.model = vg_pb_text("x");
    assert_int_equal(vg_price_of(catalog, "m", &spec, 4).output, 4000000);
    route.model = vg_pb_text("no longer there");
    assert_int_equal(vg_price_of(catalog, "m", &spec, 4).output, 4000000);
    (void)vg_catalog_unref(catalog);
}

static void price__what_has_none_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(quote("m", "b", 1280, 720, true, true).output, 0);
    assert_int_equal(quote("m", "a", 64, 64, true, true).output, 0);
    assert_int_equal(quote("gone", "a", 1280, 720, true, true).output, 0);
    assert_int_equal(quote("gone", "a", 1280, 720, true, true).input, 0);
}

/* What LLM Gateway's own tests ask of its prices. */
static void price__of_what_is_shipped(void **state)
{
    (void)state;
    static const struct {
        const char *model, *provider;
        int32_t width, height, seconds;
        bool audio;
        size_t pictures;
        int64_t output, input;
    } cases[] = {
        {"veo-3.1-generate-preview", "google-vertex", 3840, 2160, 8, true, 0, 4800000, 0},
        {"veo-3.1-fast-generate-preview", "google-vertex", 1920, 1080, 4, true, 0, 600000, 0},
        {"veo-3.1-fast-generate-preview", "google-vertex", 1920, 1080, 4, false, 0, 400000, 0},
        {"kling-v3-0", "atlascloud", 3840, 2160, 5, true, 0, 2100000, 0},
        {"kling-v3-0", "atlascloud", 2160, 3840, 5, false, 0, 2100000, 0},
        {"kling-v3-0", "atlascloud", 1280, 720, 5, false, 0, 420000, 0},
        {"grok-imagine-video-1-5", "xai", 848, 480, 6, true, 1, 480000, 10000},
        {"grok-imagine-video-1-5", "xai", 1280, 720, 6, true, 1, 840000, 10000},
        {"sora-2-pro", "avalanche", 1280, 720, 15, true, 1, 3600000, 0},
        {"seedance-1-5-pro", "bytedance", 1920, 1080, 10, false, 0, 583200, 0},
        {"minimax-h3", "minimax", 2560, 1440, 4, true, 0, 520000, 0},
        {"ray-3.2", "luma", 1280, 720, 5, false, 0, 300000, 0},
        {"ray-3.2", "luma", 1920, 1080, 5, false, 0, 1200000, 0},
    };
    struct vg_catalog *catalog = NULL;
    Videogate__Store__V1__MediaRef ref = VIDEOGATE__STORE__V1__MEDIA_REF__INIT;

    assert_int_equal(vg_catalog_load(&catalog, VG_CATALOG_FILE, NULL), 0);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
        Videogate__Store__V1__Route route = VIDEOGATE__STORE__V1__ROUTE__INIT;
        Videogate__Store__V1__Route *routes[] = {&route};
        route.provider = vg_pb_text(cases[i].provider);
        spec.routes = routes;
        spec.n_routes = 1;
        spec.width = cases[i].width;
        spec.height = cases[i].height;
        spec.audio = cases[i].audio;
        spec.image = cases[i].pictures ? &ref : NULL;
        const struct vg_price_quote out =
            vg_price_of(catalog, cases[i].model, &spec, cases[i].seconds);
        if (out.output != cases[i].output || out.input != cases[i].input)
            fail_msg("%s %dx%d: %lld + %lld", cases[i].model, cases[i].width, cases[i].height,
                     (long long)out.output, (long long)out.input);
    }
    (void)vg_catalog_unref(catalog);
}

static void price__usage_comes_with_the_end_and_pays_for_what_was_made(void **state)
{
    struct vg_arena *arena = vg_arena_new();
    struct vg_video video = {
        .status = VG_VIDEO_IN_PROGRESS, .output_micros = 3200000, .input_micros = 30000, .n = 3};

    (void)state;
    assert_null(vg_price_usage(&video, arena));
    video.status = VG_VIDEO_FAILED;
    Videogate__V1__VideoUsage *usage = vg_price_usage(&video, arena);
    assert_true(usage->cost == 0 && usage->cost_details->video_output_cost == 0 &&
                usage->cost_details->image_input_cost == 0);
    video.status = VG_VIDEO_COMPLETED;
    video.made = 2;
    usage = vg_price_usage(&video, arena);
    assert_true(usage->cost == 6.43 && usage->cost_details->video_output_cost == 6.4 &&
                usage->cost_details->image_input_cost == 0.03);
    (void)vg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(price__is_seconds_times_the_routes_price),
        cmocka_unit_test(price__a_rerouted_job_costs_what_the_model_says),
        cmocka_unit_test(price__tells_two_routes_of_a_provider_apart),
        cmocka_unit_test(price__what_has_none_costs_nothing),
        cmocka_unit_test(price__of_what_is_shipped),
        cmocka_unit_test(price__usage_comes_with_the_end_and_pays_for_what_was_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
