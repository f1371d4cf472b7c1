/* SPDX-License-Identifier: Apache-2.0 */
#include "db/listen.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "db/db_priv.h"

enum {
    NOTIFY_GAP_MS = 5, /* between two NOTIFYs of this process */
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 1000,
    PROBE_MS =
        5000 /* a connection that said nothing for so long is asked whether it takes writes */
};

/* A lost NOTIFY costs one poll interval, so it does not wait for the disk. */
static const char listen_sql[] =
    "SET application_name = 'videogate-listen'; SET synchronous_commit = off; LISTEN videogate_due";
static const char setup_sql[] =
    "SET application_name = 'videogate-notify'; SET synchronous_commit = off";
static const char notify_sql[] = "NOTIFY videogate_due";

/* The posted task; lives until neither the listener nor the executor's queue holds it. */
struct wake {
    struct vg_task task;
    struct vg_task *target; /* borrowed */
    struct vg_executor *executor;
    atomic_bool queued;
    atomic_bool stopped;
    atomic_int refs;
};

struct vg_listen {
    struct vg_db *db;
    struct vg_pg_target target; /* borrows from the combiner */
    struct wake *wake;          /* a reference; NULL: nobody to wake */
    struct vg_pg *pg;
    pthread_t thread;
    int event_fd;
    atomic_bool stopping;
    atomic_bool notify; /* a NOTIFY is owed */
};

static void wake_unref(struct wake *wake)
{
    if (atomic_fetch_sub(&wake->refs, 1) == 1)
        free(wake);
}

static void wake_run(struct vg_task *task)
{
    struct wake *wake = VG_CONTAINER(task, struct wake, task);

    /* Cleared before the call: what becomes due during it posts again. */
    atomic_store(&wake->queued, false);
    if (!atomic_load(&wake->stopped))
        wake->target->run(wake->target);
    wake_unref(wake);
}

static void wake_post(struct wake *wake)
{
    if (!wake || atomic_exchange(&wake->queued, true))
        return;
    (void)atomic_fetch_add(&wake->refs, 1);
    vg_post(wake->executor, &wake->task);
}

static bool give_up(void *ctx)
{
    struct vg_listen *listen = ctx;

    return atomic_load(&listen->stopping);
}

static void kick(struct vg_listen *listen)
{
    uint64_t one = 1;

    /* A full counter means that the thread is awake anyway. */
    (void)!write(listen->event_fd, &one, sizeof(one));
}

void vg_listen_due(struct vg_listen *listen)
{
    wake_post(listen->wake);
    if (!atomic_exchange(&listen->notify, true))
        kick(listen);
}

/* Waits until the socket or the event is ready; true: the socket is. */
static bool wait_events(struct vg_listen *listen, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = listen->event_fd, .events = POLLIN},
                          {.fd = listen->pg ? vg_pg_fd(listen->pg) : -1, .events = POLLIN}};
    uint64_t drained = 0;

    if (poll(p, 2, timeout_ms) <= 0)
        return false;
    if (p[0].revents)
        (void)!read(listen->event_fd, &drained, sizeof(drained));
    return p[1].revents != 0;
}

static void lost(struct vg_listen *listen, const struct vg_err *err)
{
    listen->pg = vg_pg_close(listen->pg);
    if (!atomic_load(&listen->stopping))
        vg_db_report(listen->db, false, vg_err_text(err));
}

static int reconnect(struct vg_listen *listen, struct vg_err *err)
{
    const char *sql = listen->wake ? listen_sql : setup_sql;

    if (vg_pg_open(&listen->pg, &listen->target, "videogate", give_up, listen, err) < 0 ||
        (!listen->target.pooled && vg_pg_exec(listen->pg, sql, err) < 0)) {
        lost(listen, err);
        return -1;
    }
    vg_db_report(listen->db, true, "");
    wake_post(listen->wake); /* what was notified meanwhile is missed */
    return 0;
}

/* One turn with a connection. */
static int turn(struct vg_listen *listen, struct vg_err *err)
{
    bool any = false;

    if (atomic_exchange(&listen->notify, false)) {
        if (vg_pg_exec(listen->pg, notify_sql, err) < 0) {
            atomic_store(&listen->notify, true);
            return -1;
        }
        (void)poll(NULL, 0, NOTIFY_GAP_MS);
    }
    bool readable = wait_events(listen, atomic_load(&listen->notify) ? 0 : PROBE_MS);
    bool quiet = !readable && !atomic_load(&listen->notify) && !atomic_load(&listen->stopping);

    if (quiet && vg_pg_probe(listen->pg, err) < 0)
        return -1;
    if (vg_pg_notified(listen->pg, &any, err) < 0)
        return -1;
    if (any)
        wake_post(listen->wake);
    return 0;
}

static void *listen_main(void *arg)
{
    struct vg_listen *listen = arg;
    int retry_ms = RETRY_MIN_MS;
    struct vg_err err;

    while (!atomic_load(&listen->stopping)) {
        if (!listen->pg) {
            if (reconnect(listen, &err) < 0) {
                int64_t until = vg_deadline_in_ms(retry_ms);

                while (!atomic_load(&listen->stopping) && vg_deadline_left_ms(until) > 0)
                    (void)wait_events(listen, (int)vg_deadline_left_ms(until));
                retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
                continue;
            }
            retry_ms = RETRY_MIN_MS;
        }
        if (turn(listen, &err) < 0)
            lost(listen, &err);
    }
    listen->pg = vg_pg_close(listen->pg);
    return NULL;
}

int vg_listen_start(struct vg_listen **out, struct vg_db *db, const struct vg_db_options *options,
                    struct vg_err *err)
{
    struct vg_listen *listen = vg_xalloc(sizeof(*listen));

    listen->db = db;
    listen->target.url = options->listen_url ? options->listen_url : options->url;
    listen->target.pooled = options->pooled && !options->listen_url;
    listen->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (options->wake && options->wake_executor) {
        listen->wake = vg_xalloc(sizeof(*listen->wake));
        listen->wake->task.run = wake_run;
        listen->wake->target = options->wake;
        listen->wake->executor = options->wake_executor;
        atomic_store(&listen->wake->refs, 1);
    }
    if (listen->event_fd < 0 || pthread_create(&listen->thread, NULL, listen_main, listen) != 0) {
        if (listen->event_fd >= 0)
            (void)close(listen->event_fd);
        free(listen->wake);
        free(listen);
        return vg_err_set(err, VG_ERR_INTERNAL, "The listener thread cannot start.");
    }
    *out = listen;
    return 0;
}

struct vg_listen *vg_listen_stop(struct vg_listen *listen)
{
    if (!listen)
        return NULL;
    atomic_store(&listen->stopping, true);
    kick(listen);
    (void)pthread_join(listen->thread, NULL);
    if (listen->wake) {
        atomic_store(&listen->wake->stopped, true);
        wake_unref(listen->wake);
    }
    (void)close(listen->event_fd);
    free(listen);
    return NULL;
}
