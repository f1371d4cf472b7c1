/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService: keys, queue figures, and the table of all its calls. */
#include <string.h>

#include "common/api_key.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "db/generation_store.h"
#include "service/limits.h"
#include "service/names.h"
#include "service/projects.h"
#include "service/service_priv.h"

/* --- CreateApiKey --- */

struct create_key {
    struct vg_request request;
    struct vg_key_create op;
    char id[VG_ID_SIZE];
    char hint[5];
    char scopes[VG_SCOPES_TEXT_SIZE];
    char *secret; /* owned; outlives the call's memory so that it can be wiped */
};

static void create_key_done(struct vg_task *task)
{
    struct create_key *k = VG_CONTAINER(task, struct create_key, op.op.done);
    Videogate__V1__CreateApiKeyResponse response = VIDEOGATE__V1__CREATE_API_KEY_RESPONSE__INIT;
    Videogate__V1__ApiKey key;
    char *secret = k->secret;

    if (k->op.op.ok) {
        vg_log(VG_LOG_INFO, "api key created", VG_S("key", k->op.key.id),
               VG_S("project", k->op.key.project));
        vg_translate_key(&k->op.key, vg_request_arena(&k->request), &key);
        response.key = &key;
        response.secret = secret;
        vg_request_reply(&k->request, &response.base);
    } else {
        vg_request_fail(&k->request, &k->op.op.err);
    }
    vg_free_secret(secret);
}

static int take_scopes(const Videogate__V1__CreateApiKeyRequest *in, char out[VG_SCOPES_TEXT_SIZE],
                       struct vg_err *err)
{
    uint32_t scopes = in->n_scopes > 0 ? 0 : (uint32_t)VG_SCOPE_ALL;

    for (size_t i = 0; i < in->n_scopes; i++) {
        uint32_t scope = vg_scope_by_name(in->scopes[i], strlen(in->scopes[i]));

        if (!scope)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "scopes",
                                "scopes: '%.40s' is none; there are videos.read, videos.write, "
                                "usage.read, webhooks.read, webhooks.write",
                                in->scopes[i]);
        scopes |= scope;
    }
    vg_scopes_format(scopes, out);
    return 0;
}

/* Expiry, scopes, limits. */
static int take_terms(const Videogate__V1__CreateApiKeyRequest *in, struct create_key *k,
                      struct vg_err *err)
{
    if (in->opt_expires_at_case) {
        if (in->expires_at <= vg_wall_ms() / 1000)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "expires_at",
                                "expires_at: must lie in the future");
        k->op.expires_at = in->expires_at;
    }
    if (take_scopes(in, k->scopes, err) < 0)
        return -1;
    k->op.scopes = k->scopes;
    return vg_limits_read(in->limits, &k->op.limits, err);
}

static void make_secret(struct create_key *k)
{
    struct vg_peppered row;

    k->secret = vg_xalloc(VG_API_KEY_SIZE);
    vg_api_key_new(k->secret, k->id);
    vg_pepper_make(k->request.service->peppers, vg_view_of(k->secret), &row);
    memcpy(k->op.hash, row.hash, sizeof(k->op.hash));
    k->op.pepper = row.pepper;
    (void)vg_strcpy(k->hint, sizeof(k->hint), k->secret + VG_API_KEY_SIZE - sizeof(k->hint));
}

static void create_key_run(struct vg_request *request)
{
    struct vg_err err;
    struct create_key *k = VG_CONTAINER(request, struct create_key, request);
    const Videogate__V1__CreateApiKeyRequest *in = vg_request_message(request);
    const char *project = in->project[0] ? in->project : "default";

    if (vg_name_project(project, &err) < 0 || vg_name_label(in->name, &err) < 0 ||
        take_terms(in, k, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    vg_id_new(k->id, "key");
    make_secret(k);
    k->op.project = project;
    k->op.name = in->name;
    k->op.id = k->id;
    k->op.hint = k->hint;
    vg_request_op(request, &k->op.op, create_key_done);
    vg_key_create(request->service->db, &k->op);
}

static void handle_create_key(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct create_key), create_key_run);
}

/* --- ListApiKeys --- */

struct list_keys {
    struct vg_request request;
    struct vg_key_list op;
};

static void list_keys_done(struct vg_task *task)
{
    struct list_keys *l = VG_CONTAINER(task, struct list_keys, op.op.done);
    struct vg_arena *arena = vg_request_arena(&l->request);
    Videogate__V1__ListApiKeysResponse response = VIDEOGATE__V1__LIST_API_KEYS_RESPONSE__INIT;

    if (!l->op.op.ok) {
        vg_request_fail(&l->request, &l->op.op.err);
        return;
    }
    response.n_keys = l->op.count;
    response.keys = vg_arena_alloc(arena, (l->op.count + 1) * sizeof(Videogate__V1__ApiKey *));
    for (size_t i = 0; i < l->op.count; i++) {
        response.keys[i] = vg_arena_alloc(arena, sizeof(Videogate__V1__ApiKey));
        vg_translate_key(&l->op.keys[i], arena, response.keys[i]);
    }
    vg_request_reply(&l->request, &response.base);
}

static void list_keys_run(struct vg_request *request)
{
    struct list_keys *l = VG_CONTAINER(request, struct list_keys, request);
    const Videogate__V1__ListApiKeysRequest *in = vg_request_message(request);
    struct vg_err err;

    if (in->project[0] && vg_name_project(in->project, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    l->op.project = in->project[0] ? in->project : NULL;
    vg_request_op(request, &l->op.op, list_keys_done);
    vg_key_list(request->service->db, &l->op);
}

static void handle_list_keys(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct list_keys), list_keys_run);
}

/* --- RevokeApiKey --- */

struct revoke_key {
    struct vg_request request;
    struct vg_key_revoke op;
};

static void revoke_key_done(struct vg_task *task)
{
    struct revoke_key *r = VG_CONTAINER(task, struct revoke_key, op.op.done);
    Videogate__V1__RevokeApiKeyResponse response = VIDEOGATE__V1__REVOKE_API_KEY_RESPONSE__INIT;
    Videogate__V1__ApiKey key;

    if (!r->op.op.ok) {
        vg_request_fail(&r->request, &r->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "api key revoked", VG_S("key", r->op.key.id),
           VG_S("project", r->op.key.project));
    vg_translate_key(&r->op.key, vg_request_arena(&r->request), &key);
    response.key = &key;
    vg_request_reply(&r->request, &response.base);
}

static void revoke_key_run(struct vg_request *request)
{
    struct revoke_key *r = VG_CONTAINER(request, struct revoke_key, request);
    const char *id = ((const Videogate__V1__RevokeApiKeyRequest *)vg_request_message(request))->id;

    if (!vg_name_id_ok(id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "Key not found.");
        return;
    }
    r->op.id = id;
    vg_request_op(request, &r->op.op, revoke_key_done);
    vg_key_revoke(request->service->db, &r->op);
}

static void handle_revoke_key(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct revoke_key), revoke_key_run);
}

/* --- GetQueueStats --- */

struct stats {
    struct vg_request request;
    struct vg_generation_stats op;
};

static void stats_done(struct vg_task *task)
{
    struct stats *s = VG_CONTAINER(task, struct stats, op.op.done);
    Videogate__V1__GetQueueStatsResponse response = VIDEOGATE__V1__GET_QUEUE_STATS_RESPONSE__INIT;
    Videogate__V1__QueueStat rows[VG_GEN_STATE_MAX];
    Videogate__V1__QueueStat *list[VG_GEN_STATE_MAX];

    if (!s->op.op.ok) {
        vg_request_fail(&s->request, &s->op.op.err);
        return;
    }
    response.stats = list;
    for (int state = VG_GEN_PENDING; state < VG_GEN_STATE_MAX; state++) {
        Videogate__V1__QueueStat *row = &rows[response.n_stats];
        if (s->op.counts[state] == 0)
            continue;
        videogate__v1__queue_stat__init(row);
        row->state = vg_pb_text(vg_generation_state_name((enum vg_generation_state)state));
        row->count = s->op.counts[state];
        list[response.n_stats++] = row;
    }
    vg_request_reply(&s->request, &response.base);
}

static void stats_run(struct vg_request *request)
{
    struct stats *s = VG_CONTAINER(request, struct stats, request);

    vg_request_op(request, &s->op.op, stats_done);
    vg_generation_stats(request->service->db, &s->op);
}

static void handle_stats(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct stats), stats_run);
}

struct vg_rpc_service vg_admin_service(struct vg_service *service)
{
    static const struct vg_rpc_method methods[] = {
        {"CreateApiKey", handle_create_key, false},
        {"CreateProject", vg_handle_create_project, false},
        {"CreateWebhookEndpoint", vg_handle_webhook_create, false},
        {"DeleteWebhookEndpoint", vg_handle_webhook_delete, false},
        {"GetQueueStats", handle_stats, false},
        {"GetUsage", vg_handle_usage, false},
        {"GetVideoTrace", vg_handle_trace, false},
        {"GetWebhookEndpoint", vg_handle_webhook_get, false},
        {"ListApiKeys", handle_list_keys, false},
        {"ListDeliveries", vg_handle_delivery_list, false},
        {"ListProjects", vg_handle_list_projects, false},
        {"ListWebhookEndpoints", vg_handle_webhook_list, false},
        {"ListWebhookEventTypes", vg_handle_webhook_types, false},
        {"RedeliverWebhook", vg_handle_redeliver, false},
        {"RedeliverWebhooks", vg_handle_redeliver_range, false},
        {"ResealSecrets", vg_handle_reseal, false},
        {"RevokeApiKey", handle_revoke_key, false},
        {"RotateWebhookSecret", vg_handle_webhook_rotate, false},
        {"TestWebhookEndpoint", vg_handle_webhook_test, false},
        {"UpdateProject", vg_handle_update_project, false},
        {"UpdateWebhookEndpoint", vg_handle_webhook_update, false},
    };

    return (struct vg_rpc_service){.descriptor = &videogate__v1__admin_service__descriptor,
                                   .methods = methods,
                                   .method_count = VG_COUNT(methods),
                                   .ctx = service};
}
