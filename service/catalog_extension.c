/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_extension.h"

#include <string.h>

#include "service/catalog_value.h"

bool vg_extension_takes(const struct vg_extension *extension, const char *provider,
                        const struct vg_extension_source *source)
{
    if (extension->model_count == 0)
        return true;
    if (!source->provider || !source->model ||
        (provider && strcmp(provider, source->provider) != 0))
        return false;
    for (size_t i = 0; i < extension->model_count; i++)
        if (strcmp(extension->models[i], source->model) == 0)
            return true;
    return false;
}

void vg_extension_say(const struct vg_extension *extension, struct vg_buf *out)
{
    (void)vg_buf_adds(out, "only videos that this provider made can be extended, of ");
    for (size_t i = 0; i < extension->model_count; i++)
        (void)vg_buf_addf(out, "%s%s", i ? ", " : "", extension->models[i]);
}

/* --- reading --- */

static int read_sizes(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_extension *extension = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_SIZES)
        return vg_catalog_fail(r, "must be a list of 1 to %d sizes", VG_CATALOG_MAX_SIZES);
    extension->sizes = vg_arena_alloc(r->arena, count * sizeof(*extension->sizes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v))
        if (vg_catalog_read_size(r, v, &extension->sizes[extension->size_count++]) < 0)
            return -1;
    return 0;
}

static int read_seconds(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    return vg_catalog_read_seconds(r, value, &((struct vg_extension *)t)->seconds);
}

static int read_models(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_extension *extension = t;

    return vg_catalog_read_names(r, value, VG_CATALOG_MAX_EXTENSION_MODELS, false,
                                 &extension->models, &extension->model_count);
}

int vg_catalog_read_extension(struct vg_catalog_reader *r, const struct vg_json *value,
                              void *target)
{
    static const struct vg_catalog_member members[] = {{"models", read_models, false},
                                                       {"seconds", read_seconds, false},
                                                       {"sizes", read_sizes, false}};
    struct vg_route *route = target;

    return vg_catalog_read_object(r, value, members, VG_COUNT(members), &route->extension);
}
