/* SPDX-License-Identifier: Apache-2.0 */
/* The SSRF guard: which addresses may be reached for callers' URLs (reference/reliability.md
 * section 6). Parsing is libcurl's URL API, once; decisions are about addresses. Any thread; blocks
 * nowhere. */
#ifndef VG_COMMON_HTTP_GUARD_H
#define VG_COMMON_HTTP_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/err.h"

enum { VG_GUARD_OWN = 4 };

struct vg_http_guard {
    bool allow_http;        /* plain http besides https */
    bool allow_any_port;    /* ports other than 80 and 443 */
    const char *allow_nets; /* comma-separated CIDRs let through although private
                               ("127.0.0.0/8,::1/128"); NULL: none */
    const char *egress;     /* hosts and nets that alone may be reached (egress.h); NULL, "": no
                               such list. What is private needs allow_nets besides. */
    /* Lists of addresses where we listen ourselves ("127.0.0.1:8086", "NAME=HOST:PORT,..."): these
     * ports of this host are never reached, whatever allow_nets says. */
    const char *own[VG_GUARD_OWN];
};

/* Checks the configured lists. */
VG_MUSTCHECK int vg_http_guard_check(const struct vg_http_guard *guard, struct vg_err *err);
/* Judges an address as connect(2) would get it. `named` is what vg_http_guard_names said. */
bool vg_http_guard_allows(const struct vg_http_guard *guard, const struct sockaddr *address,
                          bool named);
/* Whether the host of a URL that passed vg_http_guard_url may be reached for its name alone, so
 * that its address need not be in a net of `egress`. True without such a list. */
bool vg_http_guard_names(const struct vg_http_guard *guard, const char *url);
/* Judges a URL at registration: scheme, userinfo, host form, port, literal addresses, length (at
 * most 8,192). On success appends the normalised URL without its fragment to `out` (may be NULL).
 * Names are not resolved here; local ones (no dot, .internal, .local, ...) pass only when
 * allow_nets is set, localhost when it covers 127.0.0.1. Fails with VG_ERR_INVALID_REQUEST, `param`
 * as given. */
VG_MUSTCHECK int vg_http_guard_url(const struct vg_http_guard *guard, const char *url,
                                   const char *param, struct vg_buf *out, struct vg_err *err);

#endif
