/* SPDX-License-Identifier: Apache-2.0 */
/* vg_err <-> gRPC status with google.rpc details (AIP-193): ErrorInfo{reason, domain "videogate",
 * metadata{param}}, BadRequest when the error names a field, RetryInfo when it says when to come
 * back. Pure functions, any thread; no gRPC core inside. */
#ifndef VG_COMMON_RPC_STATUS_H
#define VG_COMMON_RPC_STATUS_H

#include "common/buf.h"
#include "common/err.h"

/* Most that vg_rpc_status_details writes; keeps trailers far below 8 KiB. */
#define VG_RPC_DETAILS_MAX 4096

/* Packed google.rpc.Status, appended to `out`. */
void vg_rpc_status_details(const struct vg_err *err, struct vg_buf *out);
/* The error that `code` (not OK), `message` and `details` (may be empty, may be garbage) stand for.
 */
void vg_rpc_status_parse(int code, struct vg_view message, struct vg_view details,
                         struct vg_err *out);

#endif
