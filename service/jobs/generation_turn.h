/* SPDX-License-Identifier: Apache-2.0 */
/* One decision under way: the words in which generation_fsm.c says what each event leads to. Pure,
 * as it is. Private to generation_fsm.c. */
#ifndef VG_SERVICE_JOBS_GENERATION_TURN_H
#define VG_SERVICE_JOBS_GENERATION_TURN_H

#include "service/jobs/generation_fsm.h"

struct vg_turn {
    const struct vg_fsm_row *row;
    const struct vg_fsm_event *event;
    const struct vg_fsm_policy *policy;
    struct vg_fsm_decision *out; /* begins as the row is */
};

/* ---- answers */
/* Nothing to record: do `next` at once. */
void vg_turn_only_do(const struct vg_turn *t, enum vg_step next);
/* Record, hold the lease, do `next`. */
void vg_turn_go_on(const struct vg_turn *t, enum vg_generation_state to, enum vg_step next);
/* Record, give the lease back; due again in `wait_ms`, at the deadline at the latest. */
void vg_turn_release(const struct vg_turn *t, enum vg_generation_state to, int64_t wait_ms);
/* Record the end; `code` and `message` of failures, else NULL. */
void vg_turn_finish(const struct vg_turn *t, enum vg_generation_state to, const char *code,
                    const char *message);
void vg_turn_cancel(const struct vg_turn *t);
void vg_turn_time_out(const struct vg_turn *t);
/* Cancels what the caller gave up, times out what is late; false: neither. */
bool vg_turn_called_off(const struct vg_turn *t);

/* ---- time */
bool vg_turn_late(const struct vg_turn *t);
/* The provider may hold a finished video: a worker or disk that is away gets some time more. */
bool vg_turn_too_late(const struct vg_turn *t);
int64_t vg_turn_spread(const struct vg_turn *t, int64_t ms);
/* Before the n-th try, longer if the peer wishes so. */
int64_t vg_turn_retry_wait(const struct vg_turn *t, int32_t n);
/* The same after the n-th failed poll. */
int64_t vg_turn_poll_retry_wait(const struct vg_turn *t, int32_t n);
/* Before the next poll of a job that does well. */
int64_t vg_turn_poll_wait(const struct vg_turn *t);

/* ---- routes */
bool vg_turn_has_next_route(const struct vg_turn *t);
/* The route may be submitted to once more. */
bool vg_turn_budget_left(const struct vg_turn *t);
/* Both forget the upstream job and release to pending. */
void vg_turn_try_again(const struct vg_turn *t, int32_t n);
void vg_turn_try_next_route(const struct vg_turn *t);

#endif
