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
/* Fields, at any depth, that a message may have on the wire. Two bytes of a repeated message unpack
 * into a hundred: without this, 4 MiB from outside could take 200 MiB. A full batch of 256 calls
 * has about 4,000. */
#define VG_RPC_FIELDS_MAX 65536
/* The bytes are well-formed, as `type` nests them, and within the limit. Allocates nothing. */
bool vg_rpc_message_bounded(const ProtobufCMessageDescriptor *type, const void *data, size_t len);
/* Checks bounds, unpacks and, with `strict`, checks strings; NULL when the bytes are no such
 * message. */
ProtobufCMessage *vg_rpc_message_unpack(const ProtobufCMessageDescriptor *type, const void *data,
                                        size_t len, bool strict);

#endif
