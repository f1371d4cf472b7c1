/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-origin requests of browsers (the CORS protocol of the Fetch standard): which origins may
 * read answers, and what a preflight is told. Without credentials mode: keys travel in headers.
 * Immutable once made, any thread. */
#ifndef VG_BRIDGE_API_CORS_H
#define VG_BRIDGE_API_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/http/stream.h"
#include "common/buf.h"
#include "common/err.h"

struct vg_cors;

/* `origins`: "https://a.example,http://localhost:3000", or "*" for all; empty or NULL: *out is
 * NULL, no headers at all. Fails with VG_ERR_INVALID_REQUEST. */
VG_MUSTCHECK int vg_cors_new(struct vg_cors **out, const char *origins, struct vg_err *err);
struct vg_cors *vg_cors_free(struct vg_cors *cors);

/* Whether answers of this path are for these origins, too: the API, not what is the operator's
 * (/openapi.json is for all by itself). An empty path (a head that could not be read) is. */
bool vg_cors_covers(struct vg_view path);

#define VG_CORS_ANSWER 3
/* What an answer to a request with this Origin (empty: none) gets. Returns how many; `out` borrows
 * from `cors` and from `origin`. */
size_t vg_cors_answer(const struct vg_cors *cors, struct vg_view origin,
                      struct vg_header out[VG_CORS_ANSWER]);

#define VG_CORS_PREFLIGHT 3
#define VG_CORS_NAMES 2048
/* What the answer to a preflight gets besides; `requested` is its Access-Control-Request-Headers,
 * `methods` those of the path. `names` is room for a list that `out` points to. */
size_t vg_cors_preflight(struct vg_view requested, struct vg_view methods,
                         char names[VG_CORS_NAMES], struct vg_header out[VG_CORS_PREFLIGHT]);

#endif
