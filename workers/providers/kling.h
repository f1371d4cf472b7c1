/* SPDX-License-Identifier: Apache-2.0 */
/* "kling": Kling at its maker's (reference/providers.md 5.2), 3.x with the model in the path, and
 * models named kling-v... through the older /v1/videos. A key is the vendor's API key, or
 * ACCESSKEY:SECRETKEY, which signs a token for each request. Base
 * https://api-singapore.klingai.com. */
#ifndef VG_WORKERS_PROVIDERS_KLING_H
#define VG_WORKERS_PROVIDERS_KLING_H

#include "workers/provider.h"

const struct vg_provider *vg_kling_provider(void);

#endif
