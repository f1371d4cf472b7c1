/* SPDX-License-Identifier: Apache-2.0 */
/* Kling's older API: one path for texts, one for pictures; models up to 2.6 are there alone. */
#ifndef VG_WORKERS_PROVIDERS_KLING_LEGACY_H
#define VG_WORKERS_PROVIDERS_KLING_LEGACY_H

#include "workers/upstream/call.h"

bool vg_kling_is_legacy(const char *model);
void vg_kling_legacy_submit(struct vg_call *call);
void vg_kling_legacy_poll(struct vg_call *call);
void vg_kling_legacy_lookup(struct vg_call *call);

/* Ends a lookup that found nothing: absent, once the provider has had time to show it. */
void vg_kling_absent(struct vg_call *call);

#endif
