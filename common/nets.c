/* SPDX-License-Identifier: Apache-2.0 */
#include "common/nets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};

bool vg_net_address_parse(struct vg_view text, struct vg_net_address *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, out->bytes) == 1)
        out->len = 4;
    else if (inet_pton(AF_INET6, copy, out->bytes) == 1)
        out->len = 16;
    else
        return false;
    return true;
}

bool vg_net_address_of(const struct sockaddr *from, struct vg_net_address *out, unsigned *out_port)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        memcpy(out->bytes, &in.sin_addr, 4);
        out->len = 4;
        *out_port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof(in6));
        memcpy(out->bytes, &in6.sin6_addr, 16);
        out->len = 16;
        *out_port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    return true;
}

bool vg_net_address_unmap(struct vg_net_address *address)
{
    if (address->len != 16 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
        return false;
    memmove(address->bytes, address->bytes + sizeof(mapped), 4);
    address->len = 4;
    return true;
}

void vg_net_address_map(struct vg_net_address *address)
{
    if (address->len != 4)
        return;
    memmove(address->bytes + sizeof(mapped), address->bytes, 4);
    memcpy(address->bytes, mapped, sizeof(mapped));
    address->len = 16;
}

bool vg_net_parse(struct vg_view text, struct vg_net *out)
{
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.data) : text.len;
    int64_t bits;

    if (!vg_net_address_parse((struct vg_view){text.data, len}, &out->address))
        return false;
    bits = (int64_t)out->address.len * 8;
    if (slash && vg_parse_i64((struct vg_view){slash + 1, text.len - len - 1}, 0, bits, &bits) != 0)
        return false;
    out->bits = (unsigned)bits;
    return true;
}

bool vg_net_holds(const struct vg_net *net, const struct vg_net_address *address)
{
    const unsigned char *a = net->address.bytes, *b = address->bytes;
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->address.len != address->len || memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool vg_nets_hold(const char *list, const struct vg_net_address *address)
{
    struct vg_view item;
    struct vg_net net;

    while (vg_list_next(&list, &item))
        if (vg_net_parse(item, &net) && vg_net_holds(&net, address))
            return true;
    return false;
}
