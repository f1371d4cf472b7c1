/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/jwt.h"

#include <string.h>

#include "common/crypto.h"
#include "common/str.h"

void vg_jwt_put_part(struct vg_buf *out, struct vg_view data)
{
    char *at = vg_buf_reserve(out, vg_base64_encoded_size(data.len));

    if (!at)
        return;
    vg_base64url_encode(at, data.data, data.len);
    vg_buf_commit(out, strlen(at));
}

void vg_jwt_put_hs256(struct vg_buf *out, struct vg_view claims, struct vg_view secret)
{
    uint8_t signature[VG_SHA256_SIZE];
    size_t start = out->len;

    vg_jwt_put_part(out, vg_view_of("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    (void)vg_buf_addc(out, '.');
    vg_jwt_put_part(out, claims);
    if (!vg_buf_ok(out))
        return;
    vg_hmac_sha256(signature, secret, (struct vg_view){out->data + start, out->len - start});
    (void)vg_buf_addc(out, '.');
    vg_jwt_put_part(out, (struct vg_view){(const char *)signature, sizeof(signature)});
}
