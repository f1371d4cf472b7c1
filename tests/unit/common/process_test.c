/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

/* The process under test runs in a child; it tells its steps through a pipe that is its standard
 * output. */
struct app {
    char *mode; /* owned by the configuration */
};

static const struct vg_config_key keys[] = {{.name = "mode",
                                             .type = VG_CONFIG_TEXT,
                                             .offset = offsetof(struct app, mode),
                                             .fallback = "plain",
                                             .help = "What to do."}};

static void say(const char *text)
{
    (void)!write(STDOUT_FILENO, text, strlen(text));
}

static int app_check(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    return strcmp(app->mode, "wrong") == 0
               ? vg_err_param(err, VG_ERR_INVALID_REQUEST, "mode", "mode is wrong.")
               : 0;
}

static int app_start(void *ctx, struct vg_err *err)
{
    struct app *app = ctx;
    if (strcmp(app->mode, "broken") == 0)
        return vg_err_set(err, VG_ERR_UNAVAILABLE, "No way.");
    say("start ");
    struct rlimit files;
    if (strcmp(app->mode, "files") == 0)
        say(getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == files.rlim_max ? "all "
                                                                                      : "few ");
    if (strcmp(app->mode, "self-stop") == 0) {
        vg_process_request_stop();
        vg_process_request_stop(); /* asking twice is not hurrying */
    }
    return 0;
}

static void app_drain(void *ctx, int64_t deadline_ns)
{
    struct app *app = ctx;
    say("drain ");
    while (strcmp(app->mode, "busy") == 0 && !vg_process_hurried() &&
           vg_deadline_left_ms(deadline_ns) > 0)
        (void)usleep(1000);
    say(vg_process_hurried() ? "hurried " : "");
}

static void app_reload(void *ctx)
{
    (void)ctx;
    say("reload ");
}

static void app_stop(void *ctx)
{
    (void)ctx;
    say("stop");
}

struct child {
    pid_t pid;
    int out; /* read end */
    char text[65536];
    size_t len;
};

static void spawn(struct child *child, char *first, char *second)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *child = (struct child){.pid = fork()};
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        char name[] = "test";
        char *argv[] = {name, first, second, NULL}, *envp[] = {NULL};
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        struct app app = {0};
        struct vg_process process = {.name = "videogate-test",
                                     .summary = "a test",
                                     .keys = keys,
                                     .key_count = VG_COUNT(keys),
                                     .config = &app,
                                     .app = &app,
                                     .check = app_check,
                                     .start = app_start,
                                     .reload = app_reload,
                                     .drain = app_drain,
                                     .stop = app_stop};
        int status = vg_process_main(&process, second ? 3 : first ? 2 : 1, argv, envp);
        (void)fflush(stdout);
        _exit(status);
    }
    (void)close(fds[1]);
    child->out = fds[0];
}

/* Reads until `text` was seen, or to the end when NULL. */
static void wait_for(struct child *child, const char *text)
{
    while (!text || !strstr(child->text, text)) {
        ssize_t n = read(child->out, child->text + child->len, sizeof child->text - 1 - child->len);
        if (n <= 0)
            break;
        child->len += (size_t)n;
        child->text[child->len] = '\0';
    }
    if (text)
        assert_non_null(strstr(child->text, text));
}

static int end(struct child *child)
{
    int status;
    wait_for(child, NULL);
    (void)close(child->out);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void process__answers_flags_and_exits(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--version", NULL);
    assert_int_equal(end(&child), 0);
    assert_string_equal(child.text, "videogate-test " VG_VERSION "\n");
    spawn(&child, "--help", NULL);
    assert_int_equal(end(&child), 0);
    assert_non_null(strstr(child.text, "--mode text (VIDEOGATE_MODE)"));
    assert_non_null(strstr(child.text, "--drain duration"));
    spawn(&child, "--config-markdown", NULL);
    assert_int_equal(end(&child), 0);
    assert_non_null(strstr(child.text, "| `--mode` | `VIDEOGATE_MODE` | text | `plain` |"));
    assert_non_null(strstr(child.text, "| `--log-json` |"));
    spawn(&child, "--check-config", "--mode=fine");
    assert_int_equal(end(&child), 0);
    assert_non_null(strstr(child.text, "mode=fine\ndrain=30s\n"));
}

static void process__refuses_wrong_configuration(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--moode=x", NULL);
    assert_int_equal(end(&child), 2);
    assert_non_null(strstr(child.text, "Unknown flag '--moode'."));
    spawn(&child, "--check-config", "--mode=wrong");
    assert_int_equal(end(&child), 2);
    assert_non_null(strstr(child.text, "mode is wrong."));
    spawn(&child, "--log-level=loud", NULL);
    assert_int_equal(end(&child), 2);
}

static void process__failed_start_is_one(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--mode=broken", NULL);
    assert_int_equal(end(&child), 1);
    assert_non_null(strstr(child.text, "detail=\"No way.\""));
}

static void process__may_open_all_files_there_are(void **state)
{
    (void)state;
    static struct child child;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    const struct rlimit few = {64, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    spawn(&child, "--mode=files", "--log-level=error");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    wait_for(&child, "start all ");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(end(&child), 0);
}

static void process__leaves_no_core_and_gains_nothing(void **state)
{
    (void)state;
    static struct child child;
    struct rlimit core = {1, 1};
    char path[64], line[256];
    bool gains_nothing = false;

    spawn(&child, "--log-level=error", NULL);
    wait_for(&child, "start ");
    assert_int_equal(prlimit(child.pid, RLIMIT_CORE, NULL, &core), 0);
    assert_int_equal(core.rlim_cur + core.rlim_max, 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)child.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        gains_nothing = gains_nothing || strcmp(line, "NoNewPrivs:\t1\n") == 0;
    (void)fclose(file);
    assert_true(gains_nothing);
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(end(&child), 0);
}

static void process__stops_in_two_stages(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < VG_COUNT(signals); i++) {
        static struct child child;
        spawn(&child, "--log-level=error", NULL);
        wait_for(&child, "start ");
        assert_int_equal(kill(child.pid, signals[i]), 0);
        assert_int_equal(end(&child), 0);
        assert_string_equal(child.text, "start drain stop");
    }
}

static void process__second_signal_hurries(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--mode=busy", "--log-level=error");
    wait_for(&child, "start ");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    wait_for(&child, "drain ");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(end(&child), 0);
    assert_string_equal(child.text, "start drain hurried stop");
}

static void process__drain_ends_at_its_deadline(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--mode=busy", "--drain=50ms");
    wait_for(&child, "start ");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(end(&child), 0);
    assert_null(strstr(child.text, "hurried "));
}

static void process__reloads_on_hangup_and_goes_on(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--log-level=error", NULL);
    wait_for(&child, "start ");
    assert_int_equal(kill(child.pid, SIGHUP), 0);
    wait_for(&child, "reload ");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(end(&child), 0);
    assert_string_equal(child.text, "start reload drain stop");
}

static void process__may_stop_itself(void **state)
{
    (void)state;
    static struct child child;
    spawn(&child, "--mode=self-stop", "--log-level=error");
    assert_int_equal(end(&child), 0);
    assert_string_equal(child.text, "start drain stop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(process__answers_flags_and_exits),
        cmocka_unit_test(process__refuses_wrong_configuration),
        cmocka_unit_test(process__failed_start_is_one),
        cmocka_unit_test(process__may_open_all_files_there_are),
        cmocka_unit_test(process__leaves_no_core_and_gains_nothing),
        cmocka_unit_test(process__stops_in_two_stages),
        cmocka_unit_test(process__second_signal_hurries),
        cmocka_unit_test(process__drain_ends_at_its_deadline),
        cmocka_unit_test(process__may_stop_itself),
        cmocka_unit_test(process__reloads_on_hangup_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
