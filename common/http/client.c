/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/http/transfer.h"
#include "common/mem.h"

enum { MAX_CONNECTIONS = 512, MAX_IDLE_CONNECTIONS = 64 };

struct vg_http_client {
    struct vg_loop *loop;              /* borrowed */
    const struct vg_http_guard *guard; /* borrowed; NULL: everything passes */
    CURLM *multi;                      /* owned */
    CURLSH *share;                     /* owned: TLS sessions */
    struct vg_timer alarm;             /* libcurl's timeout */
    struct vg_timer sweep;             /* armed while a transfer is marked */
    struct vg_http_transfer *first;    /* all transfers */
    bool closing;
    bool busy;    /* inside libcurl or a callback: not to be freed */
    bool in_curl; /* inside libcurl: not to be entered again */
};

/* One socket of libcurl's. */
struct socket_watch {
    struct vg_http_client *client; /* borrowed */
    curl_socket_t fd;              /* libcurl's */
    struct vg_watch *watch;        /* owned */
};

static void finish_done(struct vg_http_client *client);

static void act(struct vg_http_client *client, curl_socket_t fd, int bits)
{
    int running;

    client->busy = client->in_curl = true;
    /* Errors of the multi are programming errors; those of transfers come as messages. */
    VG_ASSERT(curl_multi_socket_action(client->multi, fd, bits, &running) == CURLM_OK);
    client->busy = client->in_curl = false;
    finish_done(client);
}

static void on_socket_ready(void *ctx, int events)
{
    struct socket_watch *sw = ctx; /* libcurl may free it in the call below */
    int bits = 0;

    if (events & VG_READABLE)
        bits |= CURL_CSELECT_IN;
    if (events & VG_WRITABLE)
        bits |= CURL_CSELECT_OUT;
    act(sw->client, sw->fd, bits);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    struct vg_http_client *client = ctx;
    struct socket_watch *sw = assigned;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (sw)
            vg_watch_free(sw->watch);
        free(sw);
        (void)curl_multi_assign(client->multi, fd, NULL); /* fails only for a socket it forgot */
        return 0;
    }
    if (!sw) {
        sw = vg_xalloc(sizeof(*sw));
        *sw = (struct socket_watch){.client = client, .fd = fd};
        sw->watch = vg_watch_new(client->loop, fd, on_socket_ready, sw);
        if (!sw->watch) {
            free(sw); /* the kernel has no room for it: the transfer ends by its timeout */
            return 0;
        }
        (void)curl_multi_assign(client->multi, fd, sw); /* as above */
    }
    if (what & CURL_POLL_IN)
        events |= VG_READABLE;
    if (what & CURL_POLL_OUT)
        events |= VG_WRITABLE;
    vg_watch_set(sw->watch, events);
    return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct vg_http_client *client = ctx;

    (void)multi;
    if (timeout_ms < 0)
        vg_timer_stop(&client->alarm);
    else
        vg_timer_start(&client->alarm, vg_deadline_in_ms(timeout_ms));
    return 0;
}

static void on_alarm(struct vg_timer *timer)
{
    struct vg_http_client *client = VG_CONTAINER(timer, struct vg_http_client, alarm);

    act(client, CURL_SOCKET_TIMEOUT, 0);
}

const char *vg_http_header(const struct vg_http_result *result, const char *name)
{
    struct curl_header *header = NULL;

    if (!result->transfer ||
        curl_easy_header(result->transfer->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

/* Ends the transfer: takes it out of libcurl, tells the owner, frees. Never inside libcurl. */
static void finish(struct vg_http_transfer *t, CURLcode code)
{
    struct vg_http_client *client = t->client;

    client->busy = true;
    if (t->added)
        VG_ASSERT(curl_multi_remove_handle(client->multi, t->easy) == CURLM_OK);
    if (t->prev)
        t->prev->next = t->next;
    else
        client->first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    struct vg_http_result result = vg_http_transfer_result(t, code);
    t->on_done(t->ctx, &result);
    vg_http_transfer_free(t);
    client->busy = false;
}

static void finish_done(struct vg_http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        CURLcode code = message->data.result; /* the message dies with the handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        finish(vg_http_transfer_of(message->easy_handle), code);
    }
}

static void mark(struct vg_http_transfer *t)
{
    t->wants_sweep = true;
    vg_timer_start(&t->client->sweep, vg_now_ns());
}

static struct vg_http_transfer *first_marked(struct vg_http_client *client)
{
    struct vg_http_transfer *t = client->first;

    while (t && !t->wants_sweep)
        t = t->next;
    return t;
}

static void add(struct vg_http_transfer *t)
{
    t->added = true;
    VG_ASSERT(curl_multi_add_handle(t->client->multi, t->easy) == CURLM_OK);
}

/* Does at the top of the loop what callbacks only marked. */
static void on_sweep(struct vg_timer *timer)
{
    struct vg_http_client *client = VG_CONTAINER(timer, struct vg_http_client, sweep);
    struct vg_http_transfer *t;

    while ((t = first_marked(client)) != NULL) {
        t->wants_sweep = false;
        if (t->failed || t->cancelled) {
            finish(t, CURLE_ABORTED_BY_CALLBACK);
        } else if (!t->added) {
            add(t);
        } else if (t->held && !t->paused) {
            t->held = false;
            client->busy = client->in_curl = true;          /* on_data is called in here */
            (void)curl_easy_pause(t->easy, CURLPAUSE_CONT); /* its errors end the transfer */
            client->busy = client->in_curl = false;
        }
    }
    finish_done(client);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void *curl_take(size_t size)
{
    return vg_xrealloc(NULL, size);
}

/* Without memory libcurl would tell of bad addresses and of receivers that are away. What peers can
 * size goes through buffers of ours. */
static void curl_start(void)
{
    VG_ASSERT(curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, free, vg_xrealloc, vg_xstrdup,
                                   vg_xcalloc) == CURLE_OK);
}

int vg_http_client_new(struct vg_http_client **out, struct vg_loop *loop,
                       const struct vg_http_guard *guard, struct vg_err *err)
{
    (void)pthread_once(&curl_once, curl_start); /* cannot fail */
    if (guard && vg_http_guard_check(guard, err) != 0)
        return -1;
    struct vg_http_client *client = vg_xalloc(sizeof(*client));
    client->loop = loop;
    client->guard = guard;
    vg_timer_init(&client->alarm, loop, on_alarm);
    vg_timer_init(&client->sweep, loop, on_sweep);
    client->multi = curl_multi_init();
    client->share = curl_share_init();
    VG_ASSERT(client->multi && client->share);
    curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)MAX_IDLE_CONNECTIONS);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)MAX_CONNECTIONS);
    *out = client;
    return 0;
}

struct vg_http_client *vg_http_client_free(struct vg_http_client *client)
{
    if (!client)
        return NULL;
    VG_ASSERT(!client->busy);
    client->closing = true;
    for (struct vg_http_transfer *t = client->first, *next; t; t = next) {
        next = t->next; /* stays: nothing else ends or starts a transfer now */
        t->cancelled = true;
        finish(t, CURLE_ABORTED_BY_CALLBACK);
    }
    (void)curl_multi_cleanup(client->multi); /* fails only for a handle that is not ours */
    (void)curl_share_cleanup(client->share); /* no easy handle is left that uses it */
    vg_timer_stop(&client->alarm);
    vg_timer_stop(&client->sweep);
    free(client);
    return NULL;
}

struct vg_http_transfer *vg_http_start(struct vg_http_client *client,
                                       const struct vg_http_request *request)
{
    if (client->closing)
        return NULL;
    struct vg_http_transfer *t = vg_http_transfer_new(request, client->guard, client->share);
    t->client = client;
    t->next = client->first;
    if (t->next)
        t->next->prev = t;
    client->first = t;
    if (t->failed || client->in_curl)
        mark(t);
    else
        add(t);
    return t;
}

void vg_http_cancel(struct vg_http_transfer *transfer)
{
    transfer->cancelled = true;
    mark(transfer);
}

void vg_http_pause(struct vg_http_transfer *transfer)
{
    transfer->paused = true;
}

void vg_http_resume(struct vg_http_transfer *transfer)
{
    transfer->paused = false;
    if (transfer->held)
        mark(transfer);
}
