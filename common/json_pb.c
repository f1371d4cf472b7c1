/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_pb_priv.h"

#include <string.h>

struct vg_json_rules vg_json_rules_of(const struct vg_json_shape *shape, const char *message)
{
    size_t low = 0, high = shape->rule_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(shape->rules[middle].message, message) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    struct vg_json_rules rules = {.first = low < shape->rule_count ? &shape->rules[low] : NULL};
    while (low + rules.count < shape->rule_count &&
           strcmp(rules.first[rules.count].message, message) == 0)
        rules.count++;
    return rules;
}

const struct vg_json_rule *vg_json_rule_of(const struct vg_json_rules *rules, const char *field)
{
    static const struct vg_json_rule none;

    for (size_t i = 0; i < rules->count; i++)
        if (*rules->first[i].field == *field && strcmp(rules->first[i].field, field) == 0)
            return &rules->first[i];
    return &none;
}

const char *vg_pb_enum_name(const struct vg_json_rule *rule, const char *name,
                            char out[VG_PB_ENUM_NAME])
{
    if (!rule->enum_prefix)
        return name;
    size_t skip = strlen(rule->enum_prefix);
    if (strncmp(name, rule->enum_prefix, skip) == 0)
        name += skip;
    size_t i = 0;
    for (; name[i] && i < VG_PB_ENUM_NAME - 1; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    out[i] = '\0';
    return out;
}

void *vg_pb_at(const ProtobufCMessage *message, unsigned offset)
{
    return (char *)message + offset;
}

size_t vg_pb_size_of(ProtobufCType type)
{
    static const size_t sizes[] = {
        [PROTOBUF_C_TYPE_INT32] = 4,
        [PROTOBUF_C_TYPE_SINT32] = 4,
        [PROTOBUF_C_TYPE_SFIXED32] = 4,
        [PROTOBUF_C_TYPE_INT64] = 8,
        [PROTOBUF_C_TYPE_SINT64] = 8,
        [PROTOBUF_C_TYPE_SFIXED64] = 8,
        [PROTOBUF_C_TYPE_UINT32] = 4,
        [PROTOBUF_C_TYPE_FIXED32] = 4,
        [PROTOBUF_C_TYPE_UINT64] = 8,
        [PROTOBUF_C_TYPE_FIXED64] = 8,
        [PROTOBUF_C_TYPE_FLOAT] = sizeof(float),
        [PROTOBUF_C_TYPE_DOUBLE] = sizeof(double),
        [PROTOBUF_C_TYPE_BOOL] = sizeof(protobuf_c_boolean),
        [PROTOBUF_C_TYPE_ENUM] = sizeof(int),
        [PROTOBUF_C_TYPE_STRING] = sizeof(char *),
        [PROTOBUF_C_TYPE_BYTES] = sizeof(ProtobufCBinaryData),
        [PROTOBUF_C_TYPE_MESSAGE] = sizeof(ProtobufCMessage *),
    };
    return sizes[type];
}
