/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox provider: it renders real clips and behaves like an upstream with a durable store of
 * its own. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_SANDBOX_H
#define VG_WORKERS_PROVIDERS_SANDBOX_SANDBOX_H

#include "workers/provider.h"

struct vg_sandbox_config {
    char *dir;
    char *font;
    int64_t threads; /* 0: cores less one */
    int64_t queue;
    int64_t slow_ms;
    int64_t retention_ms;
};

const struct vg_provider *vg_sandbox_provider(void);

#endif
