/* SPDX-License-Identifier: Apache-2.0 */
#include "service/range.h"

static int unsatisfiable(int64_t total, struct vg_err *err)
{
    return vg_err_param(err, VG_ERR_RANGE_NOT_SATISFIABLE, "first", "bytes */%lld",
                        (long long)total);
}

int vg_range_resolve(const struct vg_range *range, int64_t total, int64_t *out_first,
                     int64_t *out_length, struct vg_err *err)
{
    int64_t first = 0;
    int64_t end = total; /* behind the last byte */

    if ((range->has_first && range->first < 0) || (range->has_last && range->last < 0))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "first",
                            "first and last must not be negative");
    if (range->has_first && range->has_last && range->last < range->first)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "last",
                            "last must not stand before first");
    if (range->has_first) {
        first = range->first;
        if (first >= total)
            return unsatisfiable(total, err);
        if (range->has_last && range->last < total - 1)
            end = range->last + 1;
    } else if (range->has_last) {
        if (range->last == 0 || total == 0)
            return unsatisfiable(total, err);
        first = range->last < total ? total - range->last : 0;
    }
    *out_first = first;
    *out_length = end - first;
    return 0;
}
