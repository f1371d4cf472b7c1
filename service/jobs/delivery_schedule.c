/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/delivery_schedule.h"

#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/backoff.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    MAX_WAIT_DAYS = 7,
    LEAST_HOLD_MS = 1000,
    MOST_HOLD_MS = 60 * 60 * 1000
};

static const struct {
    const char *unit;
    int64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}};

static int parse_wait(struct vg_view text, int64_t *out_ms)
{
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    int64_t number;
    if (vg_parse_i64((struct vg_view){text.data, digits}, 0, (int64_t)MAX_WAIT_DAYS * DAY_MS,
                     &number)) {
        return -1;
    }
    struct vg_view unit = {text.data + digits, text.len - digits};
    for (size_t i = 0; i < VG_COUNT(units); i++) {
        if (vg_view_eqs(unit, units[i].unit)) {
            *out_ms = number * units[i].ms;
            return number <= (int64_t)MAX_WAIT_DAYS * DAY_MS / units[i].ms ? 0 : -1;
        }
    }
    return -1;
}

int vg_delivery_schedule_parse(struct vg_delivery_schedule *out, const char *text,
                               struct vg_err *err)
{
    struct vg_delivery_schedule schedule = {.count = 0};
    struct vg_view one;
    while (vg_list_cut(&text, &one)) {
        if (schedule.count == VG_DELIVERY_MAX_ATTEMPTS) {
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "webhook-schedule",
                                "at most %d attempts", VG_DELIVERY_MAX_ATTEMPTS);
        }
        if (parse_wait(one, &schedule.wait_ms[schedule.count])) {
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "webhook-schedule",
                                "\"%.*s\" is not a wait such as 5s, 30m or 2h (at most 7d)",
                                (int)(one.len < 32 ? one.len : 32), one.data);
        }
        schedule.count++;
    }
    *out = schedule;
    return 0;
}

static int64_t later_wait(const struct vg_delivery_schedule *schedule, int32_t attempts,
                          int64_t retry_after_ms, double jitter)
{
    int64_t own = vg_backoff_spread(schedule->wait_ms[attempts], jitter);
    int64_t wish = retry_after_ms < DAY_MS ? retry_after_ms : DAY_MS;
    return wish > own ? wish : own;
}

struct vg_delivery_next vg_delivery_next(const struct vg_delivery_schedule *schedule,
                                         int32_t attempts, Videogate__V1__DeliverOutcome outcome,
                                         int64_t retry_after_ms, double jitter)
{
    struct vg_delivery_next next = {VG_DELIVERY_FAILED, 0};
    if (outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_DELIVERED) {
        next.state = VG_DELIVERY_DELIVERED;
    } else if (outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_GONE) {
        next.state = VG_DELIVERY_GONE;
    } else if (outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_REFUSED) {
        next.state = VG_DELIVERY_FAILED;
    } else if (attempts < schedule->count) {
        next.state = VG_DELIVERY_PENDING;
        next.wait_ms = later_wait(schedule, attempts < 0 ? 0 : attempts, retry_after_ms, jitter);
    }
    return next;
}

struct vg_delivery_sign vg_delivery_sign(Videogate__V1__DeliverOutcome outcome, int32_t http_status,
                                         int64_t retry_after_ms)
{
    struct vg_delivery_sign said = {VG_RECEIVER_ANSWERED, 0};
    if (outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_DELIVERED) {
        said.sign = VG_RECEIVER_GOOD;
    } else if (http_status == 429 || (http_status >= 502 && http_status <= 504)) {
        said.sign = VG_RECEIVER_BUSY;
        if (retry_after_ms > 0) {
            said.hold_ms = retry_after_ms < LEAST_HOLD_MS ? LEAST_HOLD_MS : retry_after_ms;
        }
        if (said.hold_ms > MOST_HOLD_MS) {
            said.hold_ms = MOST_HOLD_MS;
        }
    } else if (outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_RETRY &&
               (http_status == 0 || http_status == 408 || http_status >= 500)) {
        said.sign = VG_RECEIVER_BAD;
    }
    return said;
}
