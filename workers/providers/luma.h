/* SPDX-License-Identifier: Apache-2.0 */
/* Luma's Agents API (reference/providers.md 5.5): Ray 3.2, silent. */
#ifndef VG_WORKERS_PROVIDERS_LUMA_H
#define VG_WORKERS_PROVIDERS_LUMA_H

#include "workers/provider.h"

/* "luma": Authorization: Bearer, base https://agents.lumalabs.ai/v1. */
const struct vg_provider *vg_luma_provider(void);

#endif
