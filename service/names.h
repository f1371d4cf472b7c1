/* SPDX-License-Identifier: Apache-2.0 */
/* Names that callers give: which of them are fit to be stored and looked up. Pure, any thread. */
#ifndef VG_SERVICE_NAMES_H
#define VG_SERVICE_NAMES_H

#include <stdbool.h>

#include "common/err.h"

/* A label: valid UTF-8 without control characters, at most 128 characters. Else
 * VG_ERR_INVALID_REQUEST with the field "name". */
VG_MUSTCHECK int vg_name_label(const char *name, struct vg_err *err);
/* A project: 1 to 64 of [a-z0-9_-]. Else VG_ERR_INVALID_REQUEST with the field "project". */
VG_MUSTCHECK int vg_name_project(const char *project, struct vg_err *err);
/* "PREFIX_" and hex digits, or an event id made of such: short, plain, never a pattern. */
bool vg_name_id_ok(const char *id);

#endif
