/* SPDX-License-Identifier: Apache-2.0 */
/* The usage report: what ended, summed by day (UTC), project, key and model. It is counted by the
 * transaction that ends a video (generation_change_store.c). */
#ifndef VG_DB_USAGE_STORE_H
#define VG_DB_USAGE_STORE_H

#include "db/db.h"

#define VG_USAGE_MAX_ROWS 10000

struct vg_usage {
    const char *day; /* "YYYY-MM-DD" */
    const char *project;
    const char *key_id; /* "": unknown */
    const char *model;
    int64_t videos;
    int64_t completed;
    int64_t seconds;
    int64_t cost_micros; /* millionths of a US dollar */
};

struct vg_usage_report {
    struct vg_db_op op;
    const char *project;   /* NULL: by project_id */
    int64_t project_id;    /* 0: all, when `project` is NULL too */
    int64_t start_time;    /* Unix seconds; the days that hold them are the first and the last */
    int64_t end_time;      /* exclusive */
    struct vg_usage *rows; /* result, by day, project, key, model */
    size_t count;
    bool truncated;
};
void vg_usage_report(struct vg_db *db, struct vg_usage_report *op);

#endif
