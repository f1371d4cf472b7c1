/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and comma-separated lists of networks ("127.0.0.0/8, ::1"). Pure; any thread. */
#ifndef VG_COMMON_HTTP_NETS_H
#define VG_COMMON_HTTP_NETS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/str.h"

/* In network byte order: 4 or 16 bytes. */
struct vg_net_address {
    unsigned char bytes[16];
    unsigned len;
};

/* False when `text` is no address in its usual spelling. */
bool vg_net_address_parse(const char *text, struct vg_net_address *out);
/* False when the family is neither IPv4 nor IPv6. `out_port` in host byte order. */
bool vg_net_address_of(const struct sockaddr *from, struct vg_net_address *out, unsigned *out_port);

/* Cuts the next item that is not empty off `*list`, which may be NULL; false at its end. */
bool vg_list_next(const char **list, struct vg_view *out_item);
/* "10.0.0.0/8", or one address. */
bool vg_net_is(struct vg_view text);
/* Whether one of the nets holds the address; what is no net holds none. */
bool vg_nets_hold(const char *list, const struct vg_net_address *address);

#endif
