/* SPDX-License-Identifier: Apache-2.0 */
#include "common/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

enum { THREADS = 4, TASKS = 5000, TIMERS = 2000 };

struct counted {
    struct vg_task task;
    int thread;
    int number;
};

/* Everything below `loop` is the loop thread's alone, which TSan checks. */
struct many {
    struct vg_loop *loop;
    int last[THREADS];
    int seen;
    bool disordered;
};

static struct many many;

static void run_counted(struct vg_task *task)
{
    struct counted *c = VG_CONTAINER(task, struct counted, task);

    if (c->number != many.last[c->thread] + 1)
        many.disordered = true;
    many.last[c->thread] = c->number;
    if (++many.seen == THREADS * TASKS)
        vg_loop_stop(many.loop);
    free(c);
}

static void *post_many(void *arg)
{
    int thread = *(int *)arg;

    for (int i = 1; i <= TASKS; i++) {
        struct counted *c = vg_xalloc(sizeof(*c));
        c->task.run = run_counted;
        c->thread = thread;
        c->number = i;
        vg_post(vg_loop_executor(many.loop), &c->task);
    }
    return NULL;
}

static void loop__runs_tasks_of_many_threads_in_order_of_posting(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    (void)state;
    many = (struct many){.loop = vg_loop_new()};
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &numbers[i]), 0);
    }
    vg_loop_run(many.loop);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(many.seen, THREADS * TASKS);
    assert_false(many.disordered);
    many.loop = vg_loop_free(many.loop);
}

struct chain {
    struct vg_task task;
    struct vg_loop *loop;
    int left;
    bool inside;
    bool nested;
};

static void run_chain(struct vg_task *task)
{
    struct chain *c = VG_CONTAINER(task, struct chain, task);

    c->nested = c->nested || c->inside;
    c->inside = true;
    if (--c->left == 0)
        vg_loop_stop(c->loop);
    else
        vg_post(vg_loop_executor(c->loop), task);
    c->inside = false;
}

static void loop__never_runs_a_task_inside_post(void **state)
{
    struct chain c = {.task.run = run_chain, .loop = vg_loop_new(), .left = 100};

    (void)state;
    vg_post(vg_loop_executor(c.loop), &c.task);
    assert_int_equal(c.left, 100);
    vg_loop_run(c.loop);
    assert_int_equal(c.left, 0);
    assert_false(c.nested);
    vg_loop_free(c.loop);
}

struct ticks {
    struct vg_loop *loop;
    struct vg_timer timers[TIMERS];
    int64_t last_ns;
    int fired;
    int wanted;
    bool early;
    bool disordered;
};

static void on_tick(struct vg_timer *timer);

static struct ticks *ticks;

static void on_tick(struct vg_timer *timer)
{
    ticks->early = ticks->early || vg_now_ns() < timer->at_ns;
    ticks->disordered = ticks->disordered || timer->at_ns < ticks->last_ns;
    ticks->last_ns = timer->at_ns;
    assert_false(vg_timer_armed(timer));
    if (++ticks->fired == ticks->wanted)
        vg_loop_stop(ticks->loop);
}

static struct ticks *ticks_new(void)
{
    ticks = vg_xalloc(sizeof(*ticks));
    ticks->loop = vg_loop_new();
    for (int i = 0; i < TIMERS; i++)
        vg_timer_init(&ticks->timers[i], ticks->loop, on_tick);
    return ticks;
}

static void ticks_free(void)
{
    vg_loop_free(ticks->loop);
    free(ticks);
    ticks = NULL;
}

static void loop__fires_timers_in_order_and_never_early(void **state)
{
    unsigned seed = 7;
    int64_t start = vg_now_ns();

    (void)state;
    ticks_new();
    for (int i = 0; i < TIMERS; i++)
        vg_timer_start(&ticks->timers[i], start + rand_r(&seed) % 50 * VG_NS_PER_MS + i);
    /* A third is stopped, a third is moved, some of them twice. */
    for (int i = 0; i < TIMERS; i += 3)
        vg_timer_stop(&ticks->timers[i]);
    for (int i = 1; i < TIMERS; i += 3)
        vg_timer_start(&ticks->timers[i], start + rand_r(&seed) % 50 * VG_NS_PER_MS + i);
    for (int i = 1; i < TIMERS; i += 9)
        vg_timer_start(&ticks->timers[i], start + rand_r(&seed) % 50 * VG_NS_PER_MS + i);
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(vg_timer_armed(&ticks->timers[i]), i % 3 != 0);
        ticks->wanted += i % 3 != 0;
    }
    vg_loop_run(ticks->loop);
    assert_int_equal(ticks->fired, ticks->wanted);
    assert_false(ticks->early);
    assert_false(ticks->disordered);
    ticks_free();
}

struct starter {
    struct vg_task task;
    int number;
};

static void start_tick(struct vg_task *task)
{
    struct starter *s = VG_CONTAINER(task, struct starter, task);

    vg_timer_start(&ticks->timers[s->number], vg_loop_now(ticks->loop) + s->number * INT64_C(1000));
}

static void *post_starters(void *arg)
{
    struct starter *starters = arg;

    for (int i = 0; i < TIMERS; i++)
        vg_post(vg_loop_executor(ticks->loop), &starters[i].task);
    return NULL;
}

static void loop__arms_timers_from_tasks_of_another_thread(void **state)
{
    struct starter *starters = vg_xcalloc(TIMERS, sizeof(*starters));
    pthread_t thread;

    (void)state;
    ticks_new();
    ticks->wanted = TIMERS;
    for (int i = 0; i < TIMERS; i++)
        starters[i] = (struct starter){.task.run = start_tick, .number = i};
    assert_int_equal(pthread_create(&thread, NULL, post_starters, starters), 0);
    vg_loop_run(ticks->loop);
    pthread_join(thread, NULL);
    assert_int_equal(ticks->fired, TIMERS);
    assert_false(ticks->early);
    ticks_free();
    free(starters);
}

struct greedy {
    struct vg_timer timer;
    struct vg_task task;
    struct vg_loop *loop;
    int fired;
};

static void fire_greedy(struct vg_timer *timer)
{
    struct greedy *g = VG_CONTAINER(timer, struct greedy, timer);

    g->fired++;
    vg_timer_start(timer, 0);
}

static void stop_greedy(struct vg_task *task)
{
    struct greedy *g = VG_CONTAINER(task, struct greedy, task);

    if (g->fired >= 10) {
        vg_timer_stop(&g->timer);
        vg_loop_stop(g->loop);
    } else {
        vg_post(vg_loop_executor(g->loop), task);
    }
}

static void loop__timer_that_starts_itself_in_the_past_leaves_room_for_tasks(void **state)
{
    struct greedy g = {.task.run = stop_greedy, .loop = vg_loop_new()};

    (void)state;
    vg_timer_init(&g.timer, g.loop, fire_greedy);
    vg_timer_start(&g.timer, 0);
    vg_post(vg_loop_executor(g.loop), &g.task);
    vg_loop_run(g.loop);
    assert_true(g.fired >= 10);
    assert_false(vg_timer_armed(&g.timer));
    vg_loop_free(g.loop);
}

struct pipe_end {
    struct vg_loop *loop;
    struct vg_watch *watch;
    int fd;
    char got[16];
    size_t len;
    int ready;
    bool stop_when_ready;
};

static void on_readable(void *ctx, int events)
{
    struct pipe_end *p = ctx;

    p->ready++;
    if (events & VG_READABLE) {
        ssize_t n = read(p->fd, p->got + p->len, sizeof(p->got) - p->len);
        if (n > 0) {
            p->len += (size_t)n;
            return;
        }
    }
    p->watch = vg_watch_free(p->watch); /* the end: free inside ready */
    vg_loop_stop(p->loop);
}

static void *write_late(void *arg)
{
    int fd = *(int *)arg;

    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    return NULL;
}

static void loop__watches_a_descriptor_until_its_end(void **state)
{
    struct pipe_end p = {.loop = vg_loop_new()};
    int fds[2];
    pthread_t thread;

    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    p.fd = fds[0];
    p.watch = vg_watch_new(p.loop, fds[0], on_readable, &p);
    assert_non_null(p.watch);
    vg_watch_set(p.watch, VG_READABLE);
    assert_int_equal(pthread_create(&thread, NULL, write_late, &fds[1]), 0);
    vg_loop_run(p.loop);
    pthread_join(thread, NULL);
    assert_int_equal(p.len, 5);
    assert_memory_equal(p.got, "hello", 5);
    assert_null(p.watch);
    close(fds[0]);
    vg_loop_free(p.loop);
}

static void on_writable_once(void *ctx, int events)
{
    struct pipe_end *p = ctx;

    p->ready++;
    assert_true(events & VG_WRITABLE);
    vg_watch_set(p->watch, 0); /* pause: writable for ever, but not reported again */
}

struct stopper {
    struct vg_timer timer;
    struct vg_loop *loop;
};

static void stop_loop(struct vg_timer *timer)
{
    vg_loop_stop(VG_CONTAINER(timer, struct stopper, timer)->loop);
}

static void loop__paused_watch_is_silent(void **state)
{
    struct pipe_end p = {.loop = vg_loop_new()};
    struct stopper stopper = {.loop = p.loop};
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    p.watch = vg_watch_new(p.loop, fds[1], on_writable_once, &p);
    assert_non_null(p.watch);
    vg_watch_set(p.watch, VG_WRITABLE);
    vg_timer_init(&stopper.timer, p.loop, stop_loop);
    vg_timer_start(&stopper.timer, vg_deadline_in_ms(30));
    vg_loop_run(p.loop);
    assert_int_equal(p.ready, 1);
    p.watch = vg_watch_free(p.watch);
    close(fds[0]);
    close(fds[1]);
    vg_loop_free(p.loop);
}

static void on_broken(void *ctx, int events)
{
    struct pipe_end *p = ctx;

    assert_int_equal(events, VG_READABLE | VG_WRITABLE);
    if (++p->ready == 3) { /* an error left alone is told again */
        p->watch = vg_watch_free(p->watch);
        vg_loop_stop(p->loop);
    }
}

static void loop__error_counts_as_readable_and_writable(void **state)
{
    struct pipe_end p = {.loop = vg_loop_new()};
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    close(fds[0]); /* the write end is in error now */
    p.watch = vg_watch_new(p.loop, fds[1], on_broken, &p);
    assert_non_null(p.watch);
    vg_watch_set(p.watch, VG_WRITABLE);
    vg_loop_run(p.loop);
    assert_int_equal(p.ready, 3);
    close(fds[1]);
    vg_loop_free(p.loop);
}

static void loop__refuses_to_watch_what_cannot_be_polled(void **state)
{
    struct vg_loop *loop = vg_loop_new();
    int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_null(vg_watch_new(loop, fd, on_broken, NULL));
    close(fd);
    vg_loop_free(loop);
}

struct hooked {
    struct vg_task tasks[3];
    struct vg_loop *loop;
    int ran;
    int ran_at_hook;
    int64_t now_ns;
    bool now_moved;
};

static struct hooked *hooked;

static void run_hooked(struct vg_task *task)
{
    (void)task;
    if (hooked->ran++ == 0)
        hooked->now_ns = vg_loop_now(hooked->loop);
    hooked->now_moved = hooked->now_moved || vg_loop_now(hooked->loop) != hooked->now_ns;
}

static void on_turn_end(void *ctx)
{
    struct hooked *h = ctx;

    if (h->ran > 0) {
        h->ran_at_hook = h->ran;
        vg_loop_stop(h->loop);
    }
}

static void loop__turn_end_comes_after_the_whole_batch(void **state)
{
    struct hooked h = {.loop = vg_loop_new()};

    (void)state;
    hooked = &h;
    vg_loop_on_turn_end(h.loop, on_turn_end, &h);
    for (int i = 0; i < 3; i++) {
        h.tasks[i].run = run_hooked;
        vg_post(vg_loop_executor(h.loop), &h.tasks[i]);
    }
    vg_loop_run(h.loop);
    assert_int_equal(h.ran_at_hook, 3);
    assert_false(h.now_moved);
    vg_loop_free(h.loop);
}

static int leftovers;

static void run_leftover(struct vg_task *task)
{
    leftovers++;
    free(task);
}

static void loop__free_runs_leftover_tasks(void **state)
{
    struct vg_loop *loop = vg_loop_new();

    (void)state;
    leftovers = 0;
    for (int i = 0; i < 3; i++) {
        struct vg_task *task = vg_xalloc(sizeof(*task));
        task->run = run_leftover;
        vg_post(vg_loop_executor(loop), task);
    }
    assert_null(vg_loop_free(loop));
    assert_int_equal(leftovers, 3);
    assert_null(vg_loop_free(NULL));
}

static void loop__thread_starts_and_joins_twice(void **state)
{
    struct vg_loop *loop = vg_loop_new();
    struct vg_err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vg_loop_start(loop, "a name longer than fifteen", &err), 0);
        vg_loop_join(loop);
        vg_loop_join(loop); /* nothing to do */
    }
    vg_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop__runs_tasks_of_many_threads_in_order_of_posting),
        cmocka_unit_test(loop__never_runs_a_task_inside_post),
        cmocka_unit_test(loop__fires_timers_in_order_and_never_early),
        cmocka_unit_test(loop__arms_timers_from_tasks_of_another_thread),
        cmocka_unit_test(loop__timer_that_starts_itself_in_the_past_leaves_room_for_tasks),
        cmocka_unit_test(loop__watches_a_descriptor_until_its_end),
        cmocka_unit_test(loop__paused_watch_is_silent),
        cmocka_unit_test(loop__error_counts_as_readable_and_writable),
        cmocka_unit_test(loop__refuses_to_watch_what_cannot_be_polled),
        cmocka_unit_test(loop__turn_end_comes_after_the_whole_batch),
        cmocka_unit_test(loop__free_runs_leftover_tasks),
        cmocka_unit_test(loop__thread_starts_and_joins_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
