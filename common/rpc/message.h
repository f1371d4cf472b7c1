/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of unpacked messages that protobuf-c leaves out. Pure functions, any thread. Private to
 * this folder. */
#ifndef VG_COMMON_RPC_MESSAGE_H
#define VG_COMMON_RPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every string field, at any depth, is UTF-8, as proto3 demands. */
bool vg_rpc_message_utf8(const ProtobufCMessage *message);
/* Unpacks and checks; NULL when the bytes are no such message. */
ProtobufCMessage *vg_rpc_message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
                                        size_t len, bool strict);

#endif
