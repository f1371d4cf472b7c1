/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one route of a model. */
#include <string.h>

#include "service/catalog_priv.h"
#include "service/catalog_value.h"

#define MAX_DEADLINE_S (INT64_C(7) * 24 * 3600)

static int route_provider(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_name(r, v, false, &((struct vg_route *)t)->provider);
}

static int route_model(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_name(r, v, true, &((struct vg_route *)t)->model);
}

static int route_status(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    struct vg_route *route = t;
    enum vg_catalog_status status = VG_CATALOG_LIVE;

    if (vg_catalog_read_status(r, v, &status) < 0)
        return -1;
    route->closed = status == VG_CATALOG_CLOSED;
    route->preview = status == VG_CATALOG_PREVIEW;
    return 0;
}

static int route_closed_on(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_date(r, v, &((struct vg_route *)t)->closed_on);
}

static int route_sizes(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_route *route = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_SIZES)
        return vg_catalog_fail(r, "must be a list of 1 to %d sizes", VG_CATALOG_MAX_SIZES);
    route->sizes = vg_arena_alloc(r->arena, count * sizeof(*route->sizes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        struct vg_size size = {0, 0};
        size_t at = vg_catalog_enter(r, "[%zu]", route->size_count);
        if (vg_catalog_read_size(r, v, &size) < 0)
            return -1;
        if (vg_route_has_size(route, size))
            return vg_catalog_fail(r, "the size stands twice");
        route->sizes[route->size_count++] = size;
        vg_catalog_leave(r, at);
    }
    return 0;
}

static int route_seconds(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_seconds(r, v, &((struct vg_route *)t)->seconds);
}

static int route_seconds_image(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_seconds(r, v, &((struct vg_route *)t)->seconds_with_image);
}

static int route_seconds_references(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_seconds(r, v, &((struct vg_route *)t)->seconds_with_references);
}

static int route_audio(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    static const char *const words[VG_AUDIO_MODE_MAX] = {"both", "on", "off"};
    int word = 0;

    if (vg_catalog_read_word(r, v, words, VG_COUNT(words), &word) < 0)
        return -1;
    ((struct vg_route *)t)->audio = (enum vg_audio_mode)word;
    return 0;
}

static int route_image(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    static const char *const words[VG_NEED_MAX] = {"none", "optional", "required"};
    int word = 0;

    if (vg_catalog_read_word(r, v, words, VG_COUNT(words), &word) < 0)
        return -1;
    ((struct vg_route *)t)->image = (enum vg_need)word;
    return 0;
}

static int route_last_frame(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_bool(r, v, &((struct vg_route *)t)->last_frame);
}

static int references_min(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_MAX_REFERENCES, &n);

    ((struct vg_route *)t)->references_min = (int32_t)n;
    return rc;
}

static int references_max(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_MAX_REFERENCES, &n);

    ((struct vg_route *)t)->references_max = (int32_t)n;
    return rc;
}

static int references_required(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_bool(r, v, &((struct vg_route *)t)->references_required);
}

static int route_references(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    static const struct vg_catalog_member members[] = {{"min", references_min, true},
                                                       {"max", references_max, true},
                                                       {"required", references_required, false}};
    struct vg_route *route = t;

    if (vg_catalog_read_object(r, v, members, VG_COUNT(members), route) < 0)
        return -1;
    return route->references_min > route->references_max
               ? vg_catalog_fail(r, "min is larger than max")
               : 0;
}

static int route_reference_videos(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_MAX_LINKS, &n);

    ((struct vg_route *)t)->reference_videos_max = (int32_t)n;
    return rc;
}

static int route_reference_audios(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_MAX_LINKS, &n);

    ((struct vg_route *)t)->reference_audios_max = (int32_t)n;
    return rc;
}

static int route_inputs(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    static const struct vg_catalog_member members[] = {
        {"image", route_image, false},
        {"last_frame", route_last_frame, false},
        {"references", route_references, false},
        {"reference_videos", route_reference_videos, false},
        {"reference_audios", route_reference_audios, false}};
    return vg_catalog_read_object(r, v, members, VG_COUNT(members), t);
}

/* CLASS, CLASS_audio or CLASS_video. */
static bool price_key_valid(const char *key)
{
    const char *suffix = strchr(key, '_');
    const struct vg_view class = {key, suffix ? (size_t)(suffix - key) : strlen(key)};

    return (vg_view_eqs(class, "default") || vg_size_class_find(class)) &&
           (!suffix || strcmp(suffix, "_audio") == 0 || strcmp(suffix, "_video") == 0);
}

static int route_stealth(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_bool(r, v, &((struct vg_route *)t)->stealth);
}

static int route_prices(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_route *route = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_OBJECT || count == 0 || count > VG_CATALOG_MAX_PRICES)
        return vg_catalog_fail(r, "must be an object of 1 to %d prices", VG_CATALOG_MAX_PRICES);
    route->prices = vg_arena_alloc(r->arena, count * sizeof(*route->prices));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        const char *key = vg_json_key(v);
        double usd = vg_json_number(v);
        if (!price_key_valid(key))
            return vg_catalog_fail(r, "unknown price key \"%.40s\"", key);
        if (vg_json_type(v) != VG_JSON_NUMBER || usd < 0 || usd > 1000)
            return vg_catalog_fail(r, "\"%s\" must be a number from 0 to 1000 (USD per second)",
                                   key);
        route->prices[route->price_count++] =
            (struct vg_price){vg_arena_strdup(r->arena, key), usd};
    }
    return 0;
}

static int route_operations(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    static const char *const words[] = {"edit", "extend"}; /* as the bits of enum vg_operation */
    unsigned *operations = &((struct vg_route *)t)->operations;
    int word = 0;

    if (vg_json_type(value) != VG_JSON_ARRAY)
        return vg_catalog_fail(r, "must be a list of \"edit\", \"extend\"");
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        if (vg_catalog_read_word(r, v, words, VG_COUNT(words), &word) < 0)
            return -1;
        if (*operations & (1U << word))
            return vg_catalog_fail(r, "\"%s\" stands twice", words[word]);
        *operations |= 1U << word;
    }
    return 0;
}

static int route_image_price(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    double usd = vg_json_number(v);

    if (vg_json_type(v) != VG_JSON_NUMBER || usd < 0 || usd > 1000)
        return vg_catalog_fail(r, "must be a number from 0 to 1000 (USD per picture)");
    ((struct vg_route *)t)->price_per_image = usd;
    return 0;
}

static int route_images(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_images(r, v, &((struct vg_route *)t)->images);
}

static int route_extra(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    struct vg_route *route = t;

    return vg_catalog_read_names(r, v, VG_CATALOG_MAX_EXTRA, true, &route->extra,
                                 &route->extra_count);
}

static int route_deadline(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_int(r, v, 10, MAX_DEADLINE_S, &((struct vg_route *)t)->deadline_s);
}

static int route_attempts(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, 20, &n);

    ((struct vg_route *)t)->max_attempts = (int32_t)n;
    return rc;
}

/* A rule that no length passes would close the route by mistake. */
static int check_rules(struct vg_catalog_reader *r, const struct vg_route *route)
{
    vg_seconds_set all =
        route->seconds | route->seconds_with_image | route->seconds_with_references;

    for (size_t i = 0; i < route->rule_count; i++)
        if (!(route->rules[i].seconds & all))
            return vg_catalog_fail(r, "rules[%zu] leaves none of the lengths", i);
    return 0;
}

int vg_catalog_read_route(struct vg_catalog_reader *r, const struct vg_json *value,
                          struct vg_route *route)
{
    static const struct vg_catalog_member members[] = {
        {"provider", route_provider, true},
        {"model", route_model, true},
        {"status", route_status, false},
        {"closed_on", route_closed_on, false},
        {"source", vg_catalog_read_note, false},
        {"checked", vg_catalog_read_day, false},
        {"comment", vg_catalog_read_note, false},
        {"stealth", route_stealth, false},
        {"sizes", route_sizes, true},
        {"seconds", route_seconds, true},
        {"seconds_with_image", route_seconds_image, false},
        {"seconds_with_references", route_seconds_references, false},
        {"rules", vg_catalog_read_rules, false},
        {"audio", route_audio, true},
        {"inputs", route_inputs, false},
        {"images", route_images, false},
        {"extra", route_extra, false},
        {"operations", route_operations, false},
        {"extension", vg_catalog_read_extension, false},
        {"price_per_second", route_prices, true},
        {"price_per_image_input", route_image_price, false},
        {"deadline_s", route_deadline, true},
        {"max_attempts", route_attempts, true},
    };

    vg_image_rules_default(&route->images);
    if (vg_catalog_read_object(r, value, members, VG_COUNT(members), route) < 0)
        return -1;
    if (!route->seconds_with_image)
        route->seconds_with_image = route->seconds;
    if (!route->seconds_with_references)
        route->seconds_with_references = route->seconds;
    if (route->closed_on && !route->closed)
        return vg_catalog_fail(r, "closed_on is for what is closed");
    if (route->last_frame && route->image == VG_NEED_NONE)
        return vg_catalog_fail(r, "inputs: last_frame needs image");
    if (vg_json_get(value, "extension") && !(route->operations & VG_OPERATION_EXTEND))
        return vg_catalog_fail(r, "extension is for what \"operations\" names");
    if (route->image == VG_NEED_REQUIRED && route->references_required)
        return vg_catalog_fail(r, "inputs: image and references cannot both be required");
    return check_rules(r, route);
}
