/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog.h"

#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "service/catalog_priv.h"

const struct vg_model *vg_catalog_models(const struct vg_catalog *catalog, size_t *out_count)
{
    *out_count = catalog->count;
    return catalog->models;
}

const struct vg_model *vg_catalog_find(const struct vg_catalog *catalog, const char *name,
                                       size_t len)
{
    size_t low = 0;
    size_t high = catalog->name_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *at = catalog->names[mid].text;
        int c = strncmp(name, at, len);
        if (c == 0 && at[len] == '\0')
            return catalog->names[mid].model;
        if (c <= 0)
            high = mid; /* equal so far but `at` goes on: it sorts behind */
        else
            low = mid + 1;
    }
    return NULL;
}

static const struct vg_route *route_at(const struct vg_model *model, struct vg_view provider)
{
    for (size_t i = 0; i < model->route_count; i++)
        if (vg_view_eqs(provider, model->routes[i].provider))
            return &model->routes[i];
    return NULL;
}

/* Upstream ids are few and asked for seldom: no index. */
static bool pick_upstream(const struct vg_catalog *catalog, struct vg_view provider,
                          const char *upstream, struct vg_catalog_pick *out)
{
    for (size_t m = 0; m < catalog->count; m++)
        for (size_t r = 0; r < catalog->models[m].route_count; r++) {
            const struct vg_route *route = &catalog->models[m].routes[r];
            if (strcmp(route->model, upstream) == 0 && vg_view_eqs(provider, route->provider)) {
                *out = (struct vg_catalog_pick){&catalog->models[m], route->provider, route->model};
                return true;
            }
        }
    return false;
}

bool vg_catalog_pick(const struct vg_catalog *catalog, const char *text,
                     struct vg_catalog_pick *out)
{
    const char *slash = strchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    const struct vg_model *model = vg_catalog_find(catalog, name, strlen(name));

    if (!slash) {
        *out = (struct vg_catalog_pick){.model = model};
        return model != NULL;
    }
    const struct vg_view provider = {text, (size_t)(slash - text)};
    const struct vg_route *route = model ? route_at(model, provider) : NULL;
    if (!route)
        return pick_upstream(catalog, provider, name, out);
    *out = (struct vg_catalog_pick){.model = model, .provider = route->provider};
    return true;
}

const struct vg_model *vg_catalog_default(const struct vg_catalog *catalog)
{
    return catalog->fallback;
}

bool vg_catalog_picks(const struct vg_catalog_pick *pick, const struct vg_route *route)
{
    return (!pick->provider || strcmp(route->provider, pick->provider) == 0) &&
           (!pick->upstream || strcmp(route->model, pick->upstream) == 0);
}

bool vg_route_has_size(const struct vg_route *route, struct vg_size size)
{
    for (size_t i = 0; i < route->size_count; i++)
        if (vg_size_eq(route->sizes[i], size))
            return true;
    return false;
}

bool vg_route_takes_extra(const struct vg_route *route, const char *name)
{
    for (size_t i = 0; i < route->extra_count; i++)
        if (strcmp(route->extra[i], name) == 0)
            return true;
    return false;
}

vg_seconds_set vg_route_lengths(const struct vg_route *route, const struct vg_rule_case *of)
{
    vg_seconds_set set = of->image        ? route->seconds_with_image
                         : of->references ? route->seconds_with_references
                                          : route->seconds;

    for (size_t i = 0; i < route->rule_count; i++)
        if (vg_rule_applies(&route->rules[i], of))
            set &= route->rules[i].seconds;
    return set;
}

static double find_price(const struct vg_route *route, const char *class, const char *suffix)
{
    char key[32];

    (void)snprintf(key, sizeof(key), "%s%s", class, suffix);
    for (size_t i = 0; i < route->price_count; i++)
        if (strcmp(route->prices[i].key, key) == 0)
            return route->prices[i].usd;
    return -1;
}

double vg_route_price(const struct vg_route *route, struct vg_size size, int32_t seconds,
                      bool audio)
{
    const char *suffix = audio ? "_audio" : "_video";
    const char *class = vg_size_class(size);
    const struct {
        const char *class, *suffix;
    } order[] = {{class, suffix}, {class, ""}, {"default", suffix}, {"default", ""}};

    for (size_t i = 0; i < VG_COUNT(order); i++) {
        double usd = find_price(route, order[i].class, order[i].suffix);
        if (usd >= 0)
            return usd * seconds;
    }
    return -1;
}
