/* SPDX-License-Identifier: Apache-2.0 */
/* Strict reading of the catalog's JSON: each value has a rule, and a broken one is told with file
 * and place. Private to the files that read the catalog. */
#ifndef VG_SERVICE_CATALOG_VALUE_H
#define VG_SERVICE_CATALOG_VALUE_H

#include "common/json.h"
#include "common/mem.h"
#include "service/catalog.h"

/* What a reader needs to say where it is. */
struct vg_catalog_reader {
    struct vg_arena *arena; /* borrowed from the catalog */
    const char *file;
    struct vg_err *err;
    char path[160];
};

/* One member of an object: how its value is read into `target`. */
struct vg_catalog_member {
    const char *name;
    int (*read)(struct vg_catalog_reader *r, const struct vg_json *value, void *target);
    bool required;
};

/* Says file, place and rule; returns -1. */
int vg_catalog_fail(struct vg_catalog_reader *r, const char *fmt, ...) VG_PRINTF(2, 3);
/* Appends to the path; returns the length to give back to leave. */
size_t vg_catalog_enter(struct vg_catalog_reader *r, const char *fmt, ...) VG_PRINTF(2, 3);
void vg_catalog_leave(struct vg_catalog_reader *r, size_t old);

/* Each fails by the reader. An object has known members only, and all that are required. */
int vg_catalog_read_object(struct vg_catalog_reader *r, const struct vg_json *object,
                           const struct vg_catalog_member *members, size_t count, void *target);
int vg_catalog_read_int(struct vg_catalog_reader *r, const struct vg_json *value, int64_t min,
                        int64_t max, int64_t *out);
int vg_catalog_read_bool(struct vg_catalog_reader *r, const struct vg_json *value, bool *out);
/* 1 to 64 characters of [a-z0-9._-]; where `upstream` (their ids, not ours) 1 to 128 of
 * [A-Za-z0-9._-/:@]. */
int vg_catalog_read_name(struct vg_catalog_reader *r, const struct vg_json *value, bool upstream,
                         const char **out);
/* The string's position among `words`. */
int vg_catalog_read_word(struct vg_catalog_reader *r, const struct vg_json *value,
                         const char *const *words, size_t count, int *out);
int vg_catalog_read_number(struct vg_catalog_reader *r, const struct vg_json *value, double min,
                           double max, double *out);
enum vg_catalog_status { VG_CATALOG_LIVE, VG_CATALOG_PREVIEW, VG_CATALOG_CLOSED };
int vg_catalog_read_status(struct vg_catalog_reader *r, const struct vg_json *value,
                           enum vg_catalog_status *out);
/* "2026-09-24". */
int vg_catalog_read_date(struct vg_catalog_reader *r, const struct vg_json *value,
                         const char **out);
/* For people: checked, not kept. */
int vg_catalog_read_note(struct vg_catalog_reader *r, const struct vg_json *value, void *target);
int vg_catalog_read_day(struct vg_catalog_reader *r, const struct vg_json *value, void *target);
/* A list of 1 to `max` names, none of them twice. */
int vg_catalog_read_names(struct vg_catalog_reader *r, const struct vg_json *value, size_t max,
                          bool upstream, const char ***out, size_t *out_count);
int vg_catalog_read_size(struct vg_catalog_reader *r, const struct vg_json *value,
                         struct vg_size *out);
/* A list of seconds, or {"min": a, "max": b}. */
int vg_catalog_read_seconds(struct vg_catalog_reader *r, const struct vg_json *value,
                            vg_seconds_set *out);

#endif
