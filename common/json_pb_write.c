/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_pb_priv.h"
#include "common/str.h"

static void write_bytes(struct vg_json_writer *w, const ProtobufCBinaryData *bytes)
{
    char *text = vg_xalloc(vg_base64_encoded_size(bytes->len) + 1);

    vg_base64_encode(text, bytes->data, bytes->len);
    vg_json_put_text(w, text);
    free(text);
}

static void write_int(struct vg_json_writer *w, const struct vg_json_rule *rule, int64_t value)
{
    char text[24];

    if (!(rule->flags & VG_JSON_AS_TEXT)) {
        vg_json_put_int(w, value);
        return;
    }
    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    vg_json_put_text(w, text);
}

static void write_unsigned(struct vg_json_writer *w, const struct vg_json_rule *rule,
                           uint64_t value)
{
    char text[24];

    if (value <= INT64_MAX) {
        write_int(w, rule, (int64_t)value);
        return;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    vg_json_put_text(w, text);
}

static void write_enum(struct vg_json_writer *w, const struct vg_json_rule *rule,
                       const ProtobufCEnumDescriptor *desc, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(desc, value);
    char name[VG_PB_ENUM_NAME];

    if (known)
        vg_json_put_text(w, vg_pb_enum_name(rule, known->name, name));
    else
        vg_json_put_int(w, value); /* of a newer peer */
}

static void write_value(struct vg_json_writer *w, const struct vg_json_shape *shape,
                        const struct vg_json_rule *rule, const ProtobufCFieldDescriptor *field,
                        const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        write_int(w, rule, *(const int32_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        write_int(w, rule, *(const uint32_t *)at);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        write_int(w, rule, *(const int64_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        write_unsigned(w, rule, *(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
        vg_json_put_number(w, (double)*(const float *)at);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        vg_json_put_number(w, *(const double *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        vg_json_put_bool(w, *(const protobuf_c_boolean *)at);
        return;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w, rule, field->descriptor, *(const int *)at);
        return;
    case PROTOBUF_C_TYPE_STRING:
        vg_json_put_text(w, *(const char *const *)at);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        write_bytes(w, at);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        vg_pb_to_json(*(const ProtobufCMessage *const *)at, shape, w);
        return;
    }
}

/* Whether a plain field holds proto3's default. */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *at)
{
    static const char zeros[sizeof(double)];

    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)at;
        return !text || !*text;
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)at)->len == 0;
    return memcmp(at, zeros, vg_pb_size_of(field->type)) == 0;
}

static bool is_absent(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *at = vg_pb_at(message, field->offset);

    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)vg_pb_at(message, field->quantifier_offset) != field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(const ProtobufCMessage *const *)at == NULL;
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING)
        return !*(const protobuf_c_boolean *)vg_pb_at(message, field->quantifier_offset);
    return false;
}

static void write_list(struct vg_json_writer *w, const struct vg_json_shape *shape,
                       const struct vg_json_rule *rule, const ProtobufCFieldDescriptor *field,
                       const ProtobufCMessage *message)
{
    size_t count = *(const size_t *)vg_pb_at(message, field->quantifier_offset);
    const char *items = *(const char *const *)vg_pb_at(message, field->offset);

    if (count == 0 && (rule->flags & VG_JSON_OMIT_EMPTY))
        return;
    vg_json_put_key(w, field->name);
    vg_json_array_open(w);
    for (size_t i = 0; i < count; i++)
        write_value(w, shape, rule, field, items + i * vg_pb_size_of(field->type));
    vg_json_array_close(w);
}

static void write_field(struct vg_json_writer *w, const struct vg_json_shape *shape,
                        const struct vg_json_rule *rule, const ProtobufCFieldDescriptor *field,
                        const ProtobufCMessage *message)
{
    const void *at = vg_pb_at(message, field->offset);

    if (rule->flags & VG_JSON_HIDDEN)
        return;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        write_list(w, shape, rule, field, message);
    } else if (is_absent(message, field)) {
        if (!(rule->flags & VG_JSON_NULL_IF_UNSET))
            return;
        vg_json_put_key(w, field->name);
        vg_json_put_null(w);
    } else if (!(rule->flags & VG_JSON_OMIT_EMPTY) || !is_default(field, at)) {
        vg_json_put_key(w, field->name);
        write_value(w, shape, rule, field, at);
    }
}

static const char *object_name(const struct vg_json_shape *shape, const char *message)
{
    for (size_t i = 0; i < shape->name_count; i++)
        if (strcmp(shape->names[i].message, message) == 0)
            return shape->names[i].name;
    return NULL;
}

static void write_object_name(struct vg_json_writer *w, const char **name)
{
    if (!*name)
        return;
    vg_json_put_key(w, "object");
    vg_json_put_text(w, *name);
    *name = NULL;
}

void vg_pb_members_to_json(const ProtobufCMessage *message, const struct vg_json_shape *shape,
                           struct vg_json_writer *w)
{
    const ProtobufCMessageDescriptor *desc = message->descriptor;
    struct vg_json_rules rules = vg_json_rules_of(shape, desc->name);
    const char *name = object_name(shape, desc->name);

    if (desc->n_fields == 0 || desc->fields[0].label == PROTOBUF_C_LABEL_REPEATED)
        write_object_name(w, &name);
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        write_field(w, shape, vg_json_rule_of(&rules, field->name), field, message);
        write_object_name(w, &name);
    }
}

void vg_pb_to_json(const ProtobufCMessage *message, const struct vg_json_shape *shape,
                   struct vg_json_writer *w)
{
    vg_json_object_open(w);
    vg_pb_members_to_json(message, shape, w);
    vg_json_object_close(w);
}
