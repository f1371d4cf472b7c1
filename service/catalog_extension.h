/* SPDX-License-Identifier: Apache-2.0 */
/* What a route makes longer, where it is less than what it makes anew: Veo goes on from its own
 * films alone, at 720p, by 7 s. Read with the catalog, immutable after. */
#ifndef VG_SERVICE_CATALOG_EXTENSION_H
#define VG_SERVICE_CATALOG_EXTENSION_H

#include <stddef.h>

#include "common/buf.h"
#include "service/extent.h"

#define VG_CATALOG_MAX_EXTENSION_MODELS 8

/* Each member unset: no such limit. */
struct vg_extension {
    struct vg_size *sizes;
    size_t size_count;
    vg_seconds_set seconds; /* that are added */
    const char **models;    /* public names: whose videos, when this route's provider made them */
    size_t model_count;
};

/* The video to go on from. */
struct vg_extension_source {
    const char *provider, *model; /* who made it, of which public model; NULL: not known */
};

/* `provider` is the route's, NULL: any will do. */
bool vg_extension_takes(const struct vg_extension *extension, const char *provider,
                        const struct vg_extension_source *source);
/* Why not, for the caller. */
void vg_extension_say(const struct vg_extension *extension, struct vg_buf *out);

struct vg_catalog_reader;
struct vg_json;
/* Reads "extension" into a route. Fails by the reader. */
int vg_catalog_read_extension(struct vg_catalog_reader *r, const struct vg_json *value,
                              void *target);

#endif
