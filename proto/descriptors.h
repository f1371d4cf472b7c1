/* SPDX-License-Identifier: Apache-2.0 */
/* The published .proto files as serialized google.protobuf.FileDescriptorProto, for gRPC
 * reflection. The table is generated at build time by embed_descriptors.py; constant, readable from
 * any thread. */
#ifndef VG_PROTO_DESCRIPTORS_H
#define VG_PROTO_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

struct vg_proto_file {
    const char *name;           /* e.g. "videogate/v1/video.proto" */
    const char *const *symbols; /* full names declared in it (services, methods, messages, enums);
                                   NULL-terminated */
    const char *const *imports; /* file names; NULL-terminated */
    const uint8_t *data;
    size_t size;
};

extern const struct vg_proto_file vg_proto_files[];
extern const size_t vg_proto_file_count;

#endif
