/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what alone may be reached: hosts (hooks.example.com), domains (.example.com: it and
 * all under it) and nets (203.0.113.0/24), with commas between. Pure; any thread. */
#ifndef VG_COMMON_HTTP_EGRESS_H
#define VG_COMMON_HTTP_EGRESS_H

#include <stdbool.h>

#include "common/err.h"

/* VG_ERR_INVALID_REQUEST says which item is neither host nor domain nor net. */
VG_MUSTCHECK int vg_egress_check(const char *list, struct vg_err *err);
/* Whether a host or domain of the list covers the name. */
bool vg_egress_names(const char *list, const char *host);
/* Whether it has nets: then the address of a name that is not listed decides. */
bool vg_egress_has_nets(const char *list);

#endif
