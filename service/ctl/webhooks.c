/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for webhook endpoints. With the admin key they concern any project, else the API key's.
 */
#include "common/mem.h"
#include "service/ctl/commands.h"
#include "videogate/v1/admin.pb-c.h"

#define PAGE 100

struct options {
    const char *name;
    const char *url;
    const char *project;
    const char *after;
    const char *event;
    const char *signature;
    const char *endpoint;
    struct vg_ctl_list events;
    struct vg_ctl_int since, until;
    bool keep_old;
    bool delivered_too;
};

#define TEXT_OPTION(name_, value_, help_)                                                          \
    {                                                                                              \
        .name = #name_, .type = VG_CTL_TEXT, .offset = offsetof(struct options, name_),            \
        .value = (value_), .help = (help_)                                                         \
    }
#define EVENTS_OPTION(help_)                                                                       \
    {                                                                                              \
        .name = "event", .type = VG_CTL_LIST, .offset = offsetof(struct options, events),          \
        .value = "TYPE", .help = (help_)                                                           \
    }

static const struct vg_ctl_option create_options[] = {
    EVENTS_OPTION("Event type. Default: video.completed and video.failed."),
    TEXT_OPTION(name, "NAME", "Free label."),
    TEXT_OPTION(project, "PROJECT", "With the admin key: its project. Default: default."),
    TEXT_OPTION(signature, "KIND", "v1 (HMAC-SHA256, the default) or v1a (ed25519)."),
    {.name = "url",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct options, url),
     .value = "URL",
     .help = "Where events go, https.",
     .required = true},
};
static const struct vg_ctl_option list_options[] = {
    TEXT_OPTION(after, "ID", "Only those behind this one."),
    TEXT_OPTION(project, "PROJECT", "With the admin key: only this project's."),
};
static const struct vg_ctl_option update_options[] = {
    EVENTS_OPTION("Event type; all that are wanted."),
    TEXT_OPTION(name, "NAME", "Free label."),
    TEXT_OPTION(url, "URL", "Where events go, https."),
};
static const struct vg_ctl_option rotate_options[] = {
    {.name = "keep-old",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct options, keep_old),
     .help = "The old secrets sign along for 24 hours."},
    TEXT_OPTION(signature, "KIND", "v1 or v1a. Default: as it is."),
};
static const struct vg_ctl_option redeliver_options[] = {
    {.name = "delivered-too",
     .type = VG_CTL_FLAG,
     .offset = offsetof(struct options, delivered_too),
     .help = "Also what was delivered; else what failed or is gone."},
    TEXT_OPTION(endpoint, "ID", "Only to this endpoint. Default: all of the project."),
    TEXT_OPTION(project, "PROJECT", "With the admin key: its project. Default: default."),
    {.name = "since",
     .type = VG_CTL_INT,
     .offset = offsetof(struct options, since),
     .value = "TIME",
     .max = INT32_MAX,
     .help = "Unix seconds: of events from then on.",
     .required = true},
    {.name = "until",
     .type = VG_CTL_INT,
     .offset = offsetof(struct options, until),
     .value = "TIME",
     .max = INT32_MAX,
     .help = "Unix seconds: of events before. Default: now."},
};
static const struct vg_ctl_option test_options[] = {
    TEXT_OPTION(event, "TYPE", "Event type. Default: video.completed."),
};
static const struct vg_ctl_option deliveries_options[] = {
    TEXT_OPTION(after, "ID", "Only those behind this one."),
};

/* Sends the admin key where there is one. */
static int call(struct vg_ctl *ctl, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out)
{
    const struct vg_ctl_rpc rpc = {method, type, .admin = ctl->config.admin_key != NULL};
    return vg_ctl_call(ctl, &rpc, request, out);
}

/* The endpoint; behind it the secret where there is a new one. */
static void print_endpoint(const struct vg_ctl *ctl, ProtobufCMessage *message,
                           const Videogate__V1__WebhookEndpoint *endpoint, const char *secret)
{
    if (ctl->json && secret) {
        vg_ctl_print(ctl, message);
    } else if (endpoint) {
        vg_ctl_print(ctl, &endpoint->base);
        if (secret && *secret)
            vg_ctl_print_pair("signing_secret", secret);
    }
    vg_ctl_message_free(message);
}

static int run_create(struct vg_ctl *ctl)
{
    static const char *const usual[] = {"video.completed", "video.failed"};
    const struct options *options = ctl->options;
    Videogate__V1__CreateWebhookEndpointRequest request =
        VIDEOGATE__V1__CREATE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    bool given = options->events.count > 0;
    request.url = (char *)options->url;
    request.event_types = (char **)(given ? options->events.items : usual);
    request.n_event_types = given ? options->events.count : VG_COUNT(usual);
    if (options->name)
        request.name = (char *)options->name;
    if (options->signature)
        request.signature = (char *)options->signature;
    if (options->project)
        request.project = (char *)options->project;
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/CreateWebhookEndpoint", &request.base,
             &videogate__v1__create_webhook_endpoint_response__descriptor, &message) != 0)
        return -1;
    const Videogate__V1__CreateWebhookEndpointResponse *response = (void *)message;
    print_endpoint(ctl, message, response->endpoint, response->signing_secret);
    return 0;
}

static int run_list(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__ListWebhookEndpointsRequest request =
        VIDEOGATE__V1__LIST_WEBHOOK_ENDPOINTS_REQUEST__INIT;
    request.limit = PAGE;
    if (options->project)
        request.project = (char *)options->project;
    if (options->after)
        request.after = (char *)options->after;
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/ListWebhookEndpoints", &request.base,
             &videogate__v1__list_webhook_endpoints_response__descriptor, &message) != 0)
        return -1;
    const Videogate__V1__ListWebhookEndpointsResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_data, response->data);
    vg_ctl_message_free(message);
    return 0;
}

static int run_update(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__UpdateWebhookEndpointRequest request =
        VIDEOGATE__V1__UPDATE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    if (options->name) {
        request.opt_name_case = VIDEOGATE__V1__UPDATE_WEBHOOK_ENDPOINT_REQUEST__OPT_NAME_NAME;
        request.name = (char *)options->name;
    }
    if (options->url) {
        request.opt_url_case = VIDEOGATE__V1__UPDATE_WEBHOOK_ENDPOINT_REQUEST__OPT_URL_URL;
        request.url = (char *)options->url;
    }
    request.event_types = (char **)options->events.items;
    request.n_event_types = options->events.count;
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/UpdateWebhookEndpoint", &request.base,
             &videogate__v1__update_webhook_endpoint_response__descriptor, &message) != 0)
        return -1;
    print_endpoint(ctl, message,
                   ((const Videogate__V1__UpdateWebhookEndpointResponse *)message)->endpoint, NULL);
    return 0;
}

static int run_delete(struct vg_ctl *ctl)
{
    Videogate__V1__DeleteWebhookEndpointRequest request =
        VIDEOGATE__V1__DELETE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/DeleteWebhookEndpoint", &request.base,
             &videogate__v1__delete_webhook_endpoint_response__descriptor, &message) != 0)
        return -1;
    vg_ctl_print(ctl, message);
    vg_ctl_message_free(message);
    return 0;
}

static int run_rotate(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__RotateWebhookSecretRequest request =
        VIDEOGATE__V1__ROTATE_WEBHOOK_SECRET_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    request.keep_old_secret_active_for_24_hours = options->keep_old;
    if (options->signature)
        request.signature = (char *)options->signature;
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/RotateWebhookSecret", &request.base,
             &videogate__v1__rotate_webhook_secret_response__descriptor, &message) != 0)
        return -1;
    const Videogate__V1__RotateWebhookSecretResponse *response = (void *)message;
    print_endpoint(ctl, message, response->endpoint, response->signing_secret);
    return 0;
}

/* Fails unless the receiver took the event. */
static int run_test(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__TestWebhookEndpointRequest request =
        VIDEOGATE__V1__TEST_WEBHOOK_ENDPOINT_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    request.event_type = (char *)(options->event ? options->event : "video.completed");
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/TestWebhookEndpoint", &request.base,
             &videogate__v1__test_webhook_endpoint_response__descriptor, &message) != 0)
        return -1;
    const Videogate__V1__TestWebhookEndpointResponse *response = (void *)message;
    int status = response->status_code, rc = 0;
    vg_ctl_print(ctl, message);
    if (status < 200 || status > 299)
        rc = vg_err_set(&ctl->err, VG_ERR_INTERNAL, "The receiver did not take the event.");
    vg_ctl_message_free(message);
    return rc;
}

static int run_deliveries(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__ListDeliveriesRequest request = VIDEOGATE__V1__LIST_DELIVERIES_REQUEST__INIT;
    request.endpoint_id = (char *)ctl->args[0];
    request.limit = PAGE;
    if (options->after)
        request.after = (char *)options->after;
    ProtobufCMessage *message;
    if (call(ctl, "/videogate.v1.AdminService/ListDeliveries", &request.base,
             &videogate__v1__list_deliveries_response__descriptor, &message) != 0)
        return -1;
    const Videogate__V1__ListDeliveriesResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_deliveries, response->deliveries);
    vg_ctl_message_free(message);
    return 0;
}

/* All pages; one line in the end. */
static int run_redeliver(struct vg_ctl *ctl)
{
    const struct options *options = ctl->options;
    Videogate__V1__RedeliverWebhooksRequest request =
        VIDEOGATE__V1__REDELIVER_WEBHOOKS_REQUEST__INIT;
    Videogate__V1__RedeliverWebhooksResponse total =
        VIDEOGATE__V1__REDELIVER_WEBHOOKS_RESPONSE__INIT;
    ProtobufCMessage *message = NULL;
    bool more = true;
    request.project = (char *)(options->project ? options->project : "");
    request.endpoint_id = (char *)(options->endpoint ? options->endpoint : "");
    request.since = options->since.value;
    request.until = options->until.value;
    request.delivered_too = options->delivered_too;
    while (more) {
        ProtobufCMessage *before = message; /* its last_id is in the request */
        int rc = call(ctl, "/videogate.v1.AdminService/RedeliverWebhooks", &request.base,
                      &videogate__v1__redeliver_webhooks_response__descriptor, &message);
        vg_ctl_message_free(before);
        if (rc != 0)
            return -1;
        const Videogate__V1__RedeliverWebhooksResponse *page = (void *)message;
        total.count += page->count;
        request.after = page->last_id;
        more = page->has_more;
    }
    total.last_id = request.after;
    vg_ctl_print(ctl, &total.base);
    vg_ctl_message_free(message);
    return 0;
}

#define OPTIONS(table)                                                                             \
    .options = (table), .option_count = VG_COUNT(table), .options_size = sizeof(struct options)

static const struct vg_ctl_command commands[] = {
    {
        .words = "webhooks create",
        .arguments = "",
        .summary = "Register an address for a project's events; its secret is shown once.",
        OPTIONS(create_options),
        .run = run_create,
    },
    {
        .words = "webhooks delete",
        .arguments = "ID",
        .summary = "Remove one, and what is still to be sent to it.",
        .arg_count = 1,
        .run = run_delete,
    },
    {
        .words = "webhooks deliveries",
        .arguments = "ID",
        .summary = "List what was sent to one, oldest first, at most 100.",
        .arg_count = 1,
        OPTIONS(deliveries_options),
        .run = run_deliveries,
    },
    {
        .words = "webhooks list",
        .arguments = "",
        .summary = "List webhook endpoints, newest first, at most 100.",
        OPTIONS(list_options),
        .run = run_list,
    },
    {
        .words = "webhooks redeliver",
        .arguments = "",
        .summary = "Send again what failed in a time.",
        OPTIONS(redeliver_options),
        .run = run_redeliver,
    },
    {
        .words = "webhooks rotate",
        .arguments = "ID",
        .summary = "Make a new secret, shown once.",
        .arg_count = 1,
        OPTIONS(rotate_options),
        .run = run_rotate,
    },
    {
        .words = "webhooks test",
        .arguments = "ID",
        .summary = "Send one made-up event now.",
        .arg_count = 1,
        OPTIONS(test_options),
        .run = run_test,
    },
    {
        .words = "webhooks update",
        .arguments = "ID",
        .summary = "Change one; a disabled one is taken back.",
        .arg_count = 1,
        OPTIONS(update_options),
        .run = run_update,
    },
};

const struct vg_ctl_command *vg_ctl_webhook_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
