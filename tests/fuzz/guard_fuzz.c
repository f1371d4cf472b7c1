/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard lets through must hold no address that another resolver of host text would call
 * private, and its normalised form must pass again unchanged. */
#include "common/http/guard.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* inet_aton takes every short, octal and hexadecimal spelling: an opinion independent of libcurl's.
 */
static void check_host(const struct vg_http_guard *guard, const char *url)
{
    const char *host = strstr(url, "://");
    struct sockaddr_in in = {.sin_family = AF_INET};

    VG_ASSERT(host);
    host += strlen("://");
    char *copy = vg_xmemdup(host, strcspn(host, ":/?#"));
    VG_ASSERT(*copy && !strchr(copy, '@'));
    if (inet_aton(copy, &in.sin_addr))
        VG_ASSERT(vg_http_guard_allows(guard, (const struct sockaddr *)&in, true));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vg_http_guard open_guard = {.allow_http = true, .allow_any_port = true};
    char *url = vg_xmemdup(data, size);
    struct vg_http_guard nets = {.allow_nets = url}, list = {.egress = url, .own = {url}};
    struct vg_buf first, second;
    struct vg_err err;

    (void)vg_http_guard_check(&nets, NULL); /* any text is fine as long as nothing breaks */
    (void)vg_http_guard_check(&list, NULL);
    (void)vg_http_guard_url(&list, "https://a.example.com/", "url", NULL, NULL);
    vg_buf_init(&first, 1 << 16);
    vg_buf_init(&second, 1 << 16);
    if (vg_http_guard_url(&open_guard, url, "url", &first, &err) == 0) {
        check_host(&open_guard, url);
        check_host(&open_guard, first.data);
        VG_ASSERT(vg_http_guard_url(&open_guard, first.data, "url", &second, &err) == 0);
        VG_ASSERT(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    } else {
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST && err.detail[0]);
    }
    vg_buf_fini(&first);
    vg_buf_fini(&second);
    free(url);
    return 0;
}
