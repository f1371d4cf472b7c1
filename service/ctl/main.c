/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "common/harden.h"
#include "common/rpc/client.h"
#include "service/ctl/ctl.h"

#define EXIT_USAGE 2

static int run(struct vg_ctl *ctl)
{
    vg_rpc_init();
    int rc = ctl->command->run(ctl);
    if (ctl->channel)
        ctl->channel = vg_rpc_channel_free(ctl->channel);
    vg_rpc_fini();
    if (rc != 0) {
        (void)fprintf(stderr, "videogatectl: %s\n", vg_err_text(&ctl->err));
        return EXIT_FAILURE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "videogatectl: Cannot write to standard output: %m.\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv, char **envp)
{
    struct vg_ctl ctl = {0};
    int status = EXIT_SUCCESS;
    vg_harden_process();
    vg_crypto_init();
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe shows as a write error */
    int parsed = vg_ctl_parse(&ctl, argc, argv, envp);
    if (parsed < 0) {
        (void)fprintf(stderr, "videogatectl: %s See videogatectl%s%s --help.\n",
                      vg_err_text(&ctl.err), ctl.command ? " " : "",
                      ctl.command ? ctl.command->words : "");
        status = EXIT_USAGE;
    } else if (parsed == 0) {
        status = run(&ctl);
    }
    vg_ctl_fini(&ctl);
    return status;
}
