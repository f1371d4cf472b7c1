/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, HMAC, signatures and sealing; with common/http (through libcurl) and bridge/net
 * the only users of OpenSSL. Any thread. */
#ifndef VG_COMMON_CRYPTO_H
#define VG_COMMON_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_SHA256_SIZE 32
#define VG_SHA256_HEX_SIZE 65 /* with NUL */

/* At the start of a process, before any other use. OpenSSL sets itself up at its first use, and
 * follows locks that it had no memory for; the first request shall not be that use. And it does not
 * clean up when the process exits: threads of gRPC may still be in it then. */
void vg_crypto_init(void);

void vg_sha256(uint8_t out[VG_SHA256_SIZE], const void *data, size_t len);
struct vg_sha256; /* incremental */
struct vg_sha256 *vg_sha256_new(void);
void vg_sha256_update(struct vg_sha256 *self, const void *data, size_t len);
void vg_sha256_hex(struct vg_sha256 *self, char out[VG_SHA256_HEX_SIZE]); /* once, at the end */
struct vg_sha256 *vg_sha256_free(struct vg_sha256 *self);

void vg_hmac_sha256(uint8_t out[VG_SHA256_SIZE], struct vg_view key, struct vg_view data);
/* HKDF (RFC 5869) without salt, its first block: a key for the purpose that `info` names. */
void vg_hkdf_sha256(uint8_t out[VG_SHA256_SIZE], struct vg_view secret, struct vg_view info);
bool vg_equal_ct(const void *a, const void *b, size_t len); /* constant time */

/* Standard Webhooks 1.0.0: "v1," and base64 HMAC-SHA256 over "id.timestamp.body". A secret that
 * starts with "whsec_" is base64-decoded (raw when that fails), any other is used as raw bytes.
 * `out` has 48 bytes. */
void vg_webhook_sign(char out[48], const char *secret, const char *id, int64_t timestamp,
                     struct vg_view body);

/* RS256 of JSON Web Tokens (RFC 7518): RSASSA-PKCS1-v1_5 with SHA-256. */
struct vg_rsa_key; /* private */
/* PEM without a passphrase, PKCS#8 or PKCS#1, 2,048 to 8,192 bits. */
VG_MUSTCHECK int vg_rsa_key_load(struct vg_rsa_key **out, struct vg_view pem);
/* A public key of as many bits: modulus and exponent, big-endian. */
VG_MUSTCHECK int vg_rsa_public_load(struct vg_rsa_key **out, struct vg_view modulus,
                                    struct vg_view exponent);
struct vg_rsa_key *vg_rsa_key_free(struct vg_rsa_key *key);
/* Appends the signature; -1: no room. */
VG_MUSTCHECK int vg_rs256_sign(const struct vg_rsa_key *key, struct vg_view data,
                               struct vg_buf *out);
bool vg_rs256_verify(const struct vg_rsa_key *key, struct vg_view data, struct vg_view signature);

#define VG_ED25519_KEY_SIZE 32
#define VG_ED25519_SIGNATURE_SIZE 64
/* Pure Ed25519 (RFC 8032); `secret` is its 32-byte private key. */
void vg_ed25519_public(uint8_t out[VG_ED25519_KEY_SIZE], const uint8_t secret[VG_ED25519_KEY_SIZE]);
void vg_ed25519_sign(uint8_t out[VG_ED25519_SIGNATURE_SIZE],
                     const uint8_t secret[VG_ED25519_KEY_SIZE], struct vg_view data);
bool vg_ed25519_verify(const uint8_t key[VG_ED25519_KEY_SIZE],
                       const uint8_t signature[VG_ED25519_SIGNATURE_SIZE], struct vg_view data);

/* Sealing at rest: AES-256-GCM, 12-byte random nonce in front, 16-byte tag behind. `key` is the
 * SHA-256 of the configured text. `aad` binds the value to its row. */
VG_MUSTCHECK int vg_seal(struct vg_buf *out, const uint8_t key[32], struct vg_view aad,
                         struct vg_view plain);
VG_MUSTCHECK int vg_unseal(struct vg_buf *out, const uint8_t key[32], struct vg_view aad,
                           struct vg_view sealed);

#endif
