/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/jwks.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/http/client.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"

enum {
    FETCH_MS = 1500,      /* somebody waits for the verdict, two seconds at most */
    MIN_INTERVAL_S = 30,  /* between two fetches: anybody can name a key that is not known */
    FIRST_INTERVAL_S = 2, /* after one without which nothing can be checked */
    MIN_LIFE_S = 60,
    USUAL_LIFE_S = 3600,
    MAX_LIFE_S = 24 * 3600,
    MAX_MODULUS = 1024, /* bytes */
    MAX_EXPONENT = 8,
    MAX_ENCODED = 2048
};
#define NS_PER_S INT64_C(1000000000)

struct vg_jwks {
    struct vg_http_client *client; /* borrowed */
    char *url;                     /* owned */
    struct vg_jwk_set *set;        /* owned; NULL: never fetched */
    int64_t stale_ns, next_ns;     /* from when on: too old; another fetch may begin */
    struct vg_http_transfer *transfer;
    struct vg_jwks_waiter *first;
};

/* --- one document --- */

int vg_jwk_decode(const char *text, uint8_t *out, size_t size, size_t *out_len)
{
    char plain[MAX_ENCODED + 4];
    uint8_t raw[sizeof(plain)];
    size_t len = strnlen(text, MAX_ENCODED + 1);

    if (len > MAX_ENCODED)
        return -1;
    for (size_t i = 0; i < len; i++)
        plain[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    while (len % 4 != 0)
        plain[len++] = '=';
    if (vg_base64_decode(raw, out_len, plain, len) != 0 || *out_len > size)
        return -1;
    memcpy(out, raw, *out_len);
    return 0;
}

static bool is(const struct vg_json *key, const char *name, const char *wanted)
{
    const char *text = vg_json_string(vg_json_get(key, name));

    return text && strcmp(text, wanted) == 0;
}

static bool is_or_absent(const struct vg_json *key, const char *name, const char *wanted)
{
    return !vg_json_get(key, name) || is(key, name, wanted);
}

static int read_part(const struct vg_json *key, const char *name, uint8_t *out, size_t size,
                     size_t *out_len)
{
    const char *text = vg_json_string(vg_json_get(key, name));

    return text ? vg_jwk_decode(text, out, size, out_len) : -1;
}

static bool read_ed25519(const struct vg_json *key, struct vg_jwk *out)
{
    size_t len = 0;

    return is(key, "crv", "Ed25519") && is_or_absent(key, "alg", "EdDSA") &&
           read_part(key, "x", out->ed25519, sizeof(out->ed25519), &len) == 0 &&
           len == sizeof(out->ed25519);
}

static bool read_rsa(const struct vg_json *key, struct vg_jwk *out)
{
    uint8_t n[MAX_MODULUS], e[MAX_EXPONENT];
    size_t n_len = 0, e_len = 0;

    out->is_rsa = true;
    return is_or_absent(key, "alg", "RS256") && read_part(key, "n", n, sizeof(n), &n_len) == 0 &&
           read_part(key, "e", e, sizeof(e), &e_len) == 0 &&
           vg_rsa_public_load(&out->rsa, (struct vg_view){(const char *)n, n_len},
                              (struct vg_view){(const char *)e, e_len}) == 0;
}

static bool read_key(const struct vg_json *key, struct vg_jwk *out)
{
    const char *kid = vg_json_string(vg_json_get(key, "kid"));

    if (vg_json_type(key) != VG_JSON_OBJECT || !is_or_absent(key, "use", "sig") ||
        !vg_strcpy(out->kid, sizeof(out->kid), kid ? kid : ""))
        return false;
    if (is(key, "kty", "OKP"))
        return read_ed25519(key, out);
    return is(key, "kty", "RSA") && read_rsa(key, out);
}

int vg_jwk_set_parse(struct vg_jwk_set **out, struct vg_view text)
{
    struct vg_json *root;

    if (text.len > VG_JWKS_MAX_BYTES || vg_json_parse(&root, text, NULL) != 0)
        return -1;
    struct vg_jwk_set *set = vg_xalloc(sizeof(*set));
    const struct vg_json *keys = vg_json_get(root, "keys");
    if (keys && vg_json_type(keys) == VG_JSON_ARRAY)
        for (const struct vg_json *key = vg_json_first(keys); key && set->count < VG_JWKS_KEYS;
             key = vg_json_next(key)) {
            struct vg_jwk one = {.rsa = NULL};
            if (read_key(key, &one))
                set->keys[set->count++] = one;
        }
    vg_json_free(root);
    if (set->count == 0) {
        vg_jwk_set_free(set);
        return -1;
    }
    *out = set;
    return 0;
}

struct vg_jwk_set *vg_jwk_set_free(struct vg_jwk_set *set)
{
    for (size_t i = 0; set && i < set->count; i++)
        vg_rsa_key_free(set->keys[i].rsa);
    free(set);
    return NULL;
}

const struct vg_rsa_key *vg_jwk_set_rsa(const struct vg_jwk_set *set, const char *kid)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (set->keys[i].is_rsa && strcmp(set->keys[i].kid, kid) == 0)
            return set->keys[i].rsa;
    return NULL;
}

/* --- kept fresh --- */

int64_t vg_jwks_life_s(const char *cache_control)
{
    static const char age[] = "max-age=";
    int64_t life = USUAL_LIFE_S;

    for (const char *at = cache_control ? cache_control : ""; *at;) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, " \t,");
        bool forbidden = strncasecmp(at, "no-", strlen("no-")) == 0;
        if (!forbidden && strncasecmp(at, age, strlen(age)) == 0 && life > 0)
            forbidden = vg_parse_i64((struct vg_view){at + strlen(age), len - strlen(age)}, 0,
                                     INT64_C(1) << 40, &life) != 0;
        if (forbidden)
            life = 0;
        at += len;
    }
    return life < MIN_LIFE_S ? MIN_LIFE_S : life > MAX_LIFE_S ? MAX_LIFE_S : life;
}

struct vg_jwks *vg_jwks_new(struct vg_http_client *client, const char *url)
{
    struct vg_jwks *self = vg_xalloc(sizeof(*self));

    self->client = client;
    self->url = vg_xstrdup(url);
    return self;
}

struct vg_jwks *vg_jwks_free(struct vg_jwks *self)
{
    if (!self)
        return NULL;
    VG_ASSERT(!self->transfer && !self->first);
    vg_jwk_set_free(self->set);
    free(self->url);
    free(self);
    return NULL;
}

const struct vg_jwk_set *vg_jwks_keys(const struct vg_jwks *self)
{
    return self->set;
}

bool vg_jwks_is_stale(const struct vg_jwks *self, int64_t now_ns)
{
    return !self->set || now_ns >= self->stale_ns;
}

static void take(struct vg_jwks *self, const struct vg_http_result *result)
{
    struct vg_jwk_set *set;

    if (result->reason || result->status != 200 || vg_jwk_set_parse(&set, result->body) != 0) {
        vg_log(VG_LOG_WARN, "public keys of webhooks could not be fetched",
               VG_S("reason", result->reason ? result->reason : "document"),
               VG_I("status", result->status));
        return;
    }
    vg_jwk_set_free(self->set);
    self->set = set;
    self->stale_ns =
        vg_now_ns() + vg_jwks_life_s(vg_http_header(result, "cache-control")) * NS_PER_S;
}

static void fetched(void *ctx, const struct vg_http_result *result)
{
    struct vg_jwks *self = ctx;
    struct vg_jwks_waiter *waiter = self->first;

    self->transfer = NULL;
    take(self, result);
    self->first = NULL;
    while (waiter) {
        struct vg_jwks_waiter *next = waiter->next;
        waiter->done(waiter);
        waiter = next;
    }
}

bool vg_jwks_refresh(struct vg_jwks *self, int64_t now_ns, struct vg_jwks_waiter *waiter)
{
    static const char *const headers[] = {"Accept: application/json", NULL};

    if (!self->transfer) {
        if (self->next_ns && now_ns < self->next_ns)
            return false;
        self->next_ns = now_ns + (self->set ? MIN_INTERVAL_S : FIRST_INTERVAL_S) * NS_PER_S;
        self->transfer = vg_http_start(self->client, &(struct vg_http_request){
                                                         .method = "GET",
                                                         .url = self->url,
                                                         .headers = headers,
                                                         .timeout_ms = FETCH_MS,
                                                         .max_response = VG_JWKS_MAX_BYTES,
                                                         .on_done = fetched,
                                                         .ctx = self,
                                                     });
        if (!self->transfer)
            return false;
    }
    waiter->next = self->first;
    self->first = waiter;
    return true;
}
