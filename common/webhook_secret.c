/* SPDX-License-Identifier: Apache-2.0 */
#include "common/webhook_secret.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"

#define HMAC_BYTES 24 /* 32 characters of base64 without padding; Standard Webhooks: 24 to 64 */
#define MAX_SECRETS 10
#define MAX_KEY_TEXT 88 /* base64 of 64 bytes */
#define SIGNATURE_SIZE 96

static const char hmac_prefix[] = "whsec_", secret_prefix[] = "whsk_", public_prefix[] = "whpk_";
static const char *const kind_names[VG_WEBHOOK_KIND_MAX] = {"v1", "v1a"};

const char *vg_webhook_kind_name(enum vg_webhook_kind kind)
{
    return kind_names[kind];
}

bool vg_webhook_kind_find(const char *name, enum vg_webhook_kind *out)
{
    for (unsigned i = 0; i < VG_WEBHOOK_KIND_MAX; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *out = (enum vg_webhook_kind)i;
            return true;
        }
    }
    return false;
}

static bool begins(struct vg_view text, const char *prefix)
{
    size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static void write_key(char out[VG_WEBHOOK_KEY_SIZE], const char *prefix, const uint8_t *key,
                      size_t len)
{
    VG_ASSERT(vg_strcpy(out, VG_WEBHOOK_KEY_SIZE, prefix) &&
              strlen(prefix) + vg_base64_encoded_size(len) < VG_WEBHOOK_KEY_SIZE);
    vg_base64_encode(out + strlen(prefix), key, len);
}

void vg_webhook_secret_new(char out[VG_WEBHOOK_KEY_SIZE], enum vg_webhook_kind kind)
{
    uint8_t key[VG_ED25519_KEY_SIZE];
    bool pair = kind == VG_WEBHOOK_V1A;
    size_t len = pair ? sizeof(key) : HMAC_BYTES;

    vg_random(key, len);
    write_key(out, pair ? secret_prefix : hmac_prefix, key, len);
    explicit_bzero(key, sizeof(key));
}

/* The ed25519 key of one "whsk_"; where the public half is given it must be the right one. */
static bool read_key(struct vg_view text, uint8_t out[VG_ED25519_KEY_SIZE])
{
    const size_t prefix = strlen(secret_prefix);
    uint8_t both[MAX_KEY_TEXT], half[VG_ED25519_KEY_SIZE];
    size_t len = 0;

    if (!begins(text, secret_prefix) || text.len - prefix > MAX_KEY_TEXT ||
        vg_base64_decode(both, &len, text.data + prefix, text.len - prefix) != 0)
        return false;
    bool good = len == VG_ED25519_KEY_SIZE;
    if (len == sizeof(half) * 2) {
        vg_ed25519_public(half, both);
        good = memcmp(half, both + VG_ED25519_KEY_SIZE, sizeof(half)) == 0;
    }
    if (good)
        memcpy(out, both, VG_ED25519_KEY_SIZE);
    explicit_bzero(both, sizeof(both));
    return good;
}

bool vg_webhook_secret_public(char out[VG_WEBHOOK_KEY_SIZE], const char *secret)
{
    uint8_t key[VG_ED25519_KEY_SIZE], half[VG_ED25519_KEY_SIZE];

    if (!read_key(vg_view_of(secret), key))
        return false;
    vg_ed25519_public(half, key);
    explicit_bzero(key, sizeof(key));
    write_key(out, public_prefix, half, sizeof(half));
    return true;
}

/* The secrets of a text; one alone where it is no list. */
static size_t split(const char *text, struct vg_view out[MAX_SECRETS])
{
    size_t count = 0;

    for (const char *at = text; at; count++) {
        const char *space = strchr(at, ' ');
        struct vg_view one = {at, space ? (size_t)(space - at) : strlen(at)};

        if (count == MAX_SECRETS || (!begins(one, hmac_prefix) && !begins(one, secret_prefix))) {
            out[0] = vg_view_of(text);
            return 1;
        }
        out[count] = one;
        at = space ? space + 1 : NULL;
    }
    return count;
}

bool vg_webhook_secret_ok(const char *text)
{
    struct vg_view all[MAX_SECRETS];
    uint8_t key[VG_ED25519_KEY_SIZE];
    size_t count = split(text, all);

    for (size_t i = 0; i < count; i++) {
        if (begins(all[i], secret_prefix) && !read_key(all[i], key))
            return false;
    }
    explicit_bzero(key, sizeof(key));
    return true;
}

static void sign_v1a(char out[SIGNATURE_SIZE], const uint8_t key[VG_ED25519_KEY_SIZE],
                     const char *id, int64_t timestamp, struct vg_view body)
{
    uint8_t signature[VG_ED25519_SIGNATURE_SIZE];
    struct vg_buf text;

    vg_buf_init(&text, strlen(id) + body.len + 32);
    VG_ASSERT(vg_buf_addf(&text, "%s.%lld.", id, (long long)timestamp) == 0 &&
              vg_buf_add(&text, body.data, body.len) == 0);
    vg_ed25519_sign(signature, key, vg_buf_view(&text));
    vg_buf_fini(&text);
    (void)vg_strcpy(out, SIGNATURE_SIZE, "v1a,"); /* fits */
    vg_base64_encode(out + 4, signature, sizeof(signature));
}

static int sign_one(struct vg_buf *out, struct vg_view secret, const char *id, int64_t timestamp,
                    struct vg_view body)
{
    uint8_t key[VG_ED25519_KEY_SIZE];
    char one[SIGNATURE_SIZE];

    if (read_key(secret, key)) {
        sign_v1a(one, key, id, timestamp, body);
        explicit_bzero(key, sizeof(key));
    } else {
        char *text = vg_xmemdup(secret.data, secret.len);
        vg_webhook_sign(one, text, id, timestamp, body);
        explicit_bzero(text, secret.len);
        free(text);
    }
    return vg_buf_addf(out, " %s", one);
}

int vg_webhook_secret_sign(struct vg_buf *out, const char *text, const char *id, int64_t timestamp,
                           struct vg_view body)
{
    struct vg_view all[MAX_SECRETS];
    size_t count = split(text, all);
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = sign_one(out, all[i], id, timestamp, body);
    return rc;
}
