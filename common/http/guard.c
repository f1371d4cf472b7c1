/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/guard.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/http/egress.h"
#include "common/mem.h"
#include "common/nets.h"
#include "common/str.h"

enum { MAX_URL = 8192, MAX_NAME = 253, MAX_LABEL = 63, MAX_NET = 64 };

/* What no caller's URL may reach. Sources: IANA special-purpose registries, cloud metadata
 * addresses. */
static const struct {
    uint32_t net;
    unsigned bits;
} denied4[] = {
    {0x00000000, 8},  /* 0.0.0.0: this host */
    {0x0A000000, 8},  /* 10.0.0.0 */
    {0x64400000, 10}, /* 100.64.0.0: carrier NAT, Alibaba metadata 100.100.100.200 */
    {0x7F000000, 8},  /* 127.0.0.0 */
    {0xA83F8110, 32}, /* 168.63.129.16: Azure wire server */
    {0xA9FE0000, 16}, /* 169.254.0.0: link-local, cloud metadata */
    {0xAC100000, 12}, /* 172.16.0.0 */
    {0xC0000000, 24}, /* 192.0.0.0: protocols, Oracle metadata 192.0.0.192 */
    {0xC0000200, 24}, /* 192.0.2.0: documentation */
    {0xC0586300, 24}, /* 192.88.99.0: 6to4 relays */
    {0xC0A80000, 16}, /* 192.168.0.0 */
    {0xC6120000, 15}, /* 198.18.0.0: benchmarks */
    {0xC6336400, 24}, /* 198.51.100.0: documentation */
    {0xCB007100, 24}, /* 203.0.113.0: documentation */
    {0xE0000000, 4},  /* 224.0.0.0: multicast */
    {0xF0000000, 4},  /* 240.0.0.0: reserved, broadcast */
};

/* Of IPv6 only 2000::/3 passes at all; these are the holes in it (upper 64 bits). */
static const struct {
    uint64_t net;
    unsigned bits;
} denied6[] = {
    {UINT64_C(0x2001000000000000), 23}, /* 2001::/23: Teredo, ORCHID, benchmarks */
    {UINT64_C(0x20010DB800000000), 32}, /* 2001:db8::/32: documentation */
    {UINT64_C(0x2002000000000000), 16}, /* 2002::/16: 6to4 */
    {UINT64_C(0x3FFF000000000000), 20}, /* 3fff::/20: documentation */
};

int vg_http_guard_check(const struct vg_http_guard *guard, struct vg_err *err)
{
    const char *list = guard->allow_nets;
    struct vg_view item;
    struct vg_net net;

    while (vg_list_next(&list, &item))
        if (!vg_net_parse(item, &net))
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "allow-nets: \"%.*s\" is not a network like 10.0.0.0/8",
                              (int)(item.len > MAX_NET ? MAX_NET : item.len), item.data);
    return vg_egress_check(guard->egress, err);
}

static bool set(const char *text)
{
    return text && *text;
}

/* --- addresses --- */

static bool judge4(const struct vg_http_guard *guard, const struct vg_net_address *address)
{
    const unsigned char *b = address->bytes;
    uint32_t host =
        (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];

    for (size_t i = 0; i < VG_COUNT(denied4); i++)
        if ((host ^ denied4[i].net) >> (32 - denied4[i].bits) == 0)
            return vg_nets_hold(guard->allow_nets, address);
    return true;
}

/* The IPv4 address inside 64:ff9b::a.b.c.d. Other embeddings (6to4, v4-compatible,
 * ::ffff:0:a.b.c.d) are denied whatever they hold; mapped ones are what is inside. */
static bool inside_nat64(const struct vg_net_address *address, struct vg_net_address *out)
{
    static const unsigned char nat64[12] = {0x00, 0x64, 0xFF, 0x9B};

    if (address->len != 16 || memcmp(address->bytes, nat64, sizeof(nat64)) != 0)
        return false;
    memcpy(out->bytes, address->bytes + sizeof(nat64), 4);
    out->len = 4;
    return true;
}

static bool judge6(const struct vg_http_guard *guard, const struct vg_net_address *address)
{
    struct vg_net_address inside = *address;
    uint64_t upper = 0;

    if (vg_net_address_unmap(&inside))
        return judge4(guard, &inside) || vg_nets_hold(guard->allow_nets, address);
    if (inside_nat64(address, &inside)) /* where a network has NAT64, its owner lists it */
        return vg_nets_hold(guard->allow_nets, address) && judge4(guard, &inside);
    for (size_t i = 0; i < 8; i++)
        upper = upper << 8 | address->bytes[i];
    if (upper >> 61 != 1) /* outside 2000::/3 */
        return vg_nets_hold(guard->allow_nets, address);
    for (size_t i = 0; i < VG_COUNT(denied6); i++)
        if ((upper ^ denied6[i].net) >> (64 - denied6[i].bits) == 0)
            return vg_nets_hold(guard->allow_nets, address);
    return true;
}

static bool judge(const struct vg_http_guard *guard, const struct vg_net_address *address)
{
    return address->len == 4 ? judge4(guard, address) : judge6(guard, address);
}

/* Whether an interface of this host has the address: only then can a socket be bound to it. */
static bool is_here(const struct vg_net_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    bool four = address->len == 4;

    memcpy(four ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, address->bytes, address->len);
    int fd = socket(four ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* nobody knows: refuse */
    int rc = bind(fd, four ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6,
                  four ? sizeof(in) : sizeof(in6));
    (void)close(fd);
    return rc == 0;
}

static bool is_own_port(const struct vg_http_guard *guard, unsigned port)
{
    int64_t number;

    for (size_t i = 0; i < VG_GUARD_OWN; i++) {
        const char *list = guard->own[i];
        struct vg_view item;
        while (vg_list_next(&list, &item)) {
            const char *colon = memrchr(item.data, ':', item.len);
            if (!colon)
                continue;
            size_t before = (size_t)(colon + 1 - item.data);
            struct vg_view text = {colon + 1, item.len - before};
            if (vg_parse_i64(text, 1, 65535, &number) == 0 && number == port)
                return true;
        }
    }
    return false;
}

static bool is_own(const struct vg_http_guard *guard, const struct vg_net_address *address,
                   unsigned port)
{
    struct vg_net_address plain = *address;

    if (!is_own_port(guard, port))
        return false;
    (void)vg_net_address_unmap(&plain);
    return is_here(&plain);
}

bool vg_http_guard_allows(const struct vg_http_guard *guard, const struct sockaddr *sa, bool named)
{
    struct vg_net_address address;
    unsigned port;

    return vg_net_address_of(sa, &address, &port) && judge(guard, &address) &&
           (named || !set(guard->egress) || vg_nets_hold(guard->egress, &address)) &&
           !is_own(guard, &address, port);
}

/* --- URLs --- */

/* What two parsers might read differently is refused before any parser sees it. NULL: good. */
static const char *check_raw(const struct vg_http_guard *guard, const char *url)
{
    static const char *const schemes[] = {"https://", "http://"};
    const char *rest = NULL;

    if (strnlen(url, MAX_URL + 1) > MAX_URL)
        return "the address is longer than 8,192 bytes";
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F || *c == '\\')
            return "spaces, control characters, backslashes and non-ASCII characters are not "
                   "allowed";
    for (size_t i = 0; i < (guard->allow_http ? 2 : 1); i++)
        if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
            rest = url + strlen(schemes[i]);
    if (!rest)
        return guard->allow_http ? "must begin with https:// or http://"
                                 : "must begin with https://";
    size_t host = strcspn(rest, "/?#");
    if (host == 0)
        return "the host is missing";
    if (memchr(rest, '@', strcspn(rest, "/")))
        return "user names and passwords in the address are not allowed";
    if (memchr(rest, '%', host))
        return "the host must not be percent-encoded";
    const char *fragment = strchr(rest, '#');
    if (fragment && strchr(fragment, '@'))
        return "the fragment must not contain @";
    return NULL;
}

static bool is_under(const char *name, const char *domain)
{
    size_t len = strlen(name), tail = strlen(domain);

    return len >= tail && strcasecmp(name + len - tail, domain) == 0 &&
           (len == tail || name[len - tail - 1] == '.');
}

/* Letters, digits, '-' and '_' in labels of 1 to 63, none at the end that looks like a number. */
static const char *check_name_form(const char *name)
{
    const char *label = name;

    if (strlen(name) > MAX_NAME)
        return "the host name is too long";
    for (;;) {
        size_t len = strcspn(label, ".");
        if (len == 0 || len > MAX_LABEL)
            return "the host has an empty or too long label";
        if (strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") < len)
            return "the host has a character that is not allowed";
        if (!label[len])
            break;
        label += len + 1;
    }
    if (strspn(label, "0123456789") == strlen(label) || strncasecmp(label, "0x", 2) == 0)
        return "the host is not a valid IPv4 address";
    return NULL;
}

static const char not_listed[] = "the host is not one of those that may be reached";

static const char *check_name(const struct vg_http_guard *guard, const char *name)
{
    static const char *const inner[] = {"local", "internal", "localdomain",
                                        "lan",   "intranet", "home.arpa"};
    static const struct vg_net_address loopback = {.bytes = {127, 0, 0, 1}, .len = 4};
    const char *why = check_name_form(name);

    if (why)
        return why;
    if (is_under(name, "localhost"))
        return judge(guard, &loopback) ? NULL : "the host is not a public one";
    if (set(guard->allow_nets))
        return NULL; /* private names go with private nets; the socket check has the last word */
    if (!strchr(name, '.'))
        return "the host is not a public one";
    for (size_t i = 0; i < VG_COUNT(inner); i++)
        if (is_under(name, inner[i]))
            return "the host is not a public one";
    return NULL;
}

static const char *check_address(const struct vg_http_guard *guard,
                                 const struct vg_net_address *address, unsigned port)
{
    if (!judge(guard, address) || is_own(guard, address, port))
        return "the address is not a public one";
    if (set(guard->egress) && !vg_nets_hold(guard->egress, address))
        return not_listed;
    return NULL;
}

static const char *check_host(const struct vg_http_guard *guard, char *host, unsigned port)
{
    struct vg_net_address address;
    size_t len = strlen(host);

    if (host[0] == '[') {
        if (host[len - 1] != ']')
            return "the host is not valid";
        host[len - 1] = '\0';
        if (!vg_net_address_parse(vg_view_of(host + 1), &address) || address.len != 16)
            return "the host is not a valid IPv6 address";
        return check_address(guard, &address, port);
    }
    if (vg_net_address_parse(vg_view_of(host), &address))
        return check_address(guard, &address, port);
    const char *why = check_name(guard, host);
    if (!why && set(guard->egress) && !vg_egress_names(guard->egress, host) &&
        !vg_egress_has_nets(guard->egress))
        why = not_listed;
    return why;
}

static const char *check_port(const struct vg_http_guard *guard, const char *text, unsigned *out)
{
    int64_t port;

    if (vg_parse_i64(vg_view_of(text), 1, 65535, &port) != 0)
        return "the port is not valid";
    if (!guard->allow_any_port && port != 80 && port != 443)
        return "only the ports 80 and 443 are allowed";
    *out = (unsigned)port;
    return NULL;
}

/* The checks that need libcurl's parser; `out` gets its normalised form. */
static const char *check_parsed(const struct vg_http_guard *guard, CURLU *parts, const char *url,
                                struct vg_buf *out)
{
    char *host = NULL, *port = NULL, *zone = NULL, *whole = NULL;
    const char *why = "the address is not valid";
    unsigned number = 0;

    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_URL, &whole, 0) != CURLUE_OK)
        goto out;
    if (curl_url_get(parts, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK)
        goto out;
    why = check_port(guard, port, &number);
    if (!why)
        why = check_host(guard, host, number);
    if (!why && out && vg_buf_adds(out, whole) != 0)
        why = "the address is too long";
out:
    curl_free(host);
    curl_free(port);
    curl_free(zone);
    curl_free(whole);
    return why;
}

int vg_http_guard_url(const struct vg_http_guard *guard, const char *url, const char *param,
                      struct vg_buf *out, struct vg_err *err)
{
    const char *why = check_raw(guard, url);

    if (!why) {
        CURLU *parts = curl_url();
        why = parts ? check_parsed(guard, parts, url, out) : "the address is not valid";
        curl_url_cleanup(parts);
    }
    if (why)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: %s", param, why);
    return 0;
}

bool vg_http_guard_names(const struct vg_http_guard *guard, const char *url)
{
    char *host = NULL;
    CURLU *parts;

    if (!set(guard->egress))
        return true;
    parts = curl_url();
    bool named = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                 vg_egress_names(guard->egress, host);
    curl_free(host);
    curl_url_cleanup(parts);
    return named;
}
