/* SPDX-License-Identifier: Apache-2.0 */
/* Projects: who keys and videos belong to, with limits over all of them. */
#ifndef VG_DB_PROJECT_STORE_H
#define VG_DB_PROJECT_STORE_H

#include "db/db.h"
#include "db/key_store.h"

struct vg_project {
    const char *name;
    int64_t created_at;  /* Unix seconds */
    int64_t archived_at; /* 0: active */
    struct vg_limits limits;
};

/* VG_ERR_ALREADY_EXISTS; not for its own second run. */
struct vg_project_create {
    struct vg_db_op op;
    const char *name;
    struct vg_limits limits;
    struct vg_project project; /* result */
};
void vg_project_create(struct vg_db *db, struct vg_project_create *op);

struct vg_project_list {
    struct vg_db_op op;
    struct vg_project *projects; /* result, by name, at most 1,000 */
    size_t count;
};
void vg_project_list(struct vg_db *db, struct vg_project_list *op);

/* VG_ERR_NOT_FOUND. New limits count what is queued and in progress already, and the month so
 * far. */
struct vg_project_update {
    struct vg_db_op op;
    const char *name;
    bool set_limits;
    struct vg_limits limits;
    int32_t archived;          /* 1: archive, 0: take back, -1: as it is */
    struct vg_project project; /* result */
};
void vg_project_update(struct vg_db *db, struct vg_project_update *op);

#endif
