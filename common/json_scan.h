/* SPDX-License-Identifier: Apache-2.0 */
/* The strict pass before cJSON: the full grammar of RFC 8259 without recursion, so that cJSON only
 * ever sees what is known to be good and shallow. For json.c. */
#ifndef VG_COMMON_JSON_SCAN_H
#define VG_COMMON_JSON_SCAN_H

#include "common/err.h"
#include "common/str.h"

/* Fails with VG_ERR_INVALID_JSON and a detail that gives the byte offset. */
VG_MUSTCHECK int vg_json_scan(struct vg_view text, struct vg_err *err);

#endif
