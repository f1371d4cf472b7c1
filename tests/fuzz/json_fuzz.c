/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever passes the strict parser is written again, parsed again and must be the same. */
#include "common/json.h"
#include "common/json_writer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void write_value(struct vg_json_writer *w, const struct vg_json *value)
{
    switch (vg_json_type(value)) {
    case VG_JSON_OBJECT:
        vg_json_object_open(w);
        for (const struct vg_json *m = vg_json_first(value); m; m = vg_json_next(m)) {
            vg_json_put_key(w, vg_json_key(m));
            write_value(w, m);
        }
        vg_json_object_close(w);
        return;
    case VG_JSON_ARRAY:
        vg_json_array_open(w);
        for (const struct vg_json *e = vg_json_first(value); e; e = vg_json_next(e))
            write_value(w, e);
        vg_json_array_close(w);
        return;
    case VG_JSON_STRING:
        vg_json_put_text(w, vg_json_string(value));
        return;
    case VG_JSON_NUMBER:
        vg_json_put_number(w, vg_json_number(value));
        return;
    case VG_JSON_BOOL:
        vg_json_put_bool(w, vg_json_bool(value));
        return;
    case VG_JSON_BYTES: /* the parser makes none */
        abort();
    case VG_JSON_NULL:
        vg_json_put_null(w);
        return;
    }
}

static void write_text(struct vg_buf *out, const struct vg_json *root)
{
    struct vg_json_writer w;

    vg_buf_init(out, 64 << 20);
    vg_json_begin(&w, out);
    write_value(&w, root);
    VG_ASSERT(vg_buf_ok(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_json *root, *again;
    struct vg_buf first, second;
    struct vg_err err = {.kind = VG_ERR_MAX};

    if (vg_json_parse(&root, (struct vg_view){(const char *)data, size}, &err) != 0) {
        VG_ASSERT(err.kind == VG_ERR_INVALID_JSON && err.detail[0]);
        return 0;
    }
    write_text(&first, root);
    VG_ASSERT(vg_json_parse(&again, vg_buf_view(&first), &err) == 0);
    write_text(&second, again);
    VG_ASSERT(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    vg_buf_fini(&first);
    vg_buf_fini(&second);
    vg_json_free(root);
    vg_json_free(again);
    return 0;
}
