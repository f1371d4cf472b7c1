/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes and how a path finds its row. Pure, any thread. */
#ifndef VG_BRIDGE_API_ROUTES_H
#define VG_BRIDGE_API_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

struct vg_exchange;

enum vg_route_body {
    VG_BODY_DROP,         /* a small body may come and is not looked at */
    VG_BODY_JSON,         /* application/json up to max-body */
    VG_BODY_JSON_OR_FORM, /* that, or multipart/form-data */
    VG_BODY_EVENT,        /* of any type, up to VG_MAX_EVENT_BODY, of a provider that has no key */
};

struct vg_route {
    const char *method;
    const char *pattern; /* "{id}" stands for one segment, "{id...}" for all that follow */
    enum vg_route_body body;
    void (*handle)(struct vg_exchange *exchange); /* the body is complete */
};

#define VG_PARAM_SIZE 256
#define VG_MAX_EVENT_BODY ((int64_t)1024 * 1024)
#define VG_ALLOW_SIZE 64

enum vg_route_result { VG_ROUTE_FOUND, VG_ROUTE_NO_PATH, VG_ROUTE_NO_METHOD };

/* Finds the row for a path as sent (percent-encoded). HEAD finds the row of GET. `param` gets the
 * decoded {id}, or "". `allow` gets the methods of the path for an Allow header (VG_ALLOW_SIZE
 * bytes), "" without a path. */
enum vg_route_result vg_route_find(struct vg_view method, struct vg_view path,
                                   const struct vg_route **out, char param[VG_PARAM_SIZE],
                                   char allow[VG_ALLOW_SIZE]);
/* Whether the route makes a video each time it is called. */
bool vg_route_creates(const struct vg_route *route);
/* Whether callers of the route show no key of ours. */
bool vg_route_keyless(const struct vg_route *route);
/* The row's position in the table, for metrics; vg_route_count() for NULL. */
size_t vg_route_index(const struct vg_route *route);
size_t vg_route_count(void);
/* "METHOD PATTERN" of each row, then "other"; NULL-terminated. */
const char *const *vg_route_labels(void);

#endif
