/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the webhook sender share: a receiver, and attempts that are waited for. */
#ifndef VG_TESTS_WORKERS_WEBHOOK_RECEIVER_H
#define VG_TESTS_WORKERS_WEBHOOK_RECEIVER_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "workers/webhook/sender.h"

/* A receiver: a thread that answers each connection with `answer` and keeps the last request. */
struct receiver {
    int fd, port;
    pthread_t thread;
    const char *answer;    /* NULL: never answers */
    size_t answer_repeats; /* bytes of filler behind it */
    pthread_mutex_t mutex;
    int requests;
    char last[16384];
    size_t last_len;
    int held[16]; /* connections that get no answer */
    int held_count;
};

static bool is_whole(const char *text, size_t len)
{
    const char *head = memmem(text, len, "\r\n\r\n", 4);
    const char *length = head ? memmem(text, len, "Content-Length: ", 16) : NULL;
    if (!length)
        return false;
    return len >= (size_t)(head + 4 - text) + (size_t)strtod(length + 16, NULL);
}

static void serve(struct receiver *self, int fd)
{
    char text[sizeof(self->last)];
    size_t len = 0;
    while (len < sizeof(text) && !is_whole(text, len)) {
        ssize_t n = recv(fd, text + len, sizeof(text) - len, 0);
        if (n <= 0) {
            close(fd);
            return;
        }
        len += (size_t)n;
    }
    pthread_mutex_lock(&self->mutex);
    self->requests++;
    memcpy(self->last, text, len);
    self->last_len = len;
    const char *answer = self->answer;
    if (!answer)
        self->held[self->held_count++] = fd;
    pthread_mutex_unlock(&self->mutex);
    if (!answer)
        return;
    (void)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    char filler[1024];
    memset(filler, 'x', sizeof(filler));
    for (size_t i = 0; i < self->answer_repeats; i++) {
        if (send(fd, filler, sizeof(filler), MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
}

static void *receive(void *arg)
{
    struct receiver *self = arg;
    int fd;
    while ((fd = accept(self->fd, NULL, NULL)) >= 0)
        serve(self, fd);
    return NULL;
}

static void receiver_start(struct receiver *self, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    memset(self, 0, sizeof(*self));
    self->answer = answer;
    pthread_mutex_init(&self->mutex, NULL);
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(self->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(self->fd, 16), 0);
    assert_int_equal(getsockname(self->fd, (struct sockaddr *)&address, &size), 0);
    self->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&self->thread, NULL, receive, self), 0);
}

static void receiver_stop(struct receiver *self)
{
    shutdown(self->fd, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->fd);
    for (int i = 0; i < self->held_count; i++)
        close(self->held[i]);
    pthread_mutex_destroy(&self->mutex);
}

static const struct vg_http_guard open_guard = {
    .allow_http = true, .allow_any_port = true, .allow_nets = "127.0.0.0/8"};

static struct vg_sender *start_lingering(const struct vg_http_guard *guard, int max_attempts,
                                         int64_t linger_ms)
{
    struct vg_sender *sender;
    struct vg_err err;
    const struct vg_sender_options options = {
        .guard = *guard, .max_attempts = max_attempts, .linger_ms = linger_ms};
    assert_int_equal(vg_sender_start(&sender, &options, &err), 0);
    return sender;
}

static struct vg_sender *start_sender(const struct vg_http_guard *guard, int max_attempts)
{
    return start_lingering(guard, max_attempts, 60000);
}

/* ---- attempts */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
struct attempt {
    struct vg_delivery delivery; /* first */
    char url[256];
    bool done;
    int times;                 /* done */
    struct receiver *receiver; /* of a test that cancels */
    struct vg_task cancel;
};

static void on_done(struct vg_delivery *delivery)
{
    pthread_mutex_lock(&mutex);
    ((struct attempt *)delivery)->done = true;
    ((struct attempt *)delivery)->times++;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
}

#define BODY "{\"type\":\"video.completed\",\"data\":{\"id\":\"video_1\"}}"

static void cancel_later(struct vg_task *task)
{
    struct attempt *attempt = VG_CONTAINER(task, struct attempt, cancel);

    pthread_mutex_lock(&attempt->receiver->mutex);
    bool heard = attempt->receiver->requests > 0;
    pthread_mutex_unlock(&attempt->receiver->mutex);
    if (heard)
        vg_sender_cancel(&attempt->delivery);
    else
        vg_post(vg_sender_executor(attempt->delivery.sender), task);
}

/* Nothing is asked yet. `receiver` is for tests that cancel; else NULL. */
static void prepare(struct attempt *attempt, struct receiver *receiver, int port, const char *path)
{
    memset(attempt, 0, sizeof(*attempt));
    (void)snprintf(attempt->url, sizeof(attempt->url), "http://127.0.0.1:%d%s", port, path);
    attempt->delivery.id = "evt_1";
    attempt->delivery.url = attempt->url;
    attempt->delivery.secret = "plain secret";
    attempt->delivery.body = VG_VIEW(BODY);
    attempt->delivery.timeout_ms = 10000;
    attempt->delivery.done = on_done;
    attempt->receiver = receiver;
    attempt->cancel.run = cancel_later;
}

static void wait_for(struct attempt *attempt)
{
    pthread_mutex_lock(&mutex);
    while (!attempt->done)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

#endif
