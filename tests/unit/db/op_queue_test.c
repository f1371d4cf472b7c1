/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for an executor: turns, batches, lids, deadlines, the stop. */
#include "db/op_queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

enum { ROOM = 100 };

static const struct vg_db_kind small = {.id = VG_DB_KEY_LIST, .max_batch = 3};
static const struct vg_db_kind large = {.id = VG_DB_VIDEO_GET, .max_batch = VG_DB_MAX_BATCH};

struct fixture {
    struct vg_op_queue *queue;
    struct vg_db_op ops[ROOM];
    struct vg_db_op *taken[VG_DB_MAX_BATCH];
};

static int fixture_open(void **state)
{
    struct fixture *f = vg_xalloc(sizeof(*f));

    f->queue = vg_op_queue_new(ROOM - 1, NULL);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;

    vg_op_queue_stop(f->queue, vg_now_ns());
    (void)vg_op_queue_expired(f->queue); /* what a failed test has left */
    f->queue = vg_op_queue_free(f->queue);
    free(f);
    return 0;
}

static enum vg_op_queue_put put(struct fixture *f, int i, const struct vg_db_kind *kind, int ms)
{
    f->ops[i] = (struct vg_db_op){.kind = kind, .deadline_ns = vg_deadline_in_ms(ms)};
    return vg_op_queue_put(f->queue, &f->ops[i]);
}

static void put_all(struct fixture *f, int from, int to, const struct vg_db_kind *kind)
{
    for (int i = from; i < to; i++)
        assert_int_equal(put(f, i, kind, 60000), VG_OP_QUEUED);
}

/* The next batch is of ops[from] to ops[to - 1], in the order they came. */
static void assert_next(struct fixture *f, int from, int to)
{
    assert_int_equal(vg_op_queue_take(f->queue, f->taken), to - from);
    for (int i = from; i < to; i++)
        assert_ptr_equal(f->taken[i - from], &f->ops[i]);
}

static void op_queue__kinds_take_turns(void **state)
{
    struct fixture *f = *state;

    put_all(f, 0, 7, &small);
    put_all(f, 7, 9, &large);
    assert_next(f, 0, 3);
    assert_next(f, 7, 9);
    assert_next(f, 3, 6);
    put_all(f, 9, 10, &large);
    assert_next(f, 9, 10);
    assert_next(f, 6, 7);
}

static void op_queue__a_batch_and_the_queue_have_a_lid(void **state)
{
    struct fixture *f = *state;

    put_all(f, 0, ROOM - 1, &large);
    assert_int_equal(put(f, ROOM - 1, &small, 60000), VG_OP_FULL);
    assert_next(f, 0, VG_DB_MAX_BATCH);
    assert_int_equal(put(f, ROOM - 1, &small, 60000), VG_OP_QUEUED);
    assert_next(f, ROOM - 1, ROOM);
    assert_next(f, VG_DB_MAX_BATCH, ROOM - 1);
}

static int count_expired(struct fixture *f)
{
    int count = 0;

    for (struct vg_db_op *op = vg_op_queue_expired(f->queue); op; op = op->next)
        count++;
    return count;
}

/* Also the last of a line, behind which others come. */
static void op_queue__what_is_past_its_deadline_is_taken_out(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(count_expired(f), 0);
    assert_int_equal(put(f, 0, &large, -1), VG_OP_QUEUED);
    put_all(f, 1, 2, &large);
    assert_int_equal(put(f, 2, &large, -1), VG_OP_QUEUED);
    assert_int_equal(put(f, 3, &small, -1), VG_OP_QUEUED);
    assert_int_equal(count_expired(f), 3);
    put_all(f, 4, 5, &large);
    put_all(f, 5, 6, &small);
    assert_next(f, 5, 6);
    assert_int_equal(vg_op_queue_take(f->queue, f->taken), 2);
    assert_ptr_equal(f->taken[0], &f->ops[1]);
    assert_ptr_equal(f->taken[1], &f->ops[4]);
}

static void op_queue__a_stop_lets_the_rest_run_until_its_deadline(void **state)
{
    struct fixture *f = *state;

    put_all(f, 0, 4, &small);
    vg_op_queue_stop(f->queue, vg_deadline_in_ms(60000));
    assert_int_equal(put(f, 4, &small, 60000), VG_OP_STOPPING);
    assert_false(vg_op_queue_over(f->queue));
    assert_false(vg_op_queue_done(f->queue));
    assert_int_equal(count_expired(f), 0);
    assert_next(f, 0, 3);
    vg_op_queue_stop(f->queue, vg_now_ns());
    assert_true(vg_op_queue_over(f->queue));
    assert_int_equal(count_expired(f), 1);
    assert_true(vg_op_queue_done(f->queue));
    assert_int_equal(vg_op_queue_take(f->queue, f->taken), 0);
}

/* --- executors that wait --- */

static void *taker_main(void *arg)
{
    struct vg_db_op *ops[VG_DB_MAX_BATCH];
    size_t sum = 0, count;

    while ((count = vg_op_queue_take(arg, ops)) > 0)
        sum += count;
    return (void *)sum;
}

static void *pauser_main(void *arg)
{
    vg_op_queue_pause(arg, vg_deadline_in_ms(600000));
    return NULL;
}

/* Nobody is left asleep, and nothing is taken twice. */
static void op_queue__executors_share_and_hear_of_the_stop(void **state)
{
    struct fixture *f = *state;
    pthread_t takers[3], pauser;
    size_t sum = 0;

    for (size_t i = 0; i < VG_COUNT(takers); i++)
        assert_int_equal(pthread_create(&takers[i], NULL, taker_main, f->queue), 0);
    assert_int_equal(pthread_create(&pauser, NULL, pauser_main, f->queue), 0);
    for (int i = 0; i < ROOM; i++)
        while (put(f, i, i % 2 ? &small : &large, 60000) == VG_OP_FULL)
            ;
    vg_op_queue_stop(f->queue, vg_now_ns());
    for (size_t i = 0; i < VG_COUNT(takers); i++) {
        void *count = NULL;

        assert_int_equal(pthread_join(takers[i], &count), 0);
        sum += (size_t)count;
    }
    assert_int_equal(pthread_join(pauser, NULL), 0);
    assert_int_equal(sum, ROOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(op_queue__kinds_take_turns, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(op_queue__a_batch_and_the_queue_have_a_lid, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(op_queue__what_is_past_its_deadline_is_taken_out,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(op_queue__a_stop_lets_the_rest_run_until_its_deadline,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(op_queue__executors_share_and_hear_of_the_stop,
                                        fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
