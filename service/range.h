/* SPDX-License-Identifier: Apache-2.0 */
/* Byte ranges as DownloadVideo takes them. Pure. */
#ifndef VG_SERVICE_RANGE_H
#define VG_SERVICE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct vg_range {
    bool has_first, has_last;
    int64_t first, last; /* last alone: the final `last` bytes */
};

/* What of a file of `total` bytes is sent. VG_ERR_RANGE_NOT_SATISFIABLE has "bytes * / N" (without
 * the blanks) in its detail; VG_ERR_INVALID_REQUEST for negative numbers and last before first. */
VG_MUSTCHECK int vg_range_resolve(const struct vg_range *range, int64_t total, int64_t *out_first,
                                  int64_t *out_length, struct vg_err *err);

#endif
