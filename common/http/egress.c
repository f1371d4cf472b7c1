/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/egress.h"

#include <string.h>
#include <strings.h>

#include "common/nets.h"

enum { MAX_ITEM = 254 };

static bool is_host(struct vg_view item)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t at = item.data[0] == '.' ? 1 : 0;

    if (item.len > MAX_ITEM || at == item.len || item.data[item.len - 1] == '.')
        return false;
    for (; at < item.len; at++)
        if (!strchr(allowed, item.data[at]) || (item.data[at] == '.' && item.data[at - 1] == '.'))
            return false;
    while (at > 0 && strchr("0123456789", item.data[at - 1]))
        at--;
    return at > 0 && item.data[at - 1] != '.'; /* 10.0.0.256 is a mistake, not a name */
}

int vg_egress_check(const char *list, struct vg_err *err)
{
    struct vg_view item;
    struct vg_net net;

    while (vg_list_next(&list, &item))
        if (!vg_net_parse(item, &net) && !is_host(item))
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "egress: \"%.*s\" is no host, no .domain and no network",
                              (int)(item.len > MAX_ITEM ? MAX_ITEM : item.len), item.data);
    return 0;
}

static bool covers(struct vg_view item, struct vg_view host)
{
    if (item.data[0] == '.' && host.len + 1 == item.len) /* the domain itself */
        return strncasecmp(item.data + 1, host.data, host.len) == 0;
    if (item.data[0] == '.' && host.len > item.len)
        return strncasecmp(item.data, host.data + host.len - item.len, item.len) == 0;
    return item.len == host.len && strncasecmp(item.data, host.data, host.len) == 0;
}

bool vg_egress_names(const char *list, const char *host)
{
    struct vg_view item;
    struct vg_net net;

    while (vg_list_next(&list, &item))
        if (!vg_net_parse(item, &net) && covers(item, vg_view_of(host)))
            return true;
    return false;
}

bool vg_egress_has_nets(const char *list)
{
    struct vg_view item;
    struct vg_net net;

    while (vg_list_next(&list, &item))
        if (vg_net_parse(item, &net))
            return true;
    return false;
}
