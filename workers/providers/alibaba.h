/* SPDX-License-Identifier: Apache-2.0 */
/* "alibaba": Wan through DashScope's asynchronous tasks (reference/providers.md 5.9). Base
 * https://dashscope-intl.aliyuncs.com/api/v1. */
#ifndef VG_WORKERS_PROVIDERS_ALIBABA_H
#define VG_WORKERS_PROVIDERS_ALIBABA_H

#include "workers/provider.h"

const struct vg_provider *vg_alibaba_provider(void);

#endif
