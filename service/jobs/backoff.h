/* SPDX-License-Identifier: Apache-2.0 */
/* Waits that grow and are spread, so that what failed together does not come again together. Pure:
 * chance comes in as `jitter`, uniform in [0, 1). */
#ifndef VG_SERVICE_JOBS_BACKOFF_H
#define VG_SERVICE_JOBS_BACKOFF_H

#include <stdint.h>

/* `ms`, plus or minus 20 %. */
int64_t vg_backoff_spread(int64_t ms, double jitter);
/* min(max, base * 2^(n-1)), spread; n < 1 counts as 1. */
int64_t vg_backoff_ms(int64_t base_ms, int64_t max_ms, int32_t n, double jitter);

#endif
