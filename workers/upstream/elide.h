/* SPDX-License-Identifier: Apache-2.0 */
/* A filter over JSON text that comes in pieces: everything passes into a buffer, but the contents
 * of long strings are left out (""), and one string may be picked out and handed on in pieces. So
 * an answer of hundreds of megabytes with a file in base64 costs no more memory than its skeleton.
 * One thread at a time.
 *
 * How the text is cut into pieces makes no difference. Strings are judged here as strictly as
 * vg_json_parse would (UTF-8, escapes, control characters), since what is left out never gets
 * there; everything else is for the parser, which gets the skeleton. Keys are never left out. */
#ifndef VG_WORKERS_UPSTREAM_ELIDE_H
#define VG_WORKERS_UPSTREAM_ELIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_ELIDE_KEEP 65536 /* bytes of a string that usually pass */

struct vg_elide_options {
    struct vg_buf *out; /* borrowed: gets the skeleton; its room for one string is `keep` more */
    size_t keep;        /* bytes of a string, as written, that still pass; more are left out */
    /* The string to hand on, whatever its length: the nth (from 0) that stands under the member
     * name `key`, itself or in arrays there. It is left out of `out`. NULL: none. */
    const char *key; /* borrowed */
    size_t index;
    /* The next bytes of it, without escapes; false ends the filter. */
    bool (*on_string)(void *ctx, const char *data, size_t len);
    void *ctx;
};

struct vg_elide;

struct vg_elide *vg_elide_new(const struct vg_elide_options *options);
struct vg_elide *vg_elide_free(struct vg_elide *self);
/* -1: this is no JSON, `out` is full, or on_string said so. The filter is of no use afterwards. */
VG_MUSTCHECK int vg_elide_feed(struct vg_elide *self, const char *data, size_t len);
/* After the last piece; -1: the text is not at its end. */
VG_MUSTCHECK int vg_elide_end(const struct vg_elide *self);
/* The string that was to be handed on was there, from its first to its last byte. */
bool vg_elide_found(const struct vg_elide *self);

#endif
