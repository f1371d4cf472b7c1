/* SPDX-License-Identifier: Apache-2.0 */
/* How large and how long: sizes in pixels and the classes they belong to, lengths as sets. Pure. */
#ifndef VG_SERVICE_EXTENT_H
#define VG_SERVICE_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define VG_MAX_SECONDS 64 /* of one making */

/* Lengths as a set: bit s-1 stands for s seconds, 1 to 64. */
typedef uint64_t vg_seconds_set;

struct vg_size {
    int32_t width, height; /* pixels, even, 16 to 8192 */
};

bool vg_size_eq(struct vg_size a, struct vg_size b);
/* "WIDTHxHEIGHT", digits only, no leading zero, at most 5 digits each. */
bool vg_size_parse(struct vg_view text, struct vg_size *out);
/* The class of a size in prices and rules: "360p", "480p", "540p", "720p", "768p", "960p", "1080p",
 * "hd", "1440p", "4k", or "default". A literal. */
const char *vg_size_class(struct vg_size size);
/* The literal of a class other than "default"; NULL: there is no such. */
const char *vg_size_class_find(struct vg_view name);
bool vg_seconds_has(vg_seconds_set set, int64_t seconds);

#endif
