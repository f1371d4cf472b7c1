/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/jwks.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/jws.h"

#define NOW INT64_C(1800000000)
#define ED                                                                                         \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":\"11qYAYKxCrfVS_"                    \
    "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

struct fixture {
    struct vg_arena *arena;
    EVP_PKEY *pkey;
    char *modulus; /* base64url; arena */
};

static char *number_of(struct fixture *f, const char *name)
{
    BIGNUM *n = NULL;
    uint8_t raw[512];

    assert_int_equal(EVP_PKEY_get_bn_param(f->pkey, name, &n), 1);
    int len = BN_bn2bin(n, raw);
    BN_free(n);
    char *text = vg_arena_alloc(f->arena, vg_base64_encoded_size((size_t)len) + 1);
    vg_base64url_encode(text, raw, (size_t)len);
    return text;
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.arena = vg_arena_new(), .pkey = EVP_RSA_gen(2048)};
    fixture.modulus = number_of(&fixture, OSSL_PKEY_PARAM_RSA_N);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY_free(f->pkey);
    f->arena = vg_arena_free(f->arena);
    return 0;
}

static const char *document(struct fixture *f, const char *more)
{
    return vg_arena_printf(
        f->arena, "{\"keys\":[%s{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
        more, f->modulus);
}

static size_t parsed(const char *text)
{
    struct vg_jwk_set *set;

    if (vg_jwk_set_parse(&set, vg_view_of(text)) != 0)
        return 0;
    size_t count = set->count;
    vg_jwk_set_free(set);
    return count;
}

static void set__holds_what_can_verify(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parsed(document(f, ED ",")), 2);
    static const char *const useless[] = {
        "7",
        "null",
        "{}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrw\"}",
        "{\"kty\":\"OKP\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHU\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":7}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
    };
    for (size_t i = 0; i < VG_COUNT(useless); i++)
        assert_int_equal(parsed(document(f, vg_arena_printf(f->arena, "%s,", useless[i]))), 1);
    static const char *const changes[] = {"\"use\":\"enc\"", "\"alg\":\"RS512\"",
                                          "\"alg\":\"none\"", "\"alg\":7", "\"use\":null"};
    for (size_t i = 0; i < VG_COUNT(changes); i++)
        assert_int_equal(
            parsed(vg_arena_printf(f->arena,
                                   "{\"keys\":[{\"kty\":\"RSA\",%s,\"n\":\"%s\",\"e\":\"AQAB\"}]}",
                                   changes[i], f->modulus)),
            0);
    static const char *const exponents[] = {"AQ", "Ag", "", "AQABAQABAQABAQAB", "AQAA"};
    for (size_t i = 0; i < VG_COUNT(exponents); i++)
        assert_int_equal(parsed(vg_arena_printf(
                             f->arena, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}]}",
                             f->modulus, exponents[i])),
                         0);
}

static void set__nothing_else_is_one(void **state)
{
    (void)state;
    static const char nested[] = "{\"keys\":[[" ED "]]}";
    static const char *const bad[] = {
        "", "{", "[]", "7", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":7}", nested};
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        assert_int_equal(parsed(bad[i]), 0);
}

static void set__is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vg_buf text;
    vg_buf_init(&text, VG_JWKS_MAX_BYTES * 2);
    (void)vg_buf_adds(&text, "{\"keys\":[");
    for (int i = 0; i < 40; i++)
        (void)vg_buf_adds(&text, i ? "," ED : ED);
    (void)vg_buf_adds(&text, "]}");
    assert_int_equal(parsed(vg_arena_memdup(f->arena, text.data, text.len)), VG_JWKS_KEYS);
    while (text.len <= VG_JWKS_MAX_BYTES)
        (void)vg_buf_addc(&text, ' ');
    assert_int_equal(parsed(vg_arena_memdup(f->arena, text.data, text.len)), 0);
    vg_buf_fini(&text);
}

static void life__is_the_providers_within_our_bounds(void **state)
{
    (void)state;
    assert_int_equal(vg_jwks_life_s(NULL), 3600);
    assert_int_equal(vg_jwks_life_s("public"), 3600);
    assert_int_equal(vg_jwks_life_s("public, max-age=600, must-revalidate"), 600);
    assert_int_equal(vg_jwks_life_s("MAX-AGE=7200"), 7200);
    assert_int_equal(vg_jwks_life_s("max-age=0"), 60);
    assert_int_equal(vg_jwks_life_s("max-age=99999999"), 86400);
    assert_int_equal(vg_jwks_life_s("max-age=600, no-store"), 60);
    assert_int_equal(vg_jwks_life_s("no-cache, max-age=600"), 60);
    assert_int_equal(vg_jwks_life_s("max-age=x"), 60);
    assert_int_equal(vg_jwks_life_s(",,, max-age"), 3600);
}

/* --- tokens --- */

static const char *part(struct fixture *f, const void *data, size_t len)
{
    char *text = vg_arena_alloc(f->arena, vg_base64_encoded_size(len) + 1);
    vg_base64url_encode(text, data, len);
    return text;
}

static const char *token(struct fixture *f, const char *head, const char *claims)
{
    uint8_t signature[256];
    size_t len = sizeof(signature);
    const char *text = vg_arena_printf(f->arena, "%s.%s", part(f, head, strlen(head)),
                                       part(f, claims, strlen(claims)));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, f->pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    return vg_arena_printf(f->arena, "%s.%s", text, part(f, signature, len));
}

#define HEAD "{\"alg\":\"RS256\",\"kid\":\"k\"}"
#define CLAIMS "{\"aud\":\"me\",\"iat\":1800000000,\"exp\":1800000600}"

static void token__says_what_it_is(void **state)
{
    struct fixture *f = *state;
    struct vg_jwk_set *set;
    assert_int_equal(vg_jwk_set_parse(&set, vg_view_of(document(f, ED ","))), 0);
    static const struct {
        const char *head, *claims, *audiences;
        enum vg_jws_verdict verdict;
    } cases[] = {
        {HEAD, CLAIMS, "me", VG_JWS_FOR_US},
        {HEAD, CLAIMS, "you, me", VG_JWS_FOR_US},
        {HEAD, CLAIMS, NULL, VG_JWS_RIGHT},
        {HEAD, CLAIMS, " ,", VG_JWS_RIGHT},
        {HEAD, CLAIMS, "m", VG_JWS_WRONG},
        {HEAD, "{\"aud\":[\"you\",\"me\"],\"exp\":1800000600}", "me", VG_JWS_FOR_US},
        {HEAD, "{\"aud\":[\"you\"],\"exp\":1800000600}", "me", VG_JWS_WRONG},
        {HEAD, "{\"exp\":1800000600}", "me", VG_JWS_WRONG},
        {HEAD, "{\"exp\":1800000600}", NULL, VG_JWS_RIGHT},
        {HEAD, "{\"aud\":\"me\"}", "me", VG_JWS_WRONG},
        {HEAD, "{\"exp\":1799999000}", NULL, VG_JWS_WRONG},
        {HEAD, "{\"exp\":1800009000,\"iat\":1800000600}", NULL, VG_JWS_WRONG},
        {HEAD, "{\"exp\":1800009000,\"nbf\":1800000600}", NULL, VG_JWS_WRONG},
        {HEAD, "[1800009000]", NULL, VG_JWS_WRONG},
        {"{\"alg\":\"RS256\",\"kid\":\"other\"}", CLAIMS, "me", VG_JWS_NO_KEY},
        {"{\"alg\":\"RS256\",\"kid\":\"e\"}", CLAIMS, "me", VG_JWS_NO_KEY},
        {"{\"alg\":\"RS256\"}", CLAIMS, "me", VG_JWS_WRONG},
        {"{\"alg\":\"none\",\"kid\":\"k\"}", CLAIMS, "me", VG_JWS_WRONG},
        {"{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS, "me", VG_JWS_WRONG},
        {"{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":[\"exp\"]}", CLAIMS, "me", VG_JWS_WRONG},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++)
        assert_int_equal(
            vg_jws_check(token(f, cases[i].head, cases[i].claims), set, cases[i].audiences, NOW),
            cases[i].verdict);
    assert_int_equal(vg_jws_check(token(f, HEAD, CLAIMS), NULL, "me", NOW), VG_JWS_NO_KEY);
    vg_jwk_set_free(set);
}

static void token__any_change_breaks_it(void **state)
{
    struct fixture *f = *state;
    struct vg_jwk_set *set;
    assert_int_equal(vg_jwk_set_parse(&set, vg_view_of(document(f, ""))), 0);
    const char *good = token(f, HEAD, CLAIMS);
    size_t len = strlen(good);
    for (size_t i = 0; i < len - 2; i++) { /* the last digits have bits to spare */
        char *bad = vg_arena_strdup(f->arena, good);
        bad[i] = (char)(bad[i] == 'A' ? 'B' : 'A');
        enum vg_jws_verdict verdict = vg_jws_check(bad, set, "me", NOW);
        assert_true(verdict == VG_JWS_WRONG || verdict == VG_JWS_NO_KEY);
    }
    for (size_t i = 0; i < len; i += 7)
        assert_true(vg_jws_check(vg_arena_memdup(f->arena, good, i), set, "me", NOW) <
                    VG_JWS_RIGHT);
    assert_false(vg_jws_is("v1,abc") || vg_jws_is("a.b") || vg_jws_is("a.b.c.d") ||
                 vg_jws_is(".."));
    vg_jwk_set_free(set);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(set__holds_what_can_verify),
        CASE(set__nothing_else_is_one),
        CASE(set__is_bounded),
        CASE(life__is_the_providers_within_our_bounds),
        CASE(token__says_what_it_is),
        CASE(token__any_change_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
