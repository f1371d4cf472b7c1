/* SPDX-License-Identifier: Apache-2.0 */
#include "common/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

/* A supervisor's socket under `name`, which may begin with '@'. */
static int supervisor(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void hears(int fd, const char *state)
{
    char got[64] = "";

    assert_int_equal(vg_notify(state, NULL), 0);
    assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), (int)strlen(state));
    assert_string_equal(got, state);
}

static void notify__reaches_a_path(void **state)
{
    (void)state;
    char folder[] = "/tmp/notify-XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    int fd = supervisor(path);

    hears(fd, "READY=1");
    hears(fd, "STOPPING=1");
    (void)close(fd);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void notify__reaches_an_abstract_name(void **state)
{
    (void)state;
    char name[64];

    (void)snprintf(name, sizeof(name), "@notify-test-%d", getpid());
    int fd = supervisor(name);

    hears(fd, "READY=1");
    (void)close(fd);
}

static void notify__does_nothing_unasked(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(vg_notify("READY=1", NULL), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    assert_int_equal(vg_notify("READY=1", NULL), 0);
}

static void notify__says_what_went_wrong(void **state)
{
    (void)state;
    static const char *const names[] = {"relative", "@", "/", "/a-folder-that-is-not-there/socket"};
    char longest[200];

    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i <= VG_COUNT(names); i++) {
        struct vg_err err = {0};
        const char *name = i < VG_COUNT(names) ? names[i] : longest;

        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        assert_int_equal(vg_notify("READY=1", &err), -1);
        assert_true(strlen(vg_err_text(&err)) > 0);
    }
}

static void notify__does_not_wait(void **state)
{
    (void)state;
    char name[64];

    (void)snprintf(name, sizeof(name), "@notify-full-%d", getpid());
    int fd = supervisor(name);
    int told = 0;

    while (told < 100000 && vg_notify("READY=1", NULL) == 0)
        told++;
    assert_in_range(told, 1, 99999);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notify__reaches_a_path),
        cmocka_unit_test(notify__reaches_an_abstract_name),
        cmocka_unit_test(notify__does_nothing_unasked),
        cmocka_unit_test(notify__says_what_went_wrong),
        cmocka_unit_test(notify__does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
