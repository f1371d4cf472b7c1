/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/api_key.h"
#include "common/clock.h"
#include "service/attempt.h"
#include "service/binding.h"
#include "service/rate.h"
#include "service/service_priv.h"

#define OP_MS 10000
#define RETRY_MS 1000

struct vg_arena *vg_request_arena(struct vg_request *request)
{
    return vg_rpc_call_arena(request->call);
}

const void *vg_request_message(const struct vg_request *request)
{
    return vg_rpc_call_request(request->call);
}

const struct vg_validate_env *vg_request_env(struct vg_request *request)
{
    struct vg_validate_env *env = vg_arena_alloc(vg_request_arena(request), sizeof(*env));

    if (!request->catalog)
        request->catalog = vg_catalog_live_take(request->service->catalog);
    *env = request->service->base_env;
    env->catalog = request->catalog;
    return env;
}

/* The request's memory is the call's: nothing of it is touched after the call has ended. The
 * catalog goes last, for the answer points into it. */
static void ended(struct vg_service *service, struct vg_catalog *catalog)
{
    (void)vg_catalog_unref(catalog);
    (void)atomic_fetch_sub(&service->in_flight, 1);
}

void vg_request_reply(struct vg_request *request, const ProtobufCMessage *response)
{
    struct vg_service *service = request->service;
    struct vg_catalog *catalog = request->catalog;

    vg_rpc_call_reply(request->call, response);
    ended(service, catalog);
}

void vg_request_fail(struct vg_request *request, const struct vg_err *err)
{
    struct vg_service *service = request->service;
    struct vg_catalog *catalog = request->catalog;
    const struct vg_err copy = *err; /* `err` mostly lives in the arena */

    vg_rpc_call_fail(request->call, &copy);
    ended(service, catalog);
}

void vg_request_refuse(struct vg_request *request, enum vg_err_kind kind, const char *param,
                       const char *text)
{
    struct vg_err err;

    (void)vg_err_param(&err, kind, param, "%s", text);
    vg_request_fail(request, &err);
}

void vg_request_finish(struct vg_request *request)
{
    struct vg_service *service = request->service;
    struct vg_catalog *catalog = request->catalog;

    vg_rpc_call_finish(request->call);
    ended(service, catalog);
}

static void proceed(struct vg_request *request)
{
    if (!request->wait.ok) {
        vg_request_fail(request, &request->wait.err);
        return;
    }
    request->who = request->wait.who;
    request->run(request);
}

/* Rows without their files, or files without their rows, serve nobody. */
static void proceed_when_bound(struct vg_request *request)
{
    char why[96];

    if (request->wait.ok && !vg_binding_holds(request->service->binding, why, sizeof(why))) {
        request->wait.ok = false;
        (void)vg_err_set(&request->wait.err, VG_ERR_UNAVAILABLE, NULL);
        request->wait.err.retry_after_ms = RETRY_MS;
    }
    proceed(request);
}

/* What the key itself may not do. */
static void judge_identity(struct vg_request *request)
{
    const struct vg_identity *who = &request->wait.who;
    uint32_t scope = (uint32_t)request->scope;

    if (!request->wait.ok)
        return;
    if (who->archived)
        (void)vg_err_set(&request->wait.err, VG_ERR_GONE, "This key's project is archived.");
    else if ((who->scopes & scope) != scope)
        (void)vg_err_set(&request->wait.err, VG_ERR_PERMISSION_DENIED,
                         "This key lacks the scope %s.", vg_scope_name(request->scope));
    else
        return;
    request->wait.ok = false;
}

static void tell_rate(struct vg_rpc_call *call, const struct vg_rate_answer *rate)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%d", (int)rate->limit);
    vg_rpc_call_set_trailing(call, "x-ratelimit-limit-requests", text);
    (void)snprintf(text, sizeof(text), "%d", (int)rate->remaining);
    vg_rpc_call_set_trailing(call, "x-ratelimit-remaining-requests", text);
    vg_rate_duration(text, rate->reset_ms);
    vg_rpc_call_set_trailing(call, "x-ratelimit-reset-requests", text);
    (void)snprintf(text, sizeof(text), "%d", (int)rate->limit);
    vg_rpc_call_set_trailing(call, "ratelimit-limit", text);
    (void)snprintf(text, sizeof(text), "%d", (int)rate->remaining);
    vg_rpc_call_set_trailing(call, "ratelimit-remaining", text);
    (void)snprintf(text, sizeof(text), "%" PRId64, (rate->reset_ms + 999) / 1000);
    vg_rpc_call_set_trailing(call, "ratelimit-reset", text);
    (void)snprintf(text, sizeof(text), "\"requests\";q=%d;w=60", (int)rate->limit);
    vg_rpc_call_set_trailing(call, "ratelimit-policy", text);
    (void)snprintf(text, sizeof(text), "\"requests\";r=%d;t=%" PRId64, (int)rate->remaining,
                   (rate->reset_ms + 999) / 1000);
    vg_rpc_call_set_trailing(call, "ratelimit", text);
}

/* Requests a minute: OpenAI's headers, those of draft-ietf-httpapi-ratelimit-headers and of its
 * older versions (LLM Gateway's), as trailing metadata: eight pairs, all that there is room for.
 * Without a limit nothing is done. */
static void judge_rate(struct vg_request *request)
{
    const struct vg_identity *who = &request->wait.who;
    struct vg_rate_limit limits[2];
    struct vg_rate_answer rate;
    size_t count = 0;

    if (!request->wait.ok || (who->key_rpm == 0 && who->project_rpm == 0))
        return;
    if (who->key_rpm > 0)
        limits[count++] = (struct vg_rate_limit){vg_rate_key(who->key_id), who->key_rpm};
    if (who->project_rpm > 0)
        limits[count++] =
            (struct vg_rate_limit){vg_rate_project(who->project_id), who->project_rpm};
    vg_rate_take(request->service->rate, limits, count, vg_now_ns(), &rate);
    tell_rate(request->call, &rate);
    if (rate.allowed)
        return;
    request->wait.ok = false;
    (void)vg_err_set(&request->wait.err, VG_ERR_RATE_LIMITED,
                     "Rate limit reached: this %s may make %d requests a minute.",
                     who->key_rpm > 0 && rate.tightest == 0 ? "key" : "project", (int)rate.limit);
    request->wait.err.retry_after_ms = rate.retry_ms;
}

static struct vg_view key_of(const struct vg_rpc_call *call)
{
    return vg_auth_key_of(vg_rpc_call_metadata(call, "authorization"),
                          vg_rpc_call_metadata(call, "x-api-key"));
}

static bool admit(struct vg_auth_wait *wait, const char *key_id)
{
    struct vg_request *request = VG_CONTAINER(wait, struct vg_request, wait);

    return vg_attempt_admit(request->service, request->call, key_id, &wait->err);
}

/* A wrong key, not a missing one. */
static void count_failure(struct vg_request *request)
{
    struct vg_view key = key_of(request->call);
    char id[VG_ID_SIZE];

    if (request->wait.ok || request->wait.err.kind != VG_ERR_UNAUTHENTICATED || key.len == 0)
        return;
    bool junk = vg_api_key_read(key, id) == VG_API_KEY_JUNK;
    vg_attempt_failed(request->service, request->call,
                      junk ? VG_ATTEMPT_MALFORMED : VG_ATTEMPT_UNKNOWN, id);
}

static void known(struct vg_request *request)
{
    count_failure(request);
    judge_identity(request);
    judge_rate(request);
    proceed_when_bound(request);
}

static void auth_done(struct vg_task *task)
{
    known(VG_CONTAINER(task, struct vg_request, wait.done));
}

static struct vg_request *make(void *service, struct vg_rpc_call *call, size_t size,
                               vg_request_f *run)
{
    struct vg_request *request = vg_arena_alloc(vg_rpc_call_arena(call), size);

    request->service = service;
    request->call = call;
    request->run = run;
    (void)atomic_fetch_add(&request->service->in_flight, 1);
    return request;
}

void vg_request_begin(void *service, struct vg_rpc_call *call, size_t size, enum vg_scope scope,
                      vg_request_f *run)
{
    struct vg_request *request = make(service, call, size, run);

    request->scope = scope;
    request->wait.executor = vg_loop_executor(request->service->loop);
    request->wait.done.run = auth_done;
    request->wait.admit = admit;
    if (vg_auth_check(request->service->auth, key_of(call), &request->wait))
        known(request);
}

void vg_request_begin_scoped(void *service, struct vg_rpc_call *call, size_t size,
                             enum vg_scope scope, vg_request_f *run)
{
    struct vg_service *s = service;

    if (vg_auth_is_admin(s->auth, key_of(call)))
        vg_request_begin_admin(service, call, size, run);
    else
        vg_request_begin(service, call, size, scope, run);
}

void vg_request_begin_judged(void *service, struct vg_rpc_call *call, size_t size,
                             vg_request_judge_f *judge, vg_request_f *run)
{
    struct vg_request *request = make(service, call, size, run);

    request->wait.ok = judge(request, &request->wait.err) == 0;
    proceed_when_bound(request);
}

void vg_request_begin_admin(void *service, struct vg_rpc_call *call, size_t size, vg_request_f *run)
{
    struct vg_request *request = make(service, call, size, run);

    struct vg_view key = key_of(call);

    /* Where too much has failed even the right one is not looked at: it may be a guess. */
    if (vg_attempt_admit(request->service, call, "", &request->wait.err)) {
        request->wait.ok = vg_auth_is_admin(request->service->auth, key);
        if (!request->wait.ok)
            (void)vg_err_set(&request->wait.err, VG_ERR_UNAUTHENTICATED,
                             "This call takes the admin key as 'Authorization: Bearer KEY'.");
        if (!request->wait.ok && key.len > 0)
            vg_attempt_failed(request->service, call, VG_ATTEMPT_ADMIN, "");
    }
    proceed(request);
}

void vg_request_op(struct vg_request *request, struct vg_db_op *op,
                   void (*done)(struct vg_task *task))
{
    int64_t own = vg_deadline_in_ms(OP_MS);
    int64_t caller = vg_rpc_call_deadline(request->call);

    op->executor = vg_loop_executor(request->service->loop);
    op->done.run = done;
    op->deadline_ns = caller < own ? caller : own;
    op->arena = vg_request_arena(request);
}

const char *vg_request_metadata(struct vg_request *request, const char *key)
{
    struct vg_view v = vg_rpc_call_metadata(request->call, key);

    return vg_arena_memdup(vg_request_arena(request), v.len ? v.data : "",
                           v.len < 128 ? v.len : 128);
}

Videogate__V1__Video *vg_request_video(struct vg_request *request, const struct vg_video *row)
{
    struct vg_arena *arena = vg_request_arena(request);
    Videogate__V1__Video *video = vg_arena_alloc(arena, sizeof(*video));

    vg_translate_video(row, request->service->links, vg_wall_ms() / 1000, arena, video);
    return video;
}

bool vg_video_id_ok(const char *id)
{
    return vg_id_valid(id, strlen(id), "video");
}
