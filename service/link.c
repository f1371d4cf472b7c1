/* SPDX-License-Identifier: Apache-2.0 */
#include "service/link.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/id.h"
#include "common/str.h"

#define DAY_S (INT64_C(24) * 3600)
#define MIN_SECRET 16
#define VERSION 1
enum { NAME_AT = 1, NAME_SIZE = 4, END_AT = 5, END_SIZE = 5, MAC_AT = 10, TOKEN_BYTES = 42 };
#define TOKEN_CHARS 56 /* 42 is divisible by three: no padding */
#define TEXT_SIZE (TOKEN_CHARS + 1)

struct secret {
    uint8_t name[NAME_SIZE];
    uint8_t key[VG_SHA256_SIZE];
};

struct vg_links {
    struct secret secrets[VG_LINK_MAX_SECRETS];
    size_t count;
    int64_t ttl_s;
    int64_t step_s;
    char *public_url; /* owned */
};

/* Name and key come from the text by HMACs under different labels: the public name tells nothing of
 * the key. */
static void add_secret(struct vg_links *links, struct vg_view text)
{
    struct secret *s = &links->secrets[links->count++];
    uint8_t name[VG_SHA256_SIZE];

    vg_hmac_sha256(name, text, VG_VIEW("videogate link name"));
    memcpy(s->name, name, NAME_SIZE);
    vg_hmac_sha256(s->key, text, VG_VIEW("videogate link key"));
}

static int add_secrets(struct vg_links *links, const char *text, struct vg_err *err)
{
    struct vg_view one;

    while (vg_list_cut(&text, &one)) {
        if (one.len < MIN_SECRET)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "link-secrets: each must have at least %d characters", MIN_SECRET);
        if (links->count == VG_LINK_MAX_SECRETS)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST, "link-secrets: at most %d can be given",
                              VG_LINK_MAX_SECRETS);
        add_secret(links, one);
    }
    return 0;
}

int vg_links_new(struct vg_links **out, const struct vg_link_options *options, struct vg_err *err)
{
    struct vg_links *links = vg_xalloc(sizeof(*links));
    int rc = 0;

    links->ttl_s = options->ttl_s > 0 ? options->ttl_s : 7 * DAY_S;
    links->step_s = links->ttl_s / 7 > 0 ? links->ttl_s / 7 : 1;
    links->public_url = vg_xstrdup(options->public_url ? options->public_url : "");
    if (options->secrets && *options->secrets)
        rc = add_secrets(links, options->secrets, err);
    else {
        add_secret(links, vg_view_of(options->secret_key));
        if (options->old_secret_keys && *options->old_secret_keys)
            rc = add_secrets(links, options->old_secret_keys, err);
    }
    if (rc < 0)
        (void)vg_links_free(links);
    else
        *out = links;
    return rc;
}

struct vg_links *vg_links_free(struct vg_links *links)
{
    if (links) {
        explicit_bzero(links->secrets, sizeof(links->secrets));
        free(links->public_url);
        free(links);
    }
    return NULL;
}

/* --- tokens --- */

static void sign(const struct secret *secret, const uint8_t head[MAC_AT], const char *video_id,
                 int32_t index, uint8_t out[VG_SHA256_SIZE])
{
    struct vg_buf text;

    vg_buf_init(&text, 512);
    VG_ASSERT(vg_buf_add(&text, head, MAC_AT) == 0 &&
              vg_buf_addf(&text, "%s/%d", video_id, (int)index) == 0);
    vg_hmac_sha256(out, (struct vg_view){(const char *)secret->key, VG_SHA256_SIZE},
                   vg_buf_view(&text));
    vg_buf_fini(&text);
}

static void swap_chars(char *text, const char from[2], const char to[2])
{
    for (char *c = text; *c; c++)
        for (size_t i = 0; i < 2; i++)
            if (*c == from[i])
                *c = to[i];
}

static void make_token(const struct vg_links *links, const char *video_id, int32_t index,
                       int64_t end_s, char out[TEXT_SIZE])
{
    const struct secret *secret = &links->secrets[0];
    uint8_t raw[TOKEN_BYTES] = {VERSION};

    memcpy(raw + NAME_AT, secret->name, NAME_SIZE);
    for (size_t i = 0; i < END_SIZE; i++)
        raw[END_AT + i] = (uint8_t)((uint64_t)end_s >> (8 * (END_SIZE - 1 - i)));
    sign(secret, raw, video_id, index, raw + MAC_AT);
    vg_base64_encode(out, raw, sizeof(raw));
    swap_chars(out, "+/", "-_");
}

char *vg_link_url(const struct vg_links *links, const char *video_id, int32_t index, int64_t now_s,
                  int64_t not_after_s, struct vg_arena *arena)
{
    char token[TEXT_SIZE];
    int64_t end_s = ((now_s + links->ttl_s) / links->step_s + 1) * links->step_s;

    if (not_after_s > 0 && not_after_s < end_s)
        end_s = not_after_s;
    make_token(links, video_id, index, end_s, token);
    return vg_arena_printf(arena, "%s/v1/videos/%s/content?index=%d&token=%s", links->public_url,
                           video_id, (int)index, token);
}

static int bad_token(struct vg_err *err)
{
    return vg_err_param(err, VG_ERR_UNAUTHENTICATED, "token", "This link is not valid.");
}

static const struct secret *find_secret(const struct vg_links *links, const uint8_t *name)
{
    for (size_t i = 0; i < links->count; i++)
        if (memcmp(links->secrets[i].name, name, NAME_SIZE) == 0)
            return &links->secrets[i];
    return NULL;
}

/* The 56 characters as bytes; the standard alphabet's own two are not taken. */
static int read_token(const char *token, uint8_t out[TOKEN_BYTES])
{
    uint8_t raw[(TOKEN_CHARS / 4 + 1) * 3];
    char text[TEXT_SIZE];
    size_t len = 0;

    if (strnlen(token, TEXT_SIZE) != TOKEN_CHARS || strpbrk(token, "+/="))
        return -1;
    (void)vg_strcpy(text, sizeof(text), token);
    swap_chars(text, "-_", "+/");
    if (vg_base64_decode(raw, &len, text, TOKEN_CHARS) != 0 || len != TOKEN_BYTES)
        return -1;
    memcpy(out, raw, TOKEN_BYTES);
    return 0;
}

int vg_link_verify(const struct vg_links *links, const char *token, const char *video_id,
                   int32_t index, int64_t now_s, int64_t *out_expires_at, struct vg_err *err)
{
    uint8_t raw[TOKEN_BYTES];
    uint8_t mac[VG_SHA256_SIZE];
    int64_t end_s = 0;

    if (strnlen(video_id, VG_ID_SIZE) == VG_ID_SIZE || read_token(token, raw) < 0 ||
        raw[0] != VERSION)
        return bad_token(err);
    const struct secret *secret = find_secret(links, raw + NAME_AT);
    if (!secret)
        return bad_token(err);
    sign(secret, raw, video_id, index, mac);
    if (!vg_equal_ct(mac, raw + MAC_AT, sizeof(mac)))
        return bad_token(err);
    for (size_t i = 0; i < END_SIZE; i++)
        end_s = end_s << 8 | raw[END_AT + i];
    if (now_s >= end_s)
        return vg_err_param(err, VG_ERR_UNAUTHENTICATED, "token", "This link has expired.");
    *out_expires_at = end_s;
    return 0;
}
