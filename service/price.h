/* SPDX-License-Identifier: Apache-2.0 */
/* What a video costs: the catalog's price of its first route, fixed when it is created. Pure, any
 * thread. */
#ifndef VG_SERVICE_PRICE_H
#define VG_SERVICE_PRICE_H

#include "common/mem.h"
#include "db/video_store.h"
#include "service/catalog.h"
#include "videogate/store/v1/job.pb-c.h"
#include "videogate/v1/video.pb-c.h"

/* Millionths of a US dollar. */
struct vg_price_quote {
    int64_t output; /* of one output */
    int64_t input;  /* of the pictures given */
};

/* Of a job as it will be recorded; what the catalog has no price for costs nothing. `made_seconds`:
 * of one output. */
struct vg_price_quote vg_price_of(const struct vg_catalog *catalog, const char *model,
                                  const Videogate__Store__V1__JobSpec *spec, int32_t made_seconds);

/* NULL before the end. In `arena`. */
Videogate__V1__VideoUsage *vg_price_usage(const struct vg_video *video, struct vg_arena *arena);

#endif
