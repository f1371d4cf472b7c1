/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say limits, for every command that takes them. Private to ctl/. */
#ifndef VG_SERVICE_CTL_LIMITS_H
#define VG_SERVICE_CTL_LIMITS_H

#include "service/ctl/ctl.h"
#include "videogate/v1/admin.pb-c.h"

struct vg_ctl_limits {
    struct vg_ctl_int rpm;
    struct vg_ctl_int concurrent;
    const char *spend;
};

/* Rows of an option table; `owner` has a member `limits`. */
#define VG_CTL_LIMIT_OPTIONS(owner)                                                                \
    {.name = "concurrent-videos",                                                                  \
     .type = VG_CTL_INT,                                                                           \
     .offset = offsetof(struct owner, limits.concurrent),                                          \
     .value = "N",                                                                                 \
     .min = 1,                                                                                     \
     .max = 1000000,                                                                               \
     .help = "Videos that may be queued or in progress at a time."},                               \
        {.name = "monthly-spend",                                                                  \
         .type = VG_CTL_TEXT,                                                                      \
         .offset = offsetof(struct owner, limits.spend),                                           \
         .value = "USD",                                                                           \
         .help = "US dollars in a calendar month (UTC)."},                                         \
    {                                                                                              \
        .name = "rpm", .type = VG_CTL_INT, .offset = offsetof(struct owner, limits.rpm),           \
        .value = "N", .min = 1, .max = 1000000, .help = "Requests a minute."                       \
    }

/* True when any was given; then `out` has them. Sets ctl->err and *ok to false for a bad amount. */
bool vg_ctl_limits_take(struct vg_ctl *ctl, const struct vg_ctl_limits *in,
                        Videogate__V1__Limits *out, bool *ok);

#endif
