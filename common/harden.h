/* SPDX-License-Identifier: Apache-2.0 */
/* What a process gives up for good when it starts, whoever started it. */
#ifndef VG_COMMON_HARDEN_H
#define VG_COMMON_HARDEN_H

/* No new privileges for it and what it starts; no core dump, which would hold keys; no other
 * process of the same user may look into its memory (but in builds with sanitizers, whose leak
 * check does). Before any thread. */
void vg_harden_process(void);

#endif
