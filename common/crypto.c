/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"

#define NONCE_SIZE 12
#define TAG_SIZE 16
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched_sha256; /* kept for the life of the process */

static void fetch(void)
{
    fetched_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    VG_ASSERT(fetched_sha256);
}

/* OpenSSL 3 otherwise looks the algorithm up by name on each use, which costs more than a short
 * hash. */
static const EVP_MD *sha256_md(void)
{
    VG_ASSERT(pthread_once(&fetch_once, fetch) == 0);
    return fetched_sha256;
}

struct vg_sha256 {
    EVP_MD_CTX *ctx; /* owned */
};

void vg_sha256(uint8_t out[VG_SHA256_SIZE], const void *data, size_t len)
{
    VG_ASSERT(EVP_Digest(data, len, out, NULL, sha256_md(), NULL) == 1);
}

struct vg_sha256 *vg_sha256_new(void)
{
    struct vg_sha256 *self = vg_xalloc(sizeof *self);
    self->ctx = EVP_MD_CTX_new();
    VG_ASSERT(self->ctx && EVP_DigestInit_ex2(self->ctx, sha256_md(), NULL) == 1);
    return self;
}

void vg_sha256_update(struct vg_sha256 *self, const void *data, size_t len)
{
    VG_ASSERT(EVP_DigestUpdate(self->ctx, data, len) == 1);
}

void vg_sha256_hex(struct vg_sha256 *self, char out[VG_SHA256_HEX_SIZE])
{
    uint8_t digest[VG_SHA256_SIZE];
    VG_ASSERT(EVP_DigestFinal_ex(self->ctx, digest, NULL) == 1);
    vg_hex_encode(out, digest, sizeof digest);
}

struct vg_sha256 *vg_sha256_free(struct vg_sha256 *self)
{
    if (self) {
        EVP_MD_CTX_free(self->ctx);
        free(self);
    }
    return NULL;
}

void vg_hmac_sha256(uint8_t out[VG_SHA256_SIZE], struct vg_view key, struct vg_view data)
{
    VG_ASSERT(key.len <= INT_MAX);
    unsigned size = VG_SHA256_SIZE;
    VG_ASSERT(HMAC(sha256_md(), key.data, (int)key.len, (const unsigned char *)data.data, data.len,
                   out, &size));
}

void vg_crypto_init(void)
{
    uint8_t mac[VG_SHA256_SIZE];
    VG_ASSERT(OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) == 1);
    vg_hmac_sha256(mac, VG_VIEW("key"), VG_VIEW("data"));
}

void vg_hkdf_sha256(uint8_t out[VG_SHA256_SIZE], struct vg_view secret, struct vg_view info)
{
    static const uint8_t no_salt[VG_SHA256_SIZE];
    uint8_t prk[VG_SHA256_SIZE];
    struct vg_buf text;

    vg_hmac_sha256(prk, (struct vg_view){(const char *)no_salt, sizeof no_salt}, secret);
    vg_buf_init(&text, info.len + 1);
    VG_ASSERT(vg_buf_add(&text, info.data, info.len) == 0 && vg_buf_addc(&text, 1) == 0);
    vg_hmac_sha256(out, (struct vg_view){(const char *)prk, sizeof prk}, vg_buf_view(&text));
    vg_buf_fini(&text);
    OPENSSL_cleanse(prk, sizeof prk);
}

bool vg_equal_ct(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void vg_webhook_sign(char out[48], const char *secret, const char *id, int64_t timestamp,
                     struct vg_view body)
{
    static const char prefix[] = "whsec_";
    const size_t prefix_len = sizeof prefix - 1;
    struct vg_view key = vg_view_of(secret);
    uint8_t *decoded = vg_xalloc((key.len / 4 + 1) * 3);
    size_t decoded_len;
    if (strncmp(secret, prefix, prefix_len) == 0 &&
        vg_base64_decode(decoded, &decoded_len, secret + prefix_len, key.len - prefix_len) == 0)
        key = (struct vg_view){(const char *)decoded, decoded_len};

    struct vg_buf text;
    vg_buf_init(&text, strlen(id) + body.len + 32);
    VG_ASSERT(vg_buf_addf(&text, "%s.%lld.", id, (long long)timestamp) == 0);
    VG_ASSERT(vg_buf_add(&text, body.data, body.len) == 0);
    uint8_t mac[VG_SHA256_SIZE];
    vg_hmac_sha256(mac, key, vg_buf_view(&text));
    (void)vg_strcpy(out, 48, "v1,");
    vg_base64_encode(out + 3, mac, sizeof mac);

    vg_buf_fini(&text);
    explicit_bzero(decoded, (strlen(secret) / 4 + 1) * 3);
    free(decoded);
}

struct vg_rsa_key {
    EVP_PKEY *pkey; /* owned */
};

/* Instead of OpenSSL's own, which asks on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *ctx)
{
    (void)text, (void)size, (void)writing, (void)ctx;
    return -1;
}

int vg_rsa_key_load(struct vg_rsa_key **out, struct vg_view pem)
{
    if (pem.len == 0 || pem.len > INT_MAX)
        return -1;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    VG_ASSERT(bio);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (!pkey || EVP_PKEY_base_id(pkey) != EVP_PKEY_RSA || EVP_PKEY_bits(pkey) < RSA_MIN_BITS ||
        EVP_PKEY_bits(pkey) > RSA_MAX_BITS) {
        EVP_PKEY_free(pkey);
        ERR_clear_error(); /* or the next user of this thread's queue takes them for its own */
        return -1;
    }
    *out = vg_xalloc(sizeof **out);
    (*out)->pkey = pkey;
    return 0;
}

/* NULL: OpenSSL takes it for no key. */
static EVP_PKEY *public_of(OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;

    VG_ASSERT(params && ctx);
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

int vg_rsa_public_load(struct vg_rsa_key **out, struct vg_view modulus, struct vg_view exponent)
{
    if (modulus.len > RSA_MAX_BITS / 8 || exponent.len == 0 || exponent.len > 8)
        return -1;
    BIGNUM *n = BN_bin2bn((const uint8_t *)modulus.data, (int)modulus.len, NULL);
    BIGNUM *e = BN_bin2bn((const uint8_t *)exponent.data, (int)exponent.len, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    VG_ASSERT(n && e && builder);
    /* An even modulus or exponent, and 1, make signatures that anybody can. */
    if (BN_num_bits(n) >= RSA_MIN_BITS && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e)) {
        VG_ASSERT(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
                  OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1);
        pkey = public_of(builder);
    }
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    ERR_clear_error(); /* or the next user of this thread's queue takes them for its own */
    if (!pkey)
        return -1;
    *out = vg_xalloc(sizeof **out);
    (*out)->pkey = pkey;
    return 0;
}

struct vg_rsa_key *vg_rsa_key_free(struct vg_rsa_key *key)
{
    if (key) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
    return NULL;
}

int vg_rs256_sign(const struct vg_rsa_key *key, struct vg_view data, struct vg_buf *out)
{
    size_t size = (size_t)EVP_PKEY_size(key->pkey);
    uint8_t *at = (uint8_t *)vg_buf_reserve(out, size);
    if (!at)
        return -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    /* RSA keys sign with PKCS #1 v1.5 padding unless told otherwise. */
    VG_ASSERT(ctx && EVP_DigestSignInit(ctx, NULL, sha256_md(), NULL, key->pkey) == 1 &&
              EVP_DigestSign(ctx, at, &size, (const uint8_t *)data.data, data.len) == 1);
    EVP_MD_CTX_free(ctx);
    vg_buf_commit(out, size);
    return 0;
}

static EVP_PKEY *ed25519_pair(const uint8_t secret[VG_ED25519_KEY_SIZE])
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, VG_ED25519_KEY_SIZE);
    VG_ASSERT(pkey); /* any 32 bytes are one */
    return pkey;
}

void vg_ed25519_public(uint8_t out[VG_ED25519_KEY_SIZE], const uint8_t secret[VG_ED25519_KEY_SIZE])
{
    size_t size = VG_ED25519_KEY_SIZE;
    EVP_PKEY *pkey = ed25519_pair(secret);
    VG_ASSERT(EVP_PKEY_get_raw_public_key(pkey, out, &size) == 1);
    EVP_PKEY_free(pkey);
}

void vg_ed25519_sign(uint8_t out[VG_ED25519_SIGNATURE_SIZE],
                     const uint8_t secret[VG_ED25519_KEY_SIZE], struct vg_view data)
{
    size_t size = VG_ED25519_SIGNATURE_SIZE;
    EVP_PKEY *pkey = ed25519_pair(secret);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    VG_ASSERT(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(ctx, out, &size, (const uint8_t *)data.data, data.len) == 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

bool vg_rs256_verify(const struct vg_rsa_key *key, struct vg_view data, struct vg_view signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    VG_ASSERT(ctx);
    bool good = EVP_DigestVerifyInit(ctx, NULL, sha256_md(), NULL, key->pkey) == 1 &&
                EVP_DigestVerify(ctx, (const uint8_t *)signature.data, signature.len,
                                 (const uint8_t *)data.data, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* or the next user of this thread's queue takes them for its own */
    return good;
}

bool vg_ed25519_verify(const uint8_t key[VG_ED25519_KEY_SIZE],
                       const uint8_t signature[VG_ED25519_SIGNATURE_SIZE], struct vg_view data)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, VG_ED25519_KEY_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    VG_ASSERT(ctx);
    bool good = pkey && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, signature, VG_ED25519_SIGNATURE_SIZE,
                                 (const uint8_t *)data.data, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    if (!good)
        ERR_clear_error(); /* or the next user of this thread's queue takes them for its own */
    return good;
}

static int gcm_seal(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t key[32], struct vg_view aad,
                    struct vg_view plain)
{
    uint8_t *nonce = out, *text = out + NONCE_SIZE, *tag = text + plain.len;
    int n;
    vg_random(nonce, NONCE_SIZE);
    if (EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) != 1)
        return -1;
    if (aad.len && EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.data, (int)aad.len) != 1)
        return -1;
    if (plain.len &&
        EVP_EncryptUpdate(ctx, text, &n, (const uint8_t *)plain.data, (int)plain.len) != 1)
        return -1;
    if (EVP_EncryptFinal_ex(ctx, tag, &n) != 1)
        return -1;
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) == 1 ? 0 : -1;
}

int vg_seal(struct vg_buf *out, const uint8_t key[32], struct vg_view aad, struct vg_view plain)
{
    if (plain.len > INT_MAX - NONCE_SIZE - TAG_SIZE || aad.len > INT_MAX)
        return -1;
    size_t size = NONCE_SIZE + plain.len + TAG_SIZE;
    uint8_t *at = (uint8_t *)vg_buf_reserve(out, size);
    if (!at)
        return -1;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int rc = ctx ? gcm_seal(ctx, at, key, aad, plain) : -1;
    EVP_CIPHER_CTX_free(ctx);
    if (rc == 0)
        vg_buf_commit(out, size);
    return rc;
}

static int gcm_unseal(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t key[32], struct vg_view aad,
                      struct vg_view sealed)
{
    const uint8_t *nonce = (const uint8_t *)sealed.data, *text = nonce + NONCE_SIZE;
    size_t len = sealed.len - NONCE_SIZE - TAG_SIZE;
    uint8_t tag[TAG_SIZE];
    int n;
    memcpy(tag, text + len, sizeof tag);
    if (EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) != 1)
        return -1;
    if (aad.len && EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.data, (int)aad.len) != 1)
        return -1;
    if (len && EVP_DecryptUpdate(ctx, out, &n, text, (int)len) != 1)
        return -1;
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) != 1)
        return -1;
    return EVP_DecryptFinal_ex(ctx, out + len, &n) == 1 ? 0 : -1;
}

int vg_unseal(struct vg_buf *out, const uint8_t key[32], struct vg_view aad, struct vg_view sealed)
{
    if (sealed.len < NONCE_SIZE + TAG_SIZE || sealed.len > INT_MAX || aad.len > INT_MAX)
        return -1;
    size_t size = sealed.len - NONCE_SIZE - TAG_SIZE;
    uint8_t *at = (uint8_t *)vg_buf_reserve(out, size);
    if (!at)
        return -1;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int rc = ctx ? gcm_unseal(ctx, at, key, aad, sealed) : -1;
    EVP_CIPHER_CTX_free(ctx);
    if (rc == 0)
        vg_buf_commit(out, size);
    else
        explicit_bzero(at, size); /* unauthenticated bytes must not be found there */
    return rc;
}
