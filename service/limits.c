/* SPDX-License-Identifier: Apache-2.0 */
#include "service/limits.h"

#include <math.h>

#define MAX_COUNT 1000000
#define MAX_USD 1e9

int64_t vg_micros_of_usd(double usd)
{
    return usd >= 0 && usd <= MAX_USD ? (int64_t)llround(usd * 1e6) : -1;
}

double vg_usd_of_micros(int64_t micros)
{
    return (double)micros / 1e6;
}

static int read_count(bool given, int32_t value, const char *param, int32_t *out,
                      struct vg_err *err)
{
    if (given && (value < 1 || value > MAX_COUNT))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: must be from 1 to %d", param,
                            MAX_COUNT);
    *out = given ? value : 0;
    return 0;
}

int vg_limits_read(const Videogate__V1__Limits *in, struct vg_limits *out, struct vg_err *err)
{
    struct vg_limits limits = {0};

    if (!in) {
        *out = limits;
        return 0;
    }
    if (read_count(in->opt_requests_per_minute_case != 0, in->requests_per_minute,
                   "limits.requests_per_minute", &limits.requests_per_minute, err) < 0 ||
        read_count(in->opt_concurrent_videos_case != 0, in->concurrent_videos,
                   "limits.concurrent_videos", &limits.max_active, err) < 0)
        return -1;
    if (in->opt_monthly_spend_usd_case != 0) {
        limits.max_spend_micros = vg_micros_of_usd(in->monthly_spend_usd);
        if (limits.max_spend_micros < 1)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "limits.monthly_spend_usd",
                                "limits.monthly_spend_usd: must be from 0.000001 to 1000000000");
    }
    *out = limits;
    return 0;
}

Videogate__V1__Limits *vg_limits_translate(const struct vg_limits *limits, struct vg_arena *arena)
{
    Videogate__V1__Limits *out = vg_arena_alloc(arena, sizeof(*out));

    videogate__v1__limits__init(out);
    if (limits->requests_per_minute > 0) {
        out->opt_requests_per_minute_case =
            VIDEOGATE__V1__LIMITS__OPT_REQUESTS_PER_MINUTE_REQUESTS_PER_MINUTE;
        out->requests_per_minute = limits->requests_per_minute;
    }
    if (limits->max_active > 0) {
        out->opt_concurrent_videos_case =
            VIDEOGATE__V1__LIMITS__OPT_CONCURRENT_VIDEOS_CONCURRENT_VIDEOS;
        out->concurrent_videos = limits->max_active;
    }
    if (limits->max_spend_micros > 0) {
        out->opt_monthly_spend_usd_case =
            VIDEOGATE__V1__LIMITS__OPT_MONTHLY_SPEND_USD_MONTHLY_SPEND_USD;
        out->monthly_spend_usd = vg_usd_of_micros(limits->max_spend_micros);
    }
    return out;
}
