/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about projects and what they used. */
#include "common/mem.h"
#include "service/ctl/commands.h"
#include "service/ctl/limits.h"

struct project_options {
    struct vg_ctl_limits limits;
    bool archive;
    bool restore;
    bool unlimited;
};

static const struct vg_ctl_option create_options[] = {
    VG_CTL_LIMIT_OPTIONS(project_options),
};

static void show(struct vg_ctl *ctl, const Videogate__V1__Project *project)
{
    if (project)
        vg_ctl_print(ctl, &project->base);
}

static int run_projects_create(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/CreateProject",
                                          &videogate__v1__create_project_response__descriptor,
                                          .admin = true};
    const struct project_options *options = ctl->options;
    Videogate__V1__CreateProjectRequest request = VIDEOGATE__V1__CREATE_PROJECT_REQUEST__INIT;
    Videogate__V1__Limits limits;
    ProtobufCMessage *message;
    bool ok = true;

    request.name = (char *)ctl->args[0];
    if (vg_ctl_limits_take(ctl, &options->limits, &limits, &ok))
        request.limits = &limits;
    if (!ok || vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    show(ctl, ((const Videogate__V1__CreateProjectResponse *)message)->project);
    vg_ctl_message_free(message);
    return 0;
}

static int run_projects_list(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/ListProjects",
                                          &videogate__v1__list_projects_response__descriptor,
                                          .admin = true};
    const Videogate__V1__ListProjectsRequest request = VIDEOGATE__V1__LIST_PROJECTS_REQUEST__INIT;
    ProtobufCMessage *message;

    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__ListProjectsResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_projects, response->projects);
    vg_ctl_message_free(message);
    return 0;
}

static const struct vg_ctl_option update_options[] = {
    {.name = "archive",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct project_options, archive),
     .help = "Refuse its keys from now on."},
    VG_CTL_LIMIT_OPTIONS(project_options),
    {.name = "restore",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct project_options, restore),
     .help = "Take it back from the archive."},
    {.name = "unlimited",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct project_options, unlimited),
     .help = "Remove all limits; without it the limits given replace them all."},
};

static int run_projects_update(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/UpdateProject",
                                          &videogate__v1__update_project_response__descriptor,
                                          .admin = true};
    const struct project_options *options = ctl->options;
    Videogate__V1__UpdateProjectRequest request = VIDEOGATE__V1__UPDATE_PROJECT_REQUEST__INIT;
    Videogate__V1__Limits limits;
    ProtobufCMessage *message;
    bool ok = true;

    if (options->archive && options->restore)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST,
                          "--archive and --restore exclude each other.");
    request.name = (char *)ctl->args[0];
    if (vg_ctl_limits_take(ctl, &options->limits, &limits, &ok) || options->unlimited)
        request.limits = &limits;
    if (options->archive || options->restore) {
        request.opt_archived_case = VIDEOGATE__V1__UPDATE_PROJECT_REQUEST__OPT_ARCHIVED_ARCHIVED;
        request.archived = options->archive;
    }
    if (!ok || vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    show(ctl, ((const Videogate__V1__UpdateProjectResponse *)message)->project);
    vg_ctl_message_free(message);
    return 0;
}

struct usage_options {
    const char *project;
    struct vg_ctl_int start, end;
};

static const struct vg_ctl_option usage_options[] = {
    {.name = "end",
     .type = VG_CTL_INT,
     .offset = offsetof(struct usage_options, end),
     .value = "UNIX_SECONDS",
     .min = 1,
     .max = INT32_MAX,
     .help = "Until then. Default: now."},
    {.name = "project",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct usage_options, project),
     .value = "PROJECT",
     .help = "Only this project. Default: all."},
    {.name = "start",
     .type = VG_CTL_INT,
     .offset = offsetof(struct usage_options, start),
     .value = "UNIX_SECONDS",
     .min = 1,
     .max = INT32_MAX,
     .help = "From then on. Default: 30 days ago."},
};

static int run_usage(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/GetUsage",
                                          &videogate__v1__get_usage_response__descriptor,
                                          .admin = true};
    const struct usage_options *options = ctl->options;
    Videogate__V1__GetUsageRequest request = VIDEOGATE__V1__GET_USAGE_REQUEST__INIT;
    ProtobufCMessage *message;

    if (options->project)
        request.project = (char *)options->project;
    request.start_time = options->start.value;
    request.end_time = options->end.value;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__GetUsageResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_rows, response->rows);
    vg_ctl_message_free(message);
    return 0;
}

static const struct vg_ctl_command commands[] = {
    {
        .words = "projects create",
        .arguments = "NAME",
        .summary = "Make a project.",
        .arg_count = 1,
        .options = create_options,
        .option_count = VG_COUNT(create_options),
        .options_size = sizeof(struct project_options),
        .run = run_projects_create,
    },
    {
        .words = "projects list",
        .arguments = "",
        .summary = "List projects by name.",
        .run = run_projects_list,
    },
    {
        .words = "projects update",
        .arguments = "NAME",
        .summary = "Set a project's limits, archive it or take it back.",
        .arg_count = 1,
        .options = update_options,
        .option_count = VG_COUNT(update_options),
        .options_size = sizeof(struct project_options),
        .run = run_projects_update,
    },
    {
        .words = "usage",
        .arguments = "",
        .summary = "Show what was made and spent, by day, project, key and model.",
        .options = usage_options,
        .option_count = VG_COUNT(usage_options),
        .options_size = sizeof(struct usage_options),
        .run = run_usage,
    },
};

const struct vg_ctl_command *vg_ctl_account_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
