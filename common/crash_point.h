/* SPDX-License-Identifier: Apache-2.0 */
/* Named places where a test kills the process: before and after each commit, network write and
 * change of state. VIDEOGATE_CRASH_AT=NAME or NAME:N is SIGKILL the Nth time that place is reached,
 * VIDEOGATE_FREEZE_AT SIGSTOP. The names are the table of crash_point.c. Without the build option
 * VG_CRASH_POINTS nothing is left of it. Any thread. */
#ifndef VG_COMMON_CRASH_POINT_H
#define VG_COMMON_CRASH_POINT_H

#ifdef VG_CRASH_POINTS

/* The place "PLACE.WHAT.WHEN"; one that is not in the table is none. `what` may be a path: its last
 * piece counts. */
void vg_crash_point(const char *place, const char *what, const char *when);

#else

static inline void vg_crash_point(const char *place, const char *what, const char *when)
{
    (void)place;
    (void)what;
    (void)when;
}

#endif
#endif
