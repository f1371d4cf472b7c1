/* SPDX-License-Identifier: Apache-2.0 */
/* Names that callers give: which of them are fit to be stored and looked up. Pure, any thread. */
#ifndef VG_SERVICE_NAMES_H
#define VG_SERVICE_NAMES_H

#include <stdbool.h>

/* A label: valid UTF-8 without control characters, at most 128 characters. */
bool vg_name_label_ok(const char *name);
/* 1 to 64 of [a-z0-9_-]. */
bool vg_name_project_ok(const char *project);
/* "PREFIX_" and hex digits, or an event id made of such: short, plain, never a pattern. */
bool vg_name_id_ok(const char *id);

#endif
