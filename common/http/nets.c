/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/nets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { MAX_NET = 64 };

bool vg_net_address_parse(const char *text, struct vg_net_address *out)
{
    if (inet_pton(AF_INET, text, out->bytes) == 1)
        out->len = 4;
    else if (inet_pton(AF_INET6, text, out->bytes) == 1)
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

bool vg_list_next(const char **list, struct vg_view *out_item)
{
    struct vg_view item = {NULL, 0};

    while (*list && **list && item.len == 0) {
        size_t len = strcspn(*list, ",");
        item = vg_view_trim((struct vg_view){*list, len});
        *list += len + ((*list)[len] == ',' ? 1 : 0);
    }
    *out_item = item;
    return item.len > 0;
}

static bool parse_net(struct vg_view text, struct vg_net_address *net, unsigned *bits)
{
    char copy[MAX_NET];
    int64_t number;

    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (!vg_net_address_parse(copy, net))
        return false;
    *bits = net->len * 8;
    if (!slash)
        return true;
    if (vg_parse_i64(vg_view_of(slash + 1), 0, (int64_t)net->len * 8, &number) != 0)
        return false;
    *bits = (unsigned)number;
    return true;
}

bool vg_net_is(struct vg_view text)
{
    struct vg_net_address net;
    unsigned bits;

    return parse_net(text, &net, &bits);
}

static bool prefix_matches(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool vg_nets_hold(const char *list, const struct vg_net_address *address)
{
    struct vg_view item;
    struct vg_net_address net;
    unsigned bits;

    while (vg_list_next(&list, &item))
        if (parse_net(item, &net, &bits) && net.len == address->len &&
            prefix_matches(net.bytes, address->bytes, bits))
            return true;
    return false;
}
