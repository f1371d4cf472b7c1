/* SPDX-License-Identifier: Apache-2.0 */
/* Runway's API (reference/providers.md 5.4): its own models and those it hosts. */
#ifndef VG_WORKERS_PROVIDERS_RUNWAY_H
#define VG_WORKERS_PROVIDERS_RUNWAY_H

#include "workers/provider.h"

/* "runway": Authorization: Bearer, base https://api.dev.runwayml.com/v1. */
const struct vg_provider *vg_runway_provider(void);

#endif
