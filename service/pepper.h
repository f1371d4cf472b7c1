/* SPDX-License-Identifier: Apache-2.0 */
/* What API keys are stored as: HMAC-SHA-256 under a pepper that the database does not hold.
 * Immutable after new, any thread.
 *
 * Several peppers may be good at a time, so that one can be replaced: the first makes new keys, a
 * row says by name which one made it. The last, always good, are derived from secret-key and the
 * old ones. */
#ifndef VG_SERVICE_PEPPER_H
#define VG_SERVICE_PEPPER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"

#define VG_PEPPER_MAX 8 /* configured ones */

struct vg_peppers;

/* `text`: comma separated, may be NULL or "". Fails with VG_ERR_INVALID_REQUEST: one under 16
 * characters, too many. `old_keys`: of secret-key, comma separated, at most 7, or NULL. */
VG_MUSTCHECK int vg_peppers_new(struct vg_peppers **out, const char *text, const char *secret_key,
                                const char *old_keys, struct vg_err *err);
/* NULL is fine. */
struct vg_peppers *vg_peppers_free(struct vg_peppers *peppers);

/* What stands in a row. */
struct vg_peppered {
    uint8_t hash[VG_SHA256_SIZE];
    int32_t pepper; /* its name; 0: none, `hash` is the plain SHA-256 of a key without an id */
};
void vg_pepper_make(const struct vg_peppers *peppers, struct vg_view key, struct vg_peppered *out);
/* Whether the row is this key's. `row` NULL: there is none. Takes as long whatever the answer. */
bool vg_pepper_check(const struct vg_peppers *peppers, struct vg_view key,
                     const struct vg_peppered *row);

#endif
