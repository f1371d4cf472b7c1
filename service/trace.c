/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService.GetVideoTrace: a video's way through providers, with the private reasons. */
#include "common/pb_alloc.h"
#include "db/trace_store.h"

#include "service/service_priv.h"
#include "videogate/store/v1/job.pb-c.h"
#include "videogate/v1/admin.pb-c.h"

enum { MAX_DELIVERIES = 100 };

struct trace {
    struct vg_request request;
    struct vg_video_trace op;
    struct vg_delivery_list deliveries;
    const Videogate__Store__V1__JobSpec *spec; /* owned; NULL: cannot be read */
};

static void put_routes(const Videogate__Store__V1__JobSpec *spec, struct vg_arena *arena,
                       Videogate__V1__GetVideoTraceResponse *out)
{
    size_t n = spec ? spec->n_routes : 0;

    out->routes = vg_arena_alloc(arena, (n + 1) * sizeof(Videogate__V1__TraceRoute *));
    for (size_t i = 0; i < n; i++) {
        Videogate__V1__TraceRoute *route = vg_arena_alloc(arena, sizeof(*route));
        videogate__v1__trace_route__init(route);
        route->provider = spec->routes[i]->provider;
        route->model = spec->routes[i]->model;
        route->max_attempts = spec->routes[i]->max_attempts;
        route->stealth = spec->routes[i]->stealth;
        out->routes[out->n_routes++] = route;
    }
}

static void put_attempt(const struct vg_trace_attempt *a, const Videogate__Store__V1__JobSpec *spec,
                        Videogate__V1__TraceAttempt *out)
{
    bool known = spec && a->route >= 0 && (size_t)a->route < spec->n_routes;

    videogate__v1__trace_attempt__init(out);
    out->number = a->number;
    out->route = a->route;
    out->provider = vg_pb_text(a->provider);
    out->model = known ? spec->routes[a->route]->model : vg_pb_text("");
    out->upstream_id = vg_pb_text(a->upstream_id);
    out->started_at_ms = a->started_ms;
    out->ended_at_ms = a->ended_ms;
    out->outcome = vg_pb_text(a->outcome ? vg_generation_state_name(a->outcome) : "");
    out->reason = vg_pb_text(a->reason);
}

static void put_generation(const struct vg_trace_generation *g,
                           const Videogate__Store__V1__JobSpec *spec, struct vg_arena *arena,
                           Videogate__V1__TraceGeneration *out)
{
    videogate__v1__trace_generation__init(out);
    out->index = g->index;
    out->state = vg_pb_text(vg_generation_state_name(g->state));
    out->route = g->route;
    out->submissions = g->attempts;
    out->failed_fetches = g->fetch_attempts;
    out->failed_polls = g->poll_errors;
    out->progress = g->progress;
    out->upstream_id = vg_pb_text(g->upstream_id);
    out->due_at_ms = g->due_ms;
    out->ended_at_ms = g->ended_ms;
    out->owner = vg_pb_text(g->owner);
    if (g->error_code) {
        out->error = vg_arena_alloc(arena, sizeof(*out->error));
        videogate__v1__video_error__init(out->error);
        out->error->code = vg_pb_text(g->error_code);
        out->error->message = vg_pb_text(g->error_message);
    }
    out->attempts =
        vg_arena_alloc(arena, (g->try_count + 1) * sizeof(Videogate__V1__TraceAttempt *));
    for (size_t i = 0; i < g->try_count; i++) {
        out->attempts[i] = vg_arena_alloc(arena, sizeof(Videogate__V1__TraceAttempt));
        put_attempt(&g->tries[i], spec, out->attempts[i]);
    }
    out->n_attempts = g->try_count;
}

static void put_generations(const struct trace *t, struct vg_arena *arena,
                            Videogate__V1__GetVideoTraceResponse *out)
{
    size_t n = t->op.generation_count;

    out->generations = vg_arena_alloc(arena, (n + 1) * sizeof(Videogate__V1__TraceGeneration *));
    for (size_t i = 0; i < n; i++) {
        out->generations[i] = vg_arena_alloc(arena, sizeof(Videogate__V1__TraceGeneration));
        put_generation(&t->op.generations[i], t->spec, arena, out->generations[i]);
    }
    out->n_generations = n;
}

static void put_deliveries(const struct trace *t, struct vg_arena *arena,
                           Videogate__V1__GetVideoTraceResponse *out)
{
    size_t n = t->deliveries.count;

    out->deliveries = vg_arena_alloc(arena, (n + 1) * sizeof(Videogate__V1__Delivery *));
    for (size_t i = 0; i < n; i++) {
        out->deliveries[i] = vg_arena_alloc(arena, sizeof(Videogate__V1__Delivery));
        vg_translate_delivery(&t->deliveries.deliveries[i], arena, out->deliveries[i]);
    }
    out->n_deliveries = n;
}

static void deliveries_done(struct vg_task *task)
{
    struct trace *t = VG_CONTAINER(task, struct trace, deliveries.op.done);
    struct vg_arena *arena = vg_request_arena(&t->request);
    const struct vg_video *video = &t->op.video;
    Videogate__V1__GetVideoTraceResponse response = VIDEOGATE__V1__GET_VIDEO_TRACE_RESPONSE__INIT;

    if (!t->deliveries.op.ok) {
        vg_request_fail(&t->request, &t->deliveries.op.err);
        return;
    }
    Videogate__Store__V1__JobSpec *spec =
        videogate__store__v1__job_spec__unpack(vg_pb_allocator(), video->spec_size, video->spec);
    t->spec = spec;
    response.id = vg_pb_text(video->id);
    response.model = vg_pb_text(video->model);
    response.status = (Videogate__V1__VideoStatus)video->status;
    response.created_at = video->created_at;
    put_routes(spec, arena, &response);
    put_generations(t, arena, &response);
    put_deliveries(t, arena, &response);
    vg_request_reply(&t->request, &response.base);
    if (spec) /* the reply has been packed */
        videogate__store__v1__job_spec__free_unpacked(spec, NULL);
}

static void trace_done(struct vg_task *task)
{
    struct trace *t = VG_CONTAINER(task, struct trace, op.op.done);

    if (!t->op.op.ok) {
        vg_request_fail(&t->request, &t->op.op.err);
        return;
    }
    t->deliveries.video_id = t->op.id;
    t->deliveries.limit = MAX_DELIVERIES;
    vg_request_op(&t->request, &t->deliveries.op, deliveries_done);
    vg_delivery_list(t->request.service->db, &t->deliveries);
}

static void trace_run(struct vg_request *request)
{
    struct trace *t = VG_CONTAINER(request, struct trace, request);
    const Videogate__V1__GetVideoTraceRequest *in = vg_request_message(request);

    if (!vg_video_id_ok(in->id)) {
        vg_request_refuse(request, VG_ERR_NOT_FOUND, "id", "No such video.");
        return;
    }
    t->op.id = in->id;
    vg_request_op(request, &t->op.op, trace_done);
    vg_video_trace(request->service->db, &t->op);
}

void vg_handle_trace(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct trace), trace_run);
}
