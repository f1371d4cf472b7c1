/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/jobs_priv.h"
#include "service/jobs/media_head.h"
#include "service/jobs/spec.h"

static Videogate__Store__V1__Route route(const char *provider, int32_t max_attempts)
{
    Videogate__Store__V1__Route r = VIDEOGATE__STORE__V1__ROUTE__INIT;
    r.provider = (char *)provider;
    r.model = (char *)"m";
    r.max_attempts = max_attempts;
    return r;
}

static Videogate__Store__V1__MediaRef ref(const char *blob)
{
    Videogate__Store__V1__MediaRef m = VIDEOGATE__STORE__V1__MEDIA_REF__INIT;
    m.blob = (char *)blob;
    m.mime_type = (char *)"image/png";
    return m;
}

static uint8_t *pack(const Videogate__Store__V1__JobSpec *spec, size_t *out_len)
{
    *out_len = videogate__store__v1__job_spec__get_packed_size(spec);
    uint8_t *data = malloc(*out_len + 1);
    assert_non_null(data);
    assert_int_equal(videogate__store__v1__job_spec__pack(spec, data), *out_len);
    return data;
}

static void spec__round_trip(void **state)
{
    (void)state;
    Videogate__Store__V1__Route a = route("google", 3), b = route("sandbox", 0);
    Videogate__Store__V1__Route *routes[] = {&a, &b};
    Videogate__Store__V1__MediaRef first = ref("inputs/1"), last = ref("inputs/2"),
                                   r1 = ref("inputs/3");
    Videogate__Store__V1__MediaRef *refs[] = {&r1};
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    spec.prompt = (char *)"a cat";
    spec.seconds = 8;
    spec.routes = routes;
    spec.n_routes = 2;
    spec.image = &first;
    spec.last_frame = &last;
    spec.references = refs;
    spec.n_references = 1;
    size_t len;
    uint8_t *data = pack(&spec, &len);

    struct vg_arena *arena = vg_arena_new();
    struct vg_spec got = {0};
    assert_int_equal(vg_spec_open(&got, data, len, arena, NULL), 0);
    assert_int_equal(got.route_count, 2);
    assert_string_equal(got.routes[0].provider, "google");
    assert_int_equal(got.routes[0].max_attempts, 3);
    assert_int_equal(got.routes[1].max_attempts, 1); /* at least one */
    assert_string_equal(got.message->prompt, "a cat");
    const Videogate__Store__V1__MediaRef *pictures[VG_SPEC_MAX_FILES];
    assert_int_equal(vg_spec_files(&got, pictures), 3);
    assert_string_equal(pictures[0]->blob, "inputs/1");
    assert_string_equal(pictures[1]->blob, "inputs/2");
    assert_string_equal(pictures[2]->blob, "inputs/3");
    vg_spec_close(&got);

    for (size_t cut = 0; cut < len; cut++) { /* damaged: refused or read, never a crash */
        struct vg_spec part = {0};
        if (vg_spec_open(&part, data, cut, arena, NULL) == 0) {
            assert_true(part.route_count >= 1);
        }
        vg_spec_close(&part);
    }
    vg_arena_free(arena);
    free(data);
}

static void spec__refuses_what_cannot_run(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    Videogate__Store__V1__JobSpec spec = VIDEOGATE__STORE__V1__JOB_SPEC__INIT;
    size_t len;
    uint8_t *data = pack(&spec, &len);
    struct vg_spec got = {0};
    struct vg_err err;
    assert_int_equal(vg_spec_open(&got, data, len, arena, &err), -1); /* no route */
    assert_int_equal(err.kind, VG_ERR_INTERNAL);
    free(data);

    Videogate__Store__V1__Route a = route("sandbox", 1);
    Videogate__Store__V1__Route *routes[] = {&a};
    Videogate__Store__V1__MediaRef empty = ref("");
    spec.routes = routes;
    spec.n_routes = 1;
    spec.image = &empty;
    data = pack(&spec, &len);
    assert_int_equal(vg_spec_open(&got, data, len, arena, &err), -1);
    free(data);
    vg_arena_free(arena);
}

static void spec__token_names_generation_and_attempt(void **state)
{
    (void)state;
    char token[VG_TOKEN_SIZE];
    vg_spec_token(token, "video_01a220fa6965700099081c1932a6c906", 2, 3);
    assert_string_equal(token, "video_01a220fa6965700099081c1932a6c906.2-3");
    vg_spec_token(token, "video_01a220fa6965700099081c1932a6c906", 9, INT32_MAX);
    assert_string_equal(token, "video_01a220fa6965700099081c1932a6c906.9-2147483647");
}

static void media_head__judges_split_bodies(void **state)
{
    (void)state;
    static const char mp4[] = "\0\0\0\x20"
                              "ftypisomxxxx";
    struct vg_media_head head = {.len = 0};
    for (size_t i = 0; i < sizeof(mp4) - 1; i++) {
        assert_false(vg_media_head_wrong(&head, "video/mp4"));
        vg_media_head_add(&head, mp4 + i, 1);
    }
    assert_false(vg_media_head_short(&head));
    assert_true(vg_media_head_wrong(&head, "video/webm"));
    assert_true(vg_media_head_wrong(&head, "text/html"));
    head.len = 0;
    vg_media_head_add(&head, "<html><body>", 12);
    assert_true(vg_media_head_wrong(&head, "video/mp4"));
    head.len = 0;
    vg_media_head_add(&head, "\0\0\0\x20", 4);
    assert_true(vg_media_head_short(&head));
    assert_true(vg_media_type_known("video/mp4"));
    assert_false(vg_media_type_known("application/json"));
}

static void events__reasons_repeat_neither_prompt_nor_signature(void **state)
{
    struct vg_arena *arena = vg_arena_new();
    const char *prompt = "a dog that runs along the beach";

    (void)state;
    assert_string_equal(vg_scrub_reason(arena, "no: 'a dog that runs along the beach'", prompt),
                        "no: '[prompt]'");
    assert_string_equal(vg_scrub_reason(arena, "a dog that runs along the be", prompt), "[prompt]");
    assert_string_equal(vg_scrub_reason(arena, "a dog that runs", prompt), "a dog that runs");
    assert_string_equal(vg_scrub_reason(arena, "why? a cat?", "a cat?"), "why? a cat?");
    assert_string_equal(vg_scrub_reason(arena, "x://h/p?a=b&c=?d e? x://h", prompt),
                        "x://h/p? e? x://h");
    assert_string_equal(vg_scrub_reason(arena, "", ""), "");
    vg_arena_free(arena);
}

static void events__clean_text_bounds_and_repairs(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    assert_string_equal(vg_clean_text(arena, "a\nb\tc", 100), "a b c");
    assert_string_equal(vg_clean_text(arena, NULL, 100), "");
    assert_string_equal(vg_clean_text(arena, "x\xc3\xa9", 2), "x"); /* not in half */
    assert_string_equal(vg_clean_text(arena, "x\xff\xfey", 100), "x??y");
    const char *cut = vg_clean_text(arena, "\xe2\x82\xac\xe2\x82\xac", 5);
    assert_true(vg_utf8_valid(cut, strlen(cut)));
    assert_int_equal(strlen(cut), 3);
    vg_arena_free(arena);
}

static void events__errors_keep_upstream_text_private(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    Videogate__V1__ProviderError error = VIDEOGATE__V1__PROVIDER_ERROR__INIT;
    error.class_ = VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_RATE_LIMITED;
    error.http_status = 429;
    error.upstream_code = (char *)"quota";
    error.upstream_message = (char *)"hidden";
    error.public_message = (char *)"Shown.";
    error.retry_after_ms = -7;
    struct vg_fsm_event event = {.kind = VG_EV_LOST};
    vg_event_from_error(&event, &error, false, arena);
    assert_int_equal(event.kind, VG_EV_ERROR);
    assert_int_equal(event.wait_ms, 0);
    assert_string_equal(event.error.public_message, "Shown.");
    assert_string_equal(event.reason, "rate_limited http=429 code=quota: hidden");
    vg_arena_free(arena);
}

static void events__a_stealth_provider_shows_its_status_alone(void **state)
{
    (void)state;
    static const struct {
        Videogate__V1__ErrorClass class;
        int32_t status;
        const char *shown;
    } cases[] = {
        {VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL, 500,
         "Upstream provider error (500 Internal Server Error)"},
        {VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_INVALID_REQUEST, 455,
         "Upstream provider error (455)"},
        {VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_NETWORK, 0, ""},
        {VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED, 400, ""},
    };
    struct vg_arena *arena = vg_arena_new();
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        Videogate__V1__ProviderError error = VIDEOGATE__V1__PROVIDER_ERROR__INIT;
        struct vg_fsm_event event = {.kind = VG_EV_LOST};
        error.class_ = cases[i].class;
        error.http_status = cases[i].status;
        error.upstream_message = (char *)"cannot reach api.avalanche.example";
        error.public_message = (char *)"Avalanche is down.";
        vg_event_from_error(&event, &error, true, arena);
        assert_string_equal(event.error.public_message, cases[i].shown);
        assert_non_null(strstr(event.reason, "avalanche")); /* operators read it */
    }
    vg_arena_free(arena);
}

static void events__unusable_answers_become_errors(void **state)
{
    (void)state;
    char id[VG_UPSTREAM_ID_MAX + 2];
    memset(id, 'a', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    Videogate__V1__Accepted accepted = VIDEOGATE__V1__ACCEPTED__INIT;
    accepted.upstream_id = id;
    struct vg_fsm_event event = {.kind = VG_EV_LOST};
    vg_event_from_accepted(&event, &accepted);
    assert_int_equal(event.kind, VG_EV_ERROR);
    assert_true(event.error.charged); /* it may run and cost: never submitted again */
    id[10] = '\0';
    event = (struct vg_fsm_event){.kind = VG_EV_LOST};
    vg_event_from_accepted(&event, &accepted);
    assert_int_equal(event.kind, VG_EV_ACCEPTED);
    accepted.poll_state.len = VG_POLL_STATE_MAX + 1;
    vg_event_from_accepted(&event, &accepted);
    assert_int_equal(event.kind, VG_EV_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec__round_trip),
        cmocka_unit_test(spec__refuses_what_cannot_run),
        cmocka_unit_test(spec__token_names_generation_and_attempt),
        cmocka_unit_test(media_head__judges_split_bodies),
        cmocka_unit_test(events__reasons_repeat_neither_prompt_nor_signature),
        cmocka_unit_test(events__clean_text_bounds_and_repairs),
        cmocka_unit_test(events__errors_keep_upstream_text_private),
        cmocka_unit_test(events__a_stealth_provider_shows_its_status_alone),
        cmocka_unit_test(events__unusable_answers_become_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
