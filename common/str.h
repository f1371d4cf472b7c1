/* SPDX-License-Identifier: Apache-2.0 */
/* Text: strict UTF-8, numbers and lists from text, base64, hex, a hash. Pure functions, any
 * thread.
 */
#ifndef VG_COMMON_STR_H
#define VG_COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, at most U+10FFFF. */
bool vg_utf8_valid(const char *data, size_t len);
/* Code points of valid UTF-8. */
size_t vg_utf8_length(const char *data, size_t len);
/* Largest n <= len that does not cut a code point. */
size_t vg_utf8_cut(const char *data, size_t len);

/* Whole-string decimal integers: optional '-', digits, nothing else, within [min, max]. */
VG_MUSTCHECK int vg_parse_i64(struct vg_view text, int64_t min, int64_t max, int64_t *out);

/* Cuts the first item off a list with commas, trimmed, maybe empty. `*list` is NULL after the last
 * one, and false is said for NULL; "" is one empty item. */
bool vg_list_cut(const char **list, struct vg_view *out_item);
/* The same for lists in which empty items count for nothing. */
bool vg_list_next(const char **list, struct vg_view *out_item);

/* Copies with cut and NUL, like strlcpy; returns whether all of it fitted. */
bool vg_strcpy(char *dst, size_t size, const char *src);

size_t vg_base64_encoded_size(size_t len); /* with padding, without NUL */
/* Standard alphabet with padding; `dst` has vg_base64_encoded_size(len) + 1 bytes. */
void vg_base64_encode(char *dst, const void *data, size_t len);
/* URL-safe alphabet without padding (RFC 4648 section 5); room as above. */
void vg_base64url_encode(char *dst, const void *data, size_t len);
/* Strict standard alphabet; padding may be missing. `dst` has (len / 4 + 1) * 3 bytes. */
VG_MUSTCHECK int vg_base64_decode(void *dst, size_t *out_len, const char *text, size_t len);
/* Lower case; `dst` has 2 * len + 1 bytes. */
void vg_hex_encode(char *dst, const void *data, size_t len);

/* FNV-1a, 64 bits, with `seed` mixed into its start (0: the plain one). Stays as it is: processes
 * of two versions may take one lock by it. Not for keys that an attacker chooses. */
uint64_t vg_fnv1a(struct vg_view text, uint64_t seed);

#endif
