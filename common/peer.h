/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of callers: their one spelling, lists of nets, and whom a chain of proxies speaks for.
 * Pure, any thread. */
#ifndef VG_COMMON_PEER_H
#define VG_COMMON_PEER_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_PEER_SIZE 48 /* an address, or a net of addresses, with NUL */

/* An IPv4 or IPv6 address without brackets, port or zone. An IPv4 address in an IPv6 one is an IPv4
 * address. On false `out` is "". */
bool vg_peer_parse(struct vg_view text, char out[VG_PEER_SIZE]);
/* As the gRPC core names a peer: "ipv4:192.0.2.1:80", "ipv6:[::1]:80", also percent-encoded. */
bool vg_peer_of_core(const char *text, char out[VG_PEER_SIZE]);
/* What one caller can easily change within is one: IPv4 the address, IPv6 its /64. */
void vg_peer_group(const char *peer, char out[VG_PEER_SIZE]);

/* `nets`: comma-separated CIDRs, or addresses. */
VG_MUSTCHECK int vg_peer_nets_check(const char *nets, const char *param, struct vg_err *err);
bool vg_peer_in(const char *peer, const char *nets);
/* One X-Forwarded-For value read from its end: while `peer` is in `nets` the element before it
 * takes its place. Returns whether the whole value has been walked, so that the field before it
 * counts, too. */
bool vg_peer_forwarded(char peer[VG_PEER_SIZE], struct vg_view value, const char *nets);

#endif
