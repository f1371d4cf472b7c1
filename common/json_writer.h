/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON (RFC 8259) into a vg_buf: commas and escapes are its business. Overflow is found with
 * vg_buf_ok at the end. Any thread. */
#ifndef VG_COMMON_JSON_WRITER_H
#define VG_COMMON_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/json.h"

struct vg_json_writer {
    struct vg_buf *out; /* borrowed */
    bool comma;
};
void vg_json_begin(struct vg_json_writer *w, struct vg_buf *out);
void vg_json_object_open(struct vg_json_writer *w);
void vg_json_object_close(struct vg_json_writer *w);
void vg_json_array_open(struct vg_json_writer *w);
void vg_json_array_close(struct vg_json_writer *w);
void vg_json_put_key(struct vg_json_writer *w, const char *key);
void vg_json_put_string(struct vg_json_writer *w, const char *data,
                        size_t len);                            /* escapes; valid UTF-8 expected */
void vg_json_put_text(struct vg_json_writer *w, const char *s); /* NULL writes null */
void vg_json_put_int(struct vg_json_writer *w, int64_t value);
void vg_json_put_number(struct vg_json_writer *w, double value); /* not finite: null */
void vg_json_put_bool(struct vg_json_writer *w, bool value);
void vg_json_put_null(struct vg_json_writer *w);
/* A text that is a JSON value already. */
void vg_json_put_raw(struct vg_json_writer *w, struct vg_view json);
/* A value of a tree as it was read, but for bytes (null) and numbers that no double holds. */
void vg_json_put_value(struct vg_json_writer *w, const struct vg_json *value);

#endif
