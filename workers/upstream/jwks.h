/* SPDX-License-Identifier: Apache-2.0 */
/* The public keys that a provider signs its webhooks with: a JWKS document (RFC 7517), read into a
 * set, and the set kept fresh. A cache belongs to the thread of its loop; sets are pure. */
#ifndef VG_WORKERS_UPSTREAM_JWKS_H
#define VG_WORKERS_UPSTREAM_JWKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"

#define VG_JWKS_KEYS 16 /* further ones are left out */
#define VG_JWKS_MAX_BYTES ((size_t)64 * 1024)
#define VG_JWKS_KID_SIZE 129

struct vg_jwk {
    char kid[VG_JWKS_KID_SIZE]; /* "": none */
    bool is_rsa;                /* RS256; else Ed25519 */
    uint8_t ed25519[VG_ED25519_KEY_SIZE];
    struct vg_rsa_key *rsa; /* owned */
};

struct vg_jwk_set {
    struct vg_jwk keys[VG_JWKS_KEYS];
    size_t count;
};

/* What of a document can verify signatures; what cannot is left out. -1: it is none, or holds no
 * such key. */
VG_MUSTCHECK int vg_jwk_set_parse(struct vg_jwk_set **out, struct vg_view text);
/* NULL is fine. */
struct vg_jwk_set *vg_jwk_set_free(struct vg_jwk_set *set);
/* For RS256; NULL: there is none of that name. */
const struct vg_rsa_key *vg_jwk_set_rsa(const struct vg_jwk_set *set, const char *kid);

/* Base64url without padding, or base64 with; NUL-terminated `text`. `out` has `size` bytes; -1:
 * neither, or longer. */
VG_MUSTCHECK int vg_jwk_decode(const char *text, uint8_t *out, size_t size, size_t *out_len);

struct vg_http_client;
struct vg_jwks;

/* Who waits for a fetch to end; its memory is the caller's until then. */
struct vg_jwks_waiter {
    void (*done)(struct vg_jwks_waiter *waiter);
    struct vg_jwks_waiter *next; /* the cache's */
};

/* Nothing is fetched yet. `client` is borrowed and outlives every refresh. */
struct vg_jwks *vg_jwks_new(struct vg_http_client *client, const char *url);
/* Nobody waits any more. NULL is fine. */
struct vg_jwks *vg_jwks_free(struct vg_jwks *self);
/* The newest that were fetched; NULL: none were. Borrowed until the next fetch ends. */
const struct vg_jwk_set *vg_jwks_keys(const struct vg_jwks *self);
/* They are missing, or older than the provider lets them be. */
bool vg_jwks_is_stale(const struct vg_jwks *self, int64_t now_ns);
/* Fetches them, or waits for the fetch under way; one that fails leaves the old keys. False:
 * the last one began too short a time ago, and `waiter` is not called. */
bool vg_jwks_refresh(struct vg_jwks *self, int64_t now_ns, struct vg_jwks_waiter *waiter);

/* Seconds that Cache-Control (NULL: none) lets a document be kept, within our own bounds. */
int64_t vg_jwks_life_s(const char *cache_control);

#endif
