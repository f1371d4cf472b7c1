/* SPDX-License-Identifier: Apache-2.0 */
/* VideoService: the method table and the small handlers. */
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "service/service_priv.h"

static void not_found(struct vg_request *request)
{
    vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such video.");
}

/* --- GetVideo --- */

struct get {
    struct vg_request request;
    struct vg_video_get op;
};

static void get_done(struct vg_task *task)
{
    struct get *g = VG_CONTAINER(task, struct get, op.op.done);
    Videogate__V1__GetVideoResponse response = VIDEOGATE__V1__GET_VIDEO_RESPONSE__INIT;

    if (!g->op.op.ok) {
        vg_request_fail(&g->request, &g->op.op.err);
        return;
    }
    response.video = vg_request_video(&g->request, &g->op.video);
    vg_request_reply(&g->request, &response.base);
}

static void get_run(struct vg_request *request)
{
    struct get *g = VG_CONTAINER(request, struct get, request);
    const char *id = ((const Videogate__V1__GetVideoRequest *)vg_request_message(request))->id;

    if (!vg_video_id_ok(id)) {
        not_found(request);
        return;
    }
    g->op.id = id;
    g->op.project_id = request->who.project_id;
    vg_request_op(request, &g->op.op, get_done);
    vg_video_get(request->service->db, &g->op);
}

static void handle_get(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct get), VG_SCOPE_VIDEOS_READ, get_run);
}

/* --- ListVideos --- */

/* Ids come from the clocks of several machines. */
#define CLOCKS_APART_MS 300000

struct list {
    struct vg_request request;
    struct vg_video_list op;
};

static void list_done(struct vg_task *task)
{
    struct list *l = VG_CONTAINER(task, struct list, op.op.done);
    Videogate__V1__ListVideosResponse response = VIDEOGATE__V1__LIST_VIDEOS_RESPONSE__INIT;

    if (!l->op.op.ok) {
        vg_request_fail(&l->request, &l->op.op.err);
        return;
    }
    response.n_data = l->op.count;
    response.data = vg_arena_alloc(vg_request_arena(&l->request),
                                   (l->op.count + 1) * sizeof(Videogate__V1__Video *));
    for (size_t i = 0; i < l->op.count; i++)
        response.data[i] = vg_request_video(&l->request, &l->op.videos[i]);
    response.has_more = l->op.has_more;
    vg_request_reply(&l->request, &response.base);
}

/* Videos go, and a walk goes on from where one was: any id that may have been one of ours is a
 * place, whosever. */
static bool is_place(const char *id)
{
    if (!vg_video_id_ok(id))
        return false;
    int64_t made_ms = vg_id_time_ms(id);
    return made_ms >= 0 && made_ms <= vg_wall_ms() + CLOCKS_APART_MS;
}

static void list_run(struct vg_request *request)
{
    struct list *l = VG_CONTAINER(request, struct list, request);
    const Videogate__V1__ListVideosRequest *in = vg_request_message(request);

    if (in->limit < 0 || in->limit > 100) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "limit", "limit: must be from 1 to 100");
        return;
    }
    if (in->after[0] && !is_place(in->after)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "after", "after: there is no such video");
        return;
    }
    l->op.project_id = request->who.project_id;
    l->op.after = in->after[0] ? in->after : NULL;
    l->op.limit = in->limit ? in->limit : 20;
    l->op.ascending = in->ascending != 0;
    vg_request_op(request, &l->op.op, list_done);
    vg_video_list(request->service->db, &l->op);
}

static void handle_list(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct list), VG_SCOPE_VIDEOS_READ, list_run);
}

/* --- DeleteVideo --- */

struct delete
{
    struct vg_request request;
    struct vg_video_delete op;
    struct vg_task disk;
    struct vg_video_purged purged;
    const char *ids[1];
};

static void delete_reply(struct vg_task *task)
{
    struct delete *d = VG_CONTAINER(task, struct delete, purged.op.done);
    Videogate__V1__DeleteVideoResponse response = VIDEOGATE__V1__DELETE_VIDEO_RESPONSE__INIT;

    /* Whether the database noted the purge does not matter to the caller: the janitor does it
     * again. */
    vg_log(VG_LOG_INFO, "video deleted", VG_S("video", d->op.id),
           VG_S("req", vg_request_metadata(&d->request, "x-request-id")),
           VG_I("project", d->request.who.project_id), VG_I("files", d->op.blob_count));
    response.id = ((const Videogate__V1__DeleteVideoRequest *)vg_request_message(&d->request))->id;
    vg_request_reply(&d->request, &response.base);
}

/* On the pool. The row remembers the files until vg_video_purged, so nothing is left behind when we
 * die here. */
static void delete_files(struct vg_task *task)
{
    struct delete *d = VG_CONTAINER(task, struct delete, disk);
    struct vg_err err;
    bool all = true;

    for (size_t i = 0; i < d->op.blob_count; i++)
        if (vg_variant_remove(d->request.service->blobs, d->op.blobs[i], &err) < 0) {
            vg_log(VG_LOG_WARN, "file not removed, the janitor tries again",
                   VG_S("video", d->op.id), VG_S("why", vg_err_text(&err)));
            all = false;
        }
    d->ids[0] = d->op.id;
    d->purged.ids = d->ids;
    d->purged.count = all ? 1 : 0;
    vg_request_op(&d->request, &d->purged.op, delete_reply);
    if (all)
        vg_video_purged(d->request.service->db, &d->purged);
    else
        vg_post(d->purged.op.executor, &d->purged.op.done);
}

static void delete_done(struct vg_task *task)
{
    struct delete *d = VG_CONTAINER(task, struct delete, op.op.done);

    if (!d->op.op.ok) {
        vg_request_fail(&d->request, &d->op.op.err);
        return;
    }
    d->disk.run = delete_files;
    vg_post(d->request.service->pool, &d->disk);
}

static void delete_run(struct vg_request *request)
{
    struct delete *d = VG_CONTAINER(request, struct delete, request);
    const char *id = ((const Videogate__V1__DeleteVideoRequest *)vg_request_message(request))->id;

    if (!vg_video_id_ok(id)) {
        not_found(request);
        return;
    }
    d->op.id = id;
    d->op.project_id = request->who.project_id;
    vg_request_op(request, &d->op.op, delete_done);
    vg_video_delete(request->service->db, &d->op);
}

static void handle_delete(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct delete), VG_SCOPE_VIDEOS_WRITE, delete_run);
}

/* --- CancelVideo --- */

struct cancel {
    struct vg_request request;
    struct vg_video_cancel op;
};

static void cancel_done(struct vg_task *task)
{
    struct cancel *c = VG_CONTAINER(task, struct cancel, op.op.done);
    Videogate__V1__CancelVideoResponse response = VIDEOGATE__V1__CANCEL_VIDEO_RESPONSE__INIT;

    if (!c->op.op.ok) {
        vg_request_fail(&c->request, &c->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "video cancel asked", VG_S("video", c->op.id),
           VG_S("req", vg_request_metadata(&c->request, "x-request-id")),
           VG_I("project", c->request.who.project_id));
    vg_jobs_poke(c->request.service->jobs);
    response.video = vg_request_video(&c->request, &c->op.video);
    vg_request_reply(&c->request, &response.base);
}

static void cancel_run(struct vg_request *request)
{
    struct cancel *c = VG_CONTAINER(request, struct cancel, request);
    const char *id = ((const Videogate__V1__CancelVideoRequest *)vg_request_message(request))->id;

    if (!vg_video_id_ok(id)) {
        not_found(request);
        return;
    }
    c->op.id = id;
    c->op.project_id = request->who.project_id;
    vg_request_op(request, &c->op.op, cancel_done);
    vg_video_cancel(request->service->db, &c->op);
}

static void handle_cancel(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct cancel), VG_SCOPE_VIDEOS_WRITE, cancel_run);
}

/* --- ListModels, GetModel --- */

static void models_run(struct vg_request *request)
{
    const struct vg_validate_env *env = vg_request_env(request);
    struct vg_arena *arena = vg_request_arena(request);
    Videogate__V1__ListModelsResponse response = VIDEOGATE__V1__LIST_MODELS_RESPONSE__INIT;
    size_t count = 0;
    const struct vg_model *models = vg_catalog_models(env->catalog, &count);

    response.data = vg_arena_alloc(arena, count * sizeof(Videogate__V1__Model *));
    for (size_t i = 0; i < count; i++) {
        if (!vg_model_offered(env, &models[i]))
            continue;
        Videogate__V1__Model *m = vg_arena_alloc(arena, sizeof(*m));
        vg_translate_model(&models[i], arena, m);
        response.data[response.n_data++] = m;
    }
    vg_request_reply(request, &response.base);
}

static void handle_models(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct vg_request), VG_SCOPE_VIDEOS_READ, models_run);
}

/* The model with those of its routes that are meant. */
static struct vg_model picked_model(const struct vg_catalog_pick *pick, struct vg_arena *arena)
{
    struct vg_model model = *pick->model;

    model.routes = vg_arena_alloc(arena, model.route_count * sizeof(*model.routes));
    model.route_count = 0;
    for (size_t i = 0; i < pick->model->route_count; i++)
        if (vg_catalog_picks(pick, &pick->model->routes[i]))
            model.routes[model.route_count++] = pick->model->routes[i];
    return model;
}

static void model_run(struct vg_request *request)
{
    const struct vg_validate_env *env = vg_request_env(request);
    const Videogate__V1__GetModelRequest *in = vg_request_message(request);
    Videogate__V1__GetModelResponse response = VIDEOGATE__V1__GET_MODEL_RESPONSE__INIT;
    struct vg_arena *arena = vg_request_arena(request);
    struct vg_catalog_pick pick = {.model = NULL};
    struct vg_model model = {.name = NULL};
    struct vg_err err;

    if (vg_catalog_pick(env->catalog, in->id, &pick))
        model = picked_model(&pick, arena);
    if (pick.model && !vg_model_open(env, &model)) {
        (void)vg_model_gone(&pick, &err);
        vg_request_fail(request, &err);
        return;
    }
    if (!pick.model || !vg_model_offered(env, &model)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "model", "There is no such model.");
        return;
    }
    response.model = vg_arena_alloc(arena, sizeof(*response.model));
    vg_translate_model(&model, arena, response.model);
    if (pick.provider)
        response.model->id = in->id;
    vg_request_reply(request, &response.base);
}

static void handle_model(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin(ctx, call, sizeof(struct vg_request), VG_SCOPE_VIDEOS_READ, model_run);
}

struct vg_rpc_service vg_video_service(struct vg_service *service)
{
    static const struct vg_rpc_method methods[] = {
        {"CancelVideo", handle_cancel, false},  {"CreateVideo", vg_handle_create, false},
        {"DeleteVideo", handle_delete, false},  {"DownloadVideo", vg_handle_download, true},
        {"EditVideo", vg_handle_edit, false},   {"ExtendVideo", vg_handle_extend, false},
        {"GetModel", handle_model, false},      {"GetVideo", handle_get, false},
        {"ListModels", handle_models, false},   {"ListVideos", handle_list, false},
        {"RemixVideo", vg_handle_remix, false}, {"WatchVideo", vg_handle_watch, true},
    };

    return (struct vg_rpc_service){.descriptor = &videogate__v1__video_service__descriptor,
                                   .methods = methods,
                                   .method_count = VG_COUNT(methods),
                                   .ctx = service};
}
