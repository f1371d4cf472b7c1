/* SPDX-License-Identifier: Apache-2.0 */
/* The server's method table: built once from protobuf-c service descriptors and handler rows, then
 * constant; looked up by path. Private to this folder. */
#ifndef VG_COMMON_RPC_METHODS_H
#define VG_COMMON_RPC_METHODS_H

#include "common/rpc/server.h"

enum vg_rpc_kind { VG_RPC_UNARY, VG_RPC_SERVER_STREAM, VG_RPC_BIDI };

struct vg_rpc_entry {
    char *path; /* owned; "/package.Service/Method" */
    const ProtobufCMessageDescriptor *input;
    const ProtobufCMessageDescriptor *output;
    enum vg_rpc_kind kind;
    vg_rpc_handler_f *handler;
    void *ctx;       /* borrowed; for the handler */
    bool builtin;    /* health, reflection, Batch: not counted as in flight */
    bool idle;       /* nor is this one: options.idle_method */
    void *core_data; /* the C core's registration, server.c's */
};

struct vg_rpc_methods {
    struct vg_rpc_entry *entries; /* owned; sorted by path once sealed */
    size_t count;
    size_t cap;
    const char **services; /* owned array of borrowed names, in order of adding */
    size_t service_count;
};

void vg_rpc_methods_init(struct vg_rpc_methods *methods);
void vg_rpc_methods_fini(struct vg_rpc_methods *methods);
/* Every row must name a method of the descriptor: VG_ERR_INTERNAL otherwise. */
VG_MUSTCHECK int vg_rpc_methods_add(struct vg_rpc_methods *methods,
                                    const struct vg_rpc_service *service, bool builtin,
                                    struct vg_err *err);
/* Makes the only streaming-in method we have bidirectional; before sealing. */
void vg_rpc_methods_mark_bidi(struct vg_rpc_methods *methods, const char *path);
void vg_rpc_methods_seal(struct vg_rpc_methods *methods);
struct vg_rpc_entry *vg_rpc_methods_find(const struct vg_rpc_methods *methods, const char *path);
bool vg_rpc_methods_has_service(const struct vg_rpc_methods *methods, const char *name);

#endif
