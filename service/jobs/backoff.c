/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/backoff.h"

int64_t vg_backoff_spread(int64_t ms, double jitter)
{
    return (int64_t)((double)ms * (0.8 + 0.4 * jitter));
}

int64_t vg_backoff_ms(int64_t base_ms, int64_t max_ms, int32_t n, double jitter)
{
    int64_t ms = base_ms;
    for (int32_t i = 1; i < n && ms < max_ms; i++) {
        ms *= 2;
    }
    return vg_backoff_spread(ms < max_ms ? ms : max_ms, jitter);
}
