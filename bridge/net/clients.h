/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each client address has. One table for the process; any thread. */
#ifndef VG_BRIDGE_NET_CLIENTS_H
#define VG_BRIDGE_NET_CLIENTS_H

#include <sys/socket.h>

#include "common/err.h"

struct vg_clients;
struct vg_client; /* one address that has connections */

/* At most `max` connections each; 0: any number. */
struct vg_clients *vg_clients_new(int max);
/* After every connection was given back. */
struct vg_clients *vg_clients_free(struct vg_clients *clients);
/* Counts a connection from this address (of IPv6 its first 64 bits). -1: it has its share. `out` is
 * given back by vg_clients_leave; NULL when nothing is counted. */
VG_MUSTCHECK int vg_clients_enter(struct vg_clients *clients, const struct sockaddr_storage *from,
                                  struct vg_client **out);
void vg_clients_leave(struct vg_clients *clients, struct vg_client *client);

#endif
