/* SPDX-License-Identifier: Apache-2.0 */
#include "common/work_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mem.h"

enum { TASKS = 2000 };

struct item {
    struct vg_task task;
    int number;
};

static atomic_int ran;
static int order[TASKS]; /* written by a pool of one thread */

static void run_item(struct vg_task *task)
{
    struct item *item = VG_CONTAINER(task, struct item, task);

    order[atomic_fetch_add(&ran, 1)] = item->number;
    free(item);
}

static void post_items(struct vg_executor *executor, int count)
{
    for (int i = 0; i < count; i++) {
        struct item *item = vg_xalloc(sizeof(*item));
        *item = (struct item){.task.run = run_item, .number = i};
        vg_post(executor, &item->task);
    }
}

static void work_pool__one_thread_keeps_the_order_and_stop_runs_everything(void **state)
{
    struct vg_work_pool *pool;

    (void)state;
    atomic_store(&ran, 0);
    assert_int_equal(vg_work_pool_start(&pool, "one", 1, NULL), 0);
    post_items(vg_work_pool_executor(pool), TASKS);
    assert_null(vg_work_pool_stop(pool));
    assert_int_equal(atomic_load(&ran), TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(order[i], i);
}

static void work_pool__several_threads_run_everything(void **state)
{
    struct vg_work_pool *pool;

    (void)state;
    atomic_store(&ran, 0);
    assert_int_equal(vg_work_pool_start(&pool, "four", 4, NULL), 0);
    post_items(vg_work_pool_executor(pool), TASKS);
    assert_null(vg_work_pool_stop(pool));
    assert_int_equal(atomic_load(&ran), TASKS);
}

/* Two tasks that wait for each other end only when they run at the same time. */
static pthread_barrier_t barrier;

static void run_meeting(struct vg_task *task)
{
    (void)task;
    pthread_barrier_wait(&barrier);
}

static void work_pool__tasks_run_at_the_same_time(void **state)
{
    struct vg_task tasks[2] = {{.run = run_meeting}, {.run = run_meeting}};
    struct vg_work_pool *pool;

    (void)state;
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(vg_work_pool_start(&pool, "two", 2, NULL), 0);
    vg_post(vg_work_pool_executor(pool), &tasks[0]);
    vg_post(vg_work_pool_executor(pool), &tasks[1]);
    assert_null(vg_work_pool_stop(pool));
    pthread_barrier_destroy(&barrier);
}

struct again {
    struct vg_task task;
    struct vg_executor *executor;
    int left;
};

static void run_again(struct vg_task *task)
{
    struct again *a = VG_CONTAINER(task, struct again, task);

    if (--a->left > 0)
        vg_post(a->executor, task);
}

static void work_pool__stop_waits_for_tasks_that_tasks_post(void **state)
{
    struct again a = {.task.run = run_again, .left = 50};
    struct vg_work_pool *pool;

    (void)state;
    assert_int_equal(vg_work_pool_start(&pool, "again", 3, NULL), 0);
    a.executor = vg_work_pool_executor(pool);
    vg_post(a.executor, &a.task);
    assert_null(vg_work_pool_stop(pool));
    assert_int_equal(a.left, 0);
    assert_null(vg_work_pool_stop(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_pool__one_thread_keeps_the_order_and_stop_runs_everything),
        cmocka_unit_test(work_pool__several_threads_run_everything),
        cmocka_unit_test(work_pool__tasks_run_at_the_same_time),
        cmocka_unit_test(work_pool__stop_waits_for_tasks_that_tasks_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
