/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/routes.h"

#include <string.h>

#include "bridge/api/handlers.h"
#include "bridge/http/request.h"
#include "common/mem.h"
#include "common/str.h"

/* Sorted by path, then method. X(method, pattern, body, handler) */
#define ROUTES(X)                                                                                  \
    X("GET", "/docs", VG_BODY_DROP, vg_handle_static)                                              \
    X("GET", "/healthz", VG_BODY_DROP, vg_handle_healthz)                                          \
    X("GET", "/metrics", VG_BODY_DROP, vg_handle_metrics)                                          \
    X("GET", "/openapi.json", VG_BODY_DROP, vg_handle_static)                                      \
    X("GET", "/readyz", VG_BODY_DROP, vg_handle_readyz)                                            \
    X("GET", "/v1/models", VG_BODY_DROP, vg_handle_models)                                         \
    X("GET", "/v1/models/{id...}", VG_BODY_DROP, vg_handle_model)                                  \
    X("POST", "/v1/provider-events/{id...}", VG_BODY_EVENT, vg_handle_provider_event)              \
    X("GET", "/v1/usage", VG_BODY_DROP, vg_handle_usage)                                           \
    X("GET", "/v1/videos", VG_BODY_DROP, vg_handle_list)                                           \
    X("POST", "/v1/videos", VG_BODY_JSON_OR_FORM, vg_handle_create)                                \
    X("DELETE", "/v1/videos/{id}", VG_BODY_DROP, vg_handle_delete)                                 \
    X("GET", "/v1/videos/{id}", VG_BODY_DROP, vg_handle_get)                                       \
    X("POST", "/v1/videos/{id}/cancel", VG_BODY_DROP, vg_handle_cancel)                            \
    X("GET", "/v1/videos/{id}/content", VG_BODY_DROP, vg_handle_content)                           \
    X("GET", "/v1/videos/{id}/deliveries", VG_BODY_DROP, vg_handle_video_deliveries)               \
    X("GET", "/v1/videos/{id}/events", VG_BODY_DROP, vg_handle_events)                             \
    X("POST", "/v1/videos/{id}/remix", VG_BODY_JSON_OR_FORM, vg_handle_remix)                      \
    X("POST", "/v1/videos/characters", VG_BODY_JSON_OR_FORM, vg_handle_characters)                 \
    X("GET", "/v1/videos/characters/{id}", VG_BODY_DROP, vg_handle_characters)                     \
    X("POST", "/v1/videos/edits", VG_BODY_JSON_OR_FORM, vg_handle_edit)                            \
    X("POST", "/v1/videos/extensions", VG_BODY_JSON_OR_FORM, vg_handle_extend)                     \
    X("GET", "/v1/videos/logs/{id}/content", VG_BODY_DROP, vg_handle_content)                      \
    X("POST", "/v1/webhook_deliveries/redeliver", VG_BODY_JSON, vg_handle_redeliver_range)         \
    X("POST", "/v1/webhook_deliveries/{id}/redeliver", VG_BODY_DROP, vg_handle_redeliver)          \
    X("GET", "/v1/webhook_endpoints", VG_BODY_DROP, vg_handle_webhook_list)                        \
    X("POST", "/v1/webhook_endpoints", VG_BODY_JSON, vg_handle_webhook_create)                     \
    X("DELETE", "/v1/webhook_endpoints/{id}", VG_BODY_DROP, vg_handle_webhook_delete)              \
    X("GET", "/v1/webhook_endpoints/{id}", VG_BODY_DROP, vg_handle_webhook_get)                    \
    X("POST", "/v1/webhook_endpoints/{id}", VG_BODY_JSON, vg_handle_webhook_update)                \
    X("GET", "/v1/webhook_endpoints/{id}/deliveries", VG_BODY_DROP, vg_handle_endpoint_deliveries) \
    X("POST", "/v1/webhook_endpoints/{id}/rotate_secret", VG_BODY_JSON, vg_handle_webhook_rotate)  \
    X("POST", "/v1/webhook_endpoints/{id}/test", VG_BODY_JSON, vg_handle_webhook_test)             \
    X("GET", "/v1/webhook_event_types", VG_BODY_DROP, vg_handle_webhook_types)

#define ROW(method, pattern, body, handle) {method, pattern, body, handle},
#define LABEL(method, pattern, body, handle) method " " pattern,

static const struct vg_route table[] = {ROUTES(ROW)};
static const char *const labels[] = {ROUTES(LABEL) "other", NULL};

/* Whether the path has the pattern's shape; `param` gets the part that {id} stands for: one
 * segment, or with {id...} all the rest. */
static bool match(const char *pattern, struct vg_view path, struct vg_view *param)
{
    size_t at = 0;
    *param = VG_VIEW("");
    if (path.len && path.data[path.len - 1] == '/')
        return false; /* no pattern ends in '/' */
    while (*pattern) {
        if (at == path.len)
            return false;
        if (*pattern != '{') {
            if (path.data[at++] != *pattern++)
                return false;
            continue;
        }
        struct vg_view rest = {path.data + at, path.len - at};
        const char *slash = memchr(rest.data, '/', rest.len);
        if (slash && strncmp(pattern, "{id...}", 7) != 0)
            rest.len = (size_t)(slash - rest.data);
        if (rest.len == 0)
            return false;
        *param = rest;
        at += rest.len;
        pattern = strchr(pattern, '}') + 1;
    }
    return at == path.len;
}

/* Words of the API that stand where a video's id could; they are never one. */
static bool reserved(const char *pattern, struct vg_view param)
{
    static const char *const words[] = {"characters", "edits", "extensions", "logs"};
    static const char video[] = "/v1/videos/{id}";

    if (strncmp(pattern, video, sizeof(video) - 1) != 0)
        return false;
    for (size_t i = 0; i < VG_COUNT(words); i++)
        if (vg_view_eqs(param, words[i]))
            return true;
    return false;
}

static void add_allow(char allow[VG_ALLOW_SIZE], const char *method)
{
    size_t len = strlen(allow);
    if (len) {
        (void)vg_strcpy(allow + len, VG_ALLOW_SIZE - len, ", ");
        len += 2;
    }
    (void)vg_strcpy(allow + len, VG_ALLOW_SIZE - len, method); /* five methods fit */
}

enum vg_route_result vg_route_find(struct vg_view method, struct vg_view path,
                                   const struct vg_route **out, char param[VG_PARAM_SIZE],
                                   char allow[VG_ALLOW_SIZE])
{
    const struct vg_route *found = NULL;
    struct vg_view raw = {NULL, 0}, view;
    bool head = vg_view_eqs(method, "HEAD");
    allow[0] = param[0] = '\0';
    for (size_t i = 0; i < VG_COUNT(table); i++) {
        if (!match(table[i].pattern, path, &view) || reserved(table[i].pattern, view))
            continue;
        raw = view;
        add_allow(allow, table[i].method);
        if (strcmp(table[i].method, "GET") == 0)
            add_allow(allow, "HEAD");
        if (vg_view_eqs(head ? VG_VIEW("GET") : method, table[i].method))
            found = &table[i];
    }
    if (!allow[0] || vg_http_decode(param, VG_PARAM_SIZE, raw, false) < 0) {
        allow[0] = param[0] = '\0';
        return VG_ROUTE_NO_PATH;
    }
    add_allow(allow, "OPTIONS");
    if (!found)
        return VG_ROUTE_NO_METHOD;
    *out = found;
    return VG_ROUTE_FOUND;
}

bool vg_route_creates(const struct vg_route *route)
{
    return route && route->body == VG_BODY_JSON_OR_FORM;
}

bool vg_route_keyless(const struct vg_route *route)
{
    return route && route->body == VG_BODY_EVENT;
}

size_t vg_route_index(const struct vg_route *route)
{
    return route ? (size_t)(route - table) : VG_COUNT(table);
}

size_t vg_route_count(void)
{
    return VG_COUNT(table);
}

const char *const *vg_route_labels(void)
{
    return labels;
}
