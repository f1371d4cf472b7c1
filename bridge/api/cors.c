/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/cors.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define MAX_ORIGINS 64
/* Telemetry headers of one SDK: today it has ten. */
#define MAX_STAINLESS 32
#define MAX_NAME 40

/* What callers send besides the headers that need no permission. */
#define ALLOWED                                                                                    \
    "authorization, content-type, x-api-key, idempotency-key, last-event-id, range, "              \
    "if-none-match, "                                                                              \
    "if-modified-since, if-range, x-request-id, x-client-request-id, x-no-fallback, "              \
    "openai-organization, openai-project, openai-beta, user-agent"
/* What callers may read besides the headers that need no permission. */
#define EXPOSED                                                                                    \
    "x-request-id, openai-poll-after-ms, openai-processing-ms, openai-version, retry-after, "      \
    "retry-after-ms, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, " \
    "x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, "         \
    "x-ratelimit-reset-tokens, ratelimit, ratelimit-policy, ratelimit-limit, "                     \
    "ratelimit-remaining, "                                                                        \
    "ratelimit-reset, etag, content-range, accept-ranges, content-disposition, content-length, "   \
    "location, allow"

_Static_assert(sizeof(ALLOWED) + (size_t)MAX_STAINLESS * (MAX_NAME + 2) < VG_CORS_NAMES,
               "all names fit");

struct vg_cors {
    bool any;
    size_t count;
    struct vg_view origins[MAX_ORIGINS]; /* into text */
    char text[];
};

static bool is_host(struct vg_view host)
{
    if (host.len == 0)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.data[i] <= 0x20 || host.data[i] >= 0x7f || strchr("/?#@\\\"',*", host.data[i]))
            return false;
    return true;
}

/* SCHEME://HOST[:PORT] and nothing behind it: what a browser sends. */
static bool is_origin(struct vg_view text)
{
    size_t scheme = 0;
    while (scheme < text.len && text.data[scheme] != ':') {
        char c = (char)(text.data[scheme++] | 0x20);
        if (!((c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '+'))
            return false;
    }
    return scheme > 0 && text.len > scheme + 3 && memcmp(text.data + scheme, "://", 3) == 0 &&
           is_host((struct vg_view){text.data + scheme + 3, text.len - scheme - 3});
}

static int add_origin(struct vg_cors *cors, struct vg_view item, struct vg_err *err)
{
    if (item.len == 0)
        return 0;
    if (vg_view_eqs(item, "*")) {
        cors->any = true;
        return 0;
    }
    if (!is_origin(item))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "cors-origins",
                            "cors-origins: \"%.*s\" is not an origin like https://app.example",
                            item.len < 100 ? (int)item.len : 100, item.data);
    if (cors->count == MAX_ORIGINS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "cors-origins",
                            "cors-origins: at most %d origins", MAX_ORIGINS);
    cors->origins[cors->count++] = item;
    return 0;
}

int vg_cors_new(struct vg_cors **out, const char *origins, struct vg_err *err)
{
    size_t len = origins ? strlen(origins) : 0;
    struct vg_cors *cors = vg_xalloc(sizeof(*cors) + len + 1);
    memcpy(cors->text, len ? origins : "", len);
    for (size_t at = 0; at < len;) {
        size_t n = strcspn(cors->text + at, ",");
        if (add_origin(cors, vg_view_trim((struct vg_view){cors->text + at, n}), err) != 0) {
            (void)vg_cors_free(cors);
            return -1;
        }
        at += n + 1;
    }
    if (!cors->any && cors->count == 0)
        cors = vg_cors_free(cors);
    *out = cors;
    return 0;
}

struct vg_cors *vg_cors_free(struct vg_cors *cors)
{
    free(cors);
    return NULL;
}

static bool starts_with(struct vg_view text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

bool vg_cors_covers(struct vg_view path)
{
    return path.len == 0 || starts_with(path, "/v1/");
}

/* Scheme and host come in lower case from browsers, and have no case anywhere else. */
static bool allowed(const struct vg_cors *cors, struct vg_view origin)
{
    for (size_t i = 0; i < cors->count; i++)
        if (vg_view_eq_nocase(cors->origins[i], origin))
            return true;
    return false;
}

size_t vg_cors_answer(const struct vg_cors *cors, struct vg_view origin,
                      struct vg_header out[VG_CORS_ANSWER])
{
    size_t n = 0;
    bool good = cors->any || (origin.len && allowed(cors, origin));
    if (good)
        out[n++] = (struct vg_header){VG_VIEW("access-control-allow-origin"),
                                      cors->any ? VG_VIEW("*") : origin};
    if (good && origin.len)
        out[n++] = (struct vg_header){VG_VIEW("access-control-expose-headers"), VG_VIEW(EXPOSED)};
    if (!cors->any) /* also without an Origin: a cache must not give this answer to another one */
        out[n++] = (struct vg_header){VG_VIEW("vary"), VG_VIEW("origin")};
    return n;
}

static bool is_stainless(struct vg_view name)
{
    if (name.len > MAX_NAME || name.len < sizeof("x-stainless-"))
        return false;
    struct vg_view head = {name.data, sizeof("x-stainless-") - 1};
    if (!vg_view_eqs_nocase(head, "x-stainless-"))
        return false;
    for (size_t i = head.len; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-'))
            return false;
    }
    return true;
}

/* The fixed names, then every x-stainless-* that is asked for. */
static size_t allow_names(struct vg_view requested, char names[VG_CORS_NAMES])
{
    size_t len = sizeof(ALLOWED) - 1;
    int more = 0;
    memcpy(names, ALLOWED, len);
    while (requested.len && more < MAX_STAINLESS) {
        const char *comma = memchr(requested.data, ',', requested.len);
        size_t n = comma ? (size_t)(comma - requested.data) : requested.len;
        struct vg_view name = vg_view_trim((struct vg_view){requested.data, n});
        n += comma != NULL;
        requested = (struct vg_view){requested.data + n, requested.len - n};
        if (!is_stainless(name))
            continue;
        names[len] = ',';
        names[len + 1] = ' ';
        memcpy(names + len + 2, name.data, name.len);
        len += 2 + name.len;
        more++;
    }
    return len;
}

size_t vg_cors_preflight(struct vg_view requested, struct vg_view methods,
                         char names[VG_CORS_NAMES], struct vg_header out[VG_CORS_PREFLIGHT])
{
    size_t len = allow_names(requested, names);
    out[0] = (struct vg_header){VG_VIEW("access-control-allow-methods"), methods};
    out[1] = (struct vg_header){VG_VIEW("access-control-allow-headers"), {names, len}};
    out[2] = (struct vg_header){VG_VIEW("access-control-max-age"), VG_VIEW("86400")};
    return VG_CORS_PREFLIGHT;
}
