/* SPDX-License-Identifier: Apache-2.0 */
/* Trailing metadata that a handler sets and a unary caller may ask for: a few short pairs. Plain
 * values, any thread. */
#ifndef VG_COMMON_RPC_TRAILING_H
#define VG_COMMON_RPC_TRAILING_H

#include <stddef.h>

#include "common/buf.h"

#define VG_RPC_TRAILING_MAX 8

struct vg_rpc_trailing {
    size_t count;
    struct vg_rpc_trailing_pair {
        char key[40]; /* lower case */
        char value[88];
    } pairs[VG_RPC_TRAILING_MAX];
};

/* What does not fit, or belongs to gRPC itself ("grpc-..."), is left out. */
void vg_rpc_trailing_add(struct vg_rpc_trailing *trailing, struct vg_view key,
                         struct vg_view value);

#endif
