/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/mem.h"

struct entry {
    struct vg_rpc_deadline deadline;
    atomic_int *expired;
    int64_t expired_ns;
};

static void on_expire(struct vg_rpc_deadline *deadline)
{
    struct entry *entry = VG_CONTAINER(deadline, struct entry, deadline);

    entry->expired_ns = vg_now_ns();
    atomic_fetch_add(entry->expired, 1);
}

static struct vg_rpc_deadlines *start(void)
{
    struct vg_rpc_deadlines *deadlines;

    assert_int_equal(vg_rpc_deadlines_start(&deadlines, "test", NULL), 0);
    return deadlines;
}

static void await(atomic_int *counter, int value)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    while (atomic_load(counter) < value)
        (void)nanosleep(&pause, NULL);
}

static void deadlines__expire_not_before_their_time(void **state)
{
    struct vg_rpc_deadlines *deadlines = start();
    atomic_int expired = 0;
    struct entry entries[20];

    (void)state;
    memset(entries, 0, sizeof entries);
    for (int i = 0; i < 20; i++) {
        entries[i].expired = &expired;
        vg_rpc_deadline_add(deadlines, &entries[i].deadline,
                            vg_deadline_in_ms(INT64_C(5) * (20 - i)), on_expire);
    }
    await(&expired, 20);
    for (int i = 0; i < 20; i++) {
        assert_true(entries[i].expired_ns >= entries[i].deadline.at_ns);
        assert_false(vg_rpc_deadline_remove(deadlines, &entries[i].deadline));
    }
    vg_rpc_deadlines_stop(deadlines);
    (void)vg_rpc_deadlines_free(deadlines);
}

static void deadlines__removed_ones_never_expire(void **state)
{
    struct vg_rpc_deadlines *deadlines = start();
    atomic_int expired = 0;
    struct entry removed = {.expired = &expired};
    struct entry later = {.expired = &expired};

    (void)state;
    vg_rpc_deadline_add(deadlines, &removed.deadline, vg_deadline_in_ms(100), on_expire);
    vg_rpc_deadline_add(deadlines, &later.deadline, vg_deadline_in_ms(200), on_expire);
    assert_true(vg_rpc_deadline_remove(deadlines, &removed.deadline));
    assert_false(vg_rpc_deadline_remove(deadlines, &removed.deadline));
    await(&expired, 1);
    assert_int_equal(removed.expired_ns, 0);
    assert_true(later.expired_ns > 0);
    vg_rpc_deadlines_stop(deadlines);
    (void)vg_rpc_deadlines_free(deadlines);
}

static void deadlines__after_stop_entries_still_come_and_go(void **state)
{
    struct vg_rpc_deadlines *deadlines = start();
    atomic_int expired = 0;
    struct entry entry = {.expired = &expired};

    (void)state;
    vg_rpc_deadline_add(deadlines, &entry.deadline, vg_deadline_in_ms(600000), on_expire);
    vg_rpc_deadlines_stop(deadlines);
    assert_true(vg_rpc_deadline_remove(deadlines, &entry.deadline));
    vg_rpc_deadline_add(deadlines, &entry.deadline, vg_now_ns(), on_expire);
    assert_true(vg_rpc_deadline_remove(deadlines, &entry.deadline));
    assert_int_equal(expired, 0);
    (void)vg_rpc_deadlines_free(deadlines);
}

enum { THREADS = 4, EACH = 5000 };

struct worker {
    pthread_t thread;
    struct vg_rpc_deadlines *deadlines;
    struct entry *entries;
    atomic_int expired;
    int removed;
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;

    for (int i = 0; i < EACH; i++) {
        struct entry *entry = &worker->entries[i];

        entry->expired = &worker->expired;
        vg_rpc_deadline_add(worker->deadlines, &entry->deadline,
                            vg_now_ns() + i % 3 * INT64_C(100000), on_expire);
        if (i % 2 == 0 && vg_rpc_deadline_remove(worker->deadlines, &entry->deadline))
            worker->removed++;
    }
    return NULL;
}

/* Each entry is either removed or expired, never both. */
static void deadlines__each_ends_once_between_threads(void **state)
{
    struct vg_rpc_deadlines *deadlines = start();
    struct worker workers[THREADS];

    (void)state;
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < THREADS; i++) {
        workers[i].deadlines = deadlines;
        workers[i].entries = vg_xcalloc(EACH, sizeof(struct entry));
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        await(&workers[i].expired, EACH - workers[i].removed);
    }
    vg_rpc_deadlines_stop(deadlines);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].expired, EACH - workers[i].removed);
        free(workers[i].entries);
    }
    (void)vg_rpc_deadlines_free(deadlines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines__expire_not_before_their_time),
        cmocka_unit_test(deadlines__removed_ones_never_expire),
        cmocka_unit_test(deadlines__after_stop_entries_still_come_and_go),
        cmocka_unit_test(deadlines__each_ends_once_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
