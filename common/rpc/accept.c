/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One for the process, as descriptors are. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int spare = -1;
static atomic_bool armed; /* a bridge, which has no gRPC server, sees what the system says */
static atomic_llong refused;

static int set_aside(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void vg_rpc_accept_guard(void)
{
    (void)pthread_mutex_lock(&lock);
    if (spare < 0)
        spare = set_aside();
    (void)pthread_mutex_unlock(&lock);
    atomic_store(&armed, true);
}

int64_t vg_rpc_accept_refused(void)
{
    return atomic_load(&refused);
}

static int system_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return (int)syscall(SYS_accept4, fd, address, size, flags);
}

/* The descriptor put aside lets the caller in for as long as it takes to hang up. Returns what to
 * say: EINTR, the next one may be waiting; EAGAIN, nobody is, or nothing can be done for them (an
 * other thread took the descriptor): they are seen to when the next caller comes. */
static int refuse_one(int fd)
{
    int got = -1, told = EAGAIN;

    (void)pthread_mutex_lock(&lock);
    if (spare >= 0) {
        (void)close(spare);
        got = system_accept(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    if (got >= 0) {
        (void)close(got);
        atomic_fetch_add(&refused, 1);
        told = EINTR;
    }
    spare = set_aside();
    (void)pthread_mutex_unlock(&lock);
    return told;
}

/* EINTR makes gRPC call again at once, until nobody waits any more. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are reserved */
__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *address,
                                                   socklen_t *size, int flags)
{
    int got = system_accept(fd, address, size, flags);

    if (got >= 0 || !atomic_load(&armed))
        return got;
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        errno = refuse_one(fd);
        break;
    case ECONNABORTED: /* and what else accept(2) passes on from the network of one caller */
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        errno = EINTR;
        break;
    default:
        break;
    }
    return -1;
}
