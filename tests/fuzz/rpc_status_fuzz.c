/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: the gRPC code; second: how much of the rest is grpc-message; the rest:
 * grpc-status-details-bin. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/rpc/status.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_err err;
    struct vg_buf details;

    if (size < 2)
        return 0;
    size_t text = data[1] < size - 2 ? data[1] : size - 2;
    vg_rpc_status_parse(data[0] % VG_GRPC_MAX, (struct vg_view){(const char *)data + 2, text},
                        (struct vg_view){(const char *)data + 2 + text, size - 2 - text}, &err);
    VG_ASSERT(err.kind < VG_ERR_MAX && err.retry_after_ms >= 0);
    VG_ASSERT(memchr(err.param, '\0', sizeof err.param) != NULL);
    VG_ASSERT(vg_utf8_valid(err.detail, strlen(err.detail)));
    /* Whatever was understood can be said again. */
    vg_buf_init(&details, VG_RPC_DETAILS_MAX);
    vg_rpc_status_details(&err, &details);
    VG_ASSERT(vg_buf_ok(&details));
    vg_buf_fini(&details);
    return 0;
}
