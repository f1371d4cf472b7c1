/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a form as a JSON tree, so that one path reads both: brackets in a name nest
 * ("a[b]", "a[]", "a[0]", "a[][b]"), a name that comes again makes a list, texts stay texts, files
 * become values of type VG_JSON_BYTES. Any thread. */
#ifndef VG_COMMON_JSON_FORM_H
#define VG_COMMON_JSON_FORM_H

#include "common/json.h"

#define VG_JSON_FORM_MAX_DEPTH 8

/* An empty tree; free it with vg_json_free. */
struct vg_json *vg_json_form_new(void);
/* A text is copied and must not hold a NUL. Fails with VG_ERR_INVALID_REQUEST when the name is used
 * in two ways ("a" and "a[b]") or nests too deep. */
VG_MUSTCHECK int vg_json_form_add_text(struct vg_json *root, const char *name, struct vg_view text,
                                       struct vg_err *err);
/* The bytes are borrowed: they must outlive the tree. */
VG_MUSTCHECK int vg_json_form_add_bytes(struct vg_json *root, const char *name,
                                        struct vg_view bytes, struct vg_err *err);

#endif
