/* SPDX-License-Identifier: Apache-2.0 */
#include "common/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

/* 16 bytes for both families: IPv4 stands in its mapped form. */
struct address {
    uint8_t bytes[16];
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct address *a)
{
    return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

static bool read_address(struct vg_view text, struct address *out)
{
    char copy[VG_PEER_SIZE];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    memcpy(out->bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, out->bytes + sizeof(mapped)) == 1 ||
           inet_pton(AF_INET6, copy, out->bytes) == 1;
}

static void write_address(const struct address *a, char out[VG_PEER_SIZE])
{
    bool v4 = is_v4(a);

    if (!inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? sizeof(mapped) : 0), out,
                   VG_PEER_SIZE))
        out[0] = '\0';
}

bool vg_peer_parse(struct vg_view text, char out[VG_PEER_SIZE])
{
    struct address a;

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
    struct address a;

    (void)vg_strcpy(out, VG_PEER_SIZE, peer);
    if (!read_address(vg_view_of(peer), &a) || is_v4(&a))
        return;
    memset(a.bytes + 8, 0, 8);
    write_address(&a, out);
    size_t len = strlen(out);
    (void)snprintf(out + len, VG_PEER_SIZE - len, "/64");
}

/* --- nets --- */

static bool read_net(struct vg_view text, struct address *net, int64_t *bits)
{
    const char *slash = memchr(text.data, '/', text.len);
    size_t len = slash ? (size_t)(slash - text.data) : text.len;

    if (!read_address((struct vg_view){text.data, len}, net))
        return false;
    int64_t shift = memchr(text.data, ':', len) ? 0 : 96;
    *bits = 128 - shift;
    if (slash &&
        vg_parse_i64((struct vg_view){slash + 1, text.len - len - 1}, 0, 128 - shift, bits) < 0)
        return false;
    *bits += shift;
    return true;
}

static bool within(const struct address *a, const struct address *net, int64_t bits)
{
    size_t whole = (size_t)bits / 8;
    unsigned rest = (unsigned)bits % 8;

    return memcmp(a->bytes, net->bytes, whole) == 0 &&
           (rest == 0 || ((a->bytes[whole] ^ net->bytes[whole]) >> (8 - rest)) == 0);
}

/* Cuts the next element off. */
static bool next(const char **list, struct vg_view *out)
{
    if (!*list || !**list)
        return false;
    size_t len = strcspn(*list, ",");
    *out = vg_view_trim((struct vg_view){*list, len});
    *list += len + ((*list)[len] == ',');
    return true;
}

int vg_peer_nets_check(const char *nets, const char *param, struct vg_err *err)
{
    struct vg_view item;
    struct address net;
    int64_t bits = 0;

    while (next(&nets, &item))
        if (!read_net(item, &net, &bits))
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                                "%s: \"%.*s\" is no net, as in 10.0.0.0/8,fd00::/8", param,
                                (int)(item.len < 80 ? item.len : 80), item.data);
    return 0;
}

bool vg_peer_in(const char *peer, const char *nets)
{
    struct vg_view item;
    struct address a, net;
    int64_t bits = 0;

    if (!read_address(vg_view_of(peer), &a))
        return false;
    while (next(&nets, &item))
        if (read_net(item, &net, &bits) && within(&a, &net, bits))
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
