/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/coalescer.h"

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

#include "common/mem.h"

static void coalescer__sends_at_once_while_the_line_is_free(void **state)
{
    struct vg_rpc_coalescer coalescer;
    struct vg_rpc_waiting calls[3] = {{0}};
    struct vg_rpc_waiting *out[VG_RPC_BATCH_CALLS];

    (void)state;
    vg_rpc_coalescer_init(&coalescer, 2);
    assert_true(vg_rpc_coalescer_add(&coalescer, &calls[0]));
    assert_true(vg_rpc_coalescer_add(&coalescer, &calls[1]));
    assert_false(vg_rpc_coalescer_add(&coalescer, &calls[2]));
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), 1);
    assert_ptr_equal(out[0], &calls[2]);
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), 0);
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), 0);
    assert_true(vg_rpc_coalescer_add(&coalescer, &calls[0]));
    vg_rpc_coalescer_fini(&coalescer);
}

static void coalescer__gathers_in_order_up_to_the_call_limit(void **state)
{
    enum { MANY = VG_RPC_BATCH_CALLS + 10 };
    struct vg_rpc_coalescer coalescer;
    struct vg_rpc_waiting first = {0};
    struct vg_rpc_waiting calls[MANY] = {{0}};
    struct vg_rpc_waiting *out[VG_RPC_BATCH_CALLS];

    (void)state;
    vg_rpc_coalescer_init(&coalescer, 1);
    assert_true(vg_rpc_coalescer_add(&coalescer, &first));
    for (int i = 0; i < MANY; i++)
        assert_false(vg_rpc_coalescer_add(&coalescer, &calls[i]));
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), VG_RPC_BATCH_CALLS);
    for (int i = 0; i < VG_RPC_BATCH_CALLS; i++)
        assert_ptr_equal(out[i], &calls[i]);
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), 10);
    vg_rpc_coalescer_fini(&coalescer);
}

static void coalescer__holds_a_batch_to_its_bytes(void **state)
{
    struct vg_rpc_coalescer coalescer;
    struct vg_rpc_waiting first = {0};
    struct vg_rpc_waiting calls[20] = {{0}};
    struct vg_rpc_waiting *out[VG_RPC_BATCH_CALLS];

    (void)state;
    vg_rpc_coalescer_init(&coalescer, 1);
    assert_true(vg_rpc_coalescer_add(&coalescer, &first));
    for (int i = 0; i < 20; i++) {
        calls[i].bytes = VG_RPC_BATCH_PAYLOAD;
        assert_false(vg_rpc_coalescer_add(&coalescer, &calls[i]));
    }
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out),
                     VG_RPC_BATCH_BYTES / VG_RPC_BATCH_PAYLOAD);
    assert_int_equal(vg_rpc_coalescer_next(&coalescer, out), 4);
    vg_rpc_coalescer_fini(&coalescer);
}

static void coalescer__removes_what_has_not_left(void **state)
{
    struct vg_rpc_coalescer coalescer;
    struct vg_rpc_waiting calls[4] = {{0}};
    struct vg_rpc_waiting *out[VG_RPC_BATCH_CALLS];

    (void)state;
    vg_rpc_coalescer_init(&coalescer, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(vg_rpc_coalescer_add(&coalescer, &calls[i]), i == 0);
    assert_false(vg_rpc_coalescer_remove(&coalescer, &calls[0]));
    assert_true(vg_rpc_coalescer_remove(&coalescer, &calls[3]));
    assert_true(vg_rpc_coalescer_remove(&coalescer, &calls[1]));
    assert_false(vg_rpc_coalescer_remove(&coalescer, &calls[1]));
    assert_int_equal(vg_rpc_coalescer_drain(&coalescer, out), 1);
    assert_ptr_equal(out[0], &calls[2]);
    assert_int_equal(vg_rpc_coalescer_drain(&coalescer, out), 0);
    vg_rpc_coalescer_fini(&coalescer);
}

enum { THREADS = 4, EACH = 20000 };

struct line {
    struct vg_rpc_coalescer coalescer;
    atomic_int sent;
    atomic_int removed;
    atomic_int flying;
};

struct caller {
    pthread_t thread;
    struct line *line;
    struct vg_rpc_waiting *calls;
};

/* What a pump does with a place, run to its end in place of a network. */
static void fly(struct line *line)
{
    struct vg_rpc_waiting *out[VG_RPC_BATCH_CALLS];
    size_t count = 1;

    assert_true(atomic_fetch_add(&line->flying, 1) < 2);
    do {
        atomic_fetch_add(&line->sent, (int)count);
        atomic_fetch_sub(&line->flying, 1);
        count = vg_rpc_coalescer_next(&line->coalescer, out);
        if (count > 0)
            atomic_fetch_add(&line->flying, 1);
    } while (count > 0);
}

static void *caller_run(void *arg)
{
    struct caller *caller = arg;

    for (int i = 0; i < EACH; i++) {
        if (vg_rpc_coalescer_add(&caller->line->coalescer, &caller->calls[i]))
            fly(caller->line);
        if (i % 5 == 0 && vg_rpc_coalescer_remove(&caller->line->coalescer, &caller->calls[i]))
            atomic_fetch_add(&caller->line->removed, 1);
    }
    return NULL;
}

static void coalescer__loses_nothing_between_threads(void **state)
{
    struct line line = {0};
    struct caller callers[THREADS];

    (void)state;
    vg_rpc_coalescer_init(&line.coalescer, 2);
    for (int i = 0; i < THREADS; i++) {
        callers[i].line = &line;
        callers[i].calls = vg_xcalloc(EACH, sizeof(struct vg_rpc_waiting));
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        free(callers[i].calls); /* one's calls may have flown with another */
    assert_int_equal(line.sent + line.removed, THREADS * EACH);
    assert_int_equal(line.coalescer.in_flight, 0);
    assert_null(line.coalescer.first);
    vg_rpc_coalescer_fini(&line.coalescer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coalescer__sends_at_once_while_the_line_is_free),
        cmocka_unit_test(coalescer__gathers_in_order_up_to_the_call_limit),
        cmocka_unit_test(coalescer__holds_a_batch_to_its_bytes),
        cmocka_unit_test(coalescer__removes_what_has_not_left),
        cmocka_unit_test(coalescer__loses_nothing_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
