/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of Standard Webhooks 1.0.0 and what they sign. A text is one secret: "whsec_" and base64
 * of an HMAC key, "whsk_" and base64 of an ed25519 key (its 32 bytes, or 64 with the public half
 * behind), else raw bytes of an HMAC key. At most 10 of the first two, with spaces between, are as
 * many secrets, and all sign. Pure; any thread. */
#ifndef VG_COMMON_WEBHOOK_SECRET_H
#define VG_COMMON_WEBHOOK_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_WEBHOOK_KEY_SIZE 64 /* of the texts below, with NUL */

enum vg_webhook_kind { VG_WEBHOOK_V1, VG_WEBHOOK_V1A, VG_WEBHOOK_KIND_MAX };

/* "v1", "v1a". */
const char *vg_webhook_kind_name(enum vg_webhook_kind kind);
/* False: there is no such kind. */
bool vg_webhook_kind_find(const char *name, enum vg_webhook_kind *out);

/* A fresh one: "whsec_..." of 24 bytes, or "whsk_..." of 32. */
void vg_webhook_secret_new(char out[VG_WEBHOOK_KEY_SIZE], enum vg_webhook_kind kind);
/* "whpk_..." of one "whsk_..."; false: it is none. */
bool vg_webhook_secret_public(char out[VG_WEBHOOK_KEY_SIZE], const char *secret);
/* False: a "whsk_" in it is no key. */
bool vg_webhook_secret_ok(const char *text);

/* Appends a space and a signature, "v1,..." or "v1a,...", for each secret of the text. A "whsk_"
 * that is no key signs as raw bytes. -1: no room. */
VG_MUSTCHECK int vg_webhook_secret_sign(struct vg_buf *out, const char *text, const char *id,
                                        int64_t timestamp, struct vg_view body);

#endif
