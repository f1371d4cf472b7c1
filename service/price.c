/* SPDX-License-Identifier: Apache-2.0 */
#include "service/price.h"

#include <string.h>

#include "service/limits.h"
#include "service/translate.h"

static int64_t or_nothing(int64_t micros)
{
    return micros > 0 ? micros : 0;
}

/* The route that the job takes first; when every route was sent elsewhere, the first that makes
 * this size. A provider may have several: its id of the model tells them apart. */
static const struct vg_route *route_of(const struct vg_model *model,
                                       const Videogate__Store__V1__Route *taken,
                                       struct vg_size size)
{
    const struct vg_route *found = NULL;
    bool provider_found = false;

    for (size_t i = 0; i < model->route_count; i++) {
        const struct vg_route *route = &model->routes[i];

        if (!vg_route_has_size(route, size))
            continue;
        bool its = strcmp(route->provider, taken->provider) == 0;
        if (its && strcmp(route->model, taken->model) == 0)
            return route;
        if (!found || (its && !provider_found))
            found = route;
        provider_found |= its;
    }
    return found;
}

struct vg_price_quote vg_price_of(const struct vg_catalog *catalog, const char *model,
                                  const Videogate__Store__V1__JobSpec *spec, int32_t made_seconds)
{
    const struct vg_model *m = vg_catalog_find(catalog, model, strlen(model));
    const struct vg_size size = {spec->width, spec->height};
    const struct vg_route *route =
        m && spec->n_routes > 0 ? route_of(m, spec->routes[0], size) : NULL;
    size_t pictures = (spec->image ? 1U : 0U) + (spec->last_frame ? 1U : 0U) + spec->n_references;

    if (!route)
        return (struct vg_price_quote){0, 0};
    return (struct vg_price_quote){
        .output = or_nothing(
            vg_micros_of_usd(vg_route_price(route, size, made_seconds, spec->audio != 0))),
        .input = or_nothing(vg_micros_of_usd(route->price_per_image * (double)pictures)),
    };
}

Videogate__V1__VideoUsage *vg_price_usage(const struct vg_video *video, struct vg_arena *arena)
{
    if (!vg_status_terminal(video->status))
        return NULL;
    Videogate__V1__VideoUsage *usage = vg_arena_alloc(arena, sizeof(*usage));
    Videogate__V1__VideoCostDetails *details = vg_arena_alloc(arena, sizeof(*details));
    int64_t output = video->made * video->output_micros;
    int64_t input = video->made > 0 ? video->input_micros : 0;

    videogate__v1__video_usage__init(usage);
    videogate__v1__video_cost_details__init(details);
    details->video_output_cost = vg_usd_of_micros(output);
    details->image_input_cost = vg_usd_of_micros(input);
    usage->cost = vg_usd_of_micros(output + input);
    usage->cost_details = details;
    return usage;
}
