/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/spec.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/pb_alloc.h"

enum { MAX_ROUTES = 64, MAX_ATTEMPTS = 20 };

static int32_t clamp_attempts(int32_t n)
{
    if (n < 1) {
        return 1;
    }
    return n < MAX_ATTEMPTS ? n : MAX_ATTEMPTS;
}

static bool file_ok(const Videogate__Store__V1__MediaRef *ref)
{
    return !ref || (ref->blob && ref->blob[0]);
}

static bool usable(const Videogate__Store__V1__JobSpec *m)
{
    if (m->n_routes < 1 || m->n_routes > MAX_ROUTES || m->n_references > VG_SPEC_MAX_FILES - 3 ||
        !file_ok(m->image) || !file_ok(m->last_frame) ||
        (m->source && (!m->source->video || !file_ok(m->source->video)))) {
        return false;
    }
    for (size_t i = 0; i < m->n_references; i++) {
        if (!file_ok(m->references[i])) {
            return false;
        }
    }
    return true;
}

int vg_spec_open(struct vg_spec *out, const void *data, size_t size, struct vg_arena *arena,
                 struct vg_err *err)
{
    Videogate__Store__V1__JobSpec *m =
        videogate__store__v1__job_spec__unpack(vg_pb_allocator(), size, data);
    if (!m || !usable(m)) {
        if (m) {
            videogate__store__v1__job_spec__free_unpacked(m, NULL);
        }
        return vg_err_set(err, VG_ERR_INTERNAL, "the stored job specification is damaged");
    }
    out->message = m;
    out->route_count = m->n_routes;
    out->routes = vg_arena_alloc(arena, m->n_routes * sizeof(*out->routes));
    for (size_t i = 0; i < m->n_routes; i++) {
        out->routes[i].provider = m->routes[i]->provider;
        out->routes[i].max_attempts = clamp_attempts(m->routes[i]->max_attempts);
    }
    return 0;
}

void vg_spec_close(struct vg_spec *spec)
{
    if (spec->message) {
        videogate__store__v1__job_spec__free_unpacked(spec->message, NULL);
        spec->message = NULL;
    }
}

bool vg_spec_has_first(const struct vg_spec *spec)
{
    return spec->message->image != NULL;
}

bool vg_spec_has_last(const struct vg_spec *spec)
{
    return spec->message->last_frame != NULL;
}

size_t vg_spec_files(const struct vg_spec *spec,
                     const Videogate__Store__V1__MediaRef *out[VG_SPEC_MAX_FILES])
{
    size_t n = 0;
    if (vg_spec_has_first(spec)) {
        out[n++] = spec->message->image;
    }
    if (vg_spec_has_last(spec)) {
        out[n++] = spec->message->last_frame;
    }
    for (size_t i = 0; i < spec->message->n_references; i++) {
        out[n++] = spec->message->references[i];
    }
    if (spec->message->source) {
        out[n++] = spec->message->source->video;
    }
    return n;
}

void vg_spec_token(char out[VG_TOKEN_SIZE], const char *video_id, int32_t index, int32_t attempt)
{
    int len = snprintf(out, VG_TOKEN_SIZE, "%s.%" PRId32 "-%" PRId32, video_id, index, attempt);

    VG_ASSERT(len > 0 && len < VG_TOKEN_SIZE);
}
