/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a gRPC server's listener alive when descriptors run out.
 *
 * gRPC 1.51 gives its listening socket up for good as soon as accept4(2) fails with anything but
 * EAGAIN: one moment without a free descriptor, and the process is deaf until it is restarted. The
 * library calls accept4 through the dynamic symbol table, where the program's own definition comes
 * first; accept.c has one that turns those failures into refusals. It serves whatever else accepts
 * in a process with a gRPC server, too. */
#ifndef VG_RPC_ACCEPT_H
#define VG_RPC_ACCEPT_H

#include <stdint.h>

/* Linking it is what counts. Puts a descriptor aside for refusing; doing it again is fine. */
void vg_rpc_accept_guard(void);
/* Callers who were hung up on because no descriptor was free, since the start. Any thread. */
int64_t vg_rpc_accept_refused(void);

#endif
