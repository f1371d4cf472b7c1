/* SPDX-License-Identifier: Apache-2.0 */
/* Compact signed JSON Web Tokens (RFC 7515, 7519) of others, checked: RS256 alone, by a key of a
 * JWKS. Pure; any thread. */
#ifndef VG_WORKERS_UPSTREAM_JWS_H
#define VG_WORKERS_UPSTREAM_JWS_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/upstream/jwks.h"

enum vg_jws_verdict {
    VG_JWS_WRONG,
    VG_JWS_NO_KEY, /* none of that name is known */
    VG_JWS_RIGHT,  /* signed, and within its time */
    VG_JWS_FOR_US, /* and made for one of the audiences */
};

/* Whether a header's value looks like a token at all. */
bool vg_jws_is(const char *text);
/* `audiences` are divided by white space or commas; NULL or "": none are known. */
enum vg_jws_verdict vg_jws_check(const char *text, const struct vg_jwk_set *keys,
                                 const char *audiences, int64_t now_s);

#endif
