/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/message.h"

#include <string.h>

#include "common/str.h"

/* Where the value(s) of a field stand; `count` is 0 when the field is not set. */
static const void *field_values(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field, size_t *out_count)
{
    const char *base = (const char *)message;
    const void *at = base + field->offset;

    *out_count = 0;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *out_count = *(const size_t *)(const void *)(base + field->quantifier_offset);
        return *(const void *const *)at;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        int which;

        memcpy(&which, base + field->quantifier_offset, sizeof which);
        if (which != (int)field->id)
            return at;
    }
    *out_count = 1;
    return at;
}

static bool strings_utf8(const char *const *strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strings[i] != NULL && !vg_utf8_valid(strings[i], strlen(strings[i])))
            return false;
    }
    return true;
}

bool vg_rpc_message_utf8(const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        size_t count;

        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        const void *values = field_values(message, field, &count);
        if (field->type == PROTOBUF_C_TYPE_STRING) {
            if (!strings_utf8(values, count))
                return false;
            continue;
        }
        for (size_t n = 0; n < count; n++) {
            const ProtobufCMessage *child = ((const ProtobufCMessage *const *)values)[n];

            if (child != NULL && !vg_rpc_message_utf8(child))
                return false;
        }
    }
    return true;
}

ProtobufCMessage *vg_rpc_message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
                                        size_t len, bool strict)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, len, data);

    if (message != NULL && strict && !vg_rpc_message_utf8(message)) {
        protobuf_c_message_free_unpacked(message, NULL);
        message = NULL;
    }
    return message;
}
