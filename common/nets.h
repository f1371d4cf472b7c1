/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and comma-separated lists of networks ("127.0.0.0/8, ::1"). Pure; any thread. */
#ifndef VG_COMMON_NETS_H
#define VG_COMMON_NETS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/str.h"

/* In network byte order: 4 or 16 bytes. */
struct vg_net_address {
    unsigned char bytes[16];
    unsigned len;
};

struct vg_net {
    struct vg_net_address address;
    unsigned bits;
};

/* False when `text` is no address in its usual spelling. */
bool vg_net_address_parse(struct vg_view text, struct vg_net_address *out);
/* False when the family is neither IPv4 nor IPv6. `out_port` in host byte order. */
bool vg_net_address_of(const struct sockaddr *from, struct vg_net_address *out, unsigned *out_port);
/* ::ffff:a.b.c.d becomes the IPv4 address inside; false: it is none, and stays. */
bool vg_net_address_unmap(struct vg_net_address *address);
/* The reverse. */
void vg_net_address_map(struct vg_net_address *address);

/* "10.0.0.0/8", or one address. */
bool vg_net_parse(struct vg_view text, struct vg_net *out);
/* Those of the other family are never held. */
bool vg_net_holds(const struct vg_net *net, const struct vg_net_address *address);
/* Whether one of the nets holds the address; what is no net holds none. */
bool vg_nets_hold(const char *list, const struct vg_net_address *address);

#endif
