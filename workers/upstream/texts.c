/* SPDX-License-Identifier: Apache-2.0 */
/* What adapters write requests with: escaped texts, pictures, shapes, extra parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/url.h"
#include "common/str.h"
#include "workers/upstream/upstream_priv.h"

enum { MAX_EXTRA = 16 * 1024 };

const char *vg_call_escape(struct vg_call *call, const char *text)
{
    struct vg_buf buf;

    vg_buf_init(&buf, 3 * strlen(text) + 1);
    vg_url_escape(text, &buf);
    const char *out = vg_arena_memdup(call->arena, buf.data ? buf.data : "", buf.len);
    vg_buf_fini(&buf);
    return out;
}

const char *vg_call_printf(struct vg_call *call, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t size = len > 0 ? (size_t)len + 1 : 1;
    char *out = vg_arena_alloc(call->arena, size);
    (void)vsnprintf(out, size, fmt, again);
    va_end(again);
    return out;
}

static void put_encoded(struct vg_json_writer *w, const char *prefix,
                        const Videogate__V1__MediaBlob *blob)
{
    size_t size = strlen(prefix) + vg_base64_encoded_size(blob->data.len) + 1;
    char *text = vg_xalloc(size);

    (void)vg_strcpy(text, size, prefix);
    vg_base64_encode(text + strlen(prefix), blob->data.data, blob->data.len);
    vg_json_put_text(w, text);
    free(text);
}

void vg_put_base64(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob)
{
    put_encoded(w, "", blob);
}

void vg_put_data_url(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob)
{
    char prefix[128];

    (void)snprintf(prefix, sizeof(prefix), "data:%.90s;base64,", blob->mime_type);
    put_encoded(w, prefix, blob);
}

const char *vg_call_aspect(const struct vg_call *call)
{
    static const struct {
        const char *name;
        double ratio;
    } shapes[] = {{"16:9", 16.0 / 9}, {"9:16", 9.0 / 16}, {"1:1", 1},       {"4:3", 4.0 / 3},
                  {"3:4", 3.0 / 4},   {"21:9", 21.0 / 9}, {"3:2", 3.0 / 2}, {"2:3", 2.0 / 3}};
    double asked = call->state->height > 0 ? (double)call->state->width / call->state->height : 1;
    size_t best = 0;

    for (size_t i = 1; i < VG_COUNT(shapes); i++) {
        double far = asked / shapes[i].ratio, nearest = asked / shapes[best].ratio;
        if ((far < 1 ? 1 / far : far) < (nearest < 1 ? 1 / nearest : nearest))
            best = i;
    }
    return shapes[best].name;
}

const char *vg_call_resolution(const struct vg_call *call)
{
    static const struct {
        int32_t side;
        const char *name;
    } classes[] = {{360, "360p"}, {480, "480p"}, {540, "540p"},
                   {720, "720p"}, {768, "768p"}, {1080, "1080p"}};
    int32_t side =
        call->state->width < call->state->height ? call->state->width : call->state->height;

    for (size_t i = 0; i < VG_COUNT(classes); i++)
        if (side <= classes[i].side)
            return classes[i].name;
    return "4k";
}

/* Read at the first question. */
static const struct vg_json *extra_of(struct vg_call *call)
{
    struct vg_call_run *run = vg_call_run_of(call);
    const char *text = call->submit ? call->submit->extra : "";

    if (!run->extra && *text && strlen(text) <= MAX_EXTRA &&
        vg_json_parse(&run->extra, vg_view_of(text), NULL) != 0)
        run->extra = NULL; /* the service has checked it: what cannot be read is not there */
    return run->extra;
}

const struct vg_json *vg_call_extra(struct vg_call *call, const char *name)
{
    const struct vg_json *extra = extra_of(call);

    return extra ? vg_json_get(extra, name) : NULL;
}

const struct vg_json *vg_call_extra_first(struct vg_call *call)
{
    const struct vg_json *extra = extra_of(call);

    return extra ? vg_json_first(extra) : NULL;
}

static bool named(const char *name, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

void vg_call_put_extra(struct vg_call *call, struct vg_json_writer *w, const char *const *taken)
{
    for (const struct vg_json *m = vg_call_extra_first(call); m; m = vg_json_next(m)) {
        if (named(vg_json_key(m), taken))
            continue;
        vg_json_put_key(w, vg_json_key(m));
        vg_json_put_value(w, m);
    }
}
