/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/message.h"

#include <string.h>

#include "common/pb_alloc.h"
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

struct scan {
    const uint8_t *at;
    const uint8_t *end;
};

static bool take_varint(struct scan *scan, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && scan->at < scan->end; shift += 7) {
        uint8_t byte = *scan->at++;

        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Takes the value of a field off; what a length-delimited one holds is put into `inner`. */
static bool take_value(struct scan *scan, unsigned wire_type, struct scan *inner)
{
    uint64_t size;

    *inner = (struct scan){scan->at, scan->at};
    if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT)
        return take_varint(scan, &size);
    if (wire_type == PROTOBUF_C_WIRE_TYPE_64BIT)
        size = 8;
    else if (wire_type == PROTOBUF_C_WIRE_TYPE_32BIT)
        size = 4;
    else if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || !take_varint(scan, &size))
        return false;
    if (size > (size_t)(scan->end - scan->at))
        return false;
    if (wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        *inner = (struct scan){scan->at, scan->at + size};
    scan->at += size;
    return true;
}

#define DEPTH_MAX 32

static bool scan_message(const ProtobufCMessageDescriptor *type, struct scan scan, unsigned depth,
                         unsigned *left)
{
    while (scan.at < scan.end) {
        const ProtobufCFieldDescriptor *field;
        struct scan inner;
        uint64_t key;

        if (!take_varint(&scan, &key) || key > UINT32_MAX || (*left)-- == 0 ||
            !take_value(&scan, key & 7, &inner))
            return false;
        if ((key & 7) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (depth == 0 || !scan_message(field->descriptor, inner, depth - 1, left))
            return false;
    }
    return true;
}

bool vg_rpc_message_bounded(const ProtobufCMessageDescriptor *type, const void *data, size_t len)
{
    struct scan scan = {data, data};
    unsigned left = VG_RPC_FIELDS_MAX;

    scan.end += len;
    return scan_message(type, scan, DEPTH_MAX, &left);
}

ProtobufCMessage *vg_rpc_message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
                                        size_t len, bool strict)
{
    ProtobufCMessage *message;

    if (len > 0 && !vg_rpc_message_bounded(type, data, len))
        return NULL;
    message = protobuf_c_message_unpack(type, vg_pb_allocator(), len, data);
    if (message != NULL && strict && !vg_rpc_message_utf8(message)) {
        protobuf_c_message_free_unpacked(message, NULL);
        message = NULL;
    }
    return message;
}
