/* SPDX-License-Identifier: Apache-2.0 */
/* The table of providers. */
#ifndef VG_WORKERS_PROVIDERS_H
#define VG_WORKERS_PROVIDERS_H

#include "workers/provider.h"

const char *vg_provider_name(const struct vg_provider *provider);
/* The i-th provider by name; NULL past the end. */
const struct vg_provider *vg_provider_at(size_t index);
/* NULL when there is none of this name. */
const struct vg_provider *vg_provider_find(const char *name);

#endif
