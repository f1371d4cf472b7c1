/* SPDX-License-Identifier: Apache-2.0 */
/* What json_pb_read.c and json_pb_write.c share. */
#ifndef VG_COMMON_JSON_PB_PRIV_H
#define VG_COMMON_JSON_PB_PRIV_H

#include "common/json_pb.h"

#define VG_PB_ENUM_NAME 64

/* The rules of one message: neighbours in the sorted table. */
struct vg_json_rules {
    const struct vg_json_rule *first;
    size_t count;
};
struct vg_json_rules vg_json_rules_of(const struct vg_json_shape *shape, const char *message);
/* Never NULL. */
const struct vg_json_rule *vg_json_rule_of(const struct vg_json_rules *rules, const char *field);
/* The name of an enum value as JSON shows it: without the prefix and lower-cased where the rule has
 * a prefix. */
const char *vg_pb_enum_name(const struct vg_json_rule *rule, const char *name,
                            char out[VG_PB_ENUM_NAME]);
/* A getter and a setter at once: const is the caller's. */
void *vg_pb_at(const ProtobufCMessage *message, unsigned offset);
/* Bytes of one value in a message. */
size_t vg_pb_size_of(ProtobufCType type);

#endif
