/* SPDX-License-Identifier: Apache-2.0 */
/* The text of API keys. Pure but for the random bytes; any thread.
 *
 * "vg_", 22 base62 digits that are the key's public id, "_", 33 random base62 digits (196 bits), 6
 * base62 digits of CRC-32 over what stands before. Junk is told from keys by form and checksum
 * alone, and the id says which row to compare with.
 *
 * Keys made before (OLD) have no id: "vg_", 40 random base62 digits, the same checksum. */
#ifndef VG_COMMON_API_KEY_H
#define VG_COMMON_API_KEY_H

#include "common/buf.h"
#include "common/id.h"

#define VG_API_KEY_SIZE 66 /* with NUL */

/* `id` is "key_" and 32 hex digits. */
void vg_api_key_new(char out[VG_API_KEY_SIZE], const char *id);

enum vg_api_key_form { VG_API_KEY_JUNK, VG_API_KEY_OLD, VG_API_KEY_WITH_ID };
/* Writes the id, "" for a key without one. */
enum vg_api_key_form vg_api_key_read(struct vg_view key, char out_id[VG_ID_SIZE]);

#endif
