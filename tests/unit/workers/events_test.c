/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/events.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/crypto.h"
#include "common/str.h"

#define NOW INT64_C(1800000000)
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER "whsec_c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBsb25n"
#define VERIFIED VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_VERIFIED
#define UNSIGNED VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_UNSIGNED
#define REFUSED VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_REFUSED

static const struct vg_event_scheme standard = {.sign = VG_EVENT_STANDARD, .id_paths = {"data.id"}};
static const struct vg_event_scheme fal = {.sign = VG_EVENT_ED25519, .id_paths = {"request_id"}};
static const struct vg_event_scheme kie = {.sign = VG_EVENT_TASK_HMAC,
                                           .id_paths = {"data.taskId", "data.task_id"}};
static const struct vg_event_scheme plain = {.id_paths = {"task_id", "task.id"},
                                             .challenge = "challenge"};

struct event {
    struct vg_arena *arena;
    Videogate__V1__EventHeader headers[8];
    Videogate__V1__EventHeader *list[8];
    Videogate__V1__ReadEventRequest request;
    Videogate__V1__ReadEventResponse response;
};

static int setup(void **state)
{
    static struct event event;
    event =
        (struct event){.arena = vg_arena_new(), .request = VIDEOGATE__V1__READ_EVENT_REQUEST__INIT};
    event.request.headers = event.list;
    *state = &event;
    return 0;
}

static int teardown(void **state)
{
    struct event *e = *state;
    e->arena = vg_arena_free(e->arena);
    return 0;
}

static void set_header(struct event *e, const char *name, const char *value)
{
    size_t i = 0;
    while (i < e->request.n_headers && strcmp(e->headers[i].name, name) != 0)
        i++;
    if (i == e->request.n_headers) {
        e->request.n_headers++;
        videogate__v1__event_header__init(&e->headers[i]);
        e->headers[i].name = vg_arena_strdup(e->arena, name);
        e->list[i] = &e->headers[i];
    }
    e->headers[i].value = vg_arena_strdup(e->arena, value);
}

static const char *number(struct event *e, int64_t n)
{
    return vg_arena_printf(e->arena, "%lld", (long long)n);
}

static void set_body(struct event *e, const char *body)
{
    e->request.body.data = (uint8_t *)vg_arena_strdup(e->arena, body);
    e->request.body.len = strlen(body);
}

static Videogate__V1__EventVerdict read_event(struct event *e, const struct vg_event_scheme *scheme,
                                              const char *secrets)
{
    videogate__v1__read_event_response__init(&e->response);
    const struct vg_event_trust trust = {.secrets = secrets, .now_s = NOW};
    bool no_key = false;
    vg_event_read(scheme, &trust, &e->request, e->arena, &e->response, &no_key);
    return e->response.verdict;
}

static void sign_standard(struct event *e, const char *secret, int64_t at)
{
    char signature[48];
    vg_webhook_sign(signature, secret, "evt_1", at,
                    (struct vg_view){(const char *)e->request.body.data, e->request.body.len});
    set_header(e, "webhook-id", "evt_1");
    set_header(e, "webhook-timestamp", number(e, at));
    set_header(e, "webhook-signature", signature);
}

#define BODY "{\"type\":\"video.completed\",\"data\":{\"id\":\"video_1\"}}"

static void standard__only_what_was_signed_passes(void **state)
{
    struct event *e = *state;
    set_body(e, BODY);
    sign_standard(e, SECRET, NOW - 1);
    assert_int_equal(read_event(e, &standard, SECRET), VERIFIED);
    assert_string_equal(e->response.upstream_id, "video_1");
    assert_string_equal(e->response.reply, "");

    static const char *const changes[][2] = {{"webhook-id", "evt_2"},
                                             {"webhook-id", ""},
                                             {"webhook-timestamp", "1799999998"},
                                             {"webhook-timestamp", " 1799999999"},
                                             {"webhook-timestamp", ""},
                                             {"webhook-signature", "v1,"},
                                             {"webhook-signature", "v2,AAAA"},
                                             {"webhook-signature", ""}};
    for (size_t i = 0; i < VG_COUNT(changes); i++) {
        sign_standard(e, SECRET, NOW - 1);
        set_header(e, changes[i][0], changes[i][1]);
        assert_int_equal(read_event(e, &standard, SECRET), REFUSED);
        assert_string_equal(e->response.upstream_id, "");
    }
    sign_standard(e, SECRET, NOW);
    set_body(e, "{\"type\":\"video.completed\",\"data\":{\"id\":\"video_2\"}}");
    assert_int_equal(read_event(e, &standard, SECRET), REFUSED);
}

static void standard__old_and_future_ones_are_refused(void **state)
{
    struct event *e = *state;
    static const struct {
        int64_t off;
        Videogate__V1__EventVerdict verdict;
    } rows[] = {{-300, VERIFIED}, {300, VERIFIED}, {-301, REFUSED}, {301, REFUSED}};
    set_body(e, BODY);
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        sign_standard(e, SECRET, NOW + rows[i].off);
        assert_int_equal(read_event(e, &standard, SECRET), rows[i].verdict);
    }
}

static void standard__secrets_and_signatures_may_be_several(void **state)
{
    struct event *e = *state;
    set_body(e, BODY);
    sign_standard(e, SECRET, NOW);
    assert_int_equal(read_event(e, &standard, OTHER), REFUSED);
    assert_int_equal(read_event(e, &standard, OTHER "," SECRET), VERIFIED);
    assert_int_equal(read_event(e, &standard, "  " SECRET "\n" OTHER " "), VERIFIED);

    char both[128], one[48];
    vg_webhook_sign(one, SECRET, "evt_1", NOW, vg_view_of(BODY));
    (void)snprintf(both, sizeof(both), "v1a,xyz  v1,AAAA %s", one);
    set_header(e, "webhook-signature", both);
    assert_int_equal(read_event(e, &standard, SECRET), VERIFIED);
}

static void standard__without_a_secret_nothing_is_verified(void **state)
{
    struct event *e = *state;
    set_body(e, BODY);
    sign_standard(e, "", NOW);
    static const char *const none[] = {NULL, "", " , \n"};
    for (size_t i = 0; i < VG_COUNT(none); i++) {
        assert_int_equal(read_event(e, &standard, none[i]), UNSIGNED);
        assert_string_equal(e->response.upstream_id, "video_1");
    }
}

static void tokens__without_public_keys_count_as_no_signature(void **state)
{
    struct event *e = *state;
    struct vg_event_scheme mixed = standard;
    mixed.tokens = true;
    set_body(e, BODY);
    assert_int_equal(read_event(e, &mixed, SECRET), REFUSED);
    set_header(e, "webhook-signature", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA");
    assert_int_equal(read_event(e, &mixed, SECRET), UNSIGNED);
    assert_int_equal(read_event(e, &standard, SECRET), REFUSED);
    sign_standard(e, OTHER, NOW);
    assert_int_equal(read_event(e, &mixed, SECRET), REFUSED);
    sign_standard(e, SECRET, NOW);
    assert_int_equal(read_event(e, &mixed, SECRET), VERIFIED);
}

/* --- Ed25519 --- */

#define SEED "0123456789abcdef0123456789abcdef"
#define FAL_BODY "{\"request_id\":\"req-1\",\"status\":\"OK\",\"payload\":{}}"

/* As fal signs; `key` gets the public key as a JWKS has it. */
static void sign_fal(struct event *e, const char *seed, int64_t at, char key[64])
{
    uint8_t sum[VG_SHA256_SIZE], public[32], signature[64];
    char hex[VG_SHA256_HEX_SIZE], text[256], signature_hex[129];
    size_t size = sizeof(public);
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const uint8_t *)seed, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, public, &size), 1);
    vg_base64url_encode(key, public, size);
    vg_sha256(sum, e->request.body.data, e->request.body.len);
    vg_hex_encode(hex, sum, sizeof(sum));
    int n = snprintf(text, sizeof(text), "req-1\nuser-1\n%lld\n%s", (long long)at, hex);
    size = sizeof(signature);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &size, (uint8_t *)text, (size_t)n), 1);
    vg_hex_encode(signature_hex, signature, sizeof(signature));
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    set_header(e, "x-fal-webhook-request-id", "req-1");
    set_header(e, "x-fal-webhook-user-id", "user-1");
    set_header(e, "x-fal-webhook-timestamp", number(e, at));
    set_header(e, "x-fal-webhook-signature", signature_hex);
}

static void ed25519__only_what_was_signed_passes(void **state)
{
    struct event *e = *state;
    char key[64], other[64], both[140];
    set_body(e, FAL_BODY);
    sign_fal(e, "another seed of thirty-two bytes", NOW, other);
    sign_fal(e, SEED, NOW, key);
    (void)snprintf(both, sizeof(both), "%s %s", other, key);
    assert_int_equal(read_event(e, &fal, key), VERIFIED);
    assert_string_equal(e->response.upstream_id, "req-1");
    assert_int_equal(read_event(e, &fal, both), VERIFIED);
    assert_int_equal(read_event(e, &fal, other), REFUSED);
    assert_int_equal(read_event(e, &fal, NULL), UNSIGNED);

    static const char *const names[] = {"x-fal-webhook-request-id", "x-fal-webhook-user-id",
                                        "x-fal-webhook-timestamp", "x-fal-webhook-signature"};
    for (size_t i = 0; i < VG_COUNT(names); i++) {
        sign_fal(e, SEED, NOW, key);
        set_header(e, names[i], "");
        assert_int_equal(read_event(e, &fal, key), REFUSED);
    }
    sign_fal(e, SEED, NOW - 301, key);
    assert_int_equal(read_event(e, &fal, key), REFUSED);
    sign_fal(e, SEED, NOW, key);
    set_body(e, "{\"request_id\":\"req-1\",\"status\":\"ERROR\"}");
    assert_int_equal(read_event(e, &fal, key), REFUSED);
    /* Signed, but for a request that is not the one in the body. */
    set_body(e, "{\"request_id\":\"req-2\"}");
    sign_fal(e, SEED, NOW, key);
    assert_int_equal(read_event(e, &fal, key), REFUSED);
}

static void ed25519__by_a_jwks(void **state)
{
    struct event *e = *state;
    struct vg_event_trust trust = {.has_jwks = true, .now_s = NOW};
    bool no_key = false;
    char key[64];

    set_body(e, FAL_BODY);
    sign_fal(e, SEED, NOW, key);
    videogate__v1__read_event_response__init(&e->response);
    vg_event_read(&fal, &trust, &e->request, e->arena, &e->response, &no_key);
    assert_int_equal(e->response.verdict, REFUSED); /* nothing to check it with */
    assert_true(no_key);
    struct vg_jwk_set *keys;
    const char *text = vg_arena_printf(
        e->arena, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}]}", key);
    assert_int_equal(vg_jwk_set_parse(&keys, vg_view_of(text)), 0);
    trust.keys = keys;
    vg_event_read(&fal, &trust, &e->request, e->arena, &e->response, &no_key);
    assert_int_equal(e->response.verdict, VERIFIED);
    assert_false(no_key);
    set_body(e, FAL_BODY " ");
    vg_event_read(&fal, &trust, &e->request, e->arena, &e->response, &no_key);
    assert_int_equal(e->response.verdict, REFUSED);
    trust.secrets = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; /* told keys, and no others */
    set_body(e, FAL_BODY);
    vg_event_read(&fal, &trust, &e->request, e->arena, &e->response, &no_key);
    assert_int_equal(e->response.verdict, REFUSED);
    vg_jwk_set_free(keys);
}

/* --- Kie --- */

static void task_hmac__covers_job_and_time(void **state)
{
    struct event *e = *state;
    uint8_t mac[VG_SHA256_SIZE];
    char signature[48];
    set_body(e, "{\"code\":200,\"data\":{\"task_id\":\"t-1\"}}");
    vg_hmac_sha256(mac, VG_VIEW("key"), VG_VIEW("t-1.1800000000"));
    vg_base64_encode(signature, mac, sizeof(mac));
    set_header(e, "x-webhook-timestamp", "1800000000");
    set_header(e, "x-webhook-signature", signature);
    assert_int_equal(read_event(e, &kie, "key"), VERIFIED);
    assert_string_equal(e->response.upstream_id, "t-1");
    assert_int_equal(read_event(e, &kie, "old key"), VERIFIED); /* two secrets: "old" and "key" */
    assert_int_equal(read_event(e, &kie, "yek"), REFUSED);
    assert_int_equal(read_event(e, &kie, ""), UNSIGNED);
    set_header(e, "x-webhook-timestamp", "1800000001");
    assert_int_equal(read_event(e, &kie, "key"), REFUSED);
    set_header(e, "x-webhook-timestamp", "1800000000");
    set_body(e, "{\"code\":200,\"data\":{\"task_id\":\"t-2\"}}");
    assert_int_equal(read_event(e, &kie, "key"), REFUSED);
    set_body(e, "{\"code\":200}");
    assert_int_equal(read_event(e, &kie, "key"), REFUSED);
}

/* --- bodies --- */

static void body__challenges_are_sent_back(void **state)
{
    struct event *e = *state;
    set_body(e, "{\"challenge\":\"a \\\"b\\\" \\u00e9\"}");
    assert_int_equal(read_event(e, &plain, NULL), UNSIGNED);
    assert_string_equal(e->response.reply, "{\"challenge\":\"a \\\"b\\\" \xc3\xa9\"}");
    assert_string_equal(e->response.upstream_id, "");
    assert_int_equal(read_event(e, &kie, NULL), UNSIGNED); /* this one sends none */
    assert_string_equal(e->response.reply, "");
}

static void body__ids_are_texts_or_whole_numbers(void **state)
{
    struct event *e = *state;
    static const struct {
        const char *body, *id;
    } rows[] = {
        {"{\"task_id\":\"a\",\"task\":{\"id\":\"b\"}}", "a"},
        {"{\"task\":{\"id\":\"b\"}}", "b"},
        {"{\"task_id\":\"\",\"task\":{\"id\":\"b\"}}", "b"},
        {"{\"task_id\":176843862716480}", "176843862716480"},
        {"{\"task_id\":1.5}", ""},
        {"{\"task_id\":{}}", ""},
        {"{}", ""},
    };
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        set_body(e, rows[i].body);
        assert_int_equal(read_event(e, &plain, NULL), UNSIGNED);
        assert_string_equal(e->response.upstream_id, rows[i].id);
    }
    char body[1100], id[1026];
    for (size_t len = 1024; len <= 1025; len++) {
        memset(id, 'x', len);
        id[len] = '\0';
        (void)snprintf(body, sizeof(body), "{\"task_id\":\"%s\"}", id);
        set_body(e, body);
        assert_int_equal(read_event(e, &plain, NULL), UNSIGNED);
        assert_string_equal(e->response.upstream_id, len == 1024 ? id : "");
    }
}

static void body__what_is_no_object_is_refused(void **state)
{
    struct event *e = *state;
    static const char *const bodies[] = {"", "{", "[]", "\"a\"", "null", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < VG_COUNT(bodies); i++) {
        set_body(e, bodies[i]);
        assert_int_equal(read_event(e, &plain, NULL), REFUSED);
    }
    set_body(e, "{}");
    assert_int_equal(read_event(e, NULL, NULL), REFUSED);
}

/* --- configuration --- */

static void check__secrets_must_fit_the_scheme(void **state)
{
    (void)state;
    struct vg_err err;
    static const char key[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_int_equal(vg_event_check(&standard, NULL, &err), 0);
    assert_int_equal(vg_event_check(&standard, SECRET ", " OTHER, &err), 0);
    assert_int_equal(vg_event_check(&fal, key, &err), 0);
    assert_int_equal(vg_event_check(&plain, " ", &err), 0);
    static const struct {
        const struct vg_event_scheme *scheme;
        const char *secrets;
    } bad[] = {{&plain, "s3cr3t-text"},
               {&fal, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"},
               {&fal, "not base64 at all!"},
               {&standard, "1 2 3 4 5 6 7 8 9"}};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_int_equal(vg_event_check(bad[i].scheme, bad[i].secrets, &err), -1);
        assert_string_equal(err.param, "event-secret");
        assert_null(strstr(err.detail, bad[i].secrets));
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(standard__only_what_was_signed_passes),
        CASE(standard__old_and_future_ones_are_refused),
        CASE(standard__secrets_and_signatures_may_be_several),
        CASE(standard__without_a_secret_nothing_is_verified),
        CASE(tokens__without_public_keys_count_as_no_signature),
        CASE(ed25519__only_what_was_signed_passes),
        CASE(ed25519__by_a_jwks),
        CASE(task_hmac__covers_job_and_time),
        CASE(body__challenges_are_sent_back),
        CASE(body__ids_are_texts_or_whole_numbers),
        CASE(body__what_is_no_object_is_refused),
        cmocka_unit_test(check__secrets_must_fit_the_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
