/* SPDX-License-Identifier: Apache-2.0 */
#include "service/event_address.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/str.h"

#define MAC_CHARS 43 /* of base64url without padding */
#define MAC_SIZE 48
#define MAX_KEYS 8

struct vg_event_addresses {
    char *base_url;                         /* owned; "" or without a slash at its end */
    uint8_t keys[MAX_KEYS][VG_SHA256_SIZE]; /* the first signs */
    size_t count;
};

static void add_key(struct vg_event_addresses *self, struct vg_view text)
{
    vg_hmac_sha256(self->keys[self->count++], text, VG_VIEW("videogate provider event key"));
}

static void add_keys(struct vg_event_addresses *self, const char *list)
{
    struct vg_view one;

    while (self->count < MAX_KEYS && vg_list_cut(&list, &one))
        add_key(self, one);
}

int vg_event_addresses_new(struct vg_event_addresses **out, const char *base_url,
                           const char *secret_key, const char *old_keys, struct vg_err *err)
{
    size_t len = base_url ? strlen(base_url) : 0;

    if (len > 0 && strncmp(base_url, "http://", 7) != 0 && strncmp(base_url, "https://", 8) != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "events-url must begin with http:// or https://");
    while (len > 0 && base_url[len - 1] == '/')
        len--;
    struct vg_event_addresses *self = vg_xalloc(sizeof(*self));

    self->base_url = vg_xmemdup(len ? base_url : "", len);
    add_key(self, vg_view_of(secret_key));
    add_keys(self, old_keys && *old_keys ? old_keys : NULL);
    *out = self;
    return 0;
}

struct vg_event_addresses *vg_event_addresses_free(struct vg_event_addresses *addresses)
{
    if (addresses) {
        explicit_bzero(addresses->keys, sizeof(addresses->keys));
        free(addresses->base_url);
        free(addresses);
    }
    return NULL;
}

/* A provider's name has no line break: no two pairs give one text. */
static void sign(const struct vg_event_addresses *self, size_t key, const char *provider,
                 struct vg_view token, char out[MAC_SIZE])
{
    uint8_t mac[VG_SHA256_SIZE];
    struct vg_buf text;

    vg_buf_init(&text, strlen(provider) + token.len + 1);
    VG_ASSERT(vg_buf_adds(&text, provider) == 0 && vg_buf_addc(&text, '\n') == 0 &&
              vg_buf_add(&text, token.data, token.len) == 0);
    vg_hmac_sha256(mac, (struct vg_view){(const char *)self->keys[key], VG_SHA256_SIZE},
                   vg_buf_view(&text));
    vg_base64url_encode(out, mac, sizeof(mac));
    vg_buf_fini(&text);
}

char *vg_event_address(const struct vg_event_addresses *addresses, const char *provider,
                       const char *token, struct vg_arena *arena)
{
    char mac[MAC_SIZE];

    if (!*addresses->base_url)
        return NULL;
    sign(addresses, 0, provider, vg_view_of(token), mac);
    return vg_arena_printf(arena, "%s/v1/provider-events/%s/%s.%s", addresses->base_url, provider,
                           token, mac);
}

/* "VIDEO.INDEX-ATTEMPT", which is ours: the MAC was right. */
static int split(struct vg_view token, struct vg_event_job *out)
{
    const char *dot = memchr(token.data, '.', token.len);
    const char *dash = dot ? memchr(dot, '-', token.len - (size_t)(dot - token.data)) : NULL;
    int64_t index = 0, attempt = 0;

    if (!dash || (size_t)(dot - token.data) >= sizeof(out->video_id))
        return -1;
    struct vg_view first = {dot + 1, (size_t)(dash - dot - 1)};
    struct vg_view second = {dash + 1, token.len - (size_t)(dash + 1 - token.data)};

    if (vg_parse_i64(first, 0, INT32_MAX, &index) < 0 ||
        vg_parse_i64(second, 0, INT32_MAX, &attempt) < 0)
        return -1;
    memcpy(out->video_id, token.data, (size_t)(dot - token.data));
    out->video_id[dot - token.data] = '\0';
    out->index = (int32_t)index;
    out->attempt = (int32_t)attempt;
    return 0;
}

int vg_event_address_read(const struct vg_event_addresses *addresses, const char *provider,
                          const char *text, struct vg_event_job *out)
{
    const char *dot = strrchr(text, '.');
    size_t len = strlen(text);
    struct vg_view token = {text, dot ? (size_t)(dot - text) : len};
    char mac[MAC_SIZE], given[MAC_SIZE] = "";

    bool fits = dot && vg_strcpy(given, sizeof(given), dot + 1) && strlen(given) == MAC_CHARS;
    bool same = false;

    for (size_t i = 0; i < addresses->count; i++) {
        sign(addresses, i, provider, token, mac);
        same |= vg_equal_ct(mac, given, MAC_CHARS);
    }
    return fits && same ? split(token, out) : -1;
}
