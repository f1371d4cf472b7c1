/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService: the webhook endpoints of a project. */
#include <stdio.h>
#include <string.h>

#include "common/keyring.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/webhook_secret.h"
#include "service/jobs/webhook_event.h"
#include "service/names.h"
#include "service/webhook_priv.h"

#define HINT_SIZE 16
#define MAX_TYPES 16
#define TYPES_SIZE 256

/* --- what the handlers share --- */

bool vg_webhook_id_taken(struct vg_request *request, const char *id)
{
    if (vg_id_valid(id, strlen(id), "whe"))
        return true;
    vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such webhook endpoint.");
    return false;
}

int32_t vg_webhook_page(struct vg_request *request, int32_t limit)
{
    if (limit >= 0 && limit <= VG_WEBHOOK_MAX_PAGE)
        return limit > 0 ? limit : VG_WEBHOOK_PAGE;
    vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 100 is allowed.");
    return -1;
}

/* Cuts a text of the store's own into a list; it has as many commas as the list needs. */
static void split_types(const char *text, struct vg_arena *arena,
                        Videogate__V1__WebhookEndpoint *out)
{
    char *rest = vg_arena_strdup(arena, text);

    out->event_types = vg_arena_alloc(arena, MAX_TYPES * sizeof(char *));
    for (char *word; (word = strsep(&rest, ",")) && out->n_event_types < MAX_TYPES;)
        out->event_types[out->n_event_types++] = word;
}

/* A project's key knows its project. */
static Videogate__V1__WebhookEndpoint *translate(const struct vg_request *request,
                                                 const struct vg_webhook_endpoint *row)
{
    struct vg_arena *arena = vg_rpc_call_arena(request->call);
    Videogate__V1__WebhookEndpoint *out = vg_arena_alloc(arena, sizeof(*out));

    videogate__v1__webhook_endpoint__init(out);
    out->id = vg_pb_text(row->id);
    out->name = vg_pb_text(row->name);
    out->url = vg_pb_text(row->url);
    split_types(row->event_types, arena, out);
    out->created_at = row->created_at;
    out->opt_updated_at_case = VIDEOGATE__V1__WEBHOOK_ENDPOINT__OPT_UPDATED_AT_UPDATED_AT;
    out->updated_at = row->updated_at;
    out->signing_secret_hint = vg_pb_text(row->hint);
    out->project = vg_pb_text(request->who.project_id == 0 ? row->project : NULL);
    if (row->disabled_at) {
        out->opt_disabled_at_case = VIDEOGATE__V1__WEBHOOK_ENDPOINT__OPT_DISABLED_AT_DISABLED_AT;
        out->disabled_at = row->disabled_at;
        out->disabled_reason = vg_pb_text(row->disabled_reason);
    }
    if (row->failing_since) {
        out->opt_failing_since_case =
            VIDEOGATE__V1__WEBHOOK_ENDPOINT__OPT_FAILING_SINCE_FAILING_SINCE;
        out->failing_since = row->failing_since;
    }
    out->public_key = vg_pb_text(row->public_key);
    return out;
}

/* --- secrets --- */

/* A fresh secret; the text outlives the call's memory so that it can be wiped. */
struct fresh {
    char *text; /* owned */
    char id[VG_ID_SIZE];
    char hint[HINT_SIZE];
    char public_key[VG_WEBHOOK_KEY_SIZE]; /* "" with a symmetric one */
};

/* Fills `out`, which borrows from `fresh` and the call's arena. */
static int make_secret(struct vg_request *request, const char *endpoint, enum vg_webhook_kind kind,
                       struct fresh *fresh, struct vg_webhook_secret *out)
{
    struct vg_buf sealed;

    fresh->text = vg_xalloc(VG_WEBHOOK_KEY_SIZE);
    vg_webhook_secret_new(fresh->text, kind);
    vg_id_new(fresh->id, "whs");
    bool pair = vg_webhook_secret_public(fresh->public_key, fresh->text);
    const char *shown = pair ? fresh->public_key : fresh->text;
    (void)snprintf(fresh->hint, sizeof(fresh->hint), "%.*s...%s", pair ? 5 : 6, shown,
                   shown + strlen(shown) - 4);
    vg_buf_init(&sealed, VG_WEBHOOK_KEY_SIZE + 64);
    int rc = vg_keyring_seal(request->service->keyring, &sealed, vg_view_of(endpoint),
                             vg_view_of(fresh->text));
    if (rc == 0) {
        out->sealed = vg_arena_memdup(vg_request_arena(request), sealed.data, sealed.len);
        out->sealed_size = sealed.len;
        out->id = fresh->id;
        out->hint = fresh->hint;
        out->public_key = pair ? fresh->public_key : NULL;
    }
    vg_buf_fini(&sealed);
    return rc;
}

/* What the owner has to keep; of a pair nothing, the public half stands in the endpoint. */
static char *shown_secret(const struct fresh *fresh)
{
    return vg_pb_text(fresh->public_key[0] ? NULL : fresh->text);
}

/* False: the request has ended. */
static bool read_kind(struct vg_request *request, const char *name, enum vg_webhook_kind *out)
{
    if (vg_webhook_kind_find(name, out))
        return true;
    vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "signature",
                      "signature: must be v1 (HMAC-SHA256) or v1a (ed25519)");
    return false;
}

static void fail_sealing(struct vg_request *request, struct fresh *fresh)
{
    struct vg_err err;

    vg_free_secret(fresh->text);
    (void)vg_err_set(&err, VG_ERR_INTERNAL, NULL);
    vg_request_fail(request, &err);
}

/* --- what the caller gives --- */

/* The guard judges the address again when it is used: names may lead elsewhere by then. */
static int check_url(const struct vg_request *request, const char *url, const char **out,
                     struct vg_err *err)
{
    struct vg_buf normal;

    if (strlen(url) > VG_MAX_CALLBACK_URL)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "url",
                            "url: must have at most %d characters", VG_MAX_CALLBACK_URL);
    vg_buf_init(&normal, (size_t)VG_MAX_CALLBACK_URL * 3);
    int rc = vg_http_guard_url(request->service->base_env.callback_guard, url, "url", &normal, err);
    if (rc == 0)
        *out = vg_arena_memdup(vg_rpc_call_arena(request->call), normal.data, normal.len);
    vg_buf_fini(&normal);
    return rc;
}

/* Known types, each once, in the caller's order, with commas between. */
static int check_types(char *const *types, size_t count, char out[TYPES_SIZE], struct vg_err *err)
{
    bool seen[MAX_TYPES] = {false};
    size_t len = 0, known = 0;
    const struct vg_webhook_type *all = vg_webhook_types(&known);

    VG_ASSERT(known <= MAX_TYPES);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const struct vg_webhook_type *type = vg_webhook_type_find(types[i]);

        if (!type)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "event_types",
                                "event_types: '%.40s' is none; there are " VG_WEBHOOK_TYPE_NAMES,
                                types[i]);
        if (seen[type - all])
            continue;
        seen[type - all] = true;
        int more = snprintf(out + len, TYPES_SIZE - len, "%s%s", len > 0 ? "," : "", type->name);
        len += (size_t)more;
    }
    if (len > 0)
        return 0;
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "event_types",
                        "event_types: needs at least one item");
}

/* --- CreateWebhookEndpoint --- */

struct create {
    struct vg_request request;
    struct vg_webhook_create op;
    struct fresh fresh;
    char id[VG_ID_SIZE];
    char types[TYPES_SIZE];
};

static void create_done(struct vg_task *task)
{
    struct create *c = VG_CONTAINER(task, struct create, op.op.done);
    Videogate__V1__CreateWebhookEndpointResponse response =
        VIDEOGATE__V1__CREATE_WEBHOOK_ENDPOINT_RESPONSE__INIT;
    char *secret = c->fresh.text;

    if (c->op.op.ok) {
        vg_log(VG_LOG_INFO, "webhook endpoint created", VG_S("endpoint", c->id),
               VG_S("project", c->op.endpoint.project));
        response.endpoint = translate(&c->request, &c->op.endpoint);
        response.signing_secret = shown_secret(&c->fresh);
        vg_request_reply(&c->request, &response.base);
    } else {
        vg_request_fail(&c->request, &c->op.op.err);
    }
    vg_free_secret(secret);
}

static int create_read(struct create *c, struct vg_err *err)
{
    const Videogate__V1__CreateWebhookEndpointRequest *in = vg_request_message(&c->request);

    c->op.project_id = c->request.who.project_id;
    c->op.project = in->project[0] ? in->project : "default";
    c->op.name = in->name;
    c->op.event_types = c->types;
    if (vg_name_project(c->op.project, err) < 0 || vg_name_label(in->name, err) < 0 ||
        check_url(&c->request, in->url, &c->op.url, err) < 0)
        return -1;
    return check_types(in->event_types, in->n_event_types, c->types, err);
}

static void create_run(struct vg_request *request)
{
    struct create *c = VG_CONTAINER(request, struct create, request);
    const Videogate__V1__CreateWebhookEndpointRequest *in = vg_request_message(request);
    enum vg_webhook_kind kind;
    struct vg_err err;

    if (create_read(c, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    if (!read_kind(request, in->signature ? in->signature : "v1", &kind))
        return;
    vg_id_new(c->id, "whe");
    c->op.id = c->id;
    if (make_secret(request, c->id, kind, &c->fresh, &c->op.secret) != 0) {
        fail_sealing(request, &c->fresh);
        return;
    }
    vg_request_op(request, &c->op.op, create_done);
    vg_webhook_create(request->service->db, &c->op);
}

void vg_handle_webhook_create(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct create), VG_SCOPE_WEBHOOKS_WRITE, create_run);
}

/* --- GetWebhookEndpoint --- */

struct get {
    struct vg_request request;
    struct vg_webhook_get op;
};

static void get_done(struct vg_task *task)
{
    struct get *g = VG_CONTAINER(task, struct get, op.op.done);
    Videogate__V1__GetWebhookEndpointResponse response =
        VIDEOGATE__V1__GET_WEBHOOK_ENDPOINT_RESPONSE__INIT;

    if (!g->op.op.ok) {
        vg_request_fail(&g->request, &g->op.op.err);
        return;
    }
    response.endpoint = translate(&g->request, &g->op.endpoint);
    vg_request_reply(&g->request, &response.base);
}

static void get_run(struct vg_request *request)
{
    struct get *g = VG_CONTAINER(request, struct get, request);
    const Videogate__V1__GetWebhookEndpointRequest *in = vg_request_message(request);

    if (!vg_webhook_id_taken(request, in->id))
        return;
    g->op.id = in->id;
    g->op.project_id = request->who.project_id;
    vg_request_op(request, &g->op.op, get_done);
    vg_webhook_get(request->service->db, &g->op);
}

void vg_handle_webhook_get(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct get), VG_SCOPE_WEBHOOKS_READ, get_run);
}

/* --- ListWebhookEndpoints --- */

struct list {
    struct vg_request request;
    struct vg_webhook_list op;
};

static void list_done(struct vg_task *task)
{
    struct list *l = VG_CONTAINER(task, struct list, op.op.done);
    Videogate__V1__ListWebhookEndpointsResponse response =
        VIDEOGATE__V1__LIST_WEBHOOK_ENDPOINTS_RESPONSE__INIT;

    if (!l->op.op.ok) {
        vg_request_fail(&l->request, &l->op.op.err);
        return;
    }
    response.n_data = l->op.count;
    response.data = vg_arena_alloc(vg_request_arena(&l->request),
                                   (l->op.count + 1) * sizeof(Videogate__V1__WebhookEndpoint *));
    for (size_t i = 0; i < l->op.count; i++)
        response.data[i] = translate(&l->request, &l->op.endpoints[i]);
    response.has_more = l->op.has_more;
    vg_request_reply(&l->request, &response.base);
}

static void list_run(struct vg_request *request)
{
    struct list *l = VG_CONTAINER(request, struct list, request);
    const Videogate__V1__ListWebhookEndpointsRequest *in = vg_request_message(request);
    struct vg_err err;

    l->op.limit = vg_webhook_page(request, in->limit);
    if (l->op.limit < 0)
        return;
    if (in->after[0] && !vg_id_valid(in->after, strlen(in->after), "whe")) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "after",
                          "after: is not a webhook endpoint's id.");
        return;
    }
    if (in->project[0] && vg_name_project(in->project, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    l->op.project_id = request->who.project_id;
    l->op.project = in->project[0] ? in->project : NULL;
    l->op.after = in->after[0] ? in->after : NULL;
    vg_request_op(request, &l->op.op, list_done);
    vg_webhook_list(request->service->db, &l->op);
}

void vg_handle_webhook_list(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct list), VG_SCOPE_WEBHOOKS_READ, list_run);
}

/* --- UpdateWebhookEndpoint --- */

struct update {
    struct vg_request request;
    struct vg_webhook_update op;
    char types[TYPES_SIZE];
};

static void update_done(struct vg_task *task)
{
    struct update *u = VG_CONTAINER(task, struct update, op.op.done);
    Videogate__V1__UpdateWebhookEndpointResponse response =
        VIDEOGATE__V1__UPDATE_WEBHOOK_ENDPOINT_RESPONSE__INIT;

    if (!u->op.op.ok) {
        vg_request_fail(&u->request, &u->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "webhook endpoint updated", VG_S("endpoint", u->op.endpoint.id));
    response.endpoint = translate(&u->request, &u->op.endpoint);
    vg_request_reply(&u->request, &response.base);
}

static int update_read(struct update *u, struct vg_err *err)
{
    const Videogate__V1__UpdateWebhookEndpointRequest *in = vg_request_message(&u->request);

    u->op.id = in->id;
    u->op.project_id = u->request.who.project_id;
    if (in->opt_name_case) {
        u->op.name = in->name;
        if (vg_name_label(in->name, err) < 0)
            return -1;
    }
    if (in->opt_url_case && check_url(&u->request, in->url, &u->op.url, err) < 0)
        return -1;
    if (in->n_event_types == 0)
        return 0;
    u->op.event_types = u->types;
    return check_types(in->event_types, in->n_event_types, u->types, err);
}

static void update_run(struct vg_request *request)
{
    struct update *u = VG_CONTAINER(request, struct update, request);
    const Videogate__V1__UpdateWebhookEndpointRequest *in = vg_request_message(request);
    struct vg_err err;

    if (!vg_webhook_id_taken(request, in->id))
        return;
    if (update_read(u, &err) < 0) {
        vg_request_fail(request, &err);
        return;
    }
    vg_request_op(request, &u->op.op, update_done);
    vg_webhook_update(request->service->db, &u->op);
}

void vg_handle_webhook_update(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct update), VG_SCOPE_WEBHOOKS_WRITE, update_run);
}

/* --- DeleteWebhookEndpoint --- */

struct delete
{
    struct vg_request request;
    struct vg_webhook_delete op;
};

static void delete_done(struct vg_task *task)
{
    struct delete *d = VG_CONTAINER(task, struct delete, op.op.done);
    Videogate__V1__DeleteWebhookEndpointResponse response =
        VIDEOGATE__V1__DELETE_WEBHOOK_ENDPOINT_RESPONSE__INIT;

    if (!d->op.op.ok) {
        vg_request_fail(&d->request, &d->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "webhook endpoint deleted", VG_S("endpoint", d->op.id));
    response.id = vg_pb_text(d->op.id);
    vg_request_reply(&d->request, &response.base);
}

static void delete_run(struct vg_request *request)
{
    struct delete *d = VG_CONTAINER(request, struct delete, request);
    const Videogate__V1__DeleteWebhookEndpointRequest *in = vg_request_message(request);

    if (!vg_webhook_id_taken(request, in->id))
        return;
    d->op.id = in->id;
    d->op.project_id = request->who.project_id;
    vg_request_op(request, &d->op.op, delete_done);
    vg_webhook_delete(request->service->db, &d->op);
}

void vg_handle_webhook_delete(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct delete), VG_SCOPE_WEBHOOKS_WRITE, delete_run);
}

/* --- RotateWebhookSecret --- */

struct rotate {
    struct vg_request request;
    struct vg_webhook_get present;
    struct vg_webhook_rotate op;
    struct fresh fresh;
};

static void rotate_done(struct vg_task *task)
{
    struct rotate *r = VG_CONTAINER(task, struct rotate, op.op.done);
    Videogate__V1__RotateWebhookSecretResponse response =
        VIDEOGATE__V1__ROTATE_WEBHOOK_SECRET_RESPONSE__INIT;
    char *secret = r->fresh.text;

    if (r->op.op.ok) {
        vg_log(VG_LOG_INFO, "webhook secret rotated", VG_S("endpoint", r->op.id),
               VG_I("keep_s", r->op.keep_s));
        response.endpoint = translate(&r->request, &r->op.endpoint);
        response.signing_secret = shown_secret(&r->fresh);
        vg_request_reply(&r->request, &response.base);
    } else {
        vg_request_fail(&r->request, &r->op.op.err);
    }
    vg_free_secret(secret);
}

static void rotate_to(struct rotate *r, enum vg_webhook_kind kind)
{
    if (make_secret(&r->request, r->op.id, kind, &r->fresh, &r->op.secret) != 0) {
        fail_sealing(&r->request, &r->fresh);
        return;
    }
    vg_request_op(&r->request, &r->op.op, rotate_done);
    vg_webhook_rotate(r->request.service->db, &r->op);
}

static void present_read(struct vg_task *task)
{
    struct rotate *r = VG_CONTAINER(task, struct rotate, present.op.done);

    if (r->present.op.ok)
        rotate_to(r, r->present.endpoint.public_key ? VG_WEBHOOK_V1A : VG_WEBHOOK_V1);
    else
        vg_request_fail(&r->request, &r->present.op.err);
}

static void rotate_run(struct vg_request *request)
{
    struct rotate *r = VG_CONTAINER(request, struct rotate, request);
    const Videogate__V1__RotateWebhookSecretRequest *in = vg_request_message(request);
    enum vg_webhook_kind kind;

    if (!vg_webhook_id_taken(request, in->id))
        return;
    r->op.id = in->id;
    r->op.project_id = request->who.project_id;
    r->op.keep_s = in->keep_old_secret_active_for_24_hours ? request->service->secret_overlap_s : 0;
    if (!in->signature) { /* as it is */
        r->present.id = r->op.id;
        r->present.project_id = r->op.project_id;
        vg_request_op(request, &r->present.op, present_read);
        vg_webhook_get(request->service->db, &r->present);
    } else if (read_kind(request, in->signature, &kind)) {
        rotate_to(r, kind);
    }
}

void vg_handle_webhook_rotate(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct rotate), VG_SCOPE_WEBHOOKS_WRITE, rotate_run);
}
