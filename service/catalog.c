/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog.h"

#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "service/catalog_priv.h"

static bool size_eq(struct vg_size a, struct vg_size b)
{
    return a.width == b.width && a.height == b.height;
}

bool vg_size_parse(struct vg_view text, struct vg_size *out)
{
    int64_t w = 0;
    int64_t h = 0;
    const char *x = text.len ? memchr(text.data, 'x', text.len) : NULL;

    if (!x || text.data[0] == '0' || text.len > 11)
        return false;
    size_t at = (size_t)(x - text.data);
    struct vg_view left = {text.data, at};
    struct vg_view right = {x + 1, text.len - at - 1};
    if (right.len == 0 || right.data[0] == '0' || vg_parse_i64(left, 1, 99999, &w) < 0 ||
        vg_parse_i64(right, 1, 99999, &h) < 0)
        return false;
    out->width = (int32_t)w;
    out->height = (int32_t)h;
    return true;
}

const struct vg_model *vg_catalog_models(const struct vg_catalog *catalog, size_t *out_count)
{
    *out_count = catalog->count;
    return catalog->models;
}

const struct vg_model *vg_catalog_find(const struct vg_catalog *catalog, const char *name,
                                       size_t len)
{
    size_t low = 0;
    size_t high = catalog->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *at = catalog->models[mid].name;
        int c = strncmp(name, at, len);
        if (c == 0 && at[len] == '\0')
            return &catalog->models[mid];
        if (c <= 0)
            high = mid; /* equal so far but `at` goes on: it sorts behind */
        else
            low = mid + 1;
    }
    return NULL;
}

const struct vg_model *vg_catalog_default(const struct vg_catalog *catalog)
{
    return catalog->fallback;
}

bool vg_route_has_size(const struct vg_route *route, struct vg_size size)
{
    for (size_t i = 0; i < route->size_count; i++)
        if (size_eq(route->sizes[i], size))
            return true;
    return false;
}

bool vg_seconds_has(vg_seconds_set set, int64_t seconds)
{
    return seconds >= 1 && seconds <= VG_MAX_SECONDS && (set & (UINT64_C(1) << (seconds - 1))) != 0;
}

const char *vg_size_class(struct vg_size size)
{
    static const struct {
        int32_t shorter, longer;
        const char *name;
    } classes[] = {
        {480, 848, "480p"},  {480, 854, "480p"},    {720, 1280, "720p"}, {768, 1366, "768p"},
        {960, 1696, "960p"}, {1080, 1920, "1080p"}, {1024, 1792, "hd"},  {2160, 3840, "4k"},
    };
    int32_t shorter = size.width < size.height ? size.width : size.height;
    int32_t longer = size.width < size.height ? size.height : size.width;

    for (size_t i = 0; i < VG_COUNT(classes); i++)
        if (classes[i].shorter == shorter && classes[i].longer == longer)
            return classes[i].name;
    return "default";
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
