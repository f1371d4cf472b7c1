/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as libcurl reads them: origins and relative references. Pure; any thread. */
#ifndef VG_COMMON_HTTP_URL_H
#define VG_COMMON_HTTP_URL_H

#include <stdbool.h>

#include "common/buf.h"

/* Scheme, host and port are the same (RFC 6454). False when one of them cannot be read. */
bool vg_url_same_origin(const char *a, const char *b);
/* Appends `reference` seen from `base` (RFC 3986 section 5), without fragment. False when it cannot
 * be read or is neither http nor https. */
bool vg_url_resolve(const char *base, const char *reference, struct vg_buf *out);
/* Appends `text` with everything but unreserved characters escaped. */
void vg_url_escape(const char *text, struct vg_buf *out);

#endif
