/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's inside, shared by catalog.c (asking), catalog_read.c (reading file and models) and
 * catalog_route.c (reading routes). Private to the three. */
#ifndef VG_SERVICE_CATALOG_PRIV_H
#define VG_SERVICE_CATALOG_PRIV_H

#include <stdatomic.h>

#include "common/mem.h"
#include "service/catalog.h"

struct vg_catalog_name {
    const char *text;
    const struct vg_model *model;
};

struct vg_catalog {
    atomic_int refs;
    struct vg_arena *arena; /* owned; everything below lives in it */
    struct vg_model *models;
    size_t count;
    struct vg_catalog_name *names; /* of models and their aliases, sorted */
    size_t name_count;
    const struct vg_model *fallback;
};

struct vg_catalog_reader;
struct vg_json;
/* Fails by the reader. */
int vg_catalog_read_route(struct vg_catalog_reader *r, const struct vg_json *value,
                          struct vg_route *route);

#endif
