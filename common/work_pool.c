/* SPDX-License-Identifier: Apache-2.0 */
#include "common/work_pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/str.h"

enum { NAME_SIZE = 16 };

struct vg_work_pool {
    struct vg_executor executor; /* first: the executor is the pool */
    pthread_mutex_t mutex;       /* guards what follows */
    pthread_cond_t filled;
    struct vg_task *first; /* owned by their posters until run */
    struct vg_task **last; /* where the next task is linked */
    bool stopping;

    int count;
    char name[NAME_SIZE];
    pthread_t threads[];
};

static void post(struct vg_executor *executor, struct vg_task *task)
{
    struct vg_work_pool *pool = (struct vg_work_pool *)executor;

    task->next = NULL;
    pthread_mutex_lock(&pool->mutex);
    *pool->last = task;
    pool->last = &task->next;
    pthread_cond_signal(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
}

static struct vg_task *take(struct vg_work_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (!pool->first && !pool->stopping)
        pthread_cond_wait(&pool->filled, &pool->mutex);
    struct vg_task *task = pool->first;
    if (task) {
        pool->first = task->next;
        if (!pool->first)
            pool->last = &pool->first;
    }
    pthread_mutex_unlock(&pool->mutex);
    return task;
}

static void *pool_thread(void *arg)
{
    struct vg_work_pool *pool = arg;
    struct vg_task *task;

    (void)pthread_setname_np(pthread_self(), pool->name); /* a nicety for ps */
    while ((task = take(pool)) != NULL)
        task->run(task);
    return NULL;
}

int vg_work_pool_start(struct vg_work_pool **out, const char *name, int threads, struct vg_err *err)
{
    VG_ASSERT(threads > 0);
    struct vg_work_pool *pool =
        vg_xalloc(sizeof(*pool) + (size_t)threads * sizeof(pool->threads[0]));

    pool->executor.post = post;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->last = &pool->first;
    (void)vg_strcpy(pool->name, sizeof(pool->name), name); /* cut is fine */
    while (pool->count < threads) {
        int rc = pthread_create(&pool->threads[pool->count], NULL, pool_thread, pool);
        if (rc != 0) {
            (void)vg_work_pool_stop(pool);
            return vg_err_set(err, VG_ERR_INTERNAL, "cannot start thread %s: error %d", name, rc);
        }
        pool->count++;
    }
    *out = pool;
    return 0;
}

struct vg_executor *vg_work_pool_executor(struct vg_work_pool *pool)
{
    return &pool->executor;
}

struct vg_work_pool *vg_work_pool_stop(struct vg_work_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->count; i++)
        (void)pthread_join(pool->threads[i], NULL); /* fails only for a thread that is not ours */
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
    return NULL;
}
