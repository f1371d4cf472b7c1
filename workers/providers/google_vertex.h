/* SPDX-License-Identifier: Apache-2.0 */
/* Veo on Vertex AI (reference/providers.md section 2). */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_VERTEX_H
#define VG_WORKERS_PROVIDERS_GOOGLE_VERTEX_H

#include "workers/provider.h"

/* "google-vertex": service accounts or API keys, base
 * https://us-central1-aiplatform.googleapis.com. */
const struct vg_provider *vg_google_vertex_provider(void);

#endif
