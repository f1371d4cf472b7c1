/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator for unpacking protobuf messages: aborts like the rest of mem.h where protobuf-c's
 * own gives NULL, which nobody could tell from bytes that are no message. What it unpacks is freed
 * with the default one (NULL) as well. */
#ifndef VG_COMMON_PB_ALLOC_H
#define VG_COMMON_PB_ALLOC_H

#include <protobuf-c/protobuf-c.h>

ProtobufCAllocator *vg_pb_allocator(void);

#endif
