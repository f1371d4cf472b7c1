/* SPDX-License-Identifier: Apache-2.0 */
/* "minimax": MiniMax's two video APIs, chosen by the model (reference/providers.md 5.3): v1 for the
 * Hailuo models, v2 for MiniMax-H3 and what follows it. Base https://api.minimax.io. */
#ifndef VG_WORKERS_PROVIDERS_MINIMAX_H
#define VG_WORKERS_PROVIDERS_MINIMAX_H

#include "workers/provider.h"

const struct vg_provider *vg_minimax_provider(void);

#endif
