/* SPDX-License-Identifier: Apache-2.0 */
#include "common/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"

enum { MAX_HOOKS = 4, NAME_SIZE = 16, FIRST_HEAP_SIZE = 64 };

struct vg_loop {
    struct vg_executor executor; /* first: the executor is the loop */
    /* Posted tasks, newest first: pushed by any thread, taken all at once by the loop. */
    _Atomic(struct vg_task *) inbox;
    atomic_bool stopping;

    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t alarm;     /* armed for the heap's top */
    uv_prepare_t prepare; /* the end of a turn: libuv runs it right before it blocks */
    int64_t now_ns;       /* of this turn */
    bool in_turn;

    struct vg_timer **heap; /* owned array of borrowed timers; [1] is the earliest */
    uint32_t heap_len;
    uint32_t heap_cap;
    int64_t alarm_ns; /* what `alarm` is armed for; VG_NO_DEADLINE: not armed */

    struct {
        void (*run)(void *ctx);
        void *ctx; /* borrowed */
    } hooks[MAX_HOOKS];
    size_t hook_count;

    pthread_t thread;
    bool started;
    char name[NAME_SIZE];
};

struct vg_watch {
    uv_poll_t poll;
    struct vg_loop *loop; /* borrowed */
    void (*ready)(void *ctx, int events);
    void *ctx; /* borrowed */
    int events;
    bool freed;
};

static void turn_begin(struct vg_loop *loop)
{
    if (!loop->in_turn) {
        loop->in_turn = true;
        loop->now_ns = vg_now_ns();
    }
}

static void post(struct vg_executor *executor, struct vg_task *task)
{
    struct vg_loop *loop = (struct vg_loop *)executor;
    struct vg_task *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);

    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &head, task, memory_order_release,
                                                    memory_order_relaxed));
    /* Whoever found the inbox empty wakes the loop; the task is no longer ours here. */
    if (!head)
        uv_async_send(&loop->wake);
}

static bool run_tasks(struct vg_loop *loop)
{
    struct vg_task *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct vg_task *oldest = NULL;

    if (!newest)
        return false;
    while (newest) {
        struct vg_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct vg_task *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
    }
    return true;
}

static void on_wake(uv_async_t *handle)
{
    struct vg_loop *loop = handle->data;

    turn_begin(loop);
    (void)run_tasks(loop); /* an empty inbox is a stop or a task already taken */
    if (atomic_load_explicit(&loop->stopping, memory_order_acquire))
        uv_stop(&loop->uv);
}

struct vg_executor *vg_loop_executor(struct vg_loop *loop)
{
    return &loop->executor;
}

int64_t vg_loop_now(const struct vg_loop *loop)
{
    return loop->in_turn ? loop->now_ns : vg_now_ns();
}

/* Timers: a binary heap, children of i are 2i and 2i+1. */

static void heap_put(struct vg_loop *loop, uint32_t pos, struct vg_timer *timer)
{
    loop->heap[pos] = timer;
    timer->heap_pos = pos;
}

static void heap_up(struct vg_loop *loop, uint32_t pos, struct vg_timer *timer)
{
    while (pos > 1 && loop->heap[pos / 2]->at_ns > timer->at_ns) {
        heap_put(loop, pos, loop->heap[pos / 2]);
        pos /= 2;
    }
    heap_put(loop, pos, timer);
}

static void heap_down(struct vg_loop *loop, uint32_t pos, struct vg_timer *timer)
{
    for (;;) {
        uint32_t child = pos * 2;
        if (child > loop->heap_len)
            break;
        if (child < loop->heap_len && loop->heap[child + 1]->at_ns < loop->heap[child]->at_ns)
            child++;
        if (loop->heap[child]->at_ns >= timer->at_ns)
            break;
        heap_put(loop, pos, loop->heap[child]);
        pos = child;
    }
    heap_put(loop, pos, timer);
}

void vg_timer_init(struct vg_timer *timer, struct vg_loop *loop, void (*fire)(struct vg_timer *))
{
    *timer = (struct vg_timer){.fire = fire, .loop = loop};
}

void vg_timer_start(struct vg_timer *timer, int64_t at_ns)
{
    struct vg_loop *loop = timer->loop;
    uint32_t pos = timer->heap_pos;

    if (pos == 0) {
        if (loop->heap_len + 1 >= loop->heap_cap) {
            loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : FIRST_HEAP_SIZE;
            loop->heap = vg_xrealloc(loop->heap, loop->heap_cap * sizeof(struct vg_timer *));
        }
        timer->at_ns = at_ns;
        heap_up(loop, ++loop->heap_len, timer);
        return;
    }
    bool later = at_ns > timer->at_ns;
    timer->at_ns = at_ns;
    if (later)
        heap_down(loop, pos, timer);
    else
        heap_up(loop, pos, timer);
}

void vg_timer_stop(struct vg_timer *timer)
{
    struct vg_loop *loop = timer->loop;
    uint32_t pos = timer->heap_pos;

    if (pos == 0)
        return;
    timer->heap_pos = 0;
    struct vg_timer *last = loop->heap[loop->heap_len--];
    if (last == timer)
        return;
    if (pos > 1 && loop->heap[pos / 2]->at_ns > last->at_ns)
        heap_up(loop, pos, last);
    else
        heap_down(loop, pos, last);
}

bool vg_timer_armed(const struct vg_timer *timer)
{
    return timer->heap_pos != 0;
}

static void on_alarm(uv_timer_t *handle)
{
    struct vg_loop *loop = handle->data;

    loop->in_turn = true;
    loop->now_ns = vg_now_ns();
    loop->alarm_ns = VG_NO_DEADLINE;
    /* Bounded, so that a timer that starts itself in the past cannot hold the loop. */
    for (uint32_t left = loop->heap_len; left > 0 && loop->heap_len > 0; left--) {
        struct vg_timer *timer = loop->heap[1];
        if (timer->at_ns > loop->now_ns)
            break;
        vg_timer_stop(timer);
        timer->fire(timer);
    }
}

/* libuv counts whole milliseconds of the same clock; rounding up means that it never fires early.
 */
static void set_alarm(struct vg_loop *loop)
{
    int64_t top = loop->heap_len > 0 ? loop->heap[1]->at_ns : VG_NO_DEADLINE;

    if (loop->heap_len > 0)
        uv_update_time(&loop->uv); /* or libuv would sleep too long after a slow turn */
    if (top == loop->alarm_ns)
        return;
    loop->alarm_ns = top;
    if (top == VG_NO_DEADLINE) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    uint64_t at_ms = top > 0 ? (uint64_t)(top - 1) / VG_NS_PER_MS + 1 : 0;
    uint64_t now_ms = uv_now(&loop->uv);
    uv_timer_start(&loop->alarm, on_alarm, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct vg_loop *loop = handle->data;

    for (size_t i = 0; i < loop->hook_count; i++)
        loop->hooks[i].run(loop->hooks[i].ctx);
    set_alarm(loop);
    loop->in_turn = false;
}

void vg_loop_on_turn_end(struct vg_loop *loop, void (*hook)(void *ctx), void *ctx)
{
    VG_ASSERT(loop->hook_count < MAX_HOOKS);
    loop->hooks[loop->hook_count].run = hook;
    loop->hooks[loop->hook_count].ctx = ctx;
    loop->hook_count++;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct vg_watch *watch = handle->data;
    int ready = 0;

    turn_begin(watch->loop);
    if (status < 0) {
        /* libuv has stopped the handle: after `ready` it goes on as the owner left it. The memory
         * outlives the call, because close callbacks come later in the turn. */
        watch->ready(watch->ctx, VG_READABLE | VG_WRITABLE);
        if (!watch->freed && watch->events != 0) {
            int wanted = watch->events;
            watch->events = 0;
            vg_watch_set(watch, wanted);
        }
        return;
    }
    if (events & UV_READABLE)
        ready |= VG_READABLE;
    if (events & UV_WRITABLE)
        ready |= VG_WRITABLE;
    watch->ready(watch->ctx, ready);
}

struct vg_watch *vg_watch_new(struct vg_loop *loop, int fd, void (*ready)(void *ctx, int events),
                              void *ctx)
{
    struct vg_watch *watch = vg_xalloc(sizeof(*watch));

    if (uv_poll_init(&loop->uv, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->loop = loop;
    watch->ready = ready;
    watch->ctx = ctx;
    return watch;
}

void vg_watch_set(struct vg_watch *watch, int events)
{
    int wanted = 0;

    if (watch->freed || watch->events == events)
        return;
    watch->events = events;
    if (events & VG_READABLE)
        wanted |= UV_READABLE;
    if (events & VG_WRITABLE)
        wanted |= UV_WRITABLE;
    if (wanted == 0)
        uv_poll_stop(&watch->poll);
    else
        VG_ASSERT(uv_poll_start(&watch->poll, wanted, on_poll) == 0);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct vg_watch *vg_watch_free(struct vg_watch *watch)
{
    if (watch && !watch->freed) {
        watch->freed = true;
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    }
    return NULL;
}

struct vg_loop *vg_loop_new(void)
{
    struct vg_loop *loop = vg_xalloc(sizeof(*loop));

    loop->executor.post = post;
    loop->alarm_ns = VG_NO_DEADLINE;
    /* These fail only when the process is out of descriptors or memory at start. */
    VG_ASSERT(uv_loop_init(&loop->uv) == 0);
    VG_ASSERT(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    VG_ASSERT(uv_timer_init(&loop->uv, &loop->alarm) == 0);
    VG_ASSERT(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    VG_ASSERT(uv_prepare_start(&loop->prepare, on_prepare) == 0);
    loop->wake.data = loop;
    loop->alarm.data = loop;
    loop->prepare.data = loop;
    return loop;
}

struct vg_loop *vg_loop_free(struct vg_loop *loop)
{
    if (!loop)
        return NULL;
    VG_ASSERT(!loop->started);
    while (run_tasks(loop))
        ;
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);   /* runs the close callbacks, also those of watches */
    VG_ASSERT(uv_loop_close(&loop->uv) == 0); /* else somebody still owns a watch */
    free(loop->heap);
    free(loop);
    return NULL;
}

void vg_loop_run(struct vg_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* the wake handle keeps it running until uv_stop */
    loop->in_turn = false;
    atomic_store_explicit(&loop->stopping, false, memory_order_release);
}

void vg_loop_stop(struct vg_loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    uv_async_send(&loop->wake);
}

static void *loop_thread(void *arg)
{
    struct vg_loop *loop = arg;

    (void)pthread_setname_np(pthread_self(), loop->name); /* a nicety for ps */
    vg_loop_run(loop);
    return NULL;
}

int vg_loop_start(struct vg_loop *loop, const char *name, struct vg_err *err)
{
    VG_ASSERT(!loop->started);
    (void)vg_strcpy(loop->name, sizeof(loop->name), name); /* cut is fine */
    int rc = pthread_create(&loop->thread, NULL, loop_thread, loop);
    if (rc != 0)
        return vg_err_set(err, VG_ERR_INTERNAL, "cannot start thread %s: error %d", name, rc);
    loop->started = true;
    return 0;
}

void vg_loop_join(struct vg_loop *loop)
{
    if (!loop->started)
        return;
    vg_loop_stop(loop);
    (void)pthread_join(loop->thread, NULL); /* fails only for a thread that is not ours */
    loop->started = false;
}
