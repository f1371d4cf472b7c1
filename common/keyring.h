/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that seal secrets at rest: the first seals, all open. What is sealed carries the number of
 * its key in front; what was sealed before there were numbers is tried with each key. Pure after
 * init; any thread. */
#ifndef VG_COMMON_KEYRING_H
#define VG_COMMON_KEYRING_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_KEYRING_MAX 8
#define VG_KEYRING_MARK 8 /* bytes in front of what vg_seal makes: "vgk1" and the key's number */

struct vg_keyring {
    uint8_t keys[VG_KEYRING_MAX][32]; /* SHA-256 of the configured text */
    uint8_t marks[VG_KEYRING_MAX][VG_KEYRING_MARK];
    size_t count;
};

/* `others` is a list with commas or NULL. Each has at least 16 characters; fails with
 * VG_ERR_INVALID_REQUEST. */
VG_MUSTCHECK int vg_keyring_init(struct vg_keyring *ring, const char *first, const char *others,
                                 struct vg_err *err);
void vg_keyring_wipe(struct vg_keyring *ring);

/* As vg_seal and vg_unseal. */
VG_MUSTCHECK int vg_keyring_seal(const struct vg_keyring *ring, struct vg_buf *out,
                                 struct vg_view aad, struct vg_view plain);
VG_MUSTCHECK int vg_keyring_open(const struct vg_keyring *ring, struct vg_buf *out,
                                 struct vg_view aad, struct vg_view sealed);

#endif
