/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService: projects and the usage report. */
#include "service/projects.h"

#include "common/clock.h"
#include "common/log.h"
#include "db/project_store.h"
#include "db/usage_store.h"
#include "service/limits.h"
#include "service/names.h"
#include "service/service_priv.h"

#define DAY_S 86400
#define DEFAULT_REPORT_S (30 * (int64_t)DAY_S)
#define MAX_TIME 253402300799 /* the end of year 9999 */

static Videogate__V1__Project *translate(const struct vg_project *project, struct vg_arena *arena)
{
    Videogate__V1__Project *out = vg_arena_alloc(arena, sizeof(*out));

    videogate__v1__project__init(out);
    out->name = vg_pb_text(project->name);
    out->created_at = project->created_at;
    if (project->archived_at > 0) {
        out->opt_archived_at_case = VIDEOGATE__V1__PROJECT__OPT_ARCHIVED_AT_ARCHIVED_AT;
        out->archived_at = project->archived_at;
    }
    out->limits = vg_limits_translate(&project->limits, arena);
    return out;
}

/* --- CreateProject --- */

struct create_project {
    struct vg_request request;
    struct vg_project_create op;
    struct vg_err err;
};

static void create_done(struct vg_task *task)
{
    struct create_project *c = VG_CONTAINER(task, struct create_project, op.op.done);
    Videogate__V1__CreateProjectResponse response = VIDEOGATE__V1__CREATE_PROJECT_RESPONSE__INIT;

    if (!c->op.op.ok) {
        vg_request_fail(&c->request, &c->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "project created", VG_S("project", c->op.project.name));
    response.project = translate(&c->op.project, vg_request_arena(&c->request));
    vg_request_reply(&c->request, &response.base);
}

static void create_run(struct vg_request *request)
{
    struct create_project *c = VG_CONTAINER(request, struct create_project, request);
    const Videogate__V1__CreateProjectRequest *in = vg_request_message(request);

    if (vg_name_project(in->name, &c->err) < 0 ||
        vg_limits_read(in->limits, &c->op.limits, &c->err) < 0) {
        vg_request_fail(request, &c->err);
        return;
    }
    c->op.name = in->name;
    vg_request_op(request, &c->op.op, create_done);
    vg_project_create(request->service->db, &c->op);
}

void vg_handle_create_project(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct create_project), create_run);
}

/* --- ListProjects --- */

struct list_projects {
    struct vg_request request;
    struct vg_project_list op;
};

static void list_done(struct vg_task *task)
{
    struct list_projects *l = VG_CONTAINER(task, struct list_projects, op.op.done);
    struct vg_arena *arena = vg_request_arena(&l->request);
    Videogate__V1__ListProjectsResponse response = VIDEOGATE__V1__LIST_PROJECTS_RESPONSE__INIT;

    if (!l->op.op.ok) {
        vg_request_fail(&l->request, &l->op.op.err);
        return;
    }
    response.n_projects = l->op.count;
    response.projects = vg_arena_alloc(arena, (l->op.count + 1) * sizeof(Videogate__V1__Project *));
    for (size_t i = 0; i < l->op.count; i++)
        response.projects[i] = translate(&l->op.projects[i], arena);
    vg_request_reply(&l->request, &response.base);
}

static void list_run(struct vg_request *request)
{
    struct list_projects *l = VG_CONTAINER(request, struct list_projects, request);

    vg_request_op(request, &l->op.op, list_done);
    vg_project_list(request->service->db, &l->op);
}

void vg_handle_list_projects(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct list_projects), list_run);
}

/* --- UpdateProject --- */

struct update_project {
    struct vg_request request;
    struct vg_project_update op;
    struct vg_err err;
};

static void update_done(struct vg_task *task)
{
    struct update_project *u = VG_CONTAINER(task, struct update_project, op.op.done);
    Videogate__V1__UpdateProjectResponse response = VIDEOGATE__V1__UPDATE_PROJECT_RESPONSE__INIT;

    if (!u->op.op.ok) {
        vg_request_fail(&u->request, &u->op.op.err);
        return;
    }
    vg_log(VG_LOG_INFO, "project updated", VG_S("project", u->op.project.name),
           VG_I("archived", u->op.project.archived_at > 0));
    response.project = translate(&u->op.project, vg_request_arena(&u->request));
    vg_request_reply(&u->request, &response.base);
}

static void update_run(struct vg_request *request)
{
    struct update_project *u = VG_CONTAINER(request, struct update_project, request);
    const Videogate__V1__UpdateProjectRequest *in = vg_request_message(request);

    if (vg_name_project(in->name, &u->err) < 0 ||
        vg_limits_read(in->limits, &u->op.limits, &u->err) < 0) {
        vg_request_fail(request, &u->err);
        return;
    }
    u->op.name = in->name;
    u->op.set_limits = in->limits != NULL;
    u->op.archived = in->opt_archived_case ? in->archived != 0 : -1;
    vg_request_op(request, &u->op.op, update_done);
    vg_project_update(request->service->db, &u->op);
}

void vg_handle_update_project(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct update_project), update_run);
}

/* --- GetUsage --- */

struct usage {
    struct vg_request request;
    struct vg_usage_report op;
    struct vg_err err;
};

static Videogate__V1__UsageRow *translate_row(const struct vg_usage *row, struct vg_arena *arena)
{
    Videogate__V1__UsageRow *out = vg_arena_alloc(arena, sizeof(*out));

    videogate__v1__usage_row__init(out);
    out->day = vg_pb_text(row->day);
    out->project = vg_pb_text(row->project);
    out->key_id = vg_pb_text(row->key_id);
    out->model = vg_pb_text(row->model);
    out->videos = row->videos;
    out->completed = row->completed;
    out->seconds = row->seconds;
    out->cost = vg_usd_of_micros(row->cost_micros);
    return out;
}

static void usage_done(struct vg_task *task)
{
    struct usage *u = VG_CONTAINER(task, struct usage, op.op.done);
    struct vg_arena *arena = vg_request_arena(&u->request);
    Videogate__V1__GetUsageResponse response = VIDEOGATE__V1__GET_USAGE_RESPONSE__INIT;

    if (!u->op.op.ok) {
        vg_request_fail(&u->request, &u->op.op.err);
        return;
    }
    response.n_rows = u->op.count;
    response.rows = vg_arena_alloc(arena, (u->op.count + 1) * sizeof(Videogate__V1__UsageRow *));
    for (size_t i = 0; i < u->op.count; i++)
        response.rows[i] = translate_row(&u->op.rows[i], arena);
    response.truncated = u->op.truncated;
    vg_request_reply(&u->request, &response.base);
}

static int take_times(const Videogate__V1__GetUsageRequest *in, int64_t now_s,
                      struct vg_usage_report *op, struct vg_err *err)
{
    op->start_time = in->start_time ? in->start_time : now_s - DEFAULT_REPORT_S;
    op->end_time = in->end_time ? in->end_time : now_s + 1;
    if (op->start_time < 0 || op->start_time > MAX_TIME)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "start_time",
                            "start_time: must be Unix seconds");
    if (op->end_time <= op->start_time || op->end_time > MAX_TIME)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "end_time",
                            "end_time: must be Unix seconds after start_time");
    return 0;
}

static void usage_run(struct vg_request *request)
{
    struct usage *u = VG_CONTAINER(request, struct usage, request);
    const Videogate__V1__GetUsageRequest *in = vg_request_message(request);
    bool admin = request->who.project_id == 0;

    if ((admin && in->project[0] && vg_name_project(in->project, &u->err) < 0) ||
        take_times(in, vg_wall_ms() / 1000, &u->op, &u->err) < 0) {
        vg_request_fail(request, &u->err);
        return;
    }
    u->op.project_id = request->who.project_id;
    u->op.project = admin && in->project[0] ? in->project : NULL;
    vg_request_op(request, &u->op.op, usage_done);
    vg_usage_report(request->service->db, &u->op);
}

void vg_handle_usage(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_scoped(ctx, call, sizeof(struct usage), VG_SCOPE_USAGE_READ, usage_run);
}
