/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/jws.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"

enum { MAX_PART = 2048, MAX_SIGNATURE = 1024, SKEW_S = 300 };
#define SEPARATORS ", \t\r\n"

struct token {
    struct vg_view head, claims, signature; /* as they stand, in base64url */
    struct vg_view signed_text;
};

static bool split(const char *text, struct token *out)
{
    const char *first = strchr(text, '.'), *second = first ? strchr(first + 1, '.') : NULL;

    if (!second || strchr(second + 1, '.'))
        return false;
    out->head = (struct vg_view){text, (size_t)(first - text)};
    out->claims = (struct vg_view){first + 1, (size_t)(second - first - 1)};
    out->signature = vg_view_of(second + 1);
    out->signed_text = (struct vg_view){text, (size_t)(second - text)};
    return out->head.len > 0 && out->head.len <= MAX_PART && out->claims.len > 0 &&
           out->claims.len <= MAX_PART && out->signature.len > 0 && out->signature.len <= MAX_PART;
}

bool vg_jws_is(const char *text)
{
    struct token token;

    return split(text, &token);
}

static int decode(struct vg_view part, uint8_t *out, size_t size, size_t *out_len)
{
    char text[MAX_PART + 1];

    memcpy(text, part.data, part.len);
    text[part.len] = '\0';
    return vg_jwk_decode(text, out, size, out_len);
}

/* A part as an object, the caller's; NULL: it is none. */
static struct vg_json *read_part(struct vg_view part)
{
    uint8_t text[MAX_PART];
    size_t len = 0;
    struct vg_json *root;

    if (decode(part, text, sizeof(text), &len) != 0 ||
        vg_json_parse(&root, (struct vg_view){(const char *)text, len}, NULL) != 0)
        return NULL;
    return vg_json_type(root) == VG_JSON_OBJECT ? root : vg_json_free(root);
}

/* The algorithm is ours to choose, not the token's. */
static const struct vg_rsa_key *key_of(const struct vg_json *head, const struct vg_jwk_set *keys,
                                       enum vg_jws_verdict *verdict)
{
    const char *alg = vg_json_string(vg_json_get(head, "alg"));
    const char *kid = vg_json_string(vg_json_get(head, "kid"));

    if (!alg || strcmp(alg, "RS256") != 0 || !kid || vg_json_get(head, "crit"))
        return NULL;
    const struct vg_rsa_key *key = vg_jwk_set_rsa(keys, kid);
    if (!key)
        *verdict = VG_JWS_NO_KEY;
    return key;
}

static bool is_signed(const struct token *token, const struct vg_rsa_key *key)
{
    uint8_t signature[MAX_SIGNATURE];
    size_t len = 0;

    return decode(token->signature, signature, sizeof(signature), &len) == 0 &&
           vg_rs256_verify(key, token->signed_text, (struct vg_view){(const char *)signature, len});
}

static bool is_now(const struct vg_json *claims, int64_t now_s)
{
    const struct vg_json *iat = vg_json_get(claims, "iat"), *nbf = vg_json_get(claims, "nbf");
    int64_t ends = 0, begins = 0;

    if (!vg_json_int(vg_json_get(claims, "exp"), &ends) || ends < now_s - SKEW_S)
        return false;
    if (iat && (!vg_json_int(iat, &begins) || begins > now_s + SKEW_S))
        return false;
    return !nbf || (vg_json_int(nbf, &begins) && begins <= now_s + SKEW_S);
}

static bool names(const char *audiences, const char *one)
{
    for (const char *at = audiences ? audiences : ""; one && *at;) {
        at += strspn(at, SEPARATORS);
        size_t len = strcspn(at, SEPARATORS);
        if (len > 0 && len == strlen(one) && memcmp(at, one, len) == 0)
            return true;
        at += len;
    }
    return false;
}

static bool is_for(const struct vg_json *claims, const char *audiences)
{
    const struct vg_json *aud = vg_json_get(claims, "aud");

    if (aud && vg_json_type(aud) == VG_JSON_ARRAY) {
        for (const struct vg_json *one = vg_json_first(aud); one; one = vg_json_next(one))
            if (names(audiences, vg_json_string(one)))
                return true;
        return false;
    }
    return aud && names(audiences, vg_json_string(aud));
}

enum vg_jws_verdict vg_jws_check(const char *text, const struct vg_jwk_set *keys,
                                 const char *audiences, int64_t now_s)
{
    enum vg_jws_verdict verdict = VG_JWS_WRONG;
    struct token token;

    if (!split(text, &token))
        return VG_JWS_WRONG;
    struct vg_json *head = read_part(token.head), *claims = read_part(token.claims);
    const struct vg_rsa_key *key = head && claims ? key_of(head, keys, &verdict) : NULL;
    if (key && is_signed(&token, key) && is_now(claims, now_s)) {
        bool known = audiences && audiences[strspn(audiences, SEPARATORS)];
        verdict = !known ? VG_JWS_RIGHT : is_for(claims, audiences) ? VG_JWS_FOR_US : VG_JWS_WRONG;
    }
    vg_json_free(head);
    vg_json_free(claims);
    return verdict;
}
