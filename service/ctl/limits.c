/* SPDX-License-Identifier: Apache-2.0 */
#include "service/ctl/limits.h"

#include <math.h>
#include <stdlib.h>

static int take_spend(struct vg_ctl *ctl, const char *text, Videogate__V1__Limits *out)
{
    char *end = NULL;
    double usd = strtod(text, &end);

    if (end == text || *end || !isfinite(usd))
        return vg_err_param(&ctl->err, VG_ERR_INVALID_REQUEST, "monthly-spend",
                            "--monthly-spend must be an amount such as 12.5.");
    out->opt_monthly_spend_usd_case =
        VIDEOGATE__V1__LIMITS__OPT_MONTHLY_SPEND_USD_MONTHLY_SPEND_USD;
    out->monthly_spend_usd = usd;
    return 0;
}

bool vg_ctl_limits_take(struct vg_ctl *ctl, const struct vg_ctl_limits *in,
                        Videogate__V1__Limits *out, bool *ok)
{
    videogate__v1__limits__init(out);
    *ok = !in->spend || take_spend(ctl, in->spend, out) == 0;
    if (in->rpm.set) {
        out->opt_requests_per_minute_case =
            VIDEOGATE__V1__LIMITS__OPT_REQUESTS_PER_MINUTE_REQUESTS_PER_MINUTE;
        out->requests_per_minute = (int32_t)in->rpm.value;
    }
    if (in->concurrent.set) {
        out->opt_concurrent_videos_case =
            VIDEOGATE__V1__LIMITS__OPT_CONCURRENT_VIDEOS_CONCURRENT_VIDEOS;
        out->concurrent_videos = (int32_t)in->concurrent.value;
    }
    return in->spend || in->rpm.set || in->concurrent.set;
}
