/* SPDX-License-Identifier: Apache-2.0 */
/* JSON <-> protobuf by the protobuf-c descriptors: no field is translated by hand. Where the public
 * JSON differs from proto3's, a const table of rules says so by message and field name. Any thread.
 */
#ifndef VG_COMMON_JSON_PB_H
#define VG_COMMON_JSON_PB_H

#include <protobuf-c/protobuf-c.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/json_writer.h"
#include "common/mem.h"

enum vg_json_rule_flag {
    VG_JSON_INT_OR_TEXT = 1 << 0, /* in: a numeric string is accepted for an integer */
    VG_JSON_AS_TEXT = 1 << 1,     /* out: an integer is written as a string */
    VG_JSON_NULL_IF_UNSET =
        1 << 2,                    /* out: an absent field is written as null instead of left out */
    VG_JSON_OMIT_EMPTY = 1 << 3,   /* out: an empty list, string or zero is left out */
    VG_JSON_HIDDEN = 1 << 4,       /* never read, never written */
    VG_JSON_ONE_OR_LIST = 1 << 5,  /* in: a repeated field takes one bare value as well */
    VG_JSON_NOT_EMPTY = 1 << 6,    /* in: a list has at least one item */
    VG_JSON_BOOL_OR_TEXT = 1 << 7, /* in: "true", "false", "1", "0" are accepted for a boolean */
    /* in: an optional text takes the members that no field has a name for, as the text of one
     * object; one of more than VG_JSON_REST_VALUE bytes is null there, files are left out */
    VG_JSON_REST = 1 << 8,
};

#define VG_JSON_REST_SIZE ((size_t)64 * 1024) /* of all; beyond it VG_ERR_INVALID_REQUEST */
#define VG_JSON_REST_VALUE ((size_t)16 * 1024)
#define VG_JSON_REST_NAME 128 /* longer names are left out */

struct vg_json_rule {
    const char *message; /* "videogate.v1.Video" */
    const char *field;   /* "seconds" */
    unsigned flags;
    const char
        *enum_prefix; /* out/in: enum values lose this prefix and are lower-cased; NULL: none */
};

/* Reads one message field whose JSON form is special (e.g. MediaInput: a string or {"image_url":
 * ...}). Called for every message-typed value whose descriptor has this name; allocates from
 * `arena`. */
typedef int vg_json_read_f(const struct vg_json *value, ProtobufCMessage *message,
                           struct vg_arena *arena, const char *path, struct vg_err *err);
struct vg_json_reader {
    const char *message;
    vg_json_read_f *read;
};

struct vg_json_shape {
    const struct vg_json_rule *rules; /* sorted by (message, field) */
    size_t rule_count;
    const struct vg_json_reader *readers;
    size_t reader_count;
    /* out: `"object": NAME` is put second in these messages, first in those that begin with a list
     */
    const struct vg_json_object_name {
        const char *message;
        const char *name;
    } * names;
    size_t name_count;
    bool typeless; /* in: texts of the rest that are numbers or booleans become such (a form's) */
};

/* Fills `message` (initialised by its _init) from a JSON object; strings and sub-messages come from
 * `arena`. Unknown keys are ignored; null counts as absent. Fails with VG_ERR_INVALID_REQUEST,
 * `param` = path of the field, detail "PATH: reason". A message filled here must not be freed with
 * protobuf_c_message_free_unpacked. */
VG_MUSTCHECK int vg_pb_from_json(const struct vg_json *object, ProtobufCMessage *message,
                                 const struct vg_json_shape *shape, struct vg_arena *arena,
                                 struct vg_err *err);
/* Writes the message as a JSON object. `bytes` fields are written as base64. */
void vg_pb_to_json(const ProtobufCMessage *message, const struct vg_json_shape *shape,
                   struct vg_json_writer *w);
/* The members alone, for a caller that opens the object and adds members of its own. */
void vg_pb_members_to_json(const ProtobufCMessage *message, const struct vg_json_shape *shape,
                           struct vg_json_writer *w);

/* The public API's shape: the rules for every videogate.v1 message that appears in REST bodies and
 * callbacks. */
const struct vg_json_shape *vg_api_shape(void);
/* The same for what comes out of a form. */
const struct vg_json_shape *vg_api_form_shape(void);

#endif
