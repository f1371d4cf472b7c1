/* SPDX-License-Identifier: Apache-2.0 */
/* Signed links to content: whoever has one needs no key. Immutable after new, any thread.
 *
 * A token is base64url of: version (1 byte), the secret's name (4, so that several secrets can be
 * good at a time), Unix seconds of its end (5, big endian), HMAC-SHA256 over these, the video's id
 * and the output's index. It is good for one output of one video, whatever the variant. Its end is
 * rounded, so that readers of a video see the same link for a while and caches can keep what it
 * gives. */
#ifndef VG_SERVICE_LINK_H
#define VG_SERVICE_LINK_H

#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"

#define VG_LINK_MAX_SECRETS 8

struct vg_links;

struct vg_link_options {
    const char *secrets;    /* comma separated, the first one signs; NULL or "": one derived ... */
    const char *secret_key; /* ... from this */
    const char *old_secret_keys; /* ... and for links made before from these; NULL: none */
    const char *public_url;      /* in front of the path, without a slash at its end; may be "" */
    int64_t ttl_s; /* a link lives at least so long, at most a seventh longer; 0: 7 days */
};

/* Fails with VG_ERR_INVALID_REQUEST: a secret under 16 characters, too many of them. */
VG_MUSTCHECK int vg_links_new(struct vg_links **out, const struct vg_link_options *options,
                              struct vg_err *err);
/* NULL is fine. */
struct vg_links *vg_links_free(struct vg_links *links);

/* "PUBLIC_URL/v1/videos/ID/content?index=I&token=T". `not_after_s`: the link ends no later; 0: no
 * bound. */
char *vg_link_url(const struct vg_links *links, const char *video_id, int32_t index, int64_t now_s,
                  int64_t not_after_s, struct vg_arena *arena);
/* Fails with VG_ERR_UNAUTHENTICATED. */
VG_MUSTCHECK int vg_link_verify(const struct vg_links *links, const char *token,
                                const char *video_id, int32_t index, int64_t now_s,
                                int64_t *out_expires_at, struct vg_err *err);

#endif
