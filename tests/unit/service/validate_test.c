/* SPDX-License-Identifier: Apache-2.0 */
#include "service/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/translate.h"

/* Requests are made by setters, so that a case is a line. */
typedef void edit_f(Videogate__V1__CreateVideoRequest *r);

static Videogate__V1__MediaInput picture = VIDEOGATE__V1__MEDIA_INPUT__INIT;
static Videogate__V1__MediaInput other = VIDEOGATE__V1__MEDIA_INPUT__INIT;
static Videogate__V1__MediaInput empty = VIDEOGATE__V1__MEDIA_INPUT__INIT;
static Videogate__V1__MediaInput huge = VIDEOGATE__V1__MEDIA_INPUT__INIT;
static Videogate__V1__MediaInput by_url = VIDEOGATE__V1__MEDIA_INPUT__INIT;
static Videogate__V1__MediaInput *four[4] = {&picture, &picture, &picture, &picture};
static Videogate__V1__MediaInput *ten[10] = {&picture, &picture, &picture, &picture, &picture,
                                             &picture, &picture, &picture, &picture, &picture};
static Videogate__V1__MediaLink a_link, plain_link, broken_link,
    inner_link; /* set up with the rest */
static Videogate__V1__MediaLink *links[4] = {&a_link, &a_link, &a_link, &a_link};
static Videogate__V1__MediaLink *plain_links[1] = {&plain_link}, *broken_links[1] = {&broken_link},
                                *inner_links[1] = {&inner_link};
static char long_prompt[VG_MAX_PROMPT_CHARS + 2];
static char long_id[VG_MAX_REQUEST_ID_CHARS + 2];
static char long_secret[VG_MAX_CALLBACK_SECRET + 2];

static char *text(const char *s)
{
    return vg_pb_text(s);
}

#define SET(field, FIELD, value)                                                                   \
    do {                                                                                           \
        r->opt_##field##_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_##FIELD##_##FIELD;        \
        r->field = (value);                                                                        \
    } while (0)

#define EDIT(name, ...)                                                                            \
    static void name(Videogate__V1__CreateVideoRequest *r)                                         \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

EDIT(nothing, (void)r)
EDIT(no_prompt, r->prompt = text(""))
EDIT(prompt_too_long, r->prompt = long_prompt)
EDIT(prompt_not_utf8, r->prompt = text("\xff\xfe"))
EDIT(model_unknown, SET(model, MODEL, text("gpt-4")))
EDIT(model_empty, SET(model, MODEL, text("")))
EDIT(model_of_other_provider, SET(model, MODEL, text("google/sora-2")))
EDIT(model_closed, SET(model, MODEL, text("sora-2")))
EDIT(model_alias, SET(model, MODEL, text("veo-3.1-generate-001")))
EDIT(alias_closed, SET(model, MODEL, text("openai/sora-2-2025-10-06")))
EDIT(pin_closed, SET(model, MODEL, text("google/veo-3.1-generate-preview")))
EDIT(pin_vertex_upstream, SET(model, MODEL, text("google-vertex/veo-3.1-generate-001")))
EDIT(pin_kling, SET(model, MODEL, text("atlascloud/kling-v3-0")))
EDIT(pin_kling_std, SET(model, MODEL, text("atlascloud/kwaivgi/kling-v3.0-std")))
EDIT(pin_kling_std_4k, pin_kling_std(r); SET(size, SIZE, text("3840x2160")))
EDIT(pin_upstream_closed, SET(model, MODEL, text("avalanche/sora-2-pro")))
EDIT(hailuo_1080p, SET(model, MODEL, text("minimax/MiniMax-Hailuo-2.3"));
     SET(size, SIZE, text("1920x1080")))
EDIT(hailuo_1080p_ten, hailuo_1080p(r); SET(seconds, SECONDS, 10))
EDIT(gemini_1080p, SET(model, MODEL, text("google/veo-3.1-generate-preview"));
     SET(size, SIZE, text("1920x1080")))
EDIT(gemini_1080p_four, gemini_1080p(r); SET(seconds, SECONDS, 4))
EDIT(extra_seed, SET(extra, EXTRA, text("{\"seed\":7,\"unknown\":1}")))
EDIT(extra_other_seed, SET(extra, EXTRA, text("{\"seed\":8}")))
EDIT(extra_unknown, SET(extra, EXTRA, text("{\"unknown\":1}")))
EDIT(extra_broken, SET(extra, EXTRA, text("{\"seed\":")))
EDIT(pin_avalanche, SET(model, MODEL, text("avalanche/veo-3.1-generate-preview")))
EDIT(pin_avalanche_720p, SET(model, MODEL, text("avalanche/veo-3.1-generate-preview"));
     SET(size, SIZE, text("1280x720")))
EDIT(size_form, SET(size, SIZE, text("720p")))
EDIT(size_unsupported, SET(size, SIZE, text("848x480")))
EDIT(seconds_zero, SET(seconds, SECONDS, 0))
EDIT(seconds_negative, SET(seconds, SECONDS, -8))
EDIT(seconds_over, SET(seconds, SECONDS, 11))
EDIT(seconds_between, SET(seconds, SECONDS, 5))
EDIT(seconds_ten, SET(seconds, SECONDS, 10))
EDIT(seconds_ten_image, SET(seconds, SECONDS, 10); r->image = &picture)
EDIT(n_zero, SET(n, N, 0))
EDIT(n_eleven, SET(n, N, 11))
EDIT(n_ten, SET(n, N, 10))
EDIT(audio_false, SET(audio, AUDIO, 0))
EDIT(hailuo, SET(model, MODEL, text("minimax-hailuo-2-3")))
EDIT(hailuo_audio, SET(model, MODEL, text("minimax-hailuo-2-3")); SET(audio, AUDIO, 1))
EDIT(kling_turbo_silent, SET(model, MODEL, text("kling-v3-0-turbo")); SET(audio, AUDIO, 0))
EDIT(grok_without_image, SET(model, MODEL, text("grok-imagine-video-1-5")))
EDIT(grok_with_image, SET(model, MODEL, text("grok-imagine-video-1-5")); r->image = &picture)
EDIT(grok_last_frame, SET(model, MODEL, text("grok-imagine-video-1-5")); r->image = &picture;
     r->last_frame = &other)
EDIT(url_alone, SET(callback_url, CALLBACK_URL, text("https://example.com/x")))
EDIT(secret_alone, SET(callback_secret, CALLBACK_SECRET, text("s")))
EDIT(secret_empty, url_alone(r); SET(callback_secret, CALLBACK_SECRET, text("")))
EDIT(secret_too_long, url_alone(r); SET(callback_secret, CALLBACK_SECRET, long_secret))
EDIT(callback, url_alone(r); SET(callback_secret, CALLBACK_SECRET, text("s")))
EDIT(callback_private, SET(callback_url, CALLBACK_URL, text("https://10.0.0.1/x"));
     SET(callback_secret, CALLBACK_SECRET, text("s")))
EDIT(callback_plain, SET(callback_url, CALLBACK_URL, text("http://example.com/x"));
     SET(callback_secret, CALLBACK_SECRET, text("s")))
EDIT(callback_junk, SET(callback_url, CALLBACK_URL, text("not a url"));
     SET(callback_secret, CALLBACK_SECRET, text("s")))
EDIT(with_image, r->image = &picture)
EDIT(with_frames, r->image = &picture; r->last_frame = &other)
EDIT(image_empty, r->image = &empty)
EDIT(image_huge, r->image = &huge)
EDIT(image_url, r->image = &by_url)
EDIT(last_frame_alone, r->last_frame = &picture)
EDIT(references_three, r->reference_images = four; r->n_reference_images = 3)
EDIT(references_four, r->reference_images = four; r->n_reference_images = 4)
EDIT(input_reference_four, r->input_reference = four; r->n_input_reference = 4)
EDIT(references_ten, r->reference_images = ten; r->n_reference_images = 10)
EDIT(videos_four, r->reference_videos = links; r->n_reference_videos = 4)
EDIT(video_plain, r->reference_videos = plain_links; r->n_reference_videos = 1)
EDIT(audio_broken, r->reference_audios = broken_links; r->n_reference_audios = 1)
EDIT(video_inner, r->reference_videos = inner_links; r->n_reference_videos = 1)
EDIT(audio_inner, r->reference_audios = inner_links; r->n_reference_audios = 1)
EDIT(video_to_veo, r->reference_videos = links; r->n_reference_videos = 1)
EDIT(video_and_frame, video_to_veo(r); r->image = &picture)
EDIT(seedance_all, SET(model, MODEL, text("seedance-2-5")); r->reference_images = ten;
     r->n_reference_images = 9; r->reference_videos = links; r->n_reference_videos = 3;
     r->reference_audios = links; r->n_reference_audios = 3)
EDIT(both_references, references_three(r); r->input_reference = four; r->n_input_reference = 1)
EDIT(frames_and_references, references_three(r); r->image = &picture)
EDIT(references_four_seconds, references_three(r); SET(seconds, SECONDS, 4))
EDIT(sora_two_references, SET(model, MODEL, text("openai/sora-2")); r->reference_images = four;
     r->n_reference_images = 2)
EDIT(sora_image, SET(model, MODEL, text("openai/sora-2")); r->image = &picture)
EDIT(request_id_empty, SET(request_id, REQUEST_ID, text("")))
EDIT(request_id_control, SET(request_id, REQUEST_ID, text("a\nb")))
EDIT(request_id_long, SET(request_id, REQUEST_ID, long_id))
EDIT(fallback_off, r->no_fallback = 1; SET(size, SIZE, text("1920x1080")))
EDIT(full_hd, SET(size, SIZE, text("1920x1080")))

struct fixture {
    struct vg_catalog *catalog;
    struct vg_http_guard guard;
    struct vg_validate_env env;
    struct vg_arena *arena;
};

static int set_up(void **state)
{
    struct fixture *f = vg_xalloc(sizeof(*f));
    static uint8_t bytes[VG_MAX_PICTURE_BYTES + 1];
    picture.source_case = other.source_case = huge.source_case =
        VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA;
    empty.source_case = VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA;
    picture.data = (ProtobufCBinaryData){10, bytes};
    other.data = (ProtobufCBinaryData){20, bytes};
    huge.data = (ProtobufCBinaryData){sizeof(bytes), bytes};
    by_url.source_case = VIDEOGATE__V1__MEDIA_INPUT__SOURCE_URL;
    by_url.url = text("https://example.com/a.png");
    videogate__v1__media_link__init(&a_link);
    a_link.url = text("https://example.com/a.mp4");
    plain_link = broken_link = a_link;
    plain_link.url = text("http://example.com/a.mp4");
    broken_link.url = text("https://example.com/a b");
    inner_link = a_link;
    inner_link.url = text("https://10.0.0.1/a.mp4");
    memset(long_prompt, 'p', sizeof(long_prompt) - 1);
    memset(long_id, 'i', sizeof(long_id) - 1);
    memset(long_secret, 's', sizeof(long_secret) - 1);
    assert_int_equal(vg_catalog_load(&f->catalog, VG_CATALOG_FILE, NULL), 0);
    f->env.catalog = f->catalog;
    f->env.callback_guard = f->env.media_guard = &f->guard;
    f->arena = vg_arena_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)vg_arena_free(f->arena);
    (void)vg_catalog_free(f->catalog);
    free(f);
    return 0;
}

static int judge(struct fixture *f, edit_f *edit, struct vg_job *job, struct vg_err *err)
{
    Videogate__V1__CreateVideoRequest r = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__INIT;
    r.prompt = text("a cat");
    edit(&r);
    return vg_validate_create(&f->env, &r, f->arena, job, err);
}

static void validate__refuses_with_field_and_reason(void **state)
{
    static const struct {
        const char *name;
        edit_f *edit;
        enum vg_err_kind kind;
        const char *param, *says;
    } cases[] = {
        {"no prompt", no_prompt, VG_ERR_INVALID_REQUEST, "prompt", "1 to 32000"},
        {"prompt too long", prompt_too_long, VG_ERR_INVALID_REQUEST, "prompt", "32001"},
        {"prompt not UTF-8", prompt_not_utf8, VG_ERR_INVALID_REQUEST, "prompt", "UTF-8"},
        {"unknown model", model_unknown, VG_ERR_INVALID_REQUEST, "model", "/v1/models"},
        {"empty model", model_empty, VG_ERR_INVALID_REQUEST, "model", "model"},
        {"pin without route", model_of_other_provider, VG_ERR_INVALID_REQUEST, "model",
         "google/sora-2"},
        {"closed model", model_closed, VG_ERR_GONE, "model",
         "has been deactivated and is no longer available"},
        {"closed alias", alias_closed, VG_ERR_GONE, "model",
         "The model openai/sora-2 has been deactivated and is no longer available (closed on "
         "2026-09-24)"},
        {"closed at one provider", pin_closed, VG_ERR_GONE, "model",
         "google/veo-3.1-generate-preview has been deactivated and is no longer available (closed "
         "on 2026-10-22)"},
        {"closed with another name there", pin_upstream_closed, VG_ERR_GONE, "model",
         "/sora-2-pro has been deactivated"},
        {"an id without its 4k", pin_kling_std_4k, VG_ERR_UNSUPPORTED, "size",
         "atlascloud: size 3840x2160 is unsupported"},
        {"10 s at 1080p", hailuo_1080p_ten, VG_ERR_UNSUPPORTED, "seconds",
         "minimax: duration 10s is unsupported (supported durations: 6s at 1080p)"},
        {"broken extra", extra_broken, VG_ERR_INVALID_REQUEST, "extra", "text of a JSON object"},
        {"size form", size_form, VG_ERR_INVALID_REQUEST, "size", "1280x720"},
        {"size unsupported", size_unsupported, VG_ERR_UNSUPPORTED, "size",
         "google-vertex: size 848x480 is unsupported (supported sizes: 1280x720, 720x1280"},
        {"pinned size", pin_avalanche_720p, VG_ERR_UNSUPPORTED, "size",
         "not supported for avalanche/veo-3.1-generate-preview. avalanche: size 1280x720"},
        {"zero seconds", seconds_zero, VG_ERR_INVALID_REQUEST, "seconds", "at least 1"},
        {"negative seconds", seconds_negative, VG_ERR_INVALID_REQUEST, "seconds", "at least 1"},
        {"too many seconds", seconds_over, VG_ERR_UNSUPPORTED, "seconds",
         "11s is longer than the 10s"},
        {"seconds between", seconds_between, VG_ERR_UNSUPPORTED, "seconds",
         "duration 5s is unsupported (supported durations: 4s, 6s, 8s, 10s)"},
        {"seconds with image", seconds_ten_image, VG_ERR_UNSUPPORTED, "seconds",
         "supported durations: 4s, 6s, 8s)"},
        {"n too small", n_zero, VG_ERR_INVALID_REQUEST, "n", "1 to 10"},
        {"n too large", n_eleven, VG_ERR_INVALID_REQUEST, "n", "1 to 10"},
        {"audio where none is", hailuo_audio, VG_ERR_UNSUPPORTED, "audio",
         "audio output is unsupported"},
        {"silence where none is", kling_turbo_silent, VG_ERR_UNSUPPORTED, "audio",
         "audio=false is unsupported because"},
        {"image demanded", grok_without_image, VG_ERR_UNSUPPORTED, "image",
         "image input is required"},
        {"last frame unsupported", grok_last_frame, VG_ERR_UNSUPPORTED, "last_frame",
         "last_frame is unsupported"},
        {"url without secret", url_alone, VG_ERR_INVALID_REQUEST, "callback_secret",
         "both or neither"},
        {"secret without url", secret_alone, VG_ERR_INVALID_REQUEST, "callback_url",
         "both or neither"},
        {"empty secret", secret_empty, VG_ERR_INVALID_REQUEST, "callback_secret", "1 to 256"},
        {"long secret", secret_too_long, VG_ERR_INVALID_REQUEST, "callback_secret", "1 to 256"},
        {"private callback", callback_private, VG_ERR_INVALID_REQUEST, "callback_url",
         "callback_url"},
        {"plain callback", callback_plain, VG_ERR_INVALID_REQUEST, "callback_url", "callback_url"},
        {"junk callback", callback_junk, VG_ERR_INVALID_REQUEST, "callback_url", "callback_url"},
        {"empty image", image_empty, VG_ERR_INVALID_REQUEST, "image", "empty"},
        {"huge image", image_huge, VG_ERR_INVALID_REQUEST, "image",
         "(20.0MB) exceeds the 20MB limit"},
        {"last frame alone", last_frame_alone, VG_ERR_INVALID_REQUEST, "last_frame", "needs image"},
        {"four references", references_four, VG_ERR_UNSUPPORTED, "reference_images",
         "at most 3 reference images"},
        {"four input references", input_reference_four, VG_ERR_UNSUPPORTED, "input_reference",
         "at most 3 reference images"},
        {"ten references", references_ten, VG_ERR_INVALID_REQUEST, "reference_images", "1 to 9"},
        {"four links", videos_four, VG_ERR_INVALID_REQUEST, "reference_videos", "1 to 3"},
        {"plain link", video_plain, VG_ERR_INVALID_REQUEST, "reference_videos", "HTTPS"},
        {"broken link", audio_broken, VG_ERR_INVALID_REQUEST, "reference_audios", "HTTPS"},
        {"private video", video_inner, VG_ERR_INVALID_REQUEST, "reference_videos", "public"},
        {"private sound", audio_inner, VG_ERR_INVALID_REQUEST, "reference_audios", "public"},
        {"links to Veo", video_to_veo, VG_ERR_UNSUPPORTED, "reference_videos",
         "google-vertex: reference video inputs are unsupported"},
        {"frames and links", video_and_frame, VG_ERR_INVALID_REQUEST, "image", "Frame inputs"},
        {"both kinds of references", both_references, VG_ERR_INVALID_REQUEST, "reference_images",
         "input_reference"},
        {"frames and references", frames_and_references, VG_ERR_INVALID_REQUEST, "image",
         "Frame inputs"},
        {"references at 4 s", references_four_seconds, VG_ERR_UNSUPPORTED, "seconds",
         "supported durations: 8s)"},
        {"a stealth provider", references_four_seconds, VG_ERR_UNSUPPORTED, "seconds",
         "another provider: "},
        {"empty request id", request_id_empty, VG_ERR_INVALID_REQUEST, "request_id", "1 to 255"},
        {"request id with newline", request_id_control, VG_ERR_INVALID_REQUEST, "request_id",
         "control"},
        {"long request id", request_id_long, VG_ERR_INVALID_REQUEST, "request_id", "1 to 255"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_job job;
        struct vg_err err = {.kind = VG_ERR_INTERNAL};
        if (judge(f, cases[i].edit, &job, &err) == 0)
            fail_msg("accepted: %s", cases[i].name);
        if (err.kind != cases[i].kind || strcmp(err.param, cases[i].param) != 0 ||
            !strstr(vg_err_text(&err), cases[i].says))
            fail_msg("%s: %s, param %s, \"%s\"", cases[i].name, vg_err_info(err.kind)->reason,
                     err.param, vg_err_text(&err));
        if (strcmp(cases[i].name, "pinned size") != 0 &&
            strcmp(cases[i].name, "closed with another name there") != 0 &&
            strstr(vg_err_text(&err), "avalanche"))
            fail_msg("%s: names a stealth provider: %s", cases[i].name, vg_err_text(&err));
    }
}

static void accepts(struct fixture *f, edit_f *edit, struct vg_job *job)
{
    struct vg_err err = {.kind = VG_ERR_INTERNAL};
    if (judge(f, edit, job, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
}

static void validate__fills_in_what_is_left_out(void **state)
{
    struct vg_job job;
    accepts(*state, nothing, &job);
    assert_string_equal(job.model, "veo-3.1-generate-preview");
    assert_int_equal(job.width, 1280);
    assert_int_equal(job.height, 720);
    assert_int_equal(job.seconds, 8);
    assert_int_equal(job.n, 1);
    assert_true(job.audio);
    assert_null(job.callback_url);
    assert_null(job.request_id);
    assert_int_equal(job.deadline_s, 3600);
    assert_true(job.price_usd > 3.19 && job.price_usd < 3.21);
}

static void validate__keeps_every_route_that_fits(void **state)
{
    struct vg_job job;
    accepts(*state, nothing, &job); /* avalanche has no 720p */
    assert_int_equal(job.route_count, 2);
    assert_string_equal(job.routes[0].provider, "google-vertex");
    assert_string_equal(job.routes[0].model, "veo-3.1-generate-001");
    assert_string_equal(job.routes[1].provider, "fal");
    accepts(*state, full_hd, &job);
    assert_int_equal(job.route_count, 3);
    assert_string_equal(job.routes[2].provider, "avalanche");
    accepts(*state, fallback_off, &job);
    assert_int_equal(job.route_count, 1);
    accepts(*state, seconds_ten, &job); /* vertex alone */
    assert_int_equal(job.route_count, 1);
    accepts(*state, audio_false, &job);
    assert_false(job.audio);
    assert_int_equal(job.route_count, 2);
}

static void validate__a_pin_leaves_one_provider_and_its_own_defaults(void **state)
{
    struct vg_job job;
    accepts(*state, pin_avalanche, &job);
    assert_string_equal(job.model, "veo-3.1-generate-preview");
    assert_string_equal(job.pin, "avalanche");
    assert_int_equal(job.route_count, 1);
    assert_string_equal(job.routes[0].model, "veo3");
    assert_int_equal(job.width, 1920);
}

static void validate__silent_models_are_silent_when_nothing_is_said(void **state)
{
    struct vg_job job;
    accepts(*state, hailuo, &job);
    assert_false(job.audio);
}

static void validate__takes_pictures(void **state)
{
    struct vg_job job;
    accepts(*state, with_image, &job);
    assert_ptr_equal(job.image, &picture);
    accepts(*state, image_url, &job);
    accepts(*state, with_frames, &job);
    assert_ptr_equal(job.last_frame, &other);
    accepts(*state, grok_with_image, &job);
    accepts(*state, references_three, &job);
    assert_int_equal(job.reference_count, 3);
    assert_int_equal(job.seconds, 8);
    accepts(*state, n_ten, &job);
    assert_int_equal(job.n, 10);
    accepts(*state, seedance_all, &job);
    assert_int_equal(job.reference_count, 9);
    assert_int_equal(job.reference_video_count, 3);
    assert_string_equal(job.reference_audios[2], "https://example.com/a.mp4");
}

static void validate__takes_a_callback_or_the_default_one(void **state)
{
    struct fixture *f = *state;
    struct vg_job job;
    f->env.default_callback_url = "https://example.org/default";
    f->env.default_callback_secret = "d";
    accepts(f, callback, &job);
    assert_string_equal(job.callback_url, "https://example.com/x");
    assert_string_equal(job.callback_secret, "s");
    accepts(f, nothing, &job);
    assert_string_equal(job.callback_url, "https://example.org/default");
    assert_string_equal(job.callback_secret, "d");
}

static void validate__closed_routes_open_for_an_operator(void **state)
{
    struct fixture *f = *state;
    struct vg_job job;
    struct vg_err err;
    f->env.allow_closed = true;
    accepts(f, model_closed, &job);
    assert_string_equal(job.routes[0].provider, "openai");
    assert_int_equal(job.seconds, 8);
    assert_int_equal(judge(f, sora_two_references, &job, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "exactly 1 reference image is supported"));
    assert_int_equal(judge(f, sora_image, &job, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "frame inputs (image, last_frame) are unsupported"));
}

static void validate__route_all_sends_everything_one_way(void **state)
{
    struct fixture *f = *state;
    struct vg_job job;
    f->env.route_all_provider = "sandbox";
    f->env.route_all_model = "sandbox";
    accepts(f, full_hd, &job);
    assert_int_equal(job.route_count, 1);
    assert_string_equal(job.routes[0].provider, "sandbox");
    assert_string_equal(job.routes[0].model, "sandbox");
    accepts(f, model_closed, &job);
    assert_string_equal(job.routes[0].provider, "sandbox");
    assert_string_equal(job.model, "sora-2");
}

static void validate__needs_a_worker_for_the_route(void **state)
{
    struct fixture *f = *state;
    static const char *const avalanche[] = {"avalanche"};
    static const char *const none[] = {"else"};
    struct vg_job job;
    struct vg_err err;
    f->env.providers = avalanche;
    f->env.provider_count = 1;
    accepts(f, nothing, &job);
    assert_int_equal(job.route_count, 1);
    assert_string_equal(job.routes[0].provider, "avalanche");
    f->env.providers = none;
    assert_int_equal(judge(f, nothing, &job, &err), -1);
    assert_int_equal(err.kind, VG_ERR_UNSUPPORTED);
    assert_non_null(
        strstr(vg_err_text(&err),
               "No configured provider is available for model veo-3.1-generate-preview"));
}

static void validate__a_name_may_be_an_alias_or_the_providers_own(void **state)
{
    struct vg_job job;
    accepts(*state, model_alias, &job);
    assert_string_equal(job.model, "veo-3.1-generate-preview");
    assert_null(job.pin);
    accepts(*state, pin_vertex_upstream, &job);
    assert_string_equal(job.model, "veo-3.1-generate-preview");
    assert_string_equal(job.pin, "google-vertex");
    assert_null(job.pin_model); /* an alias as well, and that comes first */
    accepts(*state, pin_kling, &job);
    assert_int_equal(job.route_count, 1); /* 4k is the other */
    assert_string_equal(job.routes[0].model, "kwaivgi/kling-v3.0-std");
    accepts(*state, pin_kling_std, &job);
    assert_string_equal(job.pin_model, "kwaivgi/kling-v3.0-std");
}

static void validate__a_length_that_is_not_given_follows_the_rules(void **state)
{
    struct fixture *f = *state;
    struct vg_job job;
    struct vg_err err;
    accepts(f, hailuo_1080p, &job);
    assert_int_equal(job.seconds, 6);
    f->env.allow_closed = true;
    accepts(f, gemini_1080p, &job);
    assert_int_equal(job.seconds, 8);
    assert_int_equal(judge(f, gemini_1080p_four, &job, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "(supported durations: 8s at 1080p, 4k)"));
}

static void validate__hands_further_parameters_to_routes_that_take_them(void **state)
{
    struct vg_job job;
    accepts(*state, extra_seed, &job);
    assert_string_equal(job.extra, "{\"seed\":7}");
    assert_string_equal(job.routes[0].provider, "google-vertex");
    assert_string_equal(job.routes[0].extra, "{\"seed\":7}");
    accepts(*state, extra_unknown, &job);
    assert_null(job.extra);
    assert_null(job.routes[0].extra);
    accepts(*state, nothing, &job);
    assert_null(job.routes[0].extra);
}

static void validate__caps_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct vg_job job;
    f->env.max_deadline_s = 5;
    accepts(f, nothing, &job);
    assert_int_equal(job.deadline_s, 5);
}

static void fingerprint_of(struct fixture *f, edit_f *edit, uint8_t out[32])
{
    static const uint8_t key[32] = {1};
    struct vg_job job;
    accepts(f, edit, &job);
    vg_job_fingerprint(&job, key, out);
}

EDIT(spelled_out, SET(model, MODEL, text("veo-3.1-generate-preview"));
     SET(size, SIZE, text("1280x720")); SET(seconds, SECONDS, 8); SET(audio, AUDIO, 1);
     SET(n, N, 1); SET(request_id, REQUEST_ID, text("other")))

static void fingerprint__sees_meaning_not_spelling(void **state)
{
    uint8_t a[32];
    uint8_t b[32];
    fingerprint_of(*state, nothing, a);
    fingerprint_of(*state, spelled_out, b);
    assert_memory_equal(a, b, 32);
    fingerprint_of(*state, extra_unknown, b);
    assert_memory_equal(a, b, 32);
}

static void fingerprint__differs_with_each_parameter(void **state)
{
    static edit_f *const edits[] = {
        nothing,      full_hd,      seconds_ten, n_ten,         audio_false,   callback,
        with_image,   with_frames,  image_url,   hailuo,        pin_avalanche, references_three,
        seedance_all, fallback_off, pin_kling,   pin_kling_std, extra_seed,    extra_other_seed};
    uint8_t prints[VG_COUNT(edits)][32];
    for (size_t i = 0; i < VG_COUNT(edits); i++) {
        fingerprint_of(*state, edits[i], prints[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(prints[i], prints[j], 32);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(validate__refuses_with_field_and_reason),
        CASE(validate__fills_in_what_is_left_out),
        CASE(validate__keeps_every_route_that_fits),
        CASE(validate__a_pin_leaves_one_provider_and_its_own_defaults),
        CASE(validate__silent_models_are_silent_when_nothing_is_said),
        CASE(validate__takes_pictures),
        CASE(validate__takes_a_callback_or_the_default_one),
        CASE(validate__closed_routes_open_for_an_operator),
        CASE(validate__route_all_sends_everything_one_way),
        CASE(validate__needs_a_worker_for_the_route),
        CASE(validate__a_name_may_be_an_alias_or_the_providers_own),
        CASE(validate__a_length_that_is_not_given_follows_the_rules),
        CASE(validate__hands_further_parameters_to_routes_that_take_them),
        CASE(validate__caps_the_deadline),
        CASE(fingerprint__sees_meaning_not_spelling),
        CASE(fingerprint__differs_with_each_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
