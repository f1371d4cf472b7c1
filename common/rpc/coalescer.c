/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/coalescer.h"

void vg_rpc_coalescer_init(struct vg_rpc_coalescer *self, int limit)
{
    *self = (struct vg_rpc_coalescer){.limit = limit};
    (void)pthread_mutex_init(&self->lock, NULL);
}

void vg_rpc_coalescer_fini(struct vg_rpc_coalescer *self)
{
    (void)pthread_mutex_destroy(&self->lock);
}

static void append(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting)
{
    waiting->queued = true;
    waiting->next = NULL;
    waiting->prev = self->last;
    if (self->last != NULL)
        self->last->next = waiting;
    else
        self->first = waiting;
    self->last = waiting;
}

static void take(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting)
{
    waiting->queued = false;
    if (waiting->prev != NULL)
        waiting->prev->next = waiting->next;
    else
        self->first = waiting->next;
    if (waiting->next != NULL)
        waiting->next->prev = waiting->prev;
    else
        self->last = waiting->prev;
}

bool vg_rpc_coalescer_add(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting)
{
    (void)pthread_mutex_lock(&self->lock);
    bool now = self->in_flight < self->limit;
    if (now)
        self->in_flight++;
    else
        append(self, waiting);
    (void)pthread_mutex_unlock(&self->lock);
    return now;
}

size_t vg_rpc_coalescer_next(struct vg_rpc_coalescer *self, struct vg_rpc_waiting **out)
{
    size_t count = 0;
    size_t bytes = 0;

    (void)pthread_mutex_lock(&self->lock);
    while (self->first != NULL && count < VG_RPC_BATCH_CALLS) {
        bytes += self->first->bytes;
        if (count > 0 && bytes > VG_RPC_BATCH_BYTES)
            break;
        out[count] = self->first;
        take(self, out[count++]);
    }
    if (count == 0)
        self->in_flight--;
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

bool vg_rpc_coalescer_remove(struct vg_rpc_coalescer *self, struct vg_rpc_waiting *waiting)
{
    (void)pthread_mutex_lock(&self->lock);
    bool queued = waiting->queued;
    if (queued)
        take(self, waiting);
    (void)pthread_mutex_unlock(&self->lock);
    return queued;
}

size_t vg_rpc_coalescer_drain(struct vg_rpc_coalescer *self, struct vg_rpc_waiting **out)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&self->lock);
    while (self->first != NULL && count < VG_RPC_BATCH_CALLS) {
        out[count] = self->first;
        take(self, out[count++]);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}
