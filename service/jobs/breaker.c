/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/breaker.h"

#include <math.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"

enum { HALF_LIFE_S = 30, MAX_DOUBLINGS = 4, PROBE_WAIT_MS = 1000 };

const char *vg_breaker_state_name(enum vg_breaker_state state)
{
    static const char *const names[VG_BREAKER_STATE_MAX] = {"closed", "open", "half_open"};

    VG_ASSERT(state < VG_BREAKER_STATE_MAX);
    return names[state];
}

/* What was counted earlier weighs less. */
static void fade(struct vg_breaker *b, int64_t now_ns)
{
    if (b->counted_ns > 0 && now_ns > b->counted_ns) {
        double halves = (double)(now_ns - b->counted_ns) / VG_NS_PER_S / HALF_LIFE_S;
        double left = exp2(-halves);
        b->good *= left;
        b->bad *= left;
    }
    b->counted_ns = now_ns;
}

static void open_up(struct vg_breaker *b, int64_t now_ns, const struct vg_breaker_policy *policy)
{
    int32_t doublings = b->opened < MAX_DOUBLINGS ? b->opened : MAX_DOUBLINGS;

    b->state = VG_BREAKER_OPEN;
    b->until_ns = now_ns + (policy->wait_ms << doublings) * VG_NS_PER_MS;
    b->opened++;
    b->probing = false;
}

static void judge(struct vg_breaker *b, int64_t now_ns, const struct vg_breaker_policy *policy)
{
    bool often = b->bad >= policy->failures - 0.5 && b->bad >= b->good;

    if (policy->failures > 0 && (b->in_a_row >= policy->failures || often)) {
        open_up(b, now_ns, policy);
    }
}

bool vg_breaker_admits(const struct vg_breaker *b, int64_t now_ns)
{
    switch (b->state) {
    case VG_BREAKER_OPEN:
        return now_ns >= b->until_ns;
    case VG_BREAKER_HALF_OPEN:
        return !b->probing;
    default:
        return true;
    }
}

bool vg_breaker_enter(struct vg_breaker *b, int64_t now_ns, bool *out_probe)
{
    *out_probe = false;
    if (!vg_breaker_admits(b, now_ns)) {
        return false;
    }
    if (b->state != VG_BREAKER_CLOSED) {
        b->state = VG_BREAKER_HALF_OPEN;
        b->probing = true;
        *out_probe = true;
    }
    return true;
}

int64_t vg_breaker_wait_ms(const struct vg_breaker *b, int64_t now_ns,
                           const struct vg_breaker_policy *policy)
{
    if (vg_breaker_admits(b, now_ns)) {
        return 0;
    }
    if (b->state == VG_BREAKER_OPEN) {
        return (b->until_ns - now_ns) / VG_NS_PER_MS + 1;
    }
    return policy->wait_ms < PROBE_WAIT_MS ? policy->wait_ms : PROBE_WAIT_MS;
}

void vg_breaker_succeeded(struct vg_breaker *b, int64_t now_ns, bool probe)
{
    if (b->state == VG_BREAKER_CLOSED) {
        fade(b, now_ns);
        b->good += 1;
        b->in_a_row = 0;
    } else if (probe) {
        *b = (struct vg_breaker){.good = 1, .counted_ns = now_ns};
    }
}

void vg_breaker_failed(struct vg_breaker *b, int64_t now_ns, bool probe,
                       const struct vg_breaker_policy *policy)
{
    if (b->state == VG_BREAKER_CLOSED) {
        fade(b, now_ns);
        b->bad += 1;
        b->in_a_row++;
        judge(b, now_ns, policy);
    } else if (probe) {
        open_up(b, now_ns, policy);
    }
}

void vg_breaker_spoiled(struct vg_breaker *b, int64_t now_ns,
                        const struct vg_breaker_policy *policy)
{
    if (b->state == VG_BREAKER_CLOSED) {
        fade(b, now_ns);
        b->good = b->good > 1 ? b->good - 1 : 0;
        b->bad += 1;
        b->in_a_row++;
        judge(b, now_ns, policy);
    }
}

void vg_breaker_withdrawn(struct vg_breaker *b)
{
    b->probing = false;
}
