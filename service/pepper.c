/* SPDX-License-Identifier: Apache-2.0 */
#include "service/pepper.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define MIN_SECRET 16
#define MAX_OLD 7

struct pepper {
    int32_t name; /* never 0 */
    uint8_t key[VG_SHA256_SIZE];
};

struct vg_peppers {
    size_t count;
    struct pepper all[VG_PEPPER_MAX + 1 + MAX_OLD];
};

/* Name and key come from the text under different labels: the name, which the database holds, tells
 * nothing of the key. */
static void add(struct vg_peppers *peppers, struct vg_view text)
{
    struct pepper *p = &peppers->all[peppers->count++];
    uint8_t name[VG_SHA256_SIZE];

    vg_hkdf_sha256(name, text, VG_VIEW("videogate api key pepper name"));
    vg_hkdf_sha256(p->key, text, VG_VIEW("videogate api key pepper"));
    memcpy(&p->name, name, sizeof(p->name));
    p->name = (p->name & INT32_MAX) | 1;
}

static int add_all(struct vg_peppers *peppers, const char *text, struct vg_err *err)
{
    struct vg_view one;

    while (vg_list_cut(&text, &one)) {
        if (one.len < MIN_SECRET)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "key-peppers: each must have at least %d characters", MIN_SECRET);
        if (peppers->count == VG_PEPPER_MAX)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST, "key-peppers: at most %d can be given",
                              VG_PEPPER_MAX);
        add(peppers, one);
    }
    return 0;
}

static void add_old(struct vg_peppers *peppers, const char *list)
{
    struct vg_view one;

    while (peppers->count < VG_COUNT(peppers->all) && vg_list_cut(&list, &one))
        add(peppers, one);
}

int vg_peppers_new(struct vg_peppers **out, const char *text, const char *secret_key,
                   const char *old_keys, struct vg_err *err)
{
    struct vg_peppers *peppers = vg_xalloc(sizeof(*peppers));

    if (text && *text && add_all(peppers, text, err) < 0) {
        (void)vg_peppers_free(peppers);
        return -1;
    }
    add(peppers, vg_view_of(secret_key));
    add_old(peppers, old_keys && *old_keys ? old_keys : NULL);
    *out = peppers;
    return 0;
}

struct vg_peppers *vg_peppers_free(struct vg_peppers *peppers)
{
    if (peppers)
        explicit_bzero(peppers, sizeof(*peppers));
    free(peppers);
    return NULL;
}

static void hash_with(const struct pepper *pepper, struct vg_view key, uint8_t out[VG_SHA256_SIZE])
{
    vg_hmac_sha256(out, (struct vg_view){(const char *)pepper->key, sizeof(pepper->key)}, key);
}

void vg_pepper_make(const struct vg_peppers *peppers, struct vg_view key, struct vg_peppered *out)
{
    out->pepper = peppers->all[0].name;
    hash_with(&peppers->all[0], key, out->hash);
}

bool vg_pepper_check(const struct vg_peppers *peppers, struct vg_view key,
                     const struct vg_peppered *row)
{
    static const struct vg_peppered nobody;
    const struct vg_peppered *against = row ? row : &nobody;
    const struct pepper *pepper = &peppers->all[0];
    uint8_t hash[VG_SHA256_SIZE];
    bool named = false;

    for (size_t i = 0; i < peppers->count; i++)
        if (peppers->all[i].name == against->pepper) {
            pepper = &peppers->all[i];
            named = true;
        }
    hash_with(pepper, key, hash);
    bool same = vg_equal_ct(hash, against->hash, sizeof(hash));
    explicit_bzero(hash, sizeof(hash));
    return row && named && same;
}
