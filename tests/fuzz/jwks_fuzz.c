/* SPDX-License-Identifier: Apache-2.0 */
/* A token, a new line, a JWKS document, and the same document as a Cache-Control header. No text
 * leaves its bounds, and without keys nothing is right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "workers/upstream/jws.h"

#define NOW INT64_C(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = vg_xmemdup((const char *)data, size);
    size_t at = strcspn(text, "\n");
    const char *rest = text + at + (at < size ? 1 : 0);
    struct vg_jwk_set *set = NULL;

    text[at] = '\0';
    if (vg_jwk_set_parse(&set, (struct vg_view){rest, size - (size_t)(rest - text)}) == 0)
        VG_ASSERT(set->count > 0 && set->count <= VG_JWKS_KEYS);
    VG_ASSERT(vg_jws_check(text, NULL, "me", NOW) < VG_JWS_RIGHT);
    if (vg_jws_check(text, set, "me", NOW) >= VG_JWS_RIGHT)
        VG_ASSERT(set && vg_jws_is(text));
    int64_t life = vg_jwks_life_s(rest);
    VG_ASSERT(life >= 60 && life <= 86400);
    vg_jwk_set_free(set);
    free(text);
    return 0;
}
