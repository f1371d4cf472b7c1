/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a creating request as one tree, whether it came as JSON or as a form. Pure; any
 * thread. */
#ifndef VG_BRIDGE_API_BODY_H
#define VG_BRIDGE_API_BODY_H

#include "common/json_form.h"

/* `form_type`: the Content-Type of a multipart/form-data body; empty: JSON. The tree of a form
 * borrows its files from `body`. Fails with VG_ERR_INVALID_JSON or VG_ERR_INVALID_REQUEST. Free the
 * tree with vg_json_free. */
VG_MUSTCHECK int vg_body_tree(struct vg_view form_type, struct vg_view body, struct vg_json **out,
                              struct vg_err *err);

#endif
