/* SPDX-License-Identifier: Apache-2.0 */
/* The length that an answer's head gives. libcurl takes the last of two, and the first number of a
 * list: whoever stands between us and the server may see the answer end elsewhere (RFC 9112 6.3).
 * Pure. */
#ifndef VG_COMMON_HTTP_LENGTH_H
#define VG_COMMON_HTTP_LENGTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define VG_HTTP_LENGTH_NONE (-1)

/* One line of a head, the status line of each answer (also an interim one) too. `said` begins as
 * VG_HTTP_LENGTH_NONE. False: a Content-Length that is no number, or not the one said before. */
bool vg_http_length_hear(int64_t *said, struct vg_view line);

#endif
