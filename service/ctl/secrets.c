/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for the secrets at rest. */
#include "common/mem.h"
#include "service/ctl/commands.h"
#include "videogate/v1/admin.pb-c.h"

struct options {
    struct vg_ctl_int batch;
};

static const struct vg_ctl_option reseal_options[] = {
    {.name = "batch",
     .type = VG_CTL_INT,
     .offset = offsetof(struct options, batch),
     .value = "N",
     .min = 1,
     .max = 1000,
     .help = "Rows looked at in one step. Default: 500."},
};

/* Step by step to the end; fails when something cannot be read, since its key must stay. */
static int run_reseal(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/ResealSecrets",
                                          &videogate__v1__reseal_secrets_response__descriptor,
                                          .admin = true};
    const struct options *options = ctl->options;
    Videogate__V1__ResealSecretsRequest request = VIDEOGATE__V1__RESEAL_SECRETS_REQUEST__INIT;
    Videogate__V1__ResealSecretsResponse total = VIDEOGATE__V1__RESEAL_SECRETS_RESPONSE__INIT;
    ProtobufCMessage *message = NULL;

    request.limit = (int32_t)options->batch.value;
    do {
        ProtobufCMessage *before = message; /* its cursor is in the request */
        int rc = vg_ctl_call(ctl, &rpc, &request.base, &message);

        vg_ctl_message_free(before);
        if (rc != 0)
            return -1;
        const Videogate__V1__ResealSecretsResponse *step = (void *)message;
        total.examined += step->examined;
        total.sealed += step->sealed;
        total.unreadable += step->unreadable;
        request.cursor = step->cursor;
    } while (request.cursor[0]);
    vg_ctl_message_free(message);
    vg_ctl_print(ctl, &total.base);
    if (total.unreadable == 0)
        return 0;
    return vg_err_set(&ctl->err, VG_ERR_INTERNAL,
                      "Some secrets are sealed with a key that is not "
                      "there.");
}

static const struct vg_ctl_command commands[] = {
    {
        .words = "secrets reseal",
        .arguments = "",
        .summary = "Seal all callback secrets anew with the first secret key.",
        .options = reseal_options,
        .option_count = VG_COUNT(reseal_options),
        .options_size = sizeof(struct options),
        .run = run_reseal,
    },
};

const struct vg_ctl_command *vg_ctl_secret_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
