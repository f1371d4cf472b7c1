/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini Omni (reference/providers.md 1.9): the Interactions API, which answers when the video is
 * made; the file is then waited for and fetched. */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_OMNI_H
#define VG_WORKERS_PROVIDERS_GOOGLE_OMNI_H

#include <stdbool.h>

#include "workers/upstream/call.h"

#define VG_OMNI_SUBMIT_MS (INT64_C(12) * 60 * 1000)

/* Whether this model speaks it. */
bool vg_omni_is_model(const char *model);
void vg_omni_submit(struct vg_call *call);
void vg_omni_poll(struct vg_call *call);
void vg_omni_fetch(struct vg_call *call);

#endif
