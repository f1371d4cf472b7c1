/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a job tries the routes that can make it. Pure but for reading the figures. */
#ifndef VG_SERVICE_ROUTE_ORDER_H
#define VG_SERVICE_ROUTE_ORDER_H

#include "service/validate.h"

/* "catalog", "price" or "health". */
VG_MUSTCHECK int vg_route_order_parse(const char *text, enum vg_route_order *out,
                                      struct vg_err *err);
/* Sorts the job's routes. Those whose provider cannot be used just now come last; equals keep the
 * catalog's order. */
void vg_route_order_apply(const struct vg_validate_env *env, struct vg_job *job);

#endif
