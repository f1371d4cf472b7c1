/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a process, the same for all: flags, configuration, logging, signals, two-stage stop.
 *
 * vg_process_main handles --help, --version, --check-config, --config-markdown; gives up rights
 * (harden.h); loads the configuration; sets up the log; raises the limit of open files; blocks
 * SIGTERM, SIGINT, SIGPIPE in all threads; calls start; tells the supervisor (notify.h); waits; on
 * SIGTERM or SIGINT calls drain (stop accepting, finish what runs, at most `drain_ms`; a second
 * signal hurries it: vg_process_hurried), then stop, and returns the exit status: 0 after a clean
 * stop, 1 when start failed, 2 for wrong flags or configuration.
 */
#ifndef VG_COMMON_PROCESS_H
#define VG_COMMON_PROCESS_H

#include <stdbool.h>

#include "common/config.h"
#include "common/err.h"

struct vg_process {
    const char *name;    /* "videogate-service" */
    const char *summary; /* one line for --help */
    const struct vg_config_key
        *keys; /* the process's own; log-level, log-json and drain are added */
    size_t key_count;
    void *config; /* target of the keys, zeroed */
    void *app;
    /* Further checks of the configuration (files, addresses); also run by --check-config. May be
     * NULL. */
    int (*check)(void *app, struct vg_err *err);
    /* Starts everything; on failure undoes what it did. */
    int (*start)(void *app, struct vg_err *err);
    /* What SIGHUP asks for; returns at once. NULL: the signal ends the process, as ever. */
    void (*reload)(void *app);
    /* Stops accepting and waits for what runs until deadline_ns (monotonic), looking at
     * vg_process_hurried. */
    void (*drain)(void *app, int64_t deadline_ns);
    /* Stops and frees everything. */
    void (*stop)(void *app);
};

int vg_process_main(const struct vg_process *process, int argc, char **argv, char **envp);
/* True once a second signal came during the drain. Any thread. */
bool vg_process_hurried(void);
/* Asks for the same stop as SIGTERM. Any thread. */
void vg_process_request_stop(void);

#endif
