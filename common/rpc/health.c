/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.health.v1: Check, List and Watch. All services share one state, which set_serving changes.
 *
 * A watcher sends one message at a time and always the newest state; it ends when its client goes,
 * or with the server. References on a watcher: the call (until its end), the cancel subscription, a
 * round of vg_rpc_health_set. */
#include <grpc/health/v1/health.pb-c.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/rpc/counted.h"
#include "common/rpc/server_priv.h"

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus health_status;
#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct watcher {
    atomic_int refs;
    struct vg_rpc_health *health; /* borrowed */
    struct vg_rpc_call *call;     /* ours until ended */
    struct vg_task sent_task;
    struct vg_task cancel_task;
    bool known; /* the service exists */
    /* Under health->lock: */
    bool sending;
    bool ended;
    health_status last; /* sent; UNKNOWN before the first */
    struct watcher *prev;
    struct watcher *next;
};

struct vg_rpc_health {
    const struct vg_rpc_methods *methods; /* borrowed */
    pthread_mutex_t lock;
    bool serving;
    struct watcher *watchers;
    size_t watcher_count;
};

enum step { STEP_NONE, STEP_SEND, STEP_END };

static void watcher_unref(struct watcher *watcher)
{
    if (vg_rpc_counted_unref(&watcher->refs))
        vg_rpc_counted_free(watcher);
}

static void unlink_watcher(struct vg_rpc_health *health, struct watcher *watcher)
{
    if (watcher->prev != NULL)
        watcher->prev->next = watcher->next;
    else
        health->watchers = watcher->next;
    if (watcher->next != NULL)
        watcher->next->prev = watcher->prev;
    health->watcher_count--;
}

static health_status status_of(const struct vg_rpc_health *health, bool known)
{
    if (!known)
        return STATUS(SERVICE_UNKNOWN);
    return health->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

/* Decides under the lock; the caller acts outside it, as acting may come back here. */
static enum step decide(struct watcher *watcher)
{
    struct vg_rpc_health *health = watcher->health;
    enum step step = STEP_NONE;

    (void)pthread_mutex_lock(&health->lock);
    if (!watcher->sending && !watcher->ended) {
        health_status now = status_of(health, watcher->known);

        if (vg_rpc_call_cancelled(watcher->call)) {
            step = STEP_END;
            watcher->ended = true;
            unlink_watcher(health, watcher);
        } else if (now != watcher->last) {
            step = STEP_SEND;
            watcher->sending = true;
            watcher->last = now;
        }
    }
    (void)pthread_mutex_unlock(&health->lock);
    return step;
}

static void watcher_end(struct watcher *watcher)
{
    struct vg_err err = {0};

    (void)vg_err_set(&err, VG_ERR_CANCELLED, NULL);
    if (vg_rpc_call_clear_cancel(watcher->call))
        watcher_unref(watcher);
    vg_rpc_call_fail(watcher->call, &err);
    watcher_unref(watcher);
}

static void watcher_step(struct watcher *watcher)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    enum step step = decide(watcher);

    if (step == STEP_SEND) {
        response.status = watcher->last; /* ours while sending */
        vg_rpc_call_send(watcher->call, &response.base, vg_rpc_inline_executor(),
                         &watcher->sent_task);
    } else if (step == STEP_END) {
        watcher_end(watcher);
    }
}

static void watcher_sent(struct vg_task *task)
{
    struct watcher *watcher = VG_CONTAINER(task, struct watcher, sent_task);
    struct vg_rpc_health *health = watcher->health;

    (void)pthread_mutex_lock(&health->lock);
    watcher->sending = false;
    (void)pthread_mutex_unlock(&health->lock);
    watcher_step(watcher);
}

static void watcher_cancelled(struct vg_task *task)
{
    struct watcher *watcher = VG_CONTAINER(task, struct watcher, cancel_task);

    watcher_step(watcher);
    watcher_unref(watcher);
}

static bool known_service(const struct vg_rpc_health *health, const char *name)
{
    return name[0] == '\0' || vg_rpc_methods_has_service(health->methods, name);
}

static const char *asked_service(struct vg_rpc_call *call)
{
    return ((const Grpc__Health__V1__HealthCheckRequest *)vg_rpc_call_request(call))->service;
}

static void handle_watch(void *ctx, struct vg_rpc_call *call)
{
    struct vg_rpc_health *health = ctx;
    struct watcher *watcher = vg_xalloc(sizeof *watcher);

    atomic_init(&watcher->refs, 3); /* call, subscription, this function */
    watcher->health = health;
    watcher->call = call;
    watcher->known = known_service(health, asked_service(call));
    watcher->last = STATUS(UNKNOWN);
    watcher->sent_task.run = watcher_sent;
    watcher->cancel_task.run = watcher_cancelled;
    (void)pthread_mutex_lock(&health->lock);
    watcher->next = health->watchers;
    if (watcher->next != NULL)
        watcher->next->prev = watcher;
    health->watchers = watcher;
    health->watcher_count++;
    /* Nobody may end the call before it is subscribed. */
    watcher->sending = true;
    (void)pthread_mutex_unlock(&health->lock);
    vg_rpc_call_on_cancel(call, vg_rpc_inline_executor(), &watcher->cancel_task);
    watcher_sent(&watcher->sent_task);
    watcher_unref(watcher);
}

static health_status current(struct vg_rpc_health *health)
{
    (void)pthread_mutex_lock(&health->lock);
    health_status status = status_of(health, true);
    (void)pthread_mutex_unlock(&health->lock);
    return status;
}

static void handle_check(void *ctx, struct vg_rpc_call *call)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct vg_rpc_health *health = ctx;
    struct vg_err err = {0};

    if (!known_service(health, asked_service(call))) {
        (void)vg_err_set(&err, VG_ERR_NOT_FOUND, "Unknown service.");
        vg_rpc_call_fail(call, &err);
        return;
    }
    response.status = current(health);
    vg_rpc_call_reply(call, &response.base);
}

static void handle_list(void *ctx, struct vg_rpc_call *call)
{
    struct vg_rpc_health *health = ctx;
    size_t count = health->methods->service_count + 1;
    struct vg_arena *arena = vg_rpc_call_arena(call);
    Grpc__Health__V1__HealthListResponse response = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    Grpc__Health__V1__HealthCheckResponse status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    Grpc__Health__V1__HealthListResponse__StatusesEntry *entries =
        vg_arena_alloc(arena, count * sizeof *entries);

    status.status = current(health);
    response.statuses = vg_arena_alloc(arena, count * sizeof(void *));
    response.n_statuses = count;
    for (size_t i = 0; i < count; i++) {
        const char *name = i == 0 ? "" : health->methods->services[i - 1];

        grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
        entries[i].key = (char *)name; /* protobuf-c only reads it */
        entries[i].value = &status;
        response.statuses[i] = &entries[i];
    }
    vg_rpc_call_reply(call, &response.base);
}

struct vg_rpc_health *vg_rpc_health_new(const struct vg_rpc_methods *methods)
{
    struct vg_rpc_health *health = vg_xalloc(sizeof *health);

    health->methods = methods;
    (void)pthread_mutex_init(&health->lock, NULL);
    return health;
}

struct vg_rpc_health *vg_rpc_health_free(struct vg_rpc_health *health)
{
    if (health == NULL)
        return NULL;
    VG_ASSERT(health->watchers == NULL); /* each holds a call, and that the server */
    (void)pthread_mutex_destroy(&health->lock);
    free(health);
    return NULL;
}

void vg_rpc_health_set(struct vg_rpc_health *health, bool serving)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&health->lock);
    health->serving = serving;
    struct watcher **round = vg_xcalloc(health->watcher_count + 1, sizeof(struct watcher *));
    for (struct watcher *at = health->watchers; at != NULL; at = at->next) {
        vg_rpc_counted_ref(&at->refs);
        round[count++] = at;
    }
    (void)pthread_mutex_unlock(&health->lock);
    for (size_t i = 0; i < count; i++) {
        watcher_step(round[i]);
        watcher_unref(round[i]);
    }
    free(round);
}

int vg_rpc_health_add(struct vg_rpc_health *health, struct vg_rpc_methods *methods,
                      struct vg_err *err)
{
    static const struct vg_rpc_method rows[] = {
        {"Check", handle_check, false},
        {"List", handle_list, false},
        {"Watch", handle_watch, true},
    };
    const struct vg_rpc_service service = {&grpc__health__v1__health__descriptor, rows,
                                           VG_COUNT(rows), health};

    return vg_rpc_methods_add(methods, &service, true, err);
}
