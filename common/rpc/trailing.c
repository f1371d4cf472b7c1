/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/trailing.h"

#include <string.h>

void vg_rpc_trailing_add(struct vg_rpc_trailing *trailing, struct vg_view key, struct vg_view value)
{
    struct vg_rpc_trailing_pair *pair = &trailing->pairs[trailing->count];

    if (trailing->count == VG_RPC_TRAILING_MAX || key.len == 0 || key.len >= sizeof(pair->key) ||
        value.len >= sizeof(pair->value) || (key.len >= 5 && memcmp(key.data, "grpc-", 5) == 0))
        return;
    memcpy(pair->key, key.data, key.len);
    pair->key[key.len] = '\0';
    if (value.len > 0)
        memcpy(pair->value, value.data, value.len);
    pair->value[value.len] = '\0';
    trailing->count++;
}
