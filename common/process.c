/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/harden.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/notify.h"

#define TEXT_MAX (1u << 20)
#define EXIT_USAGE 2

static atomic_bool hurried;
static atomic_bool stop_requested;

/* What every process takes besides its own keys. */
struct common_config {
    char *log_level; /* owned */
    bool log_json;
    int64_t drain_ms;
};
static const struct vg_config_key common_keys[] = {
    {.name = "drain",
     .type = VG_CONFIG_DURATION,
     .offset = offsetof(struct common_config, drain_ms),
     .fallback = "30s",
     .min = 0,
     .max = INT64_C(3600) * 1000,
     .help = "How long a stop waits for what runs."},
    {.name = "log-json",
     .type = VG_CONFIG_BOOL,
     .offset = offsetof(struct common_config, log_json),
     .fallback = "false",
     .help = "Log lines as JSON objects instead of key=value."},
    {.name = "log-level",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct common_config, log_level),
     .fallback = "info",
     .help = "error, warn, info or debug."},
};

static const struct {
    const char *name;
    enum vg_log_level level;
} log_levels[] = {
    {"error", VG_LOG_ERROR},
    {"warn", VG_LOG_WARN},
    {"info", VG_LOG_INFO},
    {"debug", VG_LOG_DEBUG},
};

struct run {
    const struct vg_process *process; /* borrowed */
    struct common_config common;
    struct vg_config shared; /* over `common` */
    struct vg_config config; /* over process->config; goes on in `shared` */
    enum vg_log_level level;
    sigset_t signals;
    atomic_bool stopped; /* ends the watcher */
};

bool vg_process_hurried(void)
{
    return atomic_load(&hurried);
}

void vg_process_request_stop(void)
{
    if (!atomic_exchange(&stop_requested, true))
        (void)kill(getpid(), SIGTERM);
}

static void print_version(const struct run *run)
{
    (void)printf("%s %s\n", run->process->name, VG_VERSION);
}

static void print_help(const struct run *run)
{
    struct vg_buf text;
    vg_buf_init(&text, TEXT_MAX);
    vg_config_help(&run->config, &text);
    (void)printf("%s: %s\n\nUsage: %s [--name VALUE ...]\n\n"
                 "  --help             show this text\n"
                 "  --version          show the version\n"
                 "  --check-config     check the configuration, show it and exit\n"
                 "  --config-markdown  write the configuration table of the README\n\n"
                 "Configuration (a flag wins over its environment variable):\n\n%s",
                 run->process->name, run->process->summary, run->process->name,
                 vg_buf_view(&text).data);
    vg_buf_fini(&text);
}

static void print_markdown(const struct run *run)
{
    struct vg_buf text;
    vg_buf_init(&text, TEXT_MAX);
    vg_config_markdown(&run->config, &text);
    (void)fputs(vg_buf_view(&text).data, stdout);
    vg_buf_fini(&text);
}

/* Flags that answer and exit, before any configuration is read. */
static const struct {
    const char *flag;
    void (*print)(const struct run *run);
} answers[] = {
    {"--config-markdown", print_markdown},
    {"--help", print_help},
    {"--version", print_version},
};

static bool answer_and_exit(const struct run *run, int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        for (size_t i = 0; i < VG_COUNT(answers); i++) {
            if (strcmp(argv[at], answers[i].flag) == 0) {
                answers[i].print(run);
                return true;
            }
        }
    }
    return false;
}

static int find_log_level(struct run *run, struct vg_err *err)
{
    VG_ASSERT(run->common.log_level); /* it has a default */
    for (size_t i = 0; i < VG_COUNT(log_levels); i++) {
        if (strcmp(run->common.log_level, log_levels[i].name) == 0) {
            run->level = log_levels[i].level;
            return 0;
        }
    }
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "log-level",
                        "log-level must be error, warn, info or debug.");
}

/* Loads and checks; `argv` without --check-config. */
static int load(struct run *run, int argc, char **argv, char **envp, struct vg_err *err)
{
    if (vg_config_load(&run->config, argc, argv, envp, err) != 0)
        return -1;
    if (find_log_level(run, err) == 0 &&
        (!run->process->check || run->process->check(run->process->app, err) == 0))
        return 0;
    vg_config_fini(&run->config);
    return -1;
}

static void print_config(const struct run *run)
{
    struct vg_buf text;
    vg_buf_init(&text, TEXT_MAX);
    vg_config_dump(&run->config, &text);
    (void)fputs(vg_buf_view(&text).data, stdout);
    vg_buf_fini(&text);
}

/* Waits for the second signal while the main thread drains. */
static void *watch_signals(void *arg)
{
    struct run *run = arg;
    int signal;
    while (sigwait(&run->signals, &signal) == 0 && !atomic_load(&run->stopped)) {
        if (signal != SIGHUP && !atomic_exchange(&hurried, true))
            vg_log(VG_LOG_WARN, "second signal: hurrying", VG_I("signal", signal));
    }
    return NULL;
}

static void drain_and_stop(struct run *run)
{
    const struct vg_process *process = run->process;
    pthread_t watcher;
    VG_ASSERT(pthread_create(&watcher, NULL, watch_signals, run) == 0);
    if (process->drain)
        process->drain(process->app, vg_deadline_in_ms(run->common.drain_ms));
    vg_log(VG_LOG_INFO, "drained", VG_I("hurried", vg_process_hurried()));
    process->stop(process->app);
    atomic_store(&run->stopped, true);
    /* Blocked everywhere: it only wakes the sigwait.
     * NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread) */
    (void)pthread_kill(watcher, SIGTERM);
    VG_ASSERT(pthread_join(watcher, NULL) == 0);
}

static int next_signal(const struct run *run)
{
    int signal = 0;
    VG_ASSERT(sigwait(&run->signals, &signal) == 0);
    return signal;
}

static void notify(const char *state)
{
    struct vg_err err = {0};

    if (vg_notify(state, &err))
        vg_log(VG_LOG_WARN, "supervisor not told", VG_S("detail", vg_err_text(&err)));
}

static int serve(struct run *run)
{
    const struct vg_process *process = run->process;
    struct vg_err err = {0};
    if (process->start(process->app, &err) != 0) {
        vg_log(VG_LOG_ERROR, "start failed", VG_S("reason", vg_err_info(err.kind)->reason),
               VG_S("detail", vg_err_text(&err)));
        return EXIT_FAILURE;
    }
    vg_log(VG_LOG_INFO, "started", VG_S("version", VG_VERSION), VG_I("pid", getpid()));
    notify("READY=1");
    int signal = next_signal(run);
    while (signal == SIGHUP) {
        process->reload(process->app);
        signal = next_signal(run);
    }
    vg_log(VG_LOG_INFO, "stopping: no new work",
           VG_S("signal", signal == SIGINT ? "SIGINT" : "SIGTERM"),
           VG_I("drain_ms", run->common.drain_ms));
    notify("STOPPING=1");
    drain_and_stop(run);
    vg_log(VG_LOG_INFO, "stopped", VG_I("pid", getpid()));
    return EXIT_SUCCESS;
}

static void block_signals(struct run *run)
{
    sigset_t blocked;
    (void)sigemptyset(&run->signals);
    (void)sigaddset(&run->signals, SIGTERM);
    (void)sigaddset(&run->signals, SIGINT);
    if (run->process->reload)
        (void)sigaddset(&run->signals, SIGHUP);
    blocked = run->signals;
    (void)sigaddset(&blocked, SIGPIPE);
    VG_ASSERT(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
}

/* Each connection is a descriptor, and the usual soft limit of 1,024 is for programs that call
 * select. */
static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files); /* refused: the old limit stands */
}

/* Takes --check-config out of argv. */
static bool take_check_flag(int *argc, char **argv)
{
    int kept = 1;
    for (int at = 1; at < *argc; at++) {
        if (strcmp(argv[at], "--check-config") != 0)
            argv[kept++] = argv[at];
    }
    bool found = kept < *argc;
    *argc = kept;
    argv[kept] = NULL;
    return found;
}

int vg_process_main(const struct vg_process *process, int argc, char **argv, char **envp)
{
    struct run run = {.process = process};
    run.shared = (struct vg_config){
        .keys = common_keys, .count = VG_COUNT(common_keys), .target = &run.common};
    run.config = (struct vg_config){.keys = process->keys,
                                    .count = process->key_count,
                                    .target = process->config,
                                    .also = &run.shared};
    if (answer_and_exit(&run, argc, argv))
        return EXIT_SUCCESS;
    vg_harden_process(); /* before a secret is read */
    vg_crypto_init();
    bool check_only = take_check_flag(&argc, argv);
    struct vg_err err = {0};
    if (load(&run, argc, argv, envp, &err) != 0) {
        (void)fprintf(stderr, "%s: %s See %s --help.\n", process->name, vg_err_text(&err),
                      process->name);
        return EXIT_USAGE;
    }
    int status = EXIT_SUCCESS;
    if (check_only) {
        print_config(&run);
    } else {
        raise_files();
        block_signals(&run); /* before any thread, so that all inherit it */
        vg_log_setup(process->name, run.level, run.common.log_json);
        status = serve(&run);
    }
    vg_config_fini(&run.config);
    return status;
}
