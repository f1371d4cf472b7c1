/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/deadlines.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

struct vg_rpc_deadlines {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct vg_rpc_deadline list; /* circular, this is the head */
    int64_t earliest_ns;         /* no listed entry is earlier; it may itself be gone */
    bool stopping;
};

static void list_insert(struct vg_rpc_deadline *head, struct vg_rpc_deadline *deadline)
{
    deadline->prev = head->prev;
    deadline->next = head;
    head->prev->next = deadline;
    head->prev = deadline;
}

static void list_remove(struct vg_rpc_deadline *deadline)
{
    deadline->prev->next = deadline->next;
    deadline->next->prev = deadline->prev;
}

/* Takes what has passed off the list, chained through `next`; sets the new earliest time. */
static struct vg_rpc_deadline *take_passed(struct vg_rpc_deadlines *self)
{
    struct vg_rpc_deadline *passed = NULL;
    struct vg_rpc_deadline *next;
    int64_t now = vg_now_ns();

    self->earliest_ns = VG_NO_DEADLINE;
    for (struct vg_rpc_deadline *at = self->list.next; at != &self->list; at = next) {
        next = at->next;
        if (at->at_ns > now) {
            if (at->at_ns < self->earliest_ns)
                self->earliest_ns = at->at_ns;
            continue;
        }
        list_remove(at);
        at->listed = false;
        at->next = passed;
        passed = at;
    }
    return passed;
}

static void expire_all(struct vg_rpc_deadline *passed)
{
    while (passed != NULL) {
        struct vg_rpc_deadline *next = passed->next;

        passed->expire(passed);
        passed = next;
    }
}

static void sleep_until(struct vg_rpc_deadlines *self, int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / VG_NS_PER_S, .tv_nsec = at_ns % VG_NS_PER_S};

    if (at_ns == VG_NO_DEADLINE)
        (void)pthread_cond_wait(&self->wake, &self->lock);
    else
        (void)pthread_cond_timedwait(&self->wake, &self->lock, &at);
}

static void *deadlines_run(void *arg)
{
    struct vg_rpc_deadlines *self = arg;

    (void)pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        if (self->earliest_ns > vg_now_ns()) {
            sleep_until(self, self->earliest_ns);
            continue;
        }
        struct vg_rpc_deadline *passed = take_passed(self);
        (void)pthread_mutex_unlock(&self->lock);
        expire_all(passed);
        (void)pthread_mutex_lock(&self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

int vg_rpc_deadlines_start(struct vg_rpc_deadlines **out, const char *name, struct vg_err *err)
{
    struct vg_rpc_deadlines *self = vg_xalloc(sizeof *self);
    pthread_condattr_t attr;

    self->list.next = self->list.prev = &self->list;
    self->earliest_ns = VG_NO_DEADLINE;
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&self->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (pthread_create(&self->thread, NULL, deadlines_run, self) != 0) {
        (void)pthread_cond_destroy(&self->wake);
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
        return vg_err_set(err, VG_ERR_INTERNAL, "cannot start a thread");
    }
    (void)pthread_setname_np(self->thread, name);
    *out = self;
    return 0;
}

void vg_rpc_deadlines_stop(struct vg_rpc_deadlines *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    (void)pthread_cond_signal(&self->wake);
    (void)pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
}

struct vg_rpc_deadlines *vg_rpc_deadlines_free(struct vg_rpc_deadlines *self)
{
    if (self == NULL)
        return NULL;
    (void)pthread_cond_destroy(&self->wake);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    return NULL;
}

void vg_rpc_deadline_add(struct vg_rpc_deadlines *self, struct vg_rpc_deadline *deadline,
                         int64_t at_ns, void (*expire)(struct vg_rpc_deadline *))
{
    deadline->expire = expire;
    deadline->at_ns = at_ns;
    (void)pthread_mutex_lock(&self->lock);
    deadline->listed = true;
    list_insert(&self->list, deadline);
    if (at_ns < self->earliest_ns) {
        self->earliest_ns = at_ns;
        (void)pthread_cond_signal(&self->wake);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

bool vg_rpc_deadline_remove(struct vg_rpc_deadlines *self, struct vg_rpc_deadline *deadline)
{
    (void)pthread_mutex_lock(&self->lock);
    bool listed = deadline->listed;
    if (listed) {
        list_remove(deadline);
        deadline->listed = false;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return listed;
}
