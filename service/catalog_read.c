/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#define READ_PIECE ((size_t)64 * 1024)
#define MAX_FILE ((size_t)4 << 20)
#define MAX_DEADLINE_S (INT64_C(7) * 24 * 3600)

/* What a reader needs to say where it is. */
struct reader {
    struct vg_arena *arena; /* borrowed from the catalog */
    const char *file;
    struct vg_err *err;
    char path[160];
};

/* One member of an object: how its value is read into `target`. */
struct member {
    const char *name;
    int (*read)(struct reader *r, const struct vg_json *value, void *target);
    bool required;
};

static int fail(struct reader *r, const char *fmt, ...) VG_PRINTF(2, 3);
static int fail(struct reader *r, const char *fmt, ...)
{
    char why[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return vg_err_set(r->err, VG_ERR_INVALID_REQUEST, "%s: %s: %s", r->file,
                      r->path[0] ? r->path : "top", why);
}

/* Appends to the path; `enter` returns the length to give back to `leave`. */
static size_t enter(struct reader *r, const char *fmt, ...) VG_PRINTF(2, 3);
static size_t enter(struct reader *r, const char *fmt, ...)
{
    size_t old = strlen(r->path);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(r->path + old, sizeof(r->path) - old, fmt, args);
    va_end(args);
    return old;
}

static void leave(struct reader *r, size_t old)
{
    r->path[old] = '\0';
}

static int read_object(struct reader *r, const struct vg_json *object, const struct member *members,
                       size_t count, void *target)
{
    unsigned seen = 0;

    if (vg_json_type(object) != VG_JSON_OBJECT)
        return fail(r, "must be an object, is %s", vg_json_type_name(object));
    for (const struct vg_json *v = vg_json_first(object); v; v = vg_json_next(v)) {
        size_t i = 0;
        while (i < count && strcmp(members[i].name, vg_json_key(v)) != 0)
            i++;
        if (i == count)
            return fail(r, "unknown key \"%.40s\"", vg_json_key(v));
        seen |= 1u << i;
        size_t at = enter(r, "%s%s", r->path[0] ? "." : "", members[i].name);
        if (members[i].read(r, v, target) < 0)
            return -1;
        leave(r, at);
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].required && !(seen & (1u << i)))
            return fail(r, "\"%s\" is missing", members[i].name);
    return 0;
}

/* --- values --- */

static int read_int(struct reader *r, const struct vg_json *value, int64_t min, int64_t max,
                    int64_t *out)
{
    if (!vg_json_int(value, out) || *out < min || *out > max)
        return fail(r, "must be a whole number from %lld to %lld", (long long)min, (long long)max);
    return 0;
}

static int read_bool(struct reader *r, const struct vg_json *value, bool *out)
{
    if (vg_json_type(value) != VG_JSON_BOOL)
        return fail(r, "must be true or false, is %s", vg_json_type_name(value));
    *out = vg_json_bool(value);
    return 0;
}

/* 1 to 64 characters of [A-Za-z0-9._-], and '/' and ':' where `upstream` (their ids, not ours). */
static int read_name(struct reader *r, const struct vg_json *value, bool upstream, const char **out)
{
    const char *s = vg_json_string(value);
    size_t max = upstream ? 128 : 64;

    if (!s)
        return fail(r, "must be a string, is %s", vg_json_type_name(value));
    size_t len = strlen(s);
    size_t good =
        strspn(s, upstream ? "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@"
                           : "abcdefghijklmnopqrstuvwxyz0123456789._-");
    if (len == 0 || len > max || good != len)
        return fail(r, "must be 1 to %zu characters of [%s0-9._-%s]", max,
                    upstream ? "A-Za-z" : "a-z", upstream ? "/:@" : "");
    *out = vg_arena_strdup(r->arena, s);
    return 0;
}

/* Position of the string among `words`, or fail. */
static int read_word(struct reader *r, const struct vg_json *value, const char *const *words,
                     size_t count, int *out)
{
    const char *s = vg_json_string(value);
    char all[80] = "";

    for (size_t i = 0; i < count; i++) {
        if (s && strcmp(s, words[i]) == 0) {
            *out = (int)i;
            return 0;
        }
        size_t len = strlen(all);
        (void)snprintf(all + len, sizeof(all) - len, "%s\"%s\"", i ? ", " : "", words[i]);
    }
    return fail(r, "must be one of %s", all);
}

static int read_closed(struct reader *r, const struct vg_json *value, bool *out)
{
    static const char *const words[] = {"live", "closed"};
    int word = 0;

    if (read_word(r, value, words, VG_COUNT(words), &word) < 0)
        return -1;
    *out = word == 1;
    return 0;
}

static int read_size(struct reader *r, const struct vg_json *value, struct vg_size *out)
{
    const char *s = vg_json_string(value);
    struct vg_size size;

    if (!s || !vg_size_parse(vg_view_of(s), &size))
        return fail(r, "must be a string \"WIDTHxHEIGHT\"");
    if (size.width < 16 || size.height < 16 || size.width > 8192 || size.height > 8192 ||
        size.width % 2 || size.height % 2)
        return fail(r, "\"%s\": both sides must be even and from 16 to 8192", s);
    *out = size;
    return 0;
}

/* A list of seconds, or {"min": a, "max": b}. */
static int read_range_end(struct reader *r, const struct vg_json *value, int64_t *out)
{
    return read_int(r, value, 1, VG_MAX_SECONDS, out);
}

static int read_range_min(struct reader *r, const struct vg_json *value, void *target)
{
    return read_range_end(r, value, &((int64_t *)target)[0]);
}

static int read_range_max(struct reader *r, const struct vg_json *value, void *target)
{
    return read_range_end(r, value, &((int64_t *)target)[1]);
}

static int read_seconds(struct reader *r, const struct vg_json *value, vg_seconds_set *out)
{
    static const struct member members[] = {{"min", read_range_min, true},
                                            {"max", read_range_max, true}};
    int64_t s[2] = {0, 0};
    vg_seconds_set set = 0;

    if (vg_json_type(value) == VG_JSON_OBJECT) {
        if (read_object(r, value, members, VG_COUNT(members), s) < 0)
            return -1;
        if (s[0] > s[1])
            return fail(r, "min is larger than max");
        for (int64_t i = s[0]; i <= s[1]; i++)
            set |= UINT64_C(1) << (i - 1);
    } else if (vg_json_type(value) != VG_JSON_ARRAY || vg_json_count(value) == 0) {
        return fail(r, "must be a list of seconds or {\"min\": a, \"max\": b}");
    }
    for (const struct vg_json *v = vg_json_type(value) == VG_JSON_ARRAY ? vg_json_first(value)
                                                                        : NULL;
         v; v = vg_json_next(v)) {
        if (read_int(r, v, 1, VG_MAX_SECONDS, &s[0]) < 0)
            return -1;
        if (set & (UINT64_C(1) << (s[0] - 1)))
            return fail(r, "%lld stands twice", (long long)s[0]);
        set |= UINT64_C(1) << (s[0] - 1);
    }
    *out = set;
    return 0;
}

/* --- a route --- */

static int route_provider(struct reader *r, const struct vg_json *v, void *t)
{
    return read_name(r, v, false, &((struct vg_route *)t)->provider);
}

static int route_model(struct reader *r, const struct vg_json *v, void *t)
{
    return read_name(r, v, true, &((struct vg_route *)t)->model);
}

static int route_status(struct reader *r, const struct vg_json *v, void *t)
{
    return read_closed(r, v, &((struct vg_route *)t)->closed);
}

static int route_sizes(struct reader *r, const struct vg_json *value, void *t)
{
    struct vg_route *route = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_SIZES)
        return fail(r, "must be a list of 1 to %d sizes", VG_CATALOG_MAX_SIZES);
    route->sizes = vg_arena_alloc(r->arena, count * sizeof(*route->sizes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        struct vg_size size = {0, 0};
        size_t at = enter(r, "[%zu]", route->size_count);
        if (read_size(r, v, &size) < 0)
            return -1;
        if (vg_route_has_size(route, size))
            return fail(r, "the size stands twice");
        route->sizes[route->size_count++] = size;
        leave(r, at);
    }
    return 0;
}

static int route_seconds(struct reader *r, const struct vg_json *v, void *t)
{
    return read_seconds(r, v, &((struct vg_route *)t)->seconds);
}

static int route_seconds_image(struct reader *r, const struct vg_json *v, void *t)
{
    return read_seconds(r, v, &((struct vg_route *)t)->seconds_with_image);
}

static int route_seconds_references(struct reader *r, const struct vg_json *v, void *t)
{
    return read_seconds(r, v, &((struct vg_route *)t)->seconds_with_references);
}

static int route_audio(struct reader *r, const struct vg_json *v, void *t)
{
    static const char *const words[VG_AUDIO_MODE_MAX] = {"both", "on", "off"};
    int word = 0;

    if (read_word(r, v, words, VG_COUNT(words), &word) < 0)
        return -1;
    ((struct vg_route *)t)->audio = (enum vg_audio_mode)word;
    return 0;
}

static int route_image(struct reader *r, const struct vg_json *v, void *t)
{
    static const char *const words[VG_NEED_MAX] = {"none", "optional", "required"};
    int word = 0;

    if (read_word(r, v, words, VG_COUNT(words), &word) < 0)
        return -1;
    ((struct vg_route *)t)->image = (enum vg_need)word;
    return 0;
}

static int route_last_frame(struct reader *r, const struct vg_json *v, void *t)
{
    return read_bool(r, v, &((struct vg_route *)t)->last_frame);
}

static int references_min(struct reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = read_int(r, v, 1, VG_MAX_REFERENCES, &n);

    ((struct vg_route *)t)->references_min = (int32_t)n;
    return rc;
}

static int references_max(struct reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = read_int(r, v, 1, VG_MAX_REFERENCES, &n);

    ((struct vg_route *)t)->references_max = (int32_t)n;
    return rc;
}

static int references_required(struct reader *r, const struct vg_json *v, void *t)
{
    return read_bool(r, v, &((struct vg_route *)t)->references_required);
}

static int route_references(struct reader *r, const struct vg_json *v, void *t)
{
    static const struct member members[] = {{"min", references_min, true},
                                            {"max", references_max, true},
                                            {"required", references_required, false}};
    struct vg_route *route = t;

    if (read_object(r, v, members, VG_COUNT(members), route) < 0)
        return -1;
    return route->references_min > route->references_max ? fail(r, "min is larger than max") : 0;
}

static int route_inputs(struct reader *r, const struct vg_json *v, void *t)
{
    static const struct member members[] = {{"image", route_image, false},
                                            {"last_frame", route_last_frame, false},
                                            {"references", route_references, false}};
    return read_object(r, v, members, VG_COUNT(members), t);
}

static bool price_key_valid(const char *key)
{
    static const char *const classes[] = {"default", "480p",  "720p", "768p",
                                          "960p",    "1080p", "hd",   "4k"};

    for (size_t i = 0; i < VG_COUNT(classes); i++) {
        size_t len = strlen(classes[i]);
        if (strncmp(key, classes[i], len) == 0 &&
            (!key[len] || strcmp(key + len, "_audio") == 0 || strcmp(key + len, "_video") == 0))
            return true;
    }
    return false;
}

static int route_prices(struct reader *r, const struct vg_json *value, void *t)
{
    struct vg_route *route = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_OBJECT || count == 0 || count > VG_CATALOG_MAX_PRICES)
        return fail(r, "must be an object of 1 to %d prices", VG_CATALOG_MAX_PRICES);
    route->prices = vg_arena_alloc(r->arena, count * sizeof(*route->prices));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        const char *key = vg_json_key(v);
        double usd = vg_json_number(v);
        if (!price_key_valid(key))
            return fail(r, "unknown price key \"%.40s\"", key);
        if (vg_json_type(v) != VG_JSON_NUMBER || usd < 0 || usd > 1000)
            return fail(r, "\"%s\" must be a number from 0 to 1000 (USD per second)", key);
        route->prices[route->price_count++] =
            (struct vg_price){vg_arena_strdup(r->arena, key), usd};
    }
    return 0;
}

static int route_deadline(struct reader *r, const struct vg_json *v, void *t)
{
    return read_int(r, v, 10, MAX_DEADLINE_S, &((struct vg_route *)t)->deadline_s);
}

static int route_attempts(struct reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = read_int(r, v, 1, 20, &n);

    ((struct vg_route *)t)->max_attempts = (int32_t)n;
    return rc;
}

static int read_route(struct reader *r, const struct vg_json *value, struct vg_route *route)
{
    static const struct member members[] = {
        {"provider", route_provider, true},
        {"model", route_model, true},
        {"status", route_status, false},
        {"sizes", route_sizes, true},
        {"seconds", route_seconds, true},
        {"seconds_with_image", route_seconds_image, false},
        {"seconds_with_references", route_seconds_references, false},
        {"audio", route_audio, true},
        {"inputs", route_inputs, false},
        {"price_per_second", route_prices, true},
        {"deadline_s", route_deadline, true},
        {"max_attempts", route_attempts, true},
    };

    if (read_object(r, value, members, VG_COUNT(members), route) < 0)
        return -1;
    if (!route->seconds_with_image)
        route->seconds_with_image = route->seconds;
    if (!route->seconds_with_references)
        route->seconds_with_references = route->seconds;
    if (route->last_frame && route->image == VG_NEED_NONE)
        return fail(r, "inputs: last_frame needs image");
    if (route->image == VG_NEED_REQUIRED && route->references_required)
        return fail(r, "inputs: image and references cannot both be required");
    return 0;
}

/* --- a model --- */

static int model_name(struct reader *r, const struct vg_json *v, void *t)
{
    return read_name(r, v, false, &((struct vg_model *)t)->name);
}

static int model_owner(struct reader *r, const struct vg_json *v, void *t)
{
    return read_name(r, v, false, &((struct vg_model *)t)->owned_by);
}

static int model_created(struct reader *r, const struct vg_json *v, void *t)
{
    return read_int(r, v, 1, INT64_C(1) << 40, &((struct vg_model *)t)->created);
}

static int model_status(struct reader *r, const struct vg_json *v, void *t)
{
    return read_closed(r, v, &((struct vg_model *)t)->closed);
}

static int model_default_size(struct reader *r, const struct vg_json *v, void *t)
{
    return read_size(r, v, &((struct vg_model *)t)->default_size);
}

static int model_default_seconds(struct reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = read_int(r, v, 1, VG_MAX_SECONDS, &n);

    ((struct vg_model *)t)->default_seconds = (int32_t)n;
    return rc;
}

static int model_routes(struct reader *r, const struct vg_json *value, void *t)
{
    struct vg_model *model = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_ROUTES)
        return fail(r, "must be a list of 1 to %d routes", VG_CATALOG_MAX_ROUTES);
    model->routes = vg_arena_alloc(r->arena, count * sizeof(*model->routes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        size_t at = enter(r, "[%zu]", model->route_count);
        if (read_route(r, v, &model->routes[model->route_count]) < 0)
            return -1;
        model->route_count++;
        leave(r, at);
    }
    return 0;
}

static int32_t longest(vg_seconds_set set)
{
    int32_t s = VG_MAX_SECONDS;

    while (s > 0 && !vg_seconds_has(set, s))
        s--;
    return s;
}

static int read_model(struct reader *r, const struct vg_json *value, struct vg_model *model)
{
    static const struct member members[] = {
        {"name", model_name, true},
        {"owned_by", model_owner, true},
        {"created", model_created, true},
        {"status", model_status, false},
        {"default_size", model_default_size, true},
        {"default_seconds", model_default_seconds, true},
        {"routes", model_routes, true},
    };
    bool makeable = false;

    if (read_object(r, value, members, VG_COUNT(members), model) < 0)
        return -1;
    for (size_t i = 0; i < model->route_count; i++) {
        const struct vg_route *route = &model->routes[i];
        vg_seconds_set all =
            route->seconds | route->seconds_with_image | route->seconds_with_references;
        int32_t most = longest(all);
        if (most > model->max_seconds)
            model->max_seconds = most;
        if (vg_route_has_size(route, model->default_size) &&
            vg_seconds_has(all, model->default_seconds))
            makeable = true;
    }
    return makeable ? 0 : fail(r, "no route makes default_size with default_seconds");
}

/* --- the file --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vg_model *)a)->name, ((const struct vg_model *)b)->name);
}

static int catalog_version(struct reader *r, const struct vg_json *v, void *t)
{
    int64_t version = 0;

    (void)t;
    return read_int(r, v, 1, 1, &version);
}

/* Checked once all models are known. */
static int catalog_default(struct reader *r, const struct vg_json *v, void *t)
{
    const char *name = NULL;

    (void)t;
    return read_name(r, v, false, &name);
}

static int catalog_models(struct reader *r, const struct vg_json *value, void *t)
{
    struct vg_catalog *catalog = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_MODELS)
        return fail(r, "must be a list of 1 to %d models", VG_CATALOG_MAX_MODELS);
    catalog->models = vg_arena_alloc(r->arena, count * sizeof(*catalog->models));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        size_t at = enter(r, "[%zu]", catalog->count);
        if (read_model(r, v, &catalog->models[catalog->count]) < 0)
            return -1;
        catalog->count++;
        leave(r, at);
    }
    qsort(catalog->models, count, sizeof(*catalog->models), by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(catalog->models[i - 1].name, catalog->models[i].name) == 0)
            return fail(r, "the model \"%s\" stands twice", catalog->models[i].name);
    return 0;
}

int vg_catalog_parse(struct vg_catalog **out, const char *name, struct vg_view text,
                     struct vg_err *err)
{
    static const struct member members[] = {{"version", catalog_version, true},
                                            {"default_model", catalog_default, true},
                                            {"models", catalog_models, true}};
    struct vg_err local;
    struct vg_json *root = NULL;

    if (vg_json_parse(&root, text, &local) < 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: %s", name, vg_err_text(&local));
    struct vg_catalog *catalog = vg_xalloc(sizeof(*catalog));
    catalog->arena = vg_arena_new();
    struct reader r = {.arena = catalog->arena, .file = name, .err = err};
    int rc = read_object(&r, root, members, VG_COUNT(members), catalog);
    if (rc == 0) {
        const char *fallback = vg_json_string(vg_json_get(root, "default_model"));
        catalog->fallback = vg_catalog_find(catalog, fallback, strlen(fallback));
        if (!catalog->fallback)
            rc = fail(&r, "default_model \"%s\" is not among the models", fallback);
    }
    (void)vg_json_free(root);
    if (rc < 0) {
        (void)vg_catalog_free(catalog);
        return -1;
    }
    *out = catalog;
    return 0;
}

int vg_catalog_load(struct vg_catalog **out, const char *path, struct vg_err *err)
{
    struct vg_buf text;
    ssize_t n = 0;
    int rc = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: %s", path, strerror(errno));
    vg_buf_init(&text, MAX_FILE);
    do {
        char *room = vg_buf_reserve(&text, READ_PIECE);
        if (!room) {
            (void)vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: larger than %zu bytes", path,
                             MAX_FILE);
            goto out;
        }
        n = read(fd, room, READ_PIECE);
        if (n > 0)
            vg_buf_commit(&text, (size_t)n);
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        (void)vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: %s", path, strerror(errno));
    else
        rc = vg_catalog_parse(out, path, vg_buf_view(&text), err);
out:
    vg_buf_fini(&text);
    (void)close(fd);
    return rc;
}

struct vg_catalog *vg_catalog_free(struct vg_catalog *catalog)
{
    if (catalog) {
        (void)vg_arena_free(catalog->arena);
        free(catalog);
    }
    return NULL;
}
