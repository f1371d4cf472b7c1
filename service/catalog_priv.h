/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's inside, shared by catalog.c (asking) and catalog_read.c (reading the file). Private
 * to the two. */
#ifndef VG_SERVICE_CATALOG_PRIV_H
#define VG_SERVICE_CATALOG_PRIV_H

#include "common/mem.h"
#include "service/catalog.h"

struct vg_catalog {
    struct vg_arena *arena; /* owned; everything below lives in it */
    struct vg_model *models;
    size_t count;
    const struct vg_model *fallback;
};

#endif
