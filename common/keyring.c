/* SPDX-License-Identifier: Apache-2.0 */
#include "common/keyring.h"

#include <string.h>

#include "common/crypto.h"
#include "common/str.h"

#define LEAST_KEY 16
static const char magic[] = "vgk1";
static const size_t magic_len = sizeof(magic) - 1;

static int add_key(struct vg_keyring *ring, struct vg_view text, const char *name,
                   struct vg_err *err)
{
    uint8_t mac[VG_SHA256_SIZE];

    if (text.len < LEAST_KEY)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s must have at least %d characters", name,
                          LEAST_KEY);
    if (ring->count == VG_KEYRING_MAX)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: at most %d can be given", name,
                          VG_KEYRING_MAX - 1);
    uint8_t *key = ring->keys[ring->count], *mark = ring->marks[ring->count];
    vg_sha256(key, text.data, text.len);
    vg_hmac_sha256(mac, (struct vg_view){(const char *)key, sizeof(ring->keys[0])},
                   VG_VIEW("videogate secret key number"));
    memcpy(mark, magic, magic_len);
    memcpy(mark + magic_len, mac, VG_KEYRING_MARK - magic_len);
    ring->count++;
    return 0;
}

int vg_keyring_init(struct vg_keyring *ring, const char *first, const char *others,
                    struct vg_err *err)
{
    struct vg_view one;

    *ring = (struct vg_keyring){.count = 0};
    if (add_key(ring, vg_view_of(first), "secret-key", err) < 0)
        return -1;
    for (const char *list = others && *others ? others : NULL; vg_list_cut(&list, &one);) {
        if (add_key(ring, one, "old-secret-key", err) < 0) {
            vg_keyring_wipe(ring);
            return -1;
        }
    }
    return 0;
}

void vg_keyring_wipe(struct vg_keyring *ring)
{
    explicit_bzero(ring, sizeof(*ring));
}

int vg_keyring_seal(const struct vg_keyring *ring, struct vg_buf *out, struct vg_view aad,
                    struct vg_view plain)
{
    size_t before = out->len;

    if (vg_buf_add(out, ring->marks[0], VG_KEYRING_MARK) == 0 &&
        vg_seal(out, ring->keys[0], aad, plain) == 0)
        return 0;
    vg_buf_cut(out, before);
    return -1;
}

static int open_marked(const struct vg_keyring *ring, struct vg_buf *out, struct vg_view aad,
                       struct vg_view sealed)
{
    if (sealed.len < VG_KEYRING_MARK)
        return -1;
    for (size_t i = 0; i < ring->count; i++) {
        if (memcmp(sealed.data, ring->marks[i], VG_KEYRING_MARK) == 0)
            return vg_unseal(
                out, ring->keys[i], aad,
                (struct vg_view){sealed.data + VG_KEYRING_MARK, sealed.len - VG_KEYRING_MARK});
    }
    return -1;
}

int vg_keyring_open(const struct vg_keyring *ring, struct vg_buf *out, struct vg_view aad,
                    struct vg_view sealed)
{
    if (open_marked(ring, out, aad, sealed) == 0)
        return 0;
    /* From before there were marks; a nonce that looks like one is no harm. */
    for (size_t i = 0; i < ring->count; i++) {
        if (vg_unseal(out, ring->keys[i], aad, sealed) == 0)
            return 0;
    }
    return -1;
}
