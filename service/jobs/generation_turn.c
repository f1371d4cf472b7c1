/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/generation_turn.h"

#include "service/jobs/backoff.h"

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- time ---------------------------------------------------------------------------------- */

bool vg_turn_late(const struct vg_turn *t)
{
    return t->row->deadline_left_ms <= 0;
}

bool vg_turn_too_late(const struct vg_turn *t)
{
    return t->row->deadline_left_ms <= -t->policy->grace_ms;
}

int64_t vg_turn_spread(const struct vg_turn *t, int64_t ms)
{
    return vg_backoff_spread(ms, t->event->jitter);
}

/* Our own wait, or the peer's wish. */
static int64_t wait_before(const struct vg_turn *t, int64_t base_ms, int64_t max_ms, int32_t n)
{
    int64_t own = vg_backoff_ms(base_ms, max_ms, n, t->event->jitter);
    int64_t wish = min64(t->event->wait_ms, t->policy->poll_retry_max_ms);
    return max64(own, wish);
}

int64_t vg_turn_retry_wait(const struct vg_turn *t, int32_t n)
{
    return wait_before(t, t->policy->retry_base_ms, t->policy->retry_max_ms, n);
}

int64_t vg_turn_poll_retry_wait(const struct vg_turn *t, int32_t n)
{
    return wait_before(t, t->policy->poll_retry_base_ms, t->policy->poll_retry_max_ms, n);
}

int64_t vg_turn_poll_wait(const struct vg_turn *t)
{
    int64_t ms = t->event->wait_ms > 0 ? t->event->wait_ms : t->policy->poll_default_ms;
    ms = max64(min64(ms, t->policy->poll_max_ms), t->policy->poll_min_ms);
    return vg_turn_spread(t, ms);
}

/* Waiting never goes beyond the deadline, so that the last look comes in time. */
static int64_t until_due(const struct vg_turn *t, int64_t ms)
{
    if (t->row->deadline_left_ms > 0) {
        ms = min64(ms, t->row->deadline_left_ms);
    }
    return max64(ms, 0);
}

/* ---- answers ------------------------------------------------------------------------------- */

void vg_turn_only_do(const struct vg_turn *t, enum vg_step next)
{
    t->out->next = next;
}

void vg_turn_go_on(const struct vg_turn *t, enum vg_generation_state to, enum vg_step next)
{
    t->out->commit = true;
    t->out->to = to;
    t->out->keep = true;
    t->out->next = next;
}

void vg_turn_release(const struct vg_turn *t, enum vg_generation_state to, int64_t wait_ms)
{
    t->out->commit = true;
    t->out->to = to;
    t->out->keep = false;
    t->out->due_ms = until_due(t, wait_ms);
    t->out->next = VG_STEP_END;
}

void vg_turn_finish(const struct vg_turn *t, enum vg_generation_state to, const char *code,
                    const char *message)
{
    vg_turn_release(t, to, 0);
    t->out->due_ms = 0;
    t->out->error_code = code;
    t->out->error_message = message;
}

void vg_turn_cancel(const struct vg_turn *t)
{
    vg_turn_finish(t, VG_GEN_CANCELED, NULL, NULL);
}

void vg_turn_time_out(const struct vg_turn *t)
{
    vg_turn_finish(t, VG_GEN_FAILED, "timeout", "The video was not ready in time.");
}

bool vg_turn_called_off(const struct vg_turn *t)
{
    if (t->row->cancel_requested) {
        vg_turn_cancel(t);
    } else if (vg_turn_late(t)) {
        vg_turn_time_out(t);
    } else {
        return false;
    }
    return true;
}

/* ---- routes -------------------------------------------------------------------------------- */

bool vg_turn_has_next_route(const struct vg_turn *t)
{
    return t->row->route >= 0 && (size_t)t->row->route + 1 < t->row->route_count;
}

bool vg_turn_budget_left(const struct vg_turn *t)
{
    return t->row->route >= 0 && (size_t)t->row->route < t->row->route_count &&
           t->row->route_attempts < t->row->routes[t->row->route].max_attempts;
}

static void leave_upstream(const struct vg_turn *t)
{
    t->out->upstream = VG_UPSTREAM_DROP;
    t->out->poll_errors = 0;
    t->out->progress = 0;
}

void vg_turn_try_again(const struct vg_turn *t, int32_t n)
{
    leave_upstream(t);
    vg_turn_release(t, VG_GEN_PENDING, vg_turn_retry_wait(t, n));
}

void vg_turn_try_next_route(const struct vg_turn *t)
{
    t->out->route = t->row->route + 1;
    t->out->route_attempts = 0;
    leave_upstream(t);
    vg_turn_release(t, VG_GEN_PENDING, 0);
}
