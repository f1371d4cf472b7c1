/* SPDX-License-Identifier: Apache-2.0 */
#include "service/translate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vg_output outputs[2] = {
    {.index = 0, .mime_type = "video/mp4", .bytes = 10, .sha256 = "aa"},
    {.index = 3, .mime_type = "video/webm", .bytes = 20, .sha256 = "bb"}};

static struct vg_links *new_links(const char *public_url)
{
    const struct vg_link_options options = {.secret_key = "0123456789abcdef",
                                            .public_url = public_url};
    struct vg_links *links = NULL;
    assert_int_equal(vg_links_new(&links, &options, NULL), 0);
    return links;
}

static struct vg_video row(enum vg_video_status status)
{
    return (struct vg_video){.id = "video_1",
                             .model = "m",
                             .status = status,
                             .progress = 40,
                             .created_at = 1000,
                             .prompt = "p",
                             .width = 1280,
                             .height = 720,
                             .seconds = 8,
                             .audio = true,
                             .n = 4,
                             .version = 5,
                             .outputs = outputs,
                             .output_count = 2};
}

static void translate__shows_a_running_video(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    Videogate__V1__Video out;
    struct vg_links *links = new_links("https://x.test");
    const struct vg_video video = row(VG_VIDEO_IN_PROGRESS);
    vg_translate_video(&video, links, 1005, arena, &out);
    assert_string_equal(out.id, "video_1");
    assert_int_equal(out.status, VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_IN_PROGRESS);
    assert_int_equal(out.progress, 40);
    assert_string_equal(out.size, "1280x720");
    assert_int_equal(out.seconds, 8);
    assert_int_equal(out.n, 4);
    assert_int_equal(out.version, 5);
    assert_true(out.audio);
    assert_int_equal(out.opt_completed_at_case, 0);
    assert_int_equal(out.opt_expires_at_case, 0);
    assert_int_equal(out.opt_remixed_from_video_id_case, 0);
    assert_null(out.error);
    assert_int_equal(out.n_content, 0); /* outputs of an unfinished video are not shown */
    assert_int_equal(out.poll_after_ms, 1000);
    vg_translate_video(&video, links, 1000 + 3600, arena, &out);
    assert_int_equal(out.poll_after_ms, 5000);
    (void)vg_links_free(links);
    (void)vg_arena_free(arena);
}

static void translate__shows_content_of_a_completed_video(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    Videogate__V1__Video out;
    struct vg_links *links = new_links("https://x.test");
    struct vg_video video = row(VG_VIDEO_COMPLETED);
    video.completed_at = 1100;
    video.expires_at = 2000;
    video.remixed_from = "video_0";
    video.error_code = "timeout";
    video.error_message = "one of them";
    vg_translate_video(&video, links, 1200, arena, &out);
    assert_int_equal(out.completed_at, 1100);
    assert_int_equal(out.expires_at, 2000);
    assert_string_equal(out.remixed_from_video_id, "video_0");
    assert_string_equal(out.error->code, "timeout");
    assert_string_equal(out.error->message, "one of them");
    assert_int_equal(out.poll_after_ms, 0);
    assert_int_equal(out.n_content, 2);
    assert_string_equal(out.content[1]->url, vg_link_url(links, "video_1", 3, 1200, 2000, arena));
    assert_string_equal(out.content[1]->type, "video");
    assert_string_equal(out.content[1]->mime_type, "video/webm");
    assert_int_equal(out.content[1]->index, 3);
    assert_int_equal(out.content[1]->bytes, 20);
    assert_string_equal(out.content[1]->sha256, "bb");
    size_t size = protobuf_c_message_get_packed_size(&out.base);
    uint8_t *packed = vg_xalloc(size);
    assert_int_equal(protobuf_c_message_pack(&out.base, packed), size);
    Videogate__V1__Video *back = videogate__v1__video__unpack(NULL, size, packed);
    assert_non_null(back);
    assert_string_equal(back->content[0]->url, out.content[0]->url);
    videogate__v1__video__free_unpacked(back, NULL);
    vg_translate_video(&video, links, 2000, arena, &out); /* its retention is over */
    assert_int_equal(out.n_content, 0);
    (void)vg_links_free(links);
    free(packed);
    (void)vg_arena_free(arena);
}

static void translate__statuses_have_their_public_words(void **state)
{
    (void)state;
    static const struct {
        enum vg_video_status status;
        const char *word;
        bool terminal;
    } cases[] = {
        {VG_VIDEO_QUEUED, "queued", false},      {VG_VIDEO_IN_PROGRESS, "in_progress", false},
        {VG_VIDEO_COMPLETED, "completed", true}, {VG_VIDEO_FAILED, "failed", true},
        {VG_VIDEO_CANCELED, "canceled", true},   {VG_VIDEO_EXPIRED, "expired", true}};
    assert_int_equal(VG_COUNT(cases), VG_VIDEO_STATUS_MAX - 1);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        assert_string_equal(vg_status_word(cases[i].status), cases[i].word);
        assert_int_equal(vg_status_terminal(cases[i].status), cases[i].terminal);
    }
}

static void translate__a_model_shows_the_union_of_its_routes(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    struct vg_catalog *catalog = NULL;
    Videogate__V1__Model out;
    assert_int_equal(vg_catalog_load(&catalog, VG_CATALOG_FILE, NULL), 0);
    vg_translate_model(vg_catalog_find(catalog, "sora-2-pro", 10), arena, &out);
    assert_string_equal(out.id, "sora-2-pro");
    assert_string_equal(out.owned_by, "openai");
    assert_int_equal(out.n_sizes,
                     6); /* 720p, hd, 1080p, each once although two routes have the first four */
    assert_int_equal(out.n_seconds, 4);
    assert_int_equal(out.seconds[2], 10);
    assert_string_equal(out.default_size, "1280x720");
    assert_int_equal(out.default_seconds, 8);
    assert_true(out.capabilities->audio && !out.capabilities->silent && !out.capabilities->image);
    assert_int_equal(out.capabilities->reference_images, 1);
    assert_int_equal(out.n_pricing, 3);
    assert_string_equal(out.pricing[0]->key, "720p");
    assert_true(out.pricing[0]->usd_per_second > 0.29 && out.pricing[0]->usd_per_second < 0.31);
    assert_string_equal(out.status, "closed");
    assert_int_equal(out.opt_usd_per_image_input_case, 0);
    vg_translate_model(vg_catalog_find(catalog, "grok-imagine-video-1-5-preview", 30), arena, &out);
    assert_string_equal(out.status, "preview");
    assert_true(out.opt_usd_per_image_input_case && out.usd_per_image_input == 0.01);
    vg_translate_model(vg_catalog_default(catalog), arena, &out);
    assert_string_equal(out.status, "live");
    (void)vg_catalog_free(catalog);
    (void)vg_arena_free(arena);
}

static void translate__keys_and_deliveries_keep_presence(void **state)
{
    (void)state;
    Videogate__V1__ApiKey key;
    Videogate__V1__Delivery delivery;
    const struct vg_key k = {.id = "key_1",
                             .project = "p",
                             .name = "n",
                             .hint = "abcd",
                             .created_at = 5,
                             .scopes = "",
                             .limits = {.requests_per_minute = 60, .max_spend_micros = 1500000}};
    const struct vg_key revoked = {.id = "key_1",
                                   .project = "p",
                                   .name = "n",
                                   .hint = "abcd",
                                   .revoked_at = 9,
                                   .expires_at = 12,
                                   .scopes = "videos.read usage.read"};
    struct vg_arena *arena = vg_arena_new();

    const struct vg_delivery d = {.id = "evt_1",
                                  .video_id = "video_1",
                                  .state = VG_DELIVERY_PENDING,
                                  .attempts = 2,
                                  .last_status = 503,
                                  .last_reason = "status_503",
                                  .next_attempt_at = 77};
    const struct vg_delivery done = {
        .id = "evt_1", .video_id = "video_1", .state = VG_DELIVERY_DELIVERED};
    vg_translate_key(&k, arena, &key);
    assert_int_equal(key.n_scopes, 0);
    assert_int_equal(key.opt_expires_at_case, 0);
    assert_int_equal(key.limits->requests_per_minute, 60);
    assert_int_equal(key.limits->opt_concurrent_videos_case, 0);
    assert_true(key.limits->monthly_spend_usd > 1.4999 && key.limits->monthly_spend_usd < 1.5001);
    assert_string_equal(key.hint, "abcd");
    assert_int_equal(key.opt_revoked_at_case, 0);
    vg_translate_key(&revoked, arena, &key);
    assert_int_equal(key.n_scopes, 2);
    assert_string_equal(key.scopes[1], "usage.read");
    assert_int_equal(key.expires_at, 12);
    assert_int_equal(key.revoked_at, 9);
    assert_int_not_equal(key.opt_revoked_at_case, 0);
    vg_translate_delivery(&d, arena, &delivery);
    assert_string_equal(delivery.state, "pending");
    assert_int_equal(delivery.next_attempt_at, 77);
    assert_string_equal(delivery.last_reason, "status_503");
    vg_translate_delivery(&done, arena, &delivery);
    assert_string_equal(delivery.state, "delivered");
    assert_int_equal(delivery.opt_next_attempt_at_case, 0);
    assert_string_equal(delivery.last_reason, "");
    (void)vg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translate__shows_a_running_video),
        cmocka_unit_test(translate__shows_content_of_a_completed_video),
        cmocka_unit_test(translate__statuses_have_their_public_words),
        cmocka_unit_test(translate__a_model_shows_the_union_of_its_routes),
        cmocka_unit_test(translate__keys_and_deliveries_keep_presence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
