/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop of one thread (libuv inside; this file's .c is its only user): posted tasks,
 * timers, file descriptors, and a hook at the end of each turn for flushing. All calls belong to
 * the loop's thread unless said. */
#ifndef VG_COMMON_LOOP_H
#define VG_COMMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/task.h"

struct vg_loop;

struct vg_loop *vg_loop_new(void);
/* After vg_loop_run has returned; tasks still queued are run once here, so that their owners can
 * free them. */
struct vg_loop *vg_loop_free(struct vg_loop *loop);
/* Runs on the calling thread until vg_loop_stop. */
void vg_loop_run(struct vg_loop *loop);
/* Any thread. */
void vg_loop_stop(struct vg_loop *loop);
/* Starts / joins a thread that runs the loop; `name` shows in ps (15 characters). vg_loop_join
 * stops it first. */
VG_MUSTCHECK int vg_loop_start(struct vg_loop *loop, const char *name, struct vg_err *err);
void vg_loop_join(struct vg_loop *loop);
/* Any thread: the executor whose tasks run on this loop, in batches, in order of posting. */
struct vg_executor *vg_loop_executor(struct vg_loop *loop);
/* Monotonic nanoseconds as of the start of this turn. */
int64_t vg_loop_now(const struct vg_loop *loop);

/* Timers: embedded, one shot. */
struct vg_timer {
    void (*fire)(struct vg_timer *timer);
    struct vg_loop *loop;
    int64_t at_ns;
    uint32_t heap_pos; /* 0: not armed */
};
void vg_timer_init(struct vg_timer *timer, struct vg_loop *loop, void (*fire)(struct vg_timer *));
/* Arms, or moves when armed. The timer must be stopped before its memory goes. */
void vg_timer_start(struct vg_timer *timer, int64_t at_ns);
void vg_timer_stop(struct vg_timer *timer);
bool vg_timer_armed(const struct vg_timer *timer);

/* File descriptors. `ready` gets VG_READABLE | VG_WRITABLE (an error counts as both). */
enum { VG_READABLE = 1, VG_WRITABLE = 2 };
struct vg_watch;
struct vg_watch *vg_watch_new(struct vg_loop *loop, int fd, void (*ready)(void *ctx, int events),
                              void *ctx);
void vg_watch_set(struct vg_watch *watch, int events); /* 0 pauses */
/* Never closes the fd. Safe inside `ready`; afterwards `ready` is not called again. */
struct vg_watch *vg_watch_free(struct vg_watch *watch);

/* Called after each turn's events and tasks, before blocking. At most 4 hooks. */
void vg_loop_on_turn_end(struct vg_loop *loop, void (*hook)(void *ctx), void *ctx);

#endif
