/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/body.h"

#include <string.h>

#include "bridge/http/multipart.h"
#include "common/str.h"

/* What has no file name and is text is text; the type a part claims is not looked at. */
static int add_part(struct vg_json *root, const struct vg_part *part, struct vg_err *err)
{
    struct vg_view v = part->body;
    bool text = !part->file && vg_utf8_valid(v.data, v.len) && !memchr(v.data, '\0', v.len);

    return text ? vg_json_form_add_text(root, part->name, v, err)
                : vg_json_form_add_bytes(root, part->name, v, err);
}

static int read_form(struct vg_view form_type, struct vg_view body, struct vg_json *root,
                     struct vg_err *err)
{
    struct vg_multipart form;
    struct vg_part part;
    int more;

    if (vg_multipart_begin(&form, form_type, body, err) < 0)
        return -1;
    while ((more = vg_multipart_next(&form, &part, err)) > 0)
        if (add_part(root, &part, err) < 0)
            return -1;
    return more;
}

int vg_body_tree(struct vg_view form_type, struct vg_view body, struct vg_json **out,
                 struct vg_err *err)
{
    struct vg_json *root = NULL;
    int result;

    if (form_type.len > 0) {
        root = vg_json_form_new();
        result = read_form(form_type, body, root, err);
    } else {
        result = vg_json_parse(&root, body, err);
        if (result == 0 && vg_json_type(root) != VG_JSON_OBJECT)
            result = vg_err_set(err, VG_ERR_INVALID_JSON,
                                "The request body must be a JSON object, got %s.",
                                vg_json_type_name(root));
    }
    if (result != 0)
        root = vg_json_free(root);
    else
        *out = root;
    return result;
}
