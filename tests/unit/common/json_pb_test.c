/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_pb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/str.h"
#include "videogate/v1/admin.pb-c.h"
#include "videogate/v1/video.pb-c.h"

struct fixture {
    struct vg_arena *arena;
    struct vg_json *root;
    struct vg_err err;
    Videogate__V1__CreateVideoRequest request;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.arena = vg_arena_new()};
    videogate__v1__create_video_request__init(&f.request);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    f.root = vg_json_free(f.root);
    f.arena = vg_arena_free(f.arena);
    return 0;
}

/* Reads `text` into the request of the fixture. */
static int read_request(const char *text)
{
    f.root = vg_json_free(f.root);
    videogate__v1__create_video_request__init(&f.request);
    assert_int_equal(vg_json_parse(&f.root, vg_view_of(text), &f.err), 0);
    return vg_pb_from_json(f.root, &f.request.base, vg_api_shape(), f.arena, &f.err);
}

static void expect_error(const char *text, const char *param, const char *detail)
{
    assert_int_equal(read_request(text), -1);
    assert_int_equal(f.err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(f.err.detail, detail);
    assert_string_equal(f.err.param, param);
}

static char *written(const ProtobufCMessage *message)
{
    struct vg_json_writer w;
    struct vg_buf out;

    vg_buf_init(&out, 1 << 20);
    vg_json_begin(&w, &out);
    vg_pb_to_json(message, vg_api_shape(), &w);
    assert_true(vg_buf_ok(&out));
    return vg_buf_take(&out, NULL);
}

static void expect_written(const ProtobufCMessage *message, const char *text)
{
    char *got = written(message);

    assert_string_equal(got, text);
    free(got);
}

static void json_pb__reads_the_seed_request(void **state)
{
    (void)state;
    assert_int_equal(
        read_request("{\"prompt\":\"A cinematic drone shot\",\"seconds\":8,\"unknown\":[1]}"), 0);
    assert_string_equal(f.request.prompt, "A cinematic drone shot");
    assert_int_equal(f.request.opt_seconds_case,
                     VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_SECONDS_SECONDS);
    assert_int_equal(f.request.seconds, 8);
    assert_int_equal(f.request.opt_model_case, 0);
    assert_int_equal(f.request.opt_audio_case, 0);
    assert_null(f.request.image);
    assert_int_equal(f.request.n_input_reference, 0);
}

static void json_pb__reads_every_field(void **state)
{
    (void)state;
    assert_int_equal(
        read_request("{\"model\":\"m\",\"prompt\":\"p\",\"size\":\"1x1\",\"seconds\":\"12\","
                     "\"audio\":false,\"n\":\"2\",\"callback_url\":\"https://c\","
                     "\"callback_secret\":\"s\",\"image\":\"https://i\","
                     "\"last_frame\":{\"image_url\":\"https://l\"},"
                     "\"reference_images\":[\"https://r\",{\"image_url\":{\"url\":\"https://q\"}}],"
                     "\"input_reference\":\"https://one\"}"),
        0);
    assert_string_equal(f.request.model, "m");
    assert_int_equal(f.request.seconds, 12);
    assert_int_equal(f.request.n, 2);
    assert_int_equal(f.request.opt_audio_case,
                     VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_AUDIO_AUDIO);
    assert_false(f.request.audio);
    assert_string_equal(f.request.callback_secret, "s");
    assert_string_equal(f.request.image->url, "https://i");
    assert_string_equal(f.request.last_frame->url, "https://l");
    assert_int_equal(f.request.n_reference_images, 2);
    assert_string_equal(f.request.reference_images[1]->url, "https://q");
    assert_int_equal(f.request.n_input_reference, 1);
    assert_string_equal(f.request.input_reference[0]->url, "https://one");

    /* It must also be a message that protobuf-c can pack and unpack. */
    size_t len = videogate__v1__create_video_request__get_packed_size(&f.request);
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    videogate__v1__create_video_request__pack(&f.request, bytes);
    Videogate__V1__CreateVideoRequest *again =
        videogate__v1__create_video_request__unpack(NULL, len, bytes);
    assert_non_null(again);
    assert_string_equal(again->reference_images[0]->url, "https://r");
    assert_int_equal(again->seconds, 12);
    videogate__v1__create_video_request__free_unpacked(again, NULL);
    free(bytes);
}

static void json_pb__null_and_hidden_count_as_absent(void **state)
{
    (void)state;
    assert_int_equal(read_request("{\"prompt\":null,\"seconds\":null,\"input_reference\":null,"
                                  "\"image\":null,\"no_fallback\":true,\"request_id\":\"x\"}"),
                     0);
    assert_ptr_equal(f.request.prompt, protobuf_c_empty_string);
    assert_int_equal(f.request.opt_seconds_case, 0);
    assert_int_equal(f.request.opt_request_id_case, 0);
    assert_false(f.request.no_fallback);
    assert_null(f.request.image);
    expect_error("{\"input_reference\":[]}", "input_reference",
                 "input_reference: needs at least one item");
    assert_int_equal(f.request.n_input_reference, 0);
}

static void json_pb__names_the_field_in_type_errors(void **state)
{
    (void)state;
    expect_error("{\"seconds\":\"eight\"}", "seconds",
                 "seconds: expected an integer, got a string");
    expect_error("{\"seconds\":[8]}", "seconds", "seconds: expected an integer, got an array");
    expect_error("{\"seconds\":8.5}", "seconds",
                 "seconds: expected an integer, got a fraction or a number too large");
    expect_error("{\"seconds\":3000000000}", "seconds",
                 "seconds: must be between -2147483648 and 2147483647");
    expect_error("{\"seconds\":\"3000000000\"}", "seconds",
                 "seconds: must be between -2147483648 and 2147483647");
    expect_error("{\"seconds\":\" 8\"}", "seconds", "seconds: expected an integer, got a string");
    expect_error("{\"audio\":\"yes\"}", "audio", "audio: expected a boolean, got a string");
    expect_error("{\"prompt\":5}", "prompt", "prompt: expected a string, got a number");
    expect_error("{\"prompt\":{}}", "prompt", "prompt: expected a string, got an object");
    expect_error("{\"reference_images\":[]}", "reference_images",
                 "reference_images: needs at least one item");
    expect_error("{\"reference_videos\":[7]}", "reference_videos[0]",
                 "reference_videos[0]: expected an HTTPS URL or an object with video_url or "
                 "audio_url, got a number");
    expect_error("{\"reference_images\":[\"https://r\",7]}", "reference_images[1]",
                 "reference_images[1]: expected an image URL, a data URL, a file or an object "
                 "with image_url, got a number");
    expect_error("{\"reference_images\":[null]}", "reference_images[0]",
                 "reference_images[0]: expected an image URL, a data URL, a file or an object "
                 "with image_url, got null");
    expect_error("{\"image\":{\"file_id\":\"file_1\"}}", "image",
                 "image: file_id is not supported; give image_url");
    expect_error("{\"image\":\"\"}", "image", "image: must not be empty");
    expect_error(
        "{\"image\":{\"image_url\":5}}", "image",
        "image: expected an image URL, a data URL, a file or an object with image_url, got an "
        "object");
}

static const char *rest_of(const char *text, const struct vg_json_shape *shape)
{
    f.root = vg_json_free(f.root);
    videogate__v1__create_video_request__init(&f.request);
    assert_int_equal(vg_json_parse(&f.root, vg_view_of(text), &f.err), 0);
    if (vg_pb_from_json(f.root, &f.request.base, shape, f.arena, &f.err) != 0)
        return "refused";
    return f.request.opt_extra_case ? f.request.extra : "none";
}

static void json_pb__takes_the_rest_as_text(void **state)
{
    (void)state;
    const struct vg_json_shape *json = vg_api_shape();
    static char large[VG_JSON_REST_SIZE + 100];

    assert_string_equal(rest_of("{\"prompt\":\"x\",\"seconds\":4}", json), "none");
    assert_string_equal(rest_of("{\"prompt\":\"x\",\"a\":null,\"request_id\":\"i\"}", json),
                        "none"); /* null is absent; hidden is not unknown */
    assert_string_equal(
        rest_of(
            "{\"seed\":42,\"prompt\":\"x\",\"f\":[0.7,true,{\"a\":null}],\"t\":\"7\",\"extra\":{}}",
            json),
        "{\"seed\":42,\"f\":[0.7,true,{\"a\":null}],\"t\":\"7\",\"extra\":{}}");
    assert_string_equal(rest_of("{\"image\":{\"image_url\":\"https://a/b\",\"detail\":1}}", json),
                        "none"); /* of the request alone */
    assert_string_equal(
        rest_of("{\"a\":\"42\",\"b\":\"-0.5e3\",\"c\":\"true\",\"d\":\"no\",\"e\":\" "
                "1\",\"g\":\"null\","
                "\"h\":\"{}\",\"i\":\"007\",\"j\":\"\"}",
                vg_api_form_shape()),
        "{\"a\":42,\"b\":-500,\"c\":true,\"d\":\"no\",\"e\":\" 1\",\"g\":\"null\",\"h\":\"{}\","
        "\"i\":\"007\",\"j\":\"\"}");
    memset(large, 'x', sizeof(large) - 1);
    char *text = vg_arena_printf(f.arena, "{\"big\":\"%s\",\"seed\":1}", large);
    assert_string_equal(rest_of(text, json), "{\"big\":null,\"seed\":1}");
    text = vg_arena_printf(f.arena, "{\"%.129s\":1,\"%.128s\":2}", large, large);
    assert_int_equal(strlen(rest_of(text, json)), 128 + 6);
    large[15000] = '\0';
    text = vg_arena_printf(f.arena,
                           "{\"a\":\"%s\",\"b\":\"%s\",\"c\":\"%s\",\"d\":\"%s\",\"e\":\"%s\"}",
                           large, large, large, large, large);
    assert_string_equal(rest_of(text, json), "refused");
    assert_string_equal(f.err.param, "extra");
}

static void json_pb__needs_an_object(void **state)
{
    (void)state;
    assert_int_equal(read_request("[]"), -1);
    assert_string_equal(f.err.detail, "expected a JSON object, got an array");
}

static void json_pb__decodes_data_urls(void **state)
{
    (void)state;
    assert_int_equal(read_request("{\"image\":\"data:image/PNG;base64,aGVsbG8=\"}"), 0);
    assert_int_equal(f.request.image->source_case, VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA);
    assert_int_equal(f.request.image->data.len, 5);
    assert_memory_equal(f.request.image->data.data, "hello", 5);
    assert_string_equal(f.request.image->mime_type, "image/png");
    assert_int_equal(
        read_request("{\"image\":{\"image_url\":\"DATA:image/webp;x=y;BASE64,aGVsbG8\"}}"), 0);
    assert_string_equal(f.request.image->mime_type, "image/webp");
    assert_int_equal(f.request.image->data.len, 5);
}

static void json_pb__refuses_bad_data_urls(void **state)
{
    static const char form[] = "image: a data URL must have the form data:image/...;base64,...";
    static const struct {
        const char *text;
        const char *detail;
    } cases[] = {
        {"{\"image\":\"data:image/png;base64\"}", form},
        {"{\"image\":\"data:,x\"}", form},
        {"{\"image\":\"data:image/png,x\"}", form},
        {"{\"image\":\"data:text/plain;base64,aGVsbG8=\"}", "image: a data URL must hold an image"},
        {"{\"image\":\"data:image/;base64,aGVsbG8=\"}", "image: a data URL must hold an image"},
        {"{\"image\":\"data:;base64,aGVsbG8=\"}", "image: a data URL must hold an image"},
        {"{\"image\":\"data:image/png;base64,\"}",
         "image: the data URL does not hold valid base64"},
        {"{\"image\":\"data:image/png;base64,a*b=\"}",
         "image: the data URL does not hold valid base64"},
        {"{\"image\":\"data:image/png;base64,====\"}",
         "image: the data URL does not hold valid base64"},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        expect_error(cases[i].text, "image", cases[i].detail);
}

/* {"image":"data:image/png;base64,AAAA..."} that holds `bytes` zeros. */
static char *picture_of(size_t bytes)
{
    static const char head[] = "{\"image\":\"data:image/png;base64,", tail[] = "\"}";
    size_t len = vg_base64_encoded_size(bytes);
    char *text = malloc(sizeof(head) + len + sizeof(tail)), *zeros = calloc(1, bytes);

    assert_non_null(text);
    assert_non_null(zeros);
    memcpy(text, head, sizeof(head));
    vg_base64_encode(text + sizeof(head) - 1, zeros, bytes);
    memcpy(text + sizeof(head) - 1 + len, tail, sizeof(tail));
    free(zeros);
    return text;
}

static void json_pb__limits_data_urls_to_20_mib(void **state)
{
    const size_t limit = 20U * 1024 * 1024;
    char *text = picture_of(limit);

    (void)state;
    assert_int_equal(read_request(text), 0);
    assert_int_equal(f.request.image->data.len, limit);
    free(text);
    text = picture_of(limit + 1);
    expect_error(text, "image",
                 "image: Image size (20.0MB) exceeds the 20MB limit for image inputs");
    free(text);
    text = picture_of(limit + 1024U * 1024);
    expect_error(text, "image",
                 "image: Image size (21.0MB) exceeds the 20MB limit for image inputs");
    free(text);
}

static void json_pb__limits_the_length_of_an_address(void **state)
{
    char url[8300], text[8400];

    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        memset(url, 'a', sizeof(url));
        memcpy(url, "https://", strlen("https://"));
        url[8192 + extra] = '\0';
        (void)snprintf(text, sizeof(text), "{\"image\":\"%s\"}", url);
        assert_int_equal(read_request(text), extra ? -1 : 0);
    }
}

static void json_pb__writes_a_queued_video(void **state)
{
    Videogate__V1__Video video = VIDEOGATE__V1__VIDEO__INIT;

    (void)state;
    video.id = (char *)"video_1";
    video.model = (char *)"veo";
    video.status = VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED;
    video.created_at = 1700000000;
    video.prompt = (char *)"a \"b\"\n";
    video.size = (char *)"1280x720";
    video.seconds = 8;
    video.audio = true;
    video.n = 1;
    video.version = 5;
    video.poll_after_ms = 1000;
    expect_written(&video.base,
                   "{\"id\":\"video_1\",\"object\":\"video\",\"model\":\"veo\",\"status\":"
                   "\"queued\",\"progress\":0,\"created_at\":1700000000,\"completed_at\":null,"
                   "\"expires_at\":null,\"error\":null,\"prompt\":\"a \\\"b\\\"\\n\",\"size\":"
                   "\"1280x720\",\"seconds\":\"8\",\"remixed_from_video_id\":null,\"audio\":true,"
                   "\"n\":1,\"attempts\":0}");
}

static void json_pb__writes_a_completed_video(void **state)
{
    Videogate__V1__Video video = VIDEOGATE__V1__VIDEO__INIT;
    Videogate__V1__VideoError error = VIDEOGATE__V1__VIDEO_ERROR__INIT;
    Videogate__V1__VideoContent content = VIDEOGATE__V1__VIDEO_CONTENT__INIT;
    Videogate__V1__VideoContent *contents[] = {&content};

    (void)state;
    video.status = VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_IN_PROGRESS;
    video.opt_completed_at_case = VIDEOGATE__V1__VIDEO__OPT_COMPLETED_AT_COMPLETED_AT;
    video.completed_at = 1700000001;
    video.opt_remixed_from_video_id_case =
        VIDEOGATE__V1__VIDEO__OPT_REMIXED_FROM_VIDEO_ID_REMIXED_FROM_VIDEO_ID;
    video.remixed_from_video_id = (char *)"video_0";
    error.message = (char *)"one output failed";
    video.error = &error;
    content.type = (char *)"video";
    content.url = (char *)"/v1/videos/video_1/content";
    content.mime_type = (char *)"video/mp4";
    content.bytes = INT64_C(5000000000);
    content.sha256 = (char *)"ab";
    video.content = contents;
    video.n_content = 1;
    video.opt_provider_case = VIDEOGATE__V1__VIDEO__OPT_PROVIDER_PROVIDER;
    video.provider = (char *)"google";
    video.attempts = 2;
    expect_written(
        &video.base,
        "{\"id\":\"\",\"object\":\"video\",\"model\":\"\",\"status\":\"in_progress\",\"progress\":"
        "0,"
        "\"created_at\":0,\"completed_at\":1700000001,\"expires_at\":null,\"error\":{\"message\":"
        "\"one output failed\"},\"content\":[{\"type\":\"video\",\"url\":\"/v1/videos/video_1/"
        "content\",\"mime_type\":\"video/"
        "mp4\",\"index\":0,\"bytes\":5000000000,\"sha256\":\"ab\"}],"
        "\"prompt\":\"\",\"size\":\"\",\"seconds\":\"0\",\"remixed_from_video_id\":\"video_0\","
        "\"audio\":false,\"n\":0,\"provider\":\"google\",\"attempts\":2}");
}

static void json_pb__every_status_has_its_public_name(void **state)
{
    static const char *const names[] = {"unspecified", "queued",   "in_progress", "completed",
                                        "failed",      "canceled", "expired"};
    char want[64];

    (void)state;
    for (size_t i = 0; i < VG_COUNT(names); i++) {
        Videogate__V1__Video video = VIDEOGATE__V1__VIDEO__INIT;
        video.status = (Videogate__V1__VideoStatus)i;
        char *got = written(&video.base);
        (void)snprintf(want, sizeof(want), "\"status\":\"%s\"", names[i]);
        assert_non_null(strstr(got, want));
        free(got);
    }
}

static void json_pb__writes_models_and_lists(void **state)
{
    Videogate__V1__ListModelsResponse list = VIDEOGATE__V1__LIST_MODELS_RESPONSE__INIT;
    Videogate__V1__Model model = VIDEOGATE__V1__MODEL__INIT;
    Videogate__V1__Model *models[] = {&model};
    char *sizes[] = {(char *)"1x1", (char *)"2x2"};
    int32_t seconds[] = {4, 8};

    (void)state;
    model.id = (char *)"m";
    model.created = 7;
    model.owned_by = (char *)"google";
    model.sizes = sizes;
    model.n_sizes = 2;
    model.seconds = seconds;
    model.n_seconds = 2;
    model.default_seconds = 8;
    model.default_size = (char *)"1x1";
    list.data = models;
    list.n_data = 1;
    expect_written(
        &list.base,
        "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":7,"
        "\"owned_by\":\"google\",\"sizes\":[\"1x1\",\"2x2\"],\"seconds\":[4,8],"
        "\"default_seconds\":8,\"default_size\":\"1x1\",\"pricing\":[],\"status\":\"\"}]}");
    list.n_data = 0;
    expect_written(&list.base, "{\"object\":\"list\",\"data\":[]}");
}

static void json_pb__members_leave_room_for_the_callers_own(void **state)
{
    Videogate__V1__DeleteVideoResponse gone = VIDEOGATE__V1__DELETE_VIDEO_RESPONSE__INIT;
    struct vg_json_writer w;
    struct vg_buf out;

    (void)state;
    gone.id = (char *)"video_1";
    vg_buf_init(&out, 1024);
    vg_json_begin(&w, &out);
    vg_json_object_open(&w);
    vg_pb_members_to_json(&gone.base, vg_api_shape(), &w);
    vg_json_put_key(&w, "deleted");
    vg_json_put_bool(&w, true);
    vg_json_object_close(&w);
    assert_string_equal(out.data,
                        "{\"id\":\"video_1\",\"object\":\"video.deleted\",\"deleted\":true}");
    vg_buf_fini(&out);
}

static void json_pb__rules_are_sorted_and_name_real_fields(void **state)
{
    const struct vg_json_shape *shape = vg_api_shape();
    static const ProtobufCMessageDescriptor *const known[] = {
        &videogate__v1__create_video_request__descriptor,
        &videogate__v1__edit_video_request__descriptor,
        &videogate__v1__extend_video_request__descriptor,
        &videogate__v1__remix_video_request__descriptor,
        &videogate__v1__video__descriptor,
        &videogate__v1__video_error__descriptor,
        &videogate__v1__video_content__descriptor,
        &videogate__v1__create_webhook_endpoint_request__descriptor,
        &videogate__v1__delivery__descriptor,
        &videogate__v1__get_video_trace_response__descriptor,
        &videogate__v1__rotate_webhook_secret_request__descriptor,
        &videogate__v1__test_webhook_endpoint_request__descriptor,
        &videogate__v1__update_webhook_endpoint_request__descriptor,
        &videogate__v1__webhook_endpoint__descriptor,
    };

    (void)state;
    for (size_t i = 0; i < shape->rule_count; i++) {
        const struct vg_json_rule *rule = &shape->rules[i];
        bool found = false;
        for (size_t k = 0; k < VG_COUNT(known); k++)
            found =
                found || (strcmp(known[k]->name, rule->message) == 0 &&
                          protobuf_c_message_descriptor_get_field_by_name(known[k], rule->field));
        if (!found)
            fail_msg("no such field: %s.%s", rule->message, rule->field);
        if (i == 0)
            continue;
        int order = strcmp(rule[-1].message, rule->message);
        assert_true(order < 0 || (order == 0 && strcmp(rule[-1].field, rule->field) < 0));
    }
}

/* A shape without rules reads what it writes, for every scalar kind that our messages have. */
static void json_pb__round_trip_without_rules(void **state)
{
    static const struct vg_json_shape plain = {.rules = NULL};
    static const char text[] =
        "{\"id\":\"v\",\"model\":\"m\",\"status\":\"VIDEO_STATUS_FAILED\",\"progress\":-1,"
        "\"created_at\":4503599627370497,\"completed_at\":0,\"error\":{\"code\":\"c\",\"message\":"
        "\"\"},\"content\":[{\"type\":\"\",\"url\":\"u\",\"mime_type\":\"\",\"index\":3,\"bytes\":"
        "1,"
        "\"sha256\":\"\"},{\"type\":\"\",\"url\":\"\",\"mime_type\":\"\",\"index\":0,\"bytes\":0,"
        "\"sha256\":\"\"}],\"prompt\":\"\",\"size\":\"\",\"seconds\":4,\"audio\":true,\"n\":0,"
        "\"version\":0,\"poll_after_ms\":0,\"attempts\":0}";
    Videogate__V1__Video video = VIDEOGATE__V1__VIDEO__INIT;
    struct vg_json_writer w;
    struct vg_buf out;

    (void)state;
    assert_int_equal(vg_json_parse(&f.root, VG_VIEW(text), &f.err), 0);
    assert_int_equal(vg_pb_from_json(f.root, &video.base, &plain, f.arena, &f.err), 0);
    vg_buf_init(&out, 4096);
    vg_json_begin(&w, &out);
    vg_pb_to_json(&video.base, &plain, &w);
    assert_string_equal(out.data, text);
    vg_buf_fini(&out);
}

static int read_plain(ProtobufCMessage *message, const char *text)
{
    static const struct vg_json_shape plain = {.rules = NULL};

    f.root = vg_json_free(f.root);
    assert_int_equal(vg_json_parse(&f.root, vg_view_of(text), &f.err), 0);
    return vg_pb_from_json(f.root, message, &plain, f.arena, &f.err);
}

static void json_pb__oneofs_enums_and_bytes(void **state)
{
    Videogate__V1__MediaInput input = VIDEOGATE__V1__MEDIA_INPUT__INIT;
    Videogate__V1__Video video = VIDEOGATE__V1__VIDEO__INIT;

    (void)state;
    assert_int_equal(read_plain(&input.base, "{\"data\":\"AAEC\",\"mime_type\":\"image/png\"}"), 0);
    assert_int_equal(input.source_case, VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA);
    assert_int_equal(input.data.len, 3);
    expect_written(&input.base, "{\"data\":\"AAEC\",\"mime_type\":\"image/png\"}");
    videogate__v1__media_input__init(&input);
    assert_int_equal(read_plain(&input.base, "{\"url\":\"u\",\"data\":\"AAEC\"}"), -1);
    assert_string_equal(f.err.detail, "data: excludes another field that was given");
    videogate__v1__media_input__init(&input);
    assert_int_equal(read_plain(&input.base, "{\"data\":\"A\"}"), -1);
    assert_string_equal(f.err.detail, "data: expected base64");
    assert_int_equal(read_plain(&video.base, "{\"status\":\"VIDEO_STATUS_LOST\"}"), -1);
    assert_string_equal(f.err.detail, "status: unknown value");
    assert_int_equal(read_plain(&video.base, "{\"status\":1}"), -1);
    assert_string_equal(f.err.detail, "status: expected a string, got a number");
    assert_int_equal(read_plain(&video.base, "{\"error\":[]}"), -1);
    assert_string_equal(f.err.detail, "error: expected an object, got an array");
    assert_int_equal(read_plain(&video.base, "{\"error\":{\"code\":1}}"), -1);
    assert_string_equal(f.err.param, "error.code");
    assert_int_equal(read_plain(&video.base, "{\"content\":[{},{\"index\":\"1\"}]}"), -1);
    assert_string_equal(f.err.param, "content[1].index");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(json_pb__reads_the_seed_request),
        CASE(json_pb__reads_every_field),
        CASE(json_pb__null_and_hidden_count_as_absent),
        CASE(json_pb__names_the_field_in_type_errors),
        CASE(json_pb__takes_the_rest_as_text),
        CASE(json_pb__needs_an_object),
        CASE(json_pb__decodes_data_urls),
        CASE(json_pb__refuses_bad_data_urls),
        CASE(json_pb__limits_data_urls_to_20_mib),
        CASE(json_pb__limits_the_length_of_an_address),
        CASE(json_pb__writes_a_queued_video),
        CASE(json_pb__writes_a_completed_video),
        CASE(json_pb__every_status_has_its_public_name),
        CASE(json_pb__writes_models_and_lists),
        CASE(json_pb__members_leave_room_for_the_callers_own),
        CASE(json_pb__rules_are_sorted_and_name_real_fields),
        CASE(json_pb__round_trip_without_rules),
        CASE(json_pb__oneofs_enums_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
