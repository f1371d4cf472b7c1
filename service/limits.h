/* SPDX-License-Identifier: Apache-2.0 */
/* Limits between messages and rows. Pure, any thread. */
#ifndef VG_SERVICE_LIMITS_H
#define VG_SERVICE_LIMITS_H

#include "common/err.h"
#include "common/mem.h"
#include "db/key_store.h"
#include "videogate/v1/admin.pb-c.h"

/* US dollars to millionths, rounded; what cannot be said gives -1. */
int64_t vg_micros_of_usd(double usd);
double vg_usd_of_micros(int64_t micros);

/* `in` NULL: none. VG_ERR_INVALID_REQUEST names the member. */
VG_MUSTCHECK int vg_limits_read(const Videogate__V1__Limits *in, struct vg_limits *out,
                                struct vg_err *err);
Videogate__V1__Limits *vg_limits_translate(const struct vg_limits *limits, struct vg_arena *arena);

#endif
