/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (int64_t)ts.tv_sec * VG_NS_PER_S + ts.tv_nsec;
}

int64_t vg_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t vg_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME) / VG_NS_PER_MS;
}

int64_t vg_deadline_in_ms(int64_t ms)
{
    int64_t now = vg_now_ns();
    if (ms <= 0)
        return now;
    return ms > (VG_NO_DEADLINE - now) / VG_NS_PER_MS ? VG_NO_DEADLINE : now + ms * VG_NS_PER_MS;
}

int64_t vg_deadline_left_ms(int64_t deadline_ns)
{
    if (deadline_ns == VG_NO_DEADLINE)
        return INT64_MAX;
    int64_t now = vg_now_ns();
    return deadline_ns <= now ? 0 : (deadline_ns - now) / VG_NS_PER_MS;
}
