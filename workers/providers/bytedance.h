/* SPDX-License-Identifier: Apache-2.0 */
/* "bytedance": Seedance through BytePlus ModelArk (reference/providers.md 5.1). Base
 * https://ark.ap-southeast.bytepluses.com/api/v3; https://ark.cn-beijing.volces.com/api/v3 speaks
 * the same. */
#ifndef VG_WORKERS_PROVIDERS_BYTEDANCE_H
#define VG_WORKERS_PROVIDERS_BYTEDANCE_H

#include "workers/provider.h"

const struct vg_provider *vg_bytedance_provider(void);

#endif
