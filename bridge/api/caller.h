/* SPDX-License-Identifier: Apache-2.0 */
/* Whose request it is, by address: the connection's, or what the proxies in front say. */
#ifndef VG_BRIDGE_API_CALLER_H
#define VG_BRIDGE_API_CALLER_H

#include "bridge/http/stream.h"
#include "common/peer.h"

/* X-Forwarded-For is read from its end for as long as the one who says it is in `trusted_proxies`.
 * "": nobody knows. */
void vg_caller_address(const struct vg_stream *stream, const char *trusted_proxies,
                       char out[VG_PEER_SIZE]);

#endif
