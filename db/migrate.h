/* SPDX-License-Identifier: Apache-2.0 */
/* The migrations that are compiled in, by rising version. Private to db/. */
#ifndef VG_DB_MIGRATE_H
#define VG_DB_MIGRATE_H

#include <stddef.h>

struct vg_migration {
    int version;
    const char *name; /* "0001_init" */
    const char *sql;
};

/* Generated (db/embed_sql.cmake). */
const struct vg_migration *vg_migrations(size_t *out_count);

#endif
