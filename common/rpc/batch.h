/* SPDX-License-Identifier: Apache-2.0 */
/* EdgeService.Batch, the server's side. No gRPC core inside. Private to this folder. */
#ifndef VG_COMMON_RPC_BATCH_H
#define VG_COMMON_RPC_BATCH_H

#include "common/rpc/call.h"
#include "common/rpc/deadlines.h"
#include "common/rpc/methods.h"

/* What dispatching needs; all borrowed, for as long as any call lives. */
struct vg_rpc_batcher {
    const struct vg_rpc_methods *methods;
    struct vg_rpc_load *load;
    struct vg_rpc_deadlines *deadlines;
};

/* Adds the method to the table; `batcher` becomes its context. */
VG_MUSTCHECK int vg_rpc_batch_add(struct vg_rpc_batcher *batcher, struct vg_rpc_methods *methods,
                                  struct vg_err *err);

#endif
