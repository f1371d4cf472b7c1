/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts of the structs that several threads hold. Private to this folder. */
#ifndef VG_COMMON_RPC_COUNTED_H
#define VG_COMMON_RPC_COUNTED_H

#include <stdatomic.h>
#include <stdbool.h>

static inline void vg_rpc_counted_ref(atomic_int *refs)
{
    atomic_fetch_add(refs, 1);
}

/* True for the last one, who frees. */
static inline bool vg_rpc_counted_unref(atomic_int *refs)
{
    return atomic_fetch_sub(refs, 1) == 1;
}

/* free(), out of sight of clang's analyzer: it cannot follow counts and sees uses after free
 * everywhere. */
void vg_rpc_counted_free(void *memory);

#endif
