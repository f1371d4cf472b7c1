/* SPDX-License-Identifier: Apache-2.0 */
#include "common/monitor.h"

#include <errno.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"

#define CONNECTIONS_MAX 32
#define REQUEST_MAX 8192
#define TARGET_MAX 256
#define RESPONSE_MAX (4u << 20)
#define REQUEST_MS 5000
#define LINGER_MS 1000
#define PAUSE_MS 100 /* while no descriptor is free */
#define WHY_SIZE 256

/* One connection carries one request. */
enum conn_state {
    CONN_FREE,    /* -> READING */
    CONN_READING, /* -> WRITING (a whole request or a bad one), FREE (hang-up, deadline) */
    CONN_WRITING, /* -> LINGER, FREE */
    CONN_LINGER,  /* answered; drains what the peer still sends, so that no reset eats the answer ->
                     FREE */
    CONN_STATE_MAX
};

struct conn {
    enum conn_state state;
    int fd; /* owned */
    int64_t deadline_ns;
    size_t received;
    llhttp_t parser;
    char target[TARGET_MAX];
    size_t target_len; /* TARGET_MAX: too long */
    bool complete;
    struct vg_buf out;
};

struct vg_monitor {
    struct vg_monitor_options options;
    int listen_fd; /* owned */
    int stop_fd;   /* owned; an eventfd */
    int port;
    pthread_t thread;
    llhttp_settings_t settings;
    struct conn conns[CONNECTIONS_MAX];
};

int vg_monitor_healthz(struct vg_buf *out)
{
    (void)vg_buf_adds(out, "ok\n");
    return 200;
}

int vg_monitor_readyz(const struct vg_monitor_options *options, struct vg_buf *out)
{
    char why[WHY_SIZE] = "";
    if (!options->ready || options->ready(options->ready_ctx, why, sizeof why)) {
        (void)vg_buf_adds(out, "ready\n");
        return 200;
    }
    (void)vg_buf_addf(out, "not ready: %s\n", why[0] ? why : "no reason given");
    return 503;
}

int vg_monitor_metrics(const struct vg_monitor_options *options, struct vg_buf *out)
{
    if (options->metrics)
        vg_metrics_write(options->metrics, out);
    return 200;
}

static int route_healthz(const struct vg_monitor_options *options, struct vg_buf *out)
{
    (void)options;
    return vg_monitor_healthz(out);
}

static const struct route {
    const char *path;
    const char *type;
    int (*answer)(const struct vg_monitor_options *options, struct vg_buf *out);
} routes[] = {
    {"/healthz", "text/plain; charset=utf-8", route_healthz},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", vg_monitor_metrics},
    {"/readyz", "text/plain; charset=utf-8", vg_monitor_readyz},
};

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < VG_COUNT(phrases); i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "";
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct conn *conn = parser->data;
    if (len > sizeof conn->target - conn->target_len) {
        conn->target_len = sizeof conn->target;
        return 0;
    }
    memcpy(conn->target + conn->target_len, at, len);
    conn->target_len += len;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct conn *conn = parser->data;
    conn->complete = true;
    return HPE_PAUSED;
}

static void conn_close(struct conn *conn)
{
    (void)close(conn->fd);
    vg_buf_fini(&conn->out);
    conn->state = CONN_FREE;
}

/* Builds the whole answer; it is written as the socket takes it. */
static void conn_answer(struct conn *conn, int status, const char *type, struct vg_view body)
{
    vg_buf_init(&conn->out, RESPONSE_MAX + 512);
    (void)vg_buf_addf(&conn->out,
                      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                      "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                      status, phrase_of(status), type, body.len,
                      status == 405 ? "Allow: GET\r\n" : "");
    (void)vg_buf_add(&conn->out, body.data, body.len);
    conn->state = CONN_WRITING;
}

static void conn_refuse(struct conn *conn, int status)
{
    char body[64];
    (void)snprintf(body, sizeof body, "%s\n", phrase_of(status));
    conn_answer(conn, status, "text/plain; charset=utf-8", vg_view_of(body));
}

static void conn_route(struct vg_monitor *self, struct conn *conn)
{
    struct vg_view path = {conn->target, conn->target_len};
    const char *query = memchr(path.data, '?', path.len);
    if (query)
        path.len = (size_t)(query - path.data);
    const struct route *route = NULL;
    for (size_t i = 0; i < VG_COUNT(routes) && !route; i++) {
        if (vg_view_eqs(path, routes[i].path))
            route = &routes[i];
    }
    if (!route || conn->parser.method != HTTP_GET) {
        conn_refuse(conn, route ? 405 : 404);
        return;
    }
    struct vg_buf body;
    vg_buf_init(&body, RESPONSE_MAX);
    int status = route->answer(&self->options, &body);
    if (vg_buf_ok(&body))
        conn_answer(conn, status, route->type, vg_buf_view(&body));
    else
        conn_refuse(conn, 500);
    vg_buf_fini(&body);
}

static void conn_read(struct vg_monitor *self, struct conn *conn)
{
    char bytes[REQUEST_MAX];
    ssize_t n = recv(conn->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(conn);
        return;
    }
    conn->received += (size_t)n;
    enum llhttp_errno rc = llhttp_execute(&conn->parser, bytes, (size_t)n);
    if (conn->complete)
        conn_route(self, conn);
    else if (rc != HPE_OK)
        conn_refuse(conn, 400);
    else if (conn->received > REQUEST_MAX)
        conn_refuse(conn, 431);
}

static void conn_write(struct conn *conn)
{
    struct vg_view left = vg_buf_view(&conn->out);
    ssize_t n = send(conn->fd, left.data, left.len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        conn_close(conn);
        return;
    }
    vg_buf_consume(&conn->out, (size_t)n);
    if (conn->out.len)
        return;
    (void)shutdown(conn->fd, SHUT_WR); /* fails only when the peer is gone already */
    conn->state = CONN_LINGER;
    conn->deadline_ns = vg_deadline_in_ms(LINGER_MS);
}

static void conn_linger(struct conn *conn)
{
    char bytes[REQUEST_MAX];
    ssize_t n = recv(conn->fd, bytes, sizeof bytes, 0);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    conn_close(conn);
}

static void conn_step(struct vg_monitor *self, struct conn *conn)
{
    if (conn->state == CONN_READING)
        conn_read(self, conn);
    else if (conn->state == CONN_LINGER)
        conn_linger(conn);
    /* An answer just made is tried at once: the socket is nearly always ready. */
    if (conn->state == CONN_WRITING)
        conn_write(conn);
}

static struct conn *conn_free_slot(struct vg_monitor *self)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (self->conns[i].state == CONN_FREE)
            return &self->conns[i];
    }
    return NULL;
}

static void monitor_accept(struct vg_monitor *self, struct conn *conn)
{
    int fd = accept4(self->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        /* The peer went away: the next turn tries again. No descriptor is free: so will the one in
         * a moment, or the loop would spin until there is one. */
        if (errno != EINTR && errno != ECONNABORTED)
            (void)poll(&(struct pollfd){.fd = self->stop_fd, .events = POLLIN}, 1, PAUSE_MS);
        return;
    }
    *conn = (struct conn){
        .state = CONN_READING,
        .fd = fd,
        .deadline_ns = vg_deadline_in_ms(REQUEST_MS),
    };
    llhttp_init(&conn->parser, HTTP_REQUEST, &self->settings);
    conn->parser.data = conn;
}

/* Closes what ran out of time; returns how long poll may wait, -1 for ever. */
static int monitor_timeout(struct vg_monitor *self)
{
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct conn *conn = &self->conns[i];
        if (conn->state == CONN_FREE)
            continue;
        int64_t left = vg_deadline_left_ms(conn->deadline_ns);
        if (left == 0)
            conn_close(conn);
        else if (left < soonest)
            soonest = left;
    }
    return soonest == INT64_MAX ? -1 : (int)soonest + 1;
}

/* One entry for each connection in use, as poll refuses more entries than the limit of descriptors
 * allows; `of` says whose. Returns how many. */
static size_t monitor_watch(struct vg_monitor *self, struct pollfd *fds, struct conn **of)
{
    size_t count = 0;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct conn *conn = &self->conns[i];
        if (conn->state == CONN_FREE)
            continue;
        of[count] = conn;
        fds[count++] = (struct pollfd){.fd = conn->fd,
                                       .events = conn->state == CONN_WRITING ? POLLOUT : POLLIN};
    }
    return count;
}

static void *monitor_run(void *arg)
{
    struct vg_monitor *self = arg;
    for (;;) {
        int timeout = monitor_timeout(self);
        struct pollfd fds[CONNECTIONS_MAX + 2] = {
            {.fd = self->stop_fd, .events = POLLIN},
            {.fd = conn_free_slot(self) ? self->listen_fd : -1, .events = POLLIN},
        };
        struct conn *of[CONNECTIONS_MAX];
        size_t count = monitor_watch(self, fds + 2, of);
        if (poll(fds, count + 2, timeout) < 0)
            continue; /* EINTR */
        if (fds[0].revents)
            return NULL;
        for (size_t i = 0; i < count; i++) {
            if (fds[i + 2].revents)
                conn_step(self, of[i]);
        }
        struct conn *slot = fds[1].revents ? conn_free_slot(self) : NULL;
        if (slot)
            monitor_accept(self, slot);
    }
}

static int listen_on(const struct addrinfo *address, int *out_fd)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 64) == 0) {
        *out_fd = fd;
        return 0;
    }
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return -1;
}

/* "127.0.0.1:9100", "[::1]:9100", ":9100" */
static int open_listener(const char *listen_text, int *out_fd, struct vg_err *err)
{
    char host[256];
    const char *colon = strrchr(listen_text, ':');
    int64_t port;
    if (!colon || (size_t)(colon - listen_text) >= sizeof host ||
        vg_parse_i64(vg_view_of(colon + 1), 0, 65535, &port) != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "'%.200s' is not ADDRESS:PORT.",
                          listen_text);
    size_t len = (size_t)(colon - listen_text);
    memcpy(host, listen_text, len);
    host[len] = '\0';
    char *name = host;
    if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found);
    if (rc != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "Cannot resolve '%.200s': %s.", listen_text,
                          gai_strerror(rc));
    rc = listen_on(found, out_fd);
    if (rc != 0)
        (void)vg_err_set(err, VG_ERR_UNAVAILABLE, "Cannot listen on %.200s: %m.", listen_text);
    freeaddrinfo(found);
    return rc;
}

static int bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {.sin6_port = 0}};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

int vg_monitor_start(struct vg_monitor **out, const struct vg_monitor_options *options,
                     struct vg_err *err)
{
    int listen_fd;
    if (open_listener(options->listen, &listen_fd, err) != 0)
        return -1;
    struct vg_monitor *self = vg_xalloc(sizeof *self);
    self->options = *options;
    self->listen_fd = listen_fd;
    self->port = bound_port(listen_fd);
    self->stop_fd = eventfd(0, EFD_CLOEXEC);
    VG_ASSERT(self->stop_fd >= 0);
    llhttp_settings_init(&self->settings);
    self->settings.on_url = on_url;
    self->settings.on_message_complete = on_message_complete;
    VG_ASSERT(pthread_create(&self->thread, NULL, monitor_run, self) == 0);
    (void)pthread_setname_np(self->thread, "vg-monitor");
    *out = self;
    return 0;
}

int vg_monitor_port(const struct vg_monitor *monitor)
{
    return monitor->port;
}

struct vg_monitor *vg_monitor_stop(struct vg_monitor *monitor)
{
    if (!monitor)
        return NULL;
    VG_ASSERT(eventfd_write(monitor->stop_fd, 1) == 0);
    VG_ASSERT(pthread_join(monitor->thread, NULL) == 0);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (monitor->conns[i].state != CONN_FREE)
            conn_close(&monitor->conns[i]);
    }
    (void)close(monitor->listen_fd);
    (void)close(monitor->stop_fd);
    free(monitor);
    return NULL;
}
