/* SPDX-License-Identifier: Apache-2.0 */
/* Compact JSON Web Tokens (RFC 7519, 7515). Pure; any thread. Overflow is found with vg_buf_ok. */
#ifndef VG_WORKERS_UPSTREAM_JWT_H
#define VG_WORKERS_UPSTREAM_JWT_H

#include "common/buf.h"

/* Appends one part in base64url without padding. */
void vg_jwt_put_part(struct vg_buf *out, struct vg_view data);
/* Appends a token over the claims (JSON), signed with HMAC-SHA256 ("HS256"). */
void vg_jwt_put_hs256(struct vg_buf *out, struct vg_view claims, struct vg_view secret);

#endif
