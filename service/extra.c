/* SPDX-License-Identifier: Apache-2.0 */
#include "service/extra.h"

#include <string.h>

#include "common/json.h"
#include "common/json_writer.h"

#define MAX_TEXT ((size_t)64 * 1024)

static bool taken(const struct vg_model *model, const char *name)
{
    for (size_t i = 0; i < model->route_count; i++)
        if (vg_route_takes_extra(&model->routes[i], name))
            return true;
    return false;
}

static const char *text_of(const struct vg_json *value, struct vg_arena *arena)
{
    struct vg_buf text;
    struct vg_json_writer w;
    const char *out = NULL;

    vg_buf_init(&text, VG_EXTRA_MAX_BYTES);
    vg_json_begin(&w, &text);
    vg_json_put_value(&w, value);
    if (vg_buf_ok(&text))
        out = vg_arena_memdup(arena, text.data, text.len);
    vg_buf_fini(&text);
    return out;
}

/* Null stands for what was too large for whoever passed it on (common/json_pb.h). */
static int keep(const struct vg_json *object, const struct vg_model *model, struct vg_arena *arena,
                struct vg_extra *out, struct vg_err *err)
{
    size_t bytes = 2;

    out->items = vg_arena_alloc(arena, (vg_json_count(object) + 1) * sizeof(*out->items));
    for (const struct vg_json *v = vg_json_first(object); v; v = vg_json_next(v)) {
        if (!taken(model, vg_json_key(v)))
            continue;
        const char *name = vg_arena_strdup(arena, vg_json_key(v));
        const char *json = vg_json_type(v) == VG_JSON_NULL ? NULL : text_of(v, arena);
        bytes += strlen(name) + (json ? strlen(json) : 0) + 4;
        if (!json || bytes > VG_EXTRA_MAX_BYTES)
            return vg_err_param(
                err, VG_ERR_INVALID_REQUEST, name,
                "%s: further parameters may have %zu bytes together and must not be "
                "null",
                name, VG_EXTRA_MAX_BYTES);
        out->items[out->count++] = (struct vg_extra_item){name, json};
    }
    return 0;
}

int vg_extra_read(const char *text, const struct vg_model *model, struct vg_arena *arena,
                  struct vg_extra *out, struct vg_err *err)
{
    struct vg_json *object = NULL;
    struct vg_err ignored;
    int rc = -1;

    *out = (struct vg_extra){.count = 0};
    if (strnlen(text, MAX_TEXT + 1) > MAX_TEXT ||
        vg_json_parse(&object, vg_view_of(text), &ignored) < 0 ||
        vg_json_type(object) != VG_JSON_OBJECT)
        (void)vg_err_param(err, VG_ERR_INVALID_REQUEST, "extra",
                           "extra: must be the text of a JSON object of at most %zu bytes",
                           MAX_TEXT);
    else
        rc = keep(object, model, arena, out, err);
    (void)vg_json_free(object);
    return rc;
}

const char *vg_extra_of(const struct vg_extra *extra, const struct vg_route *route,
                        struct vg_arena *arena)
{
    struct vg_buf text;
    struct vg_json_writer w;
    size_t count = 0;
    const char *out = NULL;

    if (extra->count == 0)
        return NULL;
    vg_buf_init(&text, VG_EXTRA_MAX_BYTES + 64);
    vg_json_begin(&w, &text);
    vg_json_object_open(&w);
    for (size_t i = 0; i < extra->count; i++) {
        const struct vg_extra_item *item = &extra->items[i];
        if (route && !vg_route_takes_extra(route, item->name))
            continue;
        vg_json_put_key(&w, item->name);
        vg_json_put_raw(&w, vg_view_of(item->json));
        count++;
    }
    vg_json_object_close(&w);
    VG_ASSERT(vg_buf_ok(&text));
    if (count > 0)
        out = vg_arena_memdup(arena, text.data, text.len);
    vg_buf_fini(&text);
    return out;
}
