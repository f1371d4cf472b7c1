/* SPDX-License-Identifier: Apache-2.0 */
/* When a callback is sent again: pure functions of the schedule and one outcome. */
#ifndef VG_SERVICE_JOBS_DELIVERY_SCHEDULE_H
#define VG_SERVICE_JOBS_DELIVERY_SCHEDULE_H

#include <stdint.h>

#include "common/err.h"
#include "db/delivery_store.h"
#include "videogate/v1/webhook.pb-c.h"

#define VG_DELIVERY_MAX_ATTEMPTS 32
#define VG_DELIVERY_DEFAULT_SCHEDULE "0s,5s,5m,30m,2h,5h,10h,14h,20h,24h"

/* wait_ms[i] is the wait before attempt i + 1. */
struct vg_delivery_schedule {
    int64_t wait_ms[VG_DELIVERY_MAX_ATTEMPTS];
    int32_t count;
};

/* "0s,5s,5m,2h": durations (ms, s, m, h, d), at most 32, each at most 7 days. Fails with
 * VG_ERR_INVALID_REQUEST. */
VG_MUSTCHECK int vg_delivery_schedule_parse(struct vg_delivery_schedule *out, const char *text,
                                            struct vg_err *err);

struct vg_delivery_next {
    enum vg_delivery_state state;
    int64_t wait_ms; /* pending */
};

/* After attempt number `attempts` (counted from 1) ended with `outcome`. The receiver's wish is
 * honoured up to 24 h; `jitter` in [0, 1) spreads our own waits by 20 % either way. */
struct vg_delivery_next vg_delivery_next(const struct vg_delivery_schedule *schedule,
                                         int32_t attempts, Videogate__V1__DeliverOutcome outcome,
                                         int64_t retry_after_ms, double jitter);

/* What an attempt says of its receiver, and how long one that asks for less is left alone: its
 * Retry-After within a second and an hour; 0: it did not say. */
struct vg_delivery_sign {
    enum vg_receiver_sign sign;
    int64_t hold_ms;
};
struct vg_delivery_sign vg_delivery_sign(Videogate__V1__DeliverOutcome outcome, int32_t http_status,
                                         int64_t retry_after_ms);

#endif
