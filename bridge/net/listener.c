/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one loop. Running out of descriptors sheds connections instead of spinning.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge/net/net_priv.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"

#define ACCEPTS_PER_TURN 16
#define PAUSE_MS 100

struct vg_listener {
    struct vg_net *net;     /* borrowed */
    struct vg_tls_ctx *tls; /* borrowed; NULL: plain */
    int fd;                 /* owned */
    int spare;              /* owned; given up for a moment when descriptors run out; -1: none */
    struct vg_watch *watch; /* owned */
    struct vg_timer pause;
    struct vg_listener *next;
};

static int fail(const char *address, const char *why, struct vg_err *err)
{
    return vg_err_set(err, VG_ERR_UNAVAILABLE, "cannot listen on %s: %s", address, why);
}

/* Splits "HOST:PORT" and "[V6]:PORT" and resolves it without asking anybody. */
static int resolve(const char *address, struct addrinfo **out, struct vg_err *err)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    int64_t port;
    if (!colon || len >= sizeof(host) || vg_parse_i64(vg_view_of(colon + 1), 0, 65535, &port) != 0)
        return fail(address, "an address is HOST:PORT", err);
    const char *start = address;
    if (len >= 2 && address[0] == '[' && colon[-1] == ']') {
        start++;
        len -= 2;
    }
    memcpy(host, start, len);
    host[len] = '\0';
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    int code = getaddrinfo(len ? host : NULL, colon + 1, &hints, out);
    return code == 0 ? 0 : fail(address, gai_strerror(code), err);
}

static int bind_socket(const struct addrinfo *ai, bool share)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
        (share ? listen(fd, VG_NET_BACKLOG) == 0 : true))
        return fd;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static int bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t len = sizeof(at);
    memset(&at, 0, sizeof(at));
    if (getsockname(fd, &at.any, &len) != 0)
        return 0;
    return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

int vg_net_socket(int *out_fd, int *out_port, const char *address, bool first, struct vg_err *err)
{
    struct addrinfo *ai = NULL;
    if (resolve(address, &ai, err) != 0 || !ai)
        return -1;
    int probe = -1, fd = -1;
    /* SO_REUSEPORT would let a second bridge share the port without a word: try without it first.
     */
    if (first)
        probe = bind_socket(ai, false);
    if (!first || probe >= 0) {
        if (probe >= 0)
            (void)close(probe);
        fd = bind_socket(ai, true);
    }
    int code = errno;
    freeaddrinfo(ai);
    if (fd < 0)
        return fail(address, strerror(code), err);
    *out_fd = fd;
    *out_port = bound_port(fd);
    return 0;
}

static void on_pause_over(struct vg_timer *timer)
{
    struct vg_listener *l = VG_CONTAINER(timer, struct vg_listener, pause);
    if (l->spare < 0)
        l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    vg_watch_set(l->watch, VG_READABLE);
}

/* No descriptor is left: the spare one lets the caller in for as long as it takes to hang up. */
static void out_of_files(struct vg_listener *l)
{
    if (l->spare >= 0) {
        (void)close(l->spare);
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
        vg_net_count(l->net, VG_NET_SHED, 1);
        l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    vg_log(VG_LOG_WARN, "out of file descriptors; accepting again soon",
           VG_I("pause_ms", PAUSE_MS));
    vg_watch_set(l->watch, 0);
    vg_timer_start(&l->pause, vg_deadline_in_ms(PAUSE_MS));
}

/* Counted before it is judged: two loops may be at the last place at once. */
static void admit(struct vg_listener *l, int fd, const struct sockaddr_storage *from)
{
    struct vg_net *net = l->net;
    struct vg_client *client = NULL;
    bool full = atomic_fetch_add(&net->shared->connections, 1) >= net->shared->max_connections;
    if (!full && vg_clients_enter(net->shared->clients, from, vg_now_ns(), &client) == 0) {
        vg_net_count(net, VG_NET_ACCEPTED, 1);
        if (vg_conn_open(net, fd, l->tls, client) == 0)
            return;
        vg_clients_leave(net->shared->clients, client, net->env.now_ns);
        full = true;
    }
    atomic_fetch_sub(&net->shared->connections, 1);
    vg_net_count(net, full ? VG_NET_SHED : VG_NET_CLIENT_FULL, 1);
    net->hung_up++;
    (void)close(fd);
}

void vg_listener_accept(struct vg_listener *l, int most)
{
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        from.ss_family = AF_UNSPEC;
        int fd =
            accept4(l->fd, (struct sockaddr *)(void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                out_of_files(l);
            if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
                continue;
            return;
        }
        admit(l, fd, &from);
    }
}

static void on_ready(void *ctx, int events)
{
    (void)events;
    vg_listener_accept(ctx, ACCEPTS_PER_TURN);
}

struct vg_listener *vg_listener_new(struct vg_net *net, int fd, struct vg_tls_ctx *tls)
{
    struct vg_listener *l = vg_xalloc(sizeof(*l));
    l->net = net;
    l->tls = tls;
    l->fd = fd;
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->watch = vg_watch_new(net->loop, fd, on_ready, l);
    VG_ASSERT(l->watch); /* at the start alone */
    vg_watch_set(l->watch, VG_READABLE);
    vg_timer_init(&l->pause, net->loop, on_pause_over);
    l->next = net->listeners;
    return l;
}

struct vg_listener *vg_listener_next(const struct vg_listener *l)
{
    return l->next;
}

struct vg_listener *vg_listener_free(struct vg_listener *l)
{
    vg_timer_stop(&l->pause);
    l->watch = vg_watch_free(l->watch);
    (void)close(l->fd);
    if (l->spare >= 0)
        (void)close(l->spare);
    free(l);
    return NULL;
}
