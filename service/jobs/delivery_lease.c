/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/delivery_lease.h"

#include "common/clock.h"
#include "common/mem.h"

enum {
    BEAT_MS = VG_DELIVERY_LEASE_MS / 4,
    RETRY_MS = 500,
    CUT_MS = 2000, /* before its end: time to hang up on the receiver */
};

static int64_t left_ms(const struct vg_delivery_lease *lease)
{
    return (lease->until_ns - vg_now_ns()) / VG_NS_PER_MS;
}

/* The next beat, or the cut if that is earlier. */
static void arm(struct vg_delivery_lease *lease, int64_t ms)
{
    int64_t left = left_ms(lease) - CUT_MS;
    ms = ms < left ? ms : left;
    vg_timer_start(&lease->beat, vg_deadline_in_ms(ms > 0 ? ms : 0));
}

static void lose(struct vg_delivery_lease *lease)
{
    lease->is_lost = true;
    vg_timer_stop(&lease->beat);
    lease->options.lost(lease);
}

static void renew_done(struct vg_task *task)
{
    struct vg_delivery_lease *lease = VG_CONTAINER(task, struct vg_delivery_lease, renew.op.done);
    bool ok = lease->renew.op.ok;
    lease->renewing = false;
    lease->arena = vg_arena_free(lease->arena);
    if (lease->over) {
        lease->options.ended(lease);
        return;
    }
    if (lease->is_lost) {
        return;
    }
    if (ok && !lease->renew.applied) {
        lose(lease);
        return;
    }
    if (ok) {
        lease->until_ns = lease->asked_ns + VG_DELIVERY_LEASE_MS * VG_NS_PER_MS;
    }
    arm(lease, ok ? BEAT_MS : RETRY_MS);
}

static void renew(struct vg_delivery_lease *lease)
{
    lease->renewing = true;
    lease->arena = vg_arena_new();
    lease->asked_ns = vg_now_ns();
    lease->renew = (struct vg_delivery_renew){
        .op = {.executor = vg_loop_executor(lease->options.loop),
               .done = {.run = renew_done},
               .deadline_ns = lease->until_ns,
               .arena = lease->arena},
        .id = lease->options.id,
        .lease_seq = lease->options.lease_seq,
        .lease_ms = VG_DELIVERY_LEASE_MS,
    };
    vg_delivery_renew(lease->options.db, &lease->renew);
}

static void beat(struct vg_timer *timer)
{
    struct vg_delivery_lease *lease = VG_CONTAINER(timer, struct vg_delivery_lease, beat);
    if (left_ms(lease) <= CUT_MS) {
        lose(lease);
        return;
    }
    renew(lease);
    arm(lease, VG_DELIVERY_LEASE_MS); /* the cut; the answer comes before, or it is the end */
}

void vg_delivery_lease_begin(struct vg_delivery_lease *lease,
                             const struct vg_delivery_lease_options *options)
{
    *lease = (struct vg_delivery_lease){.options = *options};
    lease->until_ns = options->asked_ns + VG_DELIVERY_LEASE_MS * VG_NS_PER_MS;
    vg_timer_init(&lease->beat, options->loop, beat);
    arm(lease, BEAT_MS);
}

bool vg_delivery_lease_holds(const struct vg_delivery_lease *lease)
{
    return !lease->is_lost && left_ms(lease) > CUT_MS;
}

bool vg_delivery_lease_end(struct vg_delivery_lease *lease)
{
    lease->over = true;
    vg_timer_stop(&lease->beat);
    return !lease->renewing;
}
