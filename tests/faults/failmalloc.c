/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: while armed, the n-th allocation of the process fails, or all from the n-th on. Armed
 * and read from outside through the file that VG_FAILMALLOC names (f18_memory.py). Not for
 * sanitized programs, which have allocators of their own. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

struct control {
    atomic_long armed;  /* 1: one fails, 2: that and all that follow, 0: none */
    atomic_long nth;    /* which */
    atomic_long calls;  /* since it was armed */
    atomic_long failed; /* of them */
};

static struct control *control;
static __thread int telling; /* this thread writes down which one fails */

/* A hardened process leaves no core: the log says where it was. */
static void crashed(int number)
{
    void *frames[32];

    (void)!write(2, "failmalloc: a crash:\n", 21);
    backtrace_symbols_fd(frames, backtrace(frames, 32), 2);
    (void)raise(number); /* SA_RESETHAND: this one ends the process */
}

static void watch_crashes(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_RESETHAND | SA_NODEFER};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaction(numbers[i], &action, NULL);
}

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("VG_FAILMALLOC");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    void *warm[1];
    (void)backtrace(warm, 1); /* loads what it needs */
    watch_crashes();
    control = at == MAP_FAILED ? NULL : at;
}

static int fails(void)
{
    long mode = control ? atomic_load(&control->armed) : 0;

    if (!mode || telling)
        return 0;
    long call = atomic_fetch_add(&control->calls, 1) + 1;
    long nth = atomic_load(&control->nth);
    if (call < nth || (mode == 1 && call > nth))
        return 0;
    if (atomic_fetch_add(&control->failed, 1) == 0) { /* the log says which */
        void *frames[24];
        telling = 1;
        int count = backtrace(frames, 24);
        (void)!write(2, "failmalloc: this one fails:\n", 28);
        backtrace_symbols_fd(frames, count, 2);
        telling = 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    void *at = memalign(align, size);

    if (at)
        *out = at;
    return at ? 0 : ENOMEM;
}
