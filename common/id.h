/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers and random bytes. Any thread. */
#ifndef VG_COMMON_ID_H
#define VG_COMMON_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VG_ID_SIZE 48 /* prefix of at most 14 characters, '_', 32 hex digits, NUL */

/* "PREFIX_" and 32 lower-case hex digits of a UUIDv7 (RFC 9562): sortable by creation within a
 * process. */
void vg_id_new(char out[VG_ID_SIZE], const char *prefix);
/* True for "PREFIX_" followed by exactly 32 lower-case hex digits. */
bool vg_id_valid(const char *id, size_t len, const char *prefix);
/* Unix milliseconds of the making of a valid identifier; -1 when it is no UUIDv7, so not ours. */
int64_t vg_id_time_ms(const char *id);
/* Cryptographically strong bytes; aborts when the system has none. */
void vg_random(void *out, size_t len);
/* Uniform in [0, 1), for jitter. */
double vg_random_unit(void);

#endif
