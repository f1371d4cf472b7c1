/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini API (reference/providers.md section 1): Veo by long-running operations, Omni by the
 * Interactions API. */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_H
#define VG_WORKERS_PROVIDERS_GOOGLE_H

#include "workers/provider.h"

/* "google": x-goog-api-key, base https://generativelanguage.googleapis.com/v1beta. */
const struct vg_provider *vg_google_provider(void);

#endif
