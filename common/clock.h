/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Deadlines are absolute monotonic nanoseconds everywhere; the wall clock is for people and
 * signatures only. */
#ifndef VG_COMMON_CLOCK_H
#define VG_COMMON_CLOCK_H

#include <stdint.h>

#define VG_NS_PER_MS INT64_C(1000000)
#define VG_NS_PER_S INT64_C(1000000000)
#define VG_NO_DEADLINE INT64_MAX

int64_t vg_now_ns(void);  /* CLOCK_MONOTONIC */
int64_t vg_wall_ms(void); /* Unix milliseconds */
/* now + ms, saturating at VG_NO_DEADLINE. */
int64_t vg_deadline_in_ms(int64_t ms);
/* Milliseconds left, at least 0; INT64_MAX for VG_NO_DEADLINE. */
int64_t vg_deadline_left_ms(int64_t deadline_ns);

#endif
