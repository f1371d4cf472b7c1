/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read out of a request besides its framing: target, query, ranges, validators, dates.
 * Pure functions over views, nothing is allocated, any thread. */
#ifndef VG_BRIDGE_HTTP_REQUEST_H
#define VG_BRIDGE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_HTTP_MAX_TARGET 8192

/* Splits a request target into path and query ('?' belongs to neither). Takes origin-form,
 * absolute-form (whose authority is dropped; RFC 9112 3.2.2) and, for OPTIONS alone, "*". Fails
 * with VG_ERR_INVALID_REQUEST on anything else, on bytes outside visible ASCII and on '#'; with
 * VG_ERR_URI_TOO_LONG over VG_HTTP_MAX_TARGET. */
VG_MUSTCHECK int vg_http_target(struct vg_view target, struct vg_view method,
                                struct vg_view *out_path, struct vg_view *out_query,
                                struct vg_err *err);
/* Whether a Host or :authority value has only bytes that a host and port can have. */
bool vg_http_host_valid(struct vg_view host);

/* Decodes %XX (and '+' as a space when `form`) into `dst` with a NUL. Returns the length, or -1
 * when it does not fit, an escape is broken, or the result holds NUL or is not UTF-8. */
long vg_http_decode(char *dst, size_t size, struct vg_view text, bool form);

/* The next name=value pair of a query; false at the end. Empty pairs are skipped; views are still
 * encoded. */
bool vg_http_query_next(struct vg_view *rest, struct vg_view *out_name, struct vg_view *out_value);
/* Decodes the value of the first pair of this name. Returns its length, -1 when it is broken or too
 * long, -2 when there is none. */
long vg_http_query_get(struct vg_view query, const char *name, char *dst, size_t size);
/* Reads a whole number from 0 to `max`, written with at most 15 characters; without the pair `out`
 * stays. -1: it is none. */
VG_MUSTCHECK int vg_http_query_number(struct vg_view query, const char *name, int64_t max,
                                      int64_t *out);

enum vg_http_range_kind {
    VG_RANGE_NONE,     /* no range, or one that RFC 9110 14.2 lets us ignore: unknown unit, broken
                          syntax */
    VG_RANGE_FROM_TO,  /* first .. last */
    VG_RANGE_FROM,     /* first .. end */
    VG_RANGE_SUFFIX,   /* the final `last` bytes */
    VG_RANGE_MULTIPLE, /* more than one: refused, as the original does */
};
struct vg_http_range {
    enum vg_http_range_kind kind;
    int64_t first;
    int64_t last;
};
/* Reads a Range value. Numbers over INT64_MAX saturate, so that they end as unsatisfiable. */
struct vg_http_range vg_http_range(struct vg_view value);

/* Whether `etag` (without quotes, strong) is in the list of an If-None-Match value; "*" matches.
 * Weak comparison. */
bool vg_http_etag_match(struct vg_view list, struct vg_view etag);

#define VG_HTTP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
void vg_http_date(char out[VG_HTTP_DATE_SIZE], int64_t unix_seconds);
/* Reads an IMF-fixdate (the one form that RFC 9110 lets senders make). */
bool vg_http_date_parse(struct vg_view text, int64_t *out_unix_seconds);

/* Visible ASCII (0x21..0x7e), `min` to `max` bytes. */
bool vg_http_visible(struct vg_view text, size_t min, size_t max);
/* Whether the media type of a Content-Type value (parameters aside) is this one, ASCII case aside.
 */
bool vg_http_media_type(struct vg_view content_type, const char *type);
/* Whether a comma-separated list holds this token, ASCII case aside. */
bool vg_http_has_token(struct vg_view list, const char *token);

#endif
