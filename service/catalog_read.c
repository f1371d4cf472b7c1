/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the catalog: the file and its models. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/mem.h"
#include "service/catalog_priv.h"
#include "service/catalog_value.h"

#define READ_PIECE ((size_t)64 * 1024)
#define MAX_FILE ((size_t)4 << 20)

/* --- a model --- */

static int model_name(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_name(r, v, false, &((struct vg_model *)t)->name);
}

static int model_owner(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_name(r, v, false, &((struct vg_model *)t)->owned_by);
}

static int model_created(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_int(r, v, 1, INT64_C(1) << 40, &((struct vg_model *)t)->created);
}

static int model_status(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    enum vg_catalog_status status = VG_CATALOG_LIVE;
    int rc = vg_catalog_read_status(r, v, &status);

    ((struct vg_model *)t)->closed = status == VG_CATALOG_CLOSED;
    return rc;
}

static int model_closed_on(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_date(r, v, &((struct vg_model *)t)->closed_on);
}

static int model_aliases(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    struct vg_model *model = t;

    return vg_catalog_read_names(r, v, VG_CATALOG_MAX_ALIASES, false, &model->aliases,
                                 &model->alias_count);
}

static int model_default_size(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_size(r, v, &((struct vg_model *)t)->default_size);
}

static int model_default_seconds(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_MAX_SECONDS, &n);

    ((struct vg_model *)t)->default_seconds = (int32_t)n;
    return rc;
}

static int model_routes(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_model *model = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_ROUTES)
        return vg_catalog_fail(r, "must be a list of 1 to %d routes", VG_CATALOG_MAX_ROUTES);
    model->routes = vg_arena_alloc(r->arena, count * sizeof(*model->routes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        size_t at = vg_catalog_enter(r, "[%zu]", model->route_count);
        if (vg_catalog_read_route(r, v, &model->routes[model->route_count]) < 0)
            return -1;
        model->route_count++;
        vg_catalog_leave(r, at);
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

/* With or without pictures. */
static bool makes_default(const struct vg_model *model, const struct vg_route *route)
{
    static const struct {
        bool image, references;
    } kinds[] = {{false, false}, {true, false}, {false, true}};

    for (size_t i = 0; i < VG_COUNT(kinds); i++) {
        const struct vg_rule_case of = {.size = model->default_size,
                                        .image = kinds[i].image,
                                        .references = kinds[i].references};
        if (vg_route_has_size(route, model->default_size) &&
            vg_seconds_has(vg_route_lengths(route, &of), model->default_seconds))
            return true;
    }
    return false;
}

static int read_model(struct vg_catalog_reader *r, const struct vg_json *value,
                      struct vg_model *model)
{
    static const struct vg_catalog_member members[] = {
        {"name", model_name, true},
        {"owned_by", model_owner, true},
        {"created", model_created, true},
        {"status", model_status, false},
        {"closed_on", model_closed_on, false},
        {"aliases", model_aliases, false},
        {"source", vg_catalog_read_note, false},
        {"checked", vg_catalog_read_day, false},
        {"comment", vg_catalog_read_note, false},
        {"default_size", model_default_size, true},
        {"default_seconds", model_default_seconds, true},
        {"routes", model_routes, true},
    };
    bool makeable = false;

    if (vg_catalog_read_object(r, value, members, VG_COUNT(members), model) < 0)
        return -1;
    for (size_t i = 0; i < model->route_count; i++) {
        const struct vg_route *route = &model->routes[i];
        vg_seconds_set all =
            route->seconds | route->seconds_with_image | route->seconds_with_references;
        int32_t most = longest(all);
        if (most > model->max_seconds)
            model->max_seconds = most;
        if (makes_default(model, route))
            makeable = true;
    }
    if (model->closed_on && !model->closed)
        return vg_catalog_fail(r, "closed_on is for what is closed");
    return makeable ? 0 : vg_catalog_fail(r, "no route makes default_size with default_seconds");
}

/* --- the file --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vg_model *)a)->name, ((const struct vg_model *)b)->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct vg_catalog_name *)a)->text,
                  ((const struct vg_catalog_name *)b)->text);
}

/* Sorts the models, and all their names. */
static int index_names(struct vg_catalog_reader *r, struct vg_catalog *catalog)
{
    size_t n = 0;
    size_t count = catalog->count;

    qsort(catalog->models, catalog->count, sizeof(*catalog->models), by_name);
    for (size_t i = 0; i < catalog->count; i++)
        count += catalog->models[i].alias_count;
    catalog->names = vg_arena_alloc(r->arena, count * sizeof(*catalog->names));
    for (size_t i = 0; i < catalog->count; i++) {
        const struct vg_model *model = &catalog->models[i];
        catalog->names[n++] = (struct vg_catalog_name){model->name, model};
        for (size_t a = 0; a < model->alias_count; a++)
            catalog->names[n++] = (struct vg_catalog_name){model->aliases[a], model};
    }
    catalog->name_count = n;
    qsort(catalog->names, n, sizeof(*catalog->names), by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(catalog->names[i - 1].text, catalog->names[i].text) == 0)
            return vg_catalog_fail(r, "the name \"%s\" stands twice", catalog->names[i].text);
    return 0;
}

static int catalog_version(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    int64_t version = 0;

    (void)t;
    return vg_catalog_read_int(r, v, 1, 1, &version);
}

/* Checked once all models are known. */
static int catalog_default(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    const char *name = NULL;

    (void)t;
    return vg_catalog_read_name(r, v, false, &name);
}

static int catalog_models(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_catalog *catalog = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_MODELS)
        return vg_catalog_fail(r, "must be a list of 1 to %d models", VG_CATALOG_MAX_MODELS);
    catalog->models = vg_arena_alloc(r->arena, count * sizeof(*catalog->models));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        size_t at = vg_catalog_enter(r, "[%zu]", catalog->count);
        if (read_model(r, v, &catalog->models[catalog->count]) < 0)
            return -1;
        catalog->count++;
        vg_catalog_leave(r, at);
    }
    return index_names(r, catalog);
}

int vg_catalog_parse(struct vg_catalog **out, const char *name, struct vg_view text,
                     struct vg_err *err)
{
    static const struct vg_catalog_member members[] = {{"$schema", vg_catalog_read_note, false},
                                                       {"version", catalog_version, true},
                                                       {"comment", vg_catalog_read_note, false},
                                                       {"default_model", catalog_default, true},
                                                       {"models", catalog_models, true}};
    struct vg_err local;
    struct vg_json *root = NULL;

    if (vg_json_parse(&root, text, &local) < 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: %s", name, vg_err_text(&local));
    struct vg_catalog *catalog = vg_xalloc(sizeof(*catalog));
    atomic_init(&catalog->refs, 1);
    catalog->arena = vg_arena_new();
    struct vg_catalog_reader r = {.arena = catalog->arena, .file = name, .err = err};
    int rc = vg_catalog_read_object(&r, root, members, VG_COUNT(members), catalog);
    if (rc == 0) {
        const char *fallback = vg_json_string(vg_json_get(root, "default_model"));
        catalog->fallback = vg_catalog_find(catalog, fallback, strlen(fallback));
        if (!catalog->fallback)
            rc = vg_catalog_fail(&r, "default_model \"%s\" is not among the models", fallback);
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

struct vg_catalog *vg_catalog_ref(struct vg_catalog *catalog)
{
    if (catalog)
        (void)atomic_fetch_add(&catalog->refs, 1);
    return catalog;
}

struct vg_catalog *vg_catalog_unref(struct vg_catalog *catalog)
{
    if (catalog && atomic_fetch_sub(&catalog->refs, 1) == 1) {
        (void)vg_arena_free(catalog->arena);
        free(catalog);
    }
    return NULL;
}

struct vg_catalog *vg_catalog_free(struct vg_catalog *catalog)
{
    VG_ASSERT(!catalog || atomic_load(&catalog->refs) == 1);
    return vg_catalog_unref(catalog);
}
