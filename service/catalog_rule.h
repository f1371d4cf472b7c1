/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a route that narrow its lengths where size or inputs are such: "8 s only at 1080p".
 * Read with the catalog, immutable after. */
#ifndef VG_SERVICE_CATALOG_RULE_H
#define VG_SERVICE_CATALOG_RULE_H

#include <stddef.h>

#include "service/extent.h"

#define VG_CATALOG_MAX_RULES 8       /* per route */
#define VG_CATALOG_MAX_RULE_SIZES 16 /* of one rule, as many classes */

/* What of a request the rules look at. */
struct vg_rule_case {
    struct vg_size size;
    bool image, last_frame, references; /* given */
};

enum vg_rule_wish { VG_RULE_EITHER, VG_RULE_GIVEN, VG_RULE_ABSENT };

/* Applies where every condition holds; at least one is set. */
struct vg_rule {
    struct vg_size *sizes; /* one of these ... */
    size_t size_count;
    const char **classes; /* ... or one of these (literals); neither: any size */
    size_t class_count;
    enum vg_rule_wish image, last_frame, references;
    vg_seconds_set seconds; /* what it leaves */
    const char *where;      /* for reasons: "at 1080p, 4k with an image" */
};

bool vg_rule_applies(const struct vg_rule *rule, const struct vg_rule_case *of);

struct vg_catalog_reader;
struct vg_json;
struct vg_route;
/* Reads "rules" into a route. Fails by the reader. */
int vg_catalog_read_rules(struct vg_catalog_reader *r, const struct vg_json *value, void *target);

#endif
