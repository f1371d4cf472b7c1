/* SPDX-License-Identifier: Apache-2.0 */
#include "db/op_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

static const struct vg_metric_desc metric_table[] = {
    {"videogate_db_queued", VG_METRIC_GAUGE, "Operations waiting for an executor.", NULL, NULL},
};

/* Those of one kind. */
struct line {
    struct vg_db_op *head;
    struct vg_db_op **tail;
};

struct vg_op_queue {
    int max;
    struct vg_metric_set *metrics;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* an operation was queued, or stop */
    pthread_cond_t pause; /* stop */
    /* Under the lock. */
    struct line lines[VG_DB_KIND_MAX];
    int queued;
    int idle;
    size_t next_kind; /* kinds take turns */
    bool stopping;
    int64_t stop_ns;
};

struct vg_op_queue *vg_op_queue_new(int max, struct vg_metrics *metrics)
{
    struct vg_op_queue *queue = vg_xalloc(sizeof(*queue));
    pthread_condattr_t attr;

    queue->max = max;
    if (metrics)
        queue->metrics = vg_metrics_register(metrics, metric_table, VG_COUNT(metric_table));
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&queue->work, &attr);
    (void)pthread_cond_init(&queue->pause, &attr);
    (void)pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < VG_DB_KIND_MAX; i++)
        queue->lines[i].tail = &queue->lines[i].head;
    return queue;
}

struct vg_op_queue *vg_op_queue_free(struct vg_op_queue *queue)
{
    if (!queue)
        return NULL;
    VG_ASSERT(queue->queued == 0);
    (void)pthread_mutex_destroy(&queue->lock);
    (void)pthread_cond_destroy(&queue->work);
    (void)pthread_cond_destroy(&queue->pause);
    free(queue);
    return NULL;
}

enum vg_op_queue_put vg_op_queue_put(struct vg_op_queue *queue, struct vg_db_op *op)
{
    enum vg_op_queue_put result = VG_OP_QUEUED;

    op->next = NULL;
    (void)pthread_mutex_lock(&queue->lock);
    if (queue->stopping) {
        result = VG_OP_STOPPING;
    } else if (queue->queued >= queue->max) {
        result = VG_OP_FULL;
    } else {
        struct line *line = &queue->lines[op->kind->id];

        *line->tail = op;
        line->tail = &op->next;
        queue->queued++;
        if (queue->idle > 0)
            (void)pthread_cond_signal(&queue->work);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return result;
}

/* The next kind in turn that has something; VG_DB_KIND_MAX: none. Under the lock. */
static size_t pick_kind(struct vg_op_queue *queue)
{
    for (size_t i = 0; i < VG_DB_KIND_MAX; i++) {
        size_t kind = (queue->next_kind + i) % VG_DB_KIND_MAX;

        if (queue->lines[kind].head) {
            queue->next_kind = (kind + 1) % VG_DB_KIND_MAX;
            return kind;
        }
    }
    return VG_DB_KIND_MAX;
}

static size_t unlink_batch(struct vg_op_queue *queue, size_t kind, struct vg_db_op **ops)
{
    struct line *line = &queue->lines[kind];
    size_t max = line->head->kind->max_batch;
    size_t count = 0;

    while (line->head && count < max) {
        ops[count++] = line->head;
        line->head = line->head->next;
    }
    if (!line->head)
        line->tail = &line->head;
    queue->queued -= (int)count;
    return count;
}

size_t vg_op_queue_take(struct vg_op_queue *queue, struct vg_db_op **ops)
{
    size_t kind = VG_DB_KIND_MAX;
    size_t count = 0;

    (void)pthread_mutex_lock(&queue->lock);
    while ((kind = pick_kind(queue)) == VG_DB_KIND_MAX && !queue->stopping) {
        queue->idle++;
        (void)pthread_cond_wait(&queue->work, &queue->lock);
        queue->idle--;
    }
    if (kind != VG_DB_KIND_MAX)
        count = unlink_batch(queue, kind, ops);
    if (queue->queued > 0 && queue->idle > 0)
        (void)pthread_cond_signal(&queue->work);
    vg_metric_store(queue->metrics, 0, 0, queue->queued);
    (void)pthread_mutex_unlock(&queue->lock);
    return count;
}

static bool over(const struct vg_op_queue *queue, int64_t now)
{
    return queue->stopping && now >= queue->stop_ns;
}

struct vg_db_op *vg_op_queue_expired(struct vg_op_queue *queue)
{
    struct vg_db_op *dead = NULL;
    int64_t now = vg_now_ns();

    (void)pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < VG_DB_KIND_MAX; i++) {
        struct vg_db_op **at = &queue->lines[i].head;

        while (*at) {
            struct vg_db_op *op = *at;

            if (!over(queue, now) && op->deadline_ns > now) {
                at = &op->next;
                continue;
            }
            *at = op->next;
            op->next = dead;
            dead = op;
            queue->queued--;
        }
        queue->lines[i].tail = at;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return dead;
}

void vg_op_queue_stop(struct vg_op_queue *queue, int64_t deadline_ns)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    queue->stop_ns = deadline_ns;
    (void)pthread_cond_broadcast(&queue->work);
    (void)pthread_cond_broadcast(&queue->pause);
    (void)pthread_mutex_unlock(&queue->lock);
}

bool vg_op_queue_over(struct vg_op_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    bool passed = over(queue, vg_now_ns());

    (void)pthread_mutex_unlock(&queue->lock);
    return passed;
}

bool vg_op_queue_done(struct vg_op_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    bool done = queue->stopping && queue->queued == 0;

    (void)pthread_mutex_unlock(&queue->lock);
    return done;
}

void vg_op_queue_pause(struct vg_op_queue *queue, int64_t until_ns)
{
    struct timespec ts = {.tv_sec = until_ns / VG_NS_PER_S, .tv_nsec = until_ns % VG_NS_PER_S};

    (void)pthread_mutex_lock(&queue->lock);
    if (!over(queue, vg_now_ns()))
        (void)pthread_cond_timedwait(&queue->pause, &queue->lock, &ts);
    (void)pthread_mutex_unlock(&queue->lock);
}
