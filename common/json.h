/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259): a strict bounded parser over cJSON. Any thread.
 *
 * The parser refuses what cJSON lets pass: invalid UTF-8, NUL (\u0000) in strings, lone surrogates,
 * depth and count over the limits, trailing bytes, numbers that are not finite or longer than 60
 * characters, duplicate keys. */
#ifndef VG_COMMON_JSON_H
#define VG_COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/str.h"

#define VG_JSON_MAX_DEPTH 32
#define VG_JSON_MAX_VALUES 100000 /* in one text; each costs 64 bytes or more in the tree */

struct vg_json; /* a value; opaque */

/* Fails with VG_ERR_INVALID_JSON and a detail that gives the byte offset. Free the root with
 * vg_json_free. */
VG_MUSTCHECK int vg_json_parse(struct vg_json **out, struct vg_view text, struct vg_err *err);
struct vg_json *vg_json_free(struct vg_json *root);

enum vg_json_type {
    VG_JSON_NULL,
    VG_JSON_BOOL,
    VG_JSON_NUMBER,
    VG_JSON_STRING,
    VG_JSON_ARRAY,
    VG_JSON_OBJECT,
    VG_JSON_BYTES /* a file out of a form (json_form.h); the parser never makes one */
};
enum vg_json_type vg_json_type(const struct vg_json *value);
const char *
vg_json_type_name(const struct vg_json *value); /* "a string", "an array", ... for messages */
/* Borrowed from the tree. Member and element getters return NULL when absent or of another type. */
const struct vg_json *vg_json_get(const struct vg_json *object, const char *key);
const struct vg_json *vg_json_first(const struct vg_json *container); /* first element or member */
const struct vg_json *vg_json_next(const struct vg_json *value);
const char *vg_json_key(const struct vg_json *member);
size_t vg_json_count(const struct vg_json *container);
const char *vg_json_string(const struct vg_json *value);              /* NULL unless a string */
bool vg_json_bool(const struct vg_json *value);                       /* false unless true */
bool vg_json_bytes(const struct vg_json *value, struct vg_view *out); /* false unless bytes */
double vg_json_number(const struct vg_json *value);                   /* 0 unless a number */
/* Whole numbers between -2^53 and 2^53, both exclusive; false otherwise. */
bool vg_json_int(const struct vg_json *value, int64_t *out);

#endif
