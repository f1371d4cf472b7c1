/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for operators: keys, deliveries, queue, migrate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "db/db.h"
#include "service/ctl/commands.h"
#include "service/ctl/limits.h"
#include "videogate/v1/admin.pb-c.h"

struct keys_options {
    const char *project;
    const char *name;
    const char *scopes;
    struct vg_ctl_int expires;
    struct vg_ctl_limits limits;
};

static const struct vg_ctl_option create_options[] = {
    VG_CTL_LIMIT_OPTIONS(keys_options),
    {.name = "expires",
     .type = VG_CTL_INT,
     .offset = offsetof(struct keys_options, expires),
     .value = "UNIX_SECONDS",
     .min = 1,
     .max = INT32_MAX,
     .help = "When the key ends. Default: never."},
    {.name = "scopes",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct keys_options, scopes),
     .value = "SCOPE,...",
     .help =
         "Of videos.read, videos.write, usage.read, webhooks.read, webhooks.write. Default: all."},
    {.name = "name",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct keys_options, name),
     .value = "NAME",
     .help = "Free label."},
    {.name = "project",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct keys_options, project),
     .value = "PROJECT",
     .help = "Project of the key; made when new. Default: default."},
};

/* Cuts `text` at its commas. */
static size_t split_scopes(char *text, char *out[VG_CTL_LIST_MAX])
{
    size_t count = 0;

    for (char *word; (word = strsep(&text, ",")) && count < VG_CTL_LIST_MAX;)
        out[count++] = word;
    return count;
}

static int run_keys_create(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/CreateApiKey",
                                          &videogate__v1__create_api_key_response__descriptor,
                                          .admin = true};
    const struct keys_options *options = ctl->options;
    Videogate__V1__CreateApiKeyRequest request = VIDEOGATE__V1__CREATE_API_KEY_REQUEST__INIT;
    if (options->project)
        request.project = (char *)options->project;
    if (options->name)
        request.name = (char *)options->name;
    if (options->expires.set) {
        request.opt_expires_at_case =
            VIDEOGATE__V1__CREATE_API_KEY_REQUEST__OPT_EXPIRES_AT_EXPIRES_AT;
        request.expires_at = options->expires.value;
    }
    Videogate__V1__Limits limits;
    bool ok = true;
    if (vg_ctl_limits_take(ctl, &options->limits, &limits, &ok))
        request.limits = &limits;
    if (!ok)
        return -1;
    char *scopes[VG_CTL_LIST_MAX];
    char *text = options->scopes ? vg_xstrdup(options->scopes) : NULL;
    request.scopes = scopes;
    request.n_scopes = text ? split_scopes(text, scopes) : 0;
    ProtobufCMessage *message;
    int rc = vg_ctl_call(ctl, &rpc, &request.base, &message);
    free(text);
    if (rc != 0)
        return -1;
    const Videogate__V1__CreateApiKeyResponse *response = (void *)message;
    if (ctl->json) {
        vg_ctl_print(ctl, message);
    } else {
        if (response->key)
            vg_ctl_print(ctl, &response->key->base);
        vg_ctl_print_pair("secret", response->secret);
    }
    vg_ctl_message_free(message);
    return 0;
}

static const struct vg_ctl_option list_options[] = {
    {.name = "project",
     .type = VG_CTL_TEXT,
     .offset = offsetof(struct keys_options, project),
     .value = "PROJECT",
     .help = "Only this project's keys."},
};

static int run_keys_list(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/ListApiKeys",
                                          &videogate__v1__list_api_keys_response__descriptor,
                                          .admin = true};
    const struct keys_options *options = ctl->options;
    Videogate__V1__ListApiKeysRequest request = VIDEOGATE__V1__LIST_API_KEYS_REQUEST__INIT;
    if (options->project)
        request.project = (char *)options->project;
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__ListApiKeysResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_keys, response->keys);
    vg_ctl_message_free(message);
    return 0;
}

static int run_keys_revoke(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/RevokeApiKey",
                                          &videogate__v1__revoke_api_key_response__descriptor,
                                          .admin = true};
    Videogate__V1__RevokeApiKeyRequest request = VIDEOGATE__V1__REVOKE_API_KEY_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__RevokeApiKeyResponse *response = (void *)message;
    if (response->key)
        vg_ctl_print(ctl, &response->key->base);
    vg_ctl_message_free(message);
    return 0;
}

static int run_deliveries_list(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/ListDeliveries",
                                          &videogate__v1__list_deliveries_response__descriptor,
                                          .admin = true};
    Videogate__V1__ListDeliveriesRequest request = VIDEOGATE__V1__LIST_DELIVERIES_REQUEST__INIT;
    request.video_id = (char *)ctl->args[0];
    request.limit = 100; /* a video has at most 33 */
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__ListDeliveriesResponse *response = (void *)message;
    vg_ctl_print_list(ctl, message, response->n_deliveries, response->deliveries);
    vg_ctl_message_free(message);
    return 0;
}

static int run_deliveries_redeliver(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/RedeliverWebhook",
                                          &videogate__v1__redeliver_webhook_response__descriptor,
                                          .admin = true};
    Videogate__V1__RedeliverWebhookRequest request = VIDEOGATE__V1__REDELIVER_WEBHOOK_REQUEST__INIT;
    request.id = (char *)ctl->args[0];
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__RedeliverWebhookResponse *response = (void *)message;
    if (response->delivery)
        vg_ctl_print(ctl, &response->delivery->base);
    vg_ctl_message_free(message);
    return 0;
}

static int run_queue(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/GetQueueStats",
                                          &videogate__v1__get_queue_stats_response__descriptor,
                                          .admin = true};
    const Videogate__V1__GetQueueStatsRequest request =
        VIDEOGATE__V1__GET_QUEUE_STATS_REQUEST__INIT;
    ProtobufCMessage *message;
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__GetQueueStatsResponse *response = (void *)message;
    if (ctl->json)
        vg_ctl_print(ctl, message);
    for (size_t i = 0; !ctl->json && i < response->n_stats; i++) {
        char count[32];
        (void)snprintf(count, sizeof count, "%lld", (long long)response->stats[i]->count);
        vg_ctl_print_pair(response->stats[i]->state, count);
    }
    vg_ctl_message_free(message);
    return 0;
}

static void say(void *ctx, const char *line)
{
    const struct vg_ctl *ctl = ctx;
    if (!ctl->json)
        vg_ctl_print_pair("migration", line);
}

static int run_migrate(struct vg_ctl *ctl)
{
    const char *url = ctl->config.database_url;
    if (!url || !*url)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "VIDEOGATE_DATABASE_URL is not set.");
    if (vg_db_migrate(url, say, ctl, &ctl->err) != 0)
        return -1;
    (void)puts(ctl->json ? "{\"schema\":\"current\"}"
                         : "schema current"); /* main looks at ferror */
    return 0;
}

static const struct vg_ctl_command commands[] = {
    {
        .words = "deliveries list",
        .arguments = "VIDEO",
        .summary = "List the callbacks of a video.",
        .arg_count = 1,
        .run = run_deliveries_list,
    },
    {
        .words = "deliveries redeliver",
        .arguments = "ID",
        .summary = "Send a callback again at once.",
        .arg_count = 1,
        .run = run_deliveries_redeliver,
    },
    {
        .words = "keys create",
        .arguments = "",
        .summary = "Make an API key; its secret is shown once.",
        .options = create_options,
        .option_count = VG_COUNT(create_options),
        .options_size = sizeof(struct keys_options),
        .run = run_keys_create,
    },
    {
        .words = "keys list",
        .arguments = "",
        .summary = "List API keys, newest first.",
        .options = list_options,
        .option_count = VG_COUNT(list_options),
        .options_size = sizeof(struct keys_options),
        .run = run_keys_list,
    },
    {
        .words = "keys revoke",
        .arguments = "ID",
        .summary = "End an API key.",
        .arg_count = 1,
        .run = run_keys_revoke,
    },
    {
        .words = "migrate",
        .arguments = "",
        .summary = "Bring the database's schema up to date.",
        .run = run_migrate,
    },
    {
        .words = "queue",
        .arguments = "",
        .summary = "Count generations by state.",
        .run = run_queue,
    },
};

const struct vg_ctl_command *vg_ctl_admin_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
