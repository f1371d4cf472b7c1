/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each client address has, and how many were ended by a limit lately. One
 * table for the process; any thread. */
#ifndef VG_BRIDGE_NET_CLIENTS_H
#define VG_BRIDGE_NET_CLIENTS_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"

struct vg_clients;
struct vg_client; /* one address that has connections */

/* At most `max` connections each; 0: any number, and nothing is counted. With `strikes` in ten
 * seconds nothing more is let in until they are over; 0: off. */
struct vg_clients *vg_clients_new(int max, int strikes);
/* After every connection was given back. */
struct vg_clients *vg_clients_free(struct vg_clients *clients);
/* Counts a connection from this address (of IPv6 its first 64 bits). -1: it has its share, or its
 * strikes. `out` is given back by vg_clients_leave; NULL when nothing is counted. */
VG_MUSTCHECK int vg_clients_enter(struct vg_clients *clients, const struct sockaddr_storage *from,
                                  int64_t now_ns, struct vg_client **out);
/* One of its connections was ended by a limit. */
void vg_clients_strike(struct vg_clients *clients, struct vg_client *client, int64_t now_ns);
void vg_clients_leave(struct vg_clients *clients, struct vg_client *client, int64_t now_ns);

#endif
