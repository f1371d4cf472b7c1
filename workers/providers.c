/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers.h"

#include <string.h>

#include "workers/providers/alibaba.h"
#include "workers/providers/atlascloud.h"
#include "workers/providers/avalanche.h"
#include "workers/providers/azure.h"
#include "workers/providers/bytedance.h"
#include "workers/providers/fal.h"
#include "workers/providers/google.h"
#include "workers/providers/google_vertex.h"
#include "workers/providers/kling.h"
#include "workers/providers/luma.h"
#include "workers/providers/minimax.h"
#include "workers/providers/openai.h"
#include "workers/providers/replicate.h"
#include "workers/providers/runway.h"
#include "workers/providers/sandbox/sandbox.h"
#include "workers/providers/xai.h"
#include "workers/upstream/adapter.h"

/* Sorted by name. */
/* clang-format off */
static const struct vg_provider *(*const providers[])(void) = {
    vg_alibaba_provider,
    vg_atlascloud_provider,
    vg_avalanche_provider,
    vg_azure_provider,
    vg_bytedance_provider,
    vg_fal_provider,
    vg_google_provider,
    vg_google_vertex_provider,
    vg_kling_provider,
    vg_luma_provider,
    vg_minimax_provider,
    vg_openai_provider,
    vg_replicate_provider,
    vg_runway_provider,
    vg_sandbox_provider,
    vg_xai_provider,
};
/* clang-format on */

const char *vg_provider_name(const struct vg_provider *provider)
{
    return provider->adapter ? provider->adapter->name : provider->name;
}

const struct vg_provider *vg_provider_at(size_t index)
{
    return index < VG_COUNT(providers) ? providers[index]() : NULL;
}

const struct vg_provider *vg_provider_find(const char *name)
{
    for (size_t i = 0; i < VG_COUNT(providers); i++) {
        if (strcmp(vg_provider_name(providers[i]()), name) == 0)
            return providers[i]();
    }
    return NULL;
}
