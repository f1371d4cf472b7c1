/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/str.h"

enum { MAX_CONNECTIONS = 64, REQUEST_SIZE = 65536 };

struct http_server {
    int fd;
    int port;
    pthread_t thread;
    pthread_t connections[MAX_CONNECTIONS];
    int fds[MAX_CONNECTIONS];
    int count;
    atomic_int requests;
    atomic_int connects;
    _Atomic(char *) last; /* owned: the last request, headers and body */
};

struct connection {
    struct http_server *server;
    int fd;
    int served;
};

static bool put(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool puts_to(int fd, const char *text)
{
    return put(fd, text, strlen(text));
}

/* The handlers answer and say whether the connection goes on. */
typedef bool handler_f(struct connection *c);

static bool serve_ok(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
                          "hello");
}

static bool serve_truncated(struct connection *c)
{
    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    return false;
}

static bool serve_truncated_chunk(struct connection *c)
{
    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    return false;
}

static bool serve_never(struct connection *c)
{
    char byte;

    while (recv(c->fd, &byte, 1, 0) > 0) /* until the client goes */
        ;
    return false;
}

static bool serve_drip(struct connection *c)
{
    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 1000 && puts_to(c->fd, "x"); i++)
        usleep(5000);
    return false;
}

static bool serve_large(struct connection *c)
{
    static const char zeros[4096];

    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1048576\r\n"
                         "\r\n");
    for (int i = 0; i < LARGE / 4096; i++)
        if (!put(c->fd, zeros, sizeof(zeros)))
            return false;
    return true;
}

static bool serve_endless(struct connection *c)
{
    char chunk[0x1000];

    memset(chunk, 'x', sizeof(chunk));
    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (puts_to(c->fd, "1000\r\n") && put(c->fd, chunk, sizeof(chunk)) && puts_to(c->fd, "\r\n"))
        ;
    return false;
}

static bool serve_redirect(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 4\r\n\r\ngone");
}

static bool serve_wait_seconds(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
}

static bool serve_wait_long(struct connection *c)
{
    return puts_to(c->fd,
                   "HTTP/1.1 503 Busy\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n");
}

static bool serve_wait_past(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                          "Content-Length: 0\r\n\r\n");
}

static bool serve_wait_date(struct connection *c)
{
    char text[256], date[64];
    time_t at = time(NULL) + 100;
    struct tm tm;

    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
    (void)snprintf(text, sizeof(text),
                   "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
    return puts_to(c->fd, text);
}

static bool serve_reset(struct connection *c)
{
    (void)c;
    return false;
}

/* Answers once on each connection, then drops it when the next request has come. */
static bool serve_once(struct connection *c)
{
    return c->served == 1 && serve_ok(c);
}

static bool serve_garbage(struct connection *c)
{
    (void)puts_to(c->fd, "SSH-2.0-OpenSSH_9.2\r\n");
    return false;
}

static bool serve_header_bomb(struct connection *c)
{
    (void)puts_to(c->fd, "HTTP/1.1 200 OK\r\n");
    while (puts_to(c->fd, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"))
        ;
    return false;
}

static bool serve_interim_flood(struct connection *c)
{
    while (puts_to(c->fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))
        ;
    return false;
}

static bool serve_interim(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") && serve_ok(c);
}

static bool serve_cookie(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
}

static bool serve_missing(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nmissing");
}

static bool serve_empty(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 204 No Content\r\n\r\n");
}

static bool serve_two_lengths(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length:4\r\n\r\nhello");
}

static bool serve_length_list(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5, 4\r\n\r\nhello");
}

static bool serve_length_sign(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello");
}

/* One length, said twice, behind an interim answer with another. */
static bool serve_same_lengths(struct connection *c)
{
    return puts_to(c->fd, "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
                          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: \t5 \r\n\r\n"
                          "hello");
}

static const struct {
    const char *path;
    handler_f *serve;
} handlers[] = {
    {"/two-lengths", serve_two_lengths},
    {"/length-list", serve_length_list},
    {"/length-sign", serve_length_sign},
    {"/same-lengths", serve_same_lengths},
    {"/ok", serve_ok},
    {"/truncated", serve_truncated},
    {"/truncated-chunk", serve_truncated_chunk},
    {"/never", serve_never},
    {"/drip", serve_drip},
    {"/large", serve_large},
    {"/endless", serve_endless},
    {"/redirect", serve_redirect},
    {"/wait-seconds", serve_wait_seconds},
    {"/wait-long", serve_wait_long},
    {"/wait-past", serve_wait_past},
    {"/wait-date", serve_wait_date},
    {"/reset", serve_reset},
    {"/once", serve_once},
    {"/garbage", serve_garbage},
    {"/header-bomb", serve_header_bomb},
    {"/interim-flood", serve_interim_flood},
    {"/interim", serve_interim},
    {"/cookie", serve_cookie},
    {"/missing", serve_missing},
    {"/empty", serve_empty},
};

/* Reads one request into `text`; false when the client is gone. */
static bool read_request(int fd, char text[REQUEST_SIZE])
{
    size_t len = 0, want = SIZE_MAX;

    while (len < want) {
        ssize_t n = recv(fd, text + len, REQUEST_SIZE - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        if (text[0] == 0x16) /* a TLS greeting */
            return false;
        char *end = strstr(text, "\r\n\r\n");
        if (!end || want != SIZE_MAX)
            continue;
        char *length = strcasestr(text, "\r\nContent-Length: ");
        int64_t body = 0;
        if (length && length < end) {
            length += strlen("\r\nContent-Length: ");
            struct vg_view digits = {length, strcspn(length, "\r")};
            VG_ASSERT(vg_parse_i64(digits, 0, REQUEST_SIZE, &body) == 0);
        }
        want = (size_t)(end + 4 - text) + (size_t)body;
    }
    return true;
}

static bool answer(struct connection *c, const char *request)
{
    const char *path = strchr(request, ' ');

    path = path ? path + 1 : request;
    size_t len = strcspn(path, " ?");
    c->served++;
    for (size_t i = 0; i < VG_COUNT(handlers); i++)
        if (strlen(handlers[i].path) == len && memcmp(handlers[i].path, path, len) == 0)
            return handlers[i].serve(c);
    return false;
}

static void *serve_connection(void *arg)
{
    struct connection *c = arg;
    struct http_server *s = c->server;
    char *request = malloc(REQUEST_SIZE);
    bool more = true;

    while (request && more && read_request(c->fd, request)) {
        free(atomic_exchange(&s->last, vg_xstrdup(request)));
        atomic_fetch_add(&s->requests, 1);
        more = answer(c, request);
    }
    (void)shutdown(c->fd, SHUT_RDWR); /* closed when the server stops */
    free(request);
    free(c);
    return NULL;
}

static void *serve_all(void *arg)
{
    struct http_server *s = arg;
    int fd;

    while (s->count < MAX_CONNECTIONS && (fd = accept(s->fd, NULL, NULL)) >= 0) {
        struct connection *c = vg_xalloc(sizeof(*c));
        *c = (struct connection){.server = s, .fd = fd};
        atomic_fetch_add(&s->connects, 1);
        s->fds[s->count] = fd;
        VG_ASSERT(pthread_create(&s->connections[s->count], NULL, serve_connection, c) == 0);
        s->count++;
    }
    return NULL;
}

int listen_on_loopback(int *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    VG_ASSERT(fd >= 0);
    VG_ASSERT(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
    VG_ASSERT(listen(fd, 64) == 0);
    VG_ASSERT(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

struct http_server *http_server_start(void)
{
    struct http_server *s = vg_xalloc(sizeof(*s));

    s->fd = listen_on_loopback(&s->port);
    VG_ASSERT(pthread_create(&s->thread, NULL, serve_all, s) == 0);
    return s;
}

struct http_server *http_server_stop(struct http_server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR); /* ends the accept */
    pthread_join(s->thread, NULL);
    for (int i = 0; i < s->count; i++) {
        (void)shutdown(s->fds[i], SHUT_RDWR); /* ends the recv or send */
        pthread_join(s->connections[i], NULL);
        close(s->fds[i]);
    }
    close(s->fd);
    free(atomic_load(&s->last));
    free(s);
    return NULL;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

int http_server_requests(struct http_server *s)
{
    return atomic_load(&s->requests);
}

int http_server_connects(struct http_server *s)
{
    return atomic_load(&s->connects);
}

char *http_server_take_request(struct http_server *s)
{
    return atomic_exchange(&s->last, NULL);
}
