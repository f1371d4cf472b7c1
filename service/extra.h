/* SPDX-License-Identifier: Apache-2.0 */
/* Further parameters of a create: which of them a model's providers take. Pure; everything in the
 * arena. */
#ifndef VG_SERVICE_EXTRA_H
#define VG_SERVICE_EXTRA_H

#include "common/err.h"
#include "common/mem.h"
#include "service/catalog.h"

#define VG_EXTRA_MAX_BYTES ((size_t)16 * 1024) /* of those that are taken, as workers get them */

struct vg_extra_item {
    const char *name;
    const char *json; /* its value's text */
};

struct vg_extra {
    struct vg_extra_item *items; /* in the caller's order */
    size_t count;
};

/* Reads the text of an object, and keeps what any route of the model takes. Fails with
 * VG_ERR_INVALID_REQUEST, naming the parameter. */
VG_MUSTCHECK int vg_extra_read(const char *text, const struct vg_model *model,
                               struct vg_arena *arena, struct vg_extra *out, struct vg_err *err);
/* What of them a route takes (NULL: all), as the text of an object; NULL: none. */
const char *vg_extra_of(const struct vg_extra *extra, const struct vg_route *route,
                        struct vg_arena *arena);

#endif
