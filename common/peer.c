/* SPDX-License-Identifier: Apache-2.0 */
#include "common/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/nets.h"
#include "common/str.h"

/* An IPv4 address in an IPv6 one is an IPv4 address. */
static bool read_address(struct vg_view text, struct vg_net_address *out)
{
    if (!vg_net_address_parse(text, out))
        return false;
    (void)vg_net_address_unmap(out);
    return true;
}

static void write_address(const struct vg_net_address *a, char out[VG_PEER_SIZE])
{
    if (!inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->bytes, out, VG_PEER_SIZE))
        out[0] = '\0';
}

bool vg_peer_parse(struct vg_view text, char out[VG_PEER_SIZE])
{
    struct vg_net_address a;

    out[0] = '\0';
    if (!read_address(text, &a))
        return false;
    write_address(&a, out);
    return true;
}

bool vg_peer_of_core(const char *text, char out[VG_PEER_SIZE])
{
    const char *colon = strrchr(text, ':');
    struct vg_view v = {text, colon ? (size_t)(colon - text) : 0};

    out[0] = '\0';
    if (v.len < 5 || (memcmp(text, "ipv4:", 5) != 0 && memcmp(text, "ipv6:", 5) != 0))
        return false;
    v.data += 5;
    v.len -= 5;
    if (v.len >= 2 && v.data[0] == '[' && v.data[v.len - 1] == ']')
        v = (struct vg_view){v.data + 1, v.len - 2};
    else if (v.len >= 6 && vg_view_eqs_nocase((struct vg_view){v.data, 3}, "%5b") &&
             vg_view_eqs_nocase((struct vg_view){v.data + v.len - 3, 3}, "%5d"))
        v = (struct vg_view){v.data + 3, v.len - 6};
    return vg_peer_parse(v, out);
}

void vg_peer_group(const char *peer, char out[VG_PEER_SIZE])
{
    struct vg_net_address a;

    (void)vg_strcpy(out, VG_PEER_SIZE, peer);
    if (!read_address(vg_view_of(peer), &a) || a.len == 4)
        return;
    memset(a.bytes + 8, 0, 8);
    write_address(&a, out);
    size_t len = strlen(out);
    (void)snprintf(out + len, VG_PEER_SIZE - len, "/64");
}

/* --- nets --- */

/* A net in IPv6's form may be one of mapped addresses. */
static bool holds(const struct vg_net *net, const struct vg_net_address *peer)
{
    struct vg_net_address a = *peer;

    if (net->address.len == 16)
        vg_net_address_map(&a);
    return vg_net_holds(net, &a);
}

int vg_peer_nets_check(const char *nets, const char *param, struct vg_err *err)
{
    struct vg_view item;
    struct vg_net net;

    while (nets && *nets && vg_list_cut(&nets, &item))
        if (!vg_net_parse(item, &net))
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                                "%s: \"%.*s\" is no net, as in 10.0.0.0/8,fd00::/8", param,
                                (int)(item.len < 80 ? item.len : 80), item.data);
    return 0;
}

bool vg_peer_in(const char *peer, const char *nets)
{
    struct vg_view item;
    struct vg_net_address a;
    struct vg_net net;

    if (!read_address(vg_view_of(peer), &a))
        return false;
    while (nets && *nets && vg_list_cut(&nets, &item))
        if (vg_net_parse(item, &net) && holds(&net, &a))
            return true;
    return false;
}

bool vg_peer_forwarded(char peer[VG_PEER_SIZE], struct vg_view value, const char *nets)
{
    char before[VG_PEER_SIZE];

    while (value.len > 0) {
        size_t at = value.len;
        while (at > 0 && value.data[at - 1] != ',')
            at--;
        struct vg_view item = vg_view_trim((struct vg_view){value.data + at, value.len - at});
        if (!vg_peer_in(peer, nets) || !vg_peer_parse(item, before))
            return false;
        (void)vg_strcpy(peer, VG_PEER_SIZE, before);
        value.len = at > 0 ? at - 1 : 0;
    }
    return true;
}
