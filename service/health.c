/* SPDX-License-Identifier: Apache-2.0 */
#include "service/health.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"

enum {
    SLOTS = 4096, /* a catalog has at most 512 * 8 routes, mostly far fewer; beyond: neutral */
    PROBES = 16,  /* looks per key */
    HALF_LIFE_S = 600,
    FAILURE_MS = 60000,
    MILLION = 1000000
};

/* One (provider, model), or (provider, "") for whether it is down. */
struct slot {
    atomic_uint_fast64_t key;  /* 0: free */
    atomic_uint_fast64_t told; /* success in millionths << 32 | ms; down: 1 */
    /* the writer's; as of `at_ns` */
    double good, bad;
    double ms, timed; /* sum of times, and of their weights */
    int64_t at_ns;
};

struct vg_health {
    struct slot slots[SLOTS];
};

static uint64_t key_of(const char *provider, const char *model)
{
    uint64_t key = vg_fnv1a(vg_view_of(provider), 0);

    key = vg_fnv1a((struct vg_view){"", 1}, key);
    key = vg_fnv1a(vg_view_of(model), key);
    return key ? key : 1;
}

struct vg_health *vg_health_new(void)
{
    return vg_xcalloc(1, sizeof(struct vg_health));
}

struct vg_health *vg_health_free(struct vg_health *health)
{
    free(health);
    return NULL;
}

static const struct slot *find(const struct vg_health *health, uint64_t key)
{
    for (size_t i = 0; health && i < PROBES; i++) {
        const struct slot *slot = &health->slots[(key + i) % SLOTS];
        uint64_t there = atomic_load_explicit(&slot->key, memory_order_acquire);
        if (there == key)
            return slot;
        if (there == 0)
            return NULL;
    }
    return NULL;
}

/* The writer's: the key's slot, made when it is new (then told as `told`); NULL: no room. */
static struct slot *take(struct vg_health *health, uint64_t key, uint64_t told)
{
    for (size_t i = 0; health && i < PROBES; i++) {
        struct slot *slot = &health->slots[(key + i) % SLOTS];
        uint64_t there = atomic_load_explicit(&slot->key, memory_order_relaxed);
        if (there == 0) {
            atomic_store_explicit(&slot->told, told, memory_order_relaxed);
            atomic_store_explicit(&slot->key, key, memory_order_release);
            return slot;
        }
        if (there == key)
            return slot;
    }
    return NULL;
}

static void fade(struct slot *slot, int64_t now_ns)
{
    if (slot->at_ns > 0 && now_ns > slot->at_ns) {
        double left = exp2(-(double)(now_ns - slot->at_ns) / VG_NS_PER_S / HALF_LIFE_S);
        slot->good *= left;
        slot->bad *= left;
        slot->ms *= left;
        slot->timed *= left;
    }
    slot->at_ns = now_ns;
}

/* One success is assumed, so that what fades away becomes neutral. */
static void tell(struct slot *slot)
{
    double success = (slot->good + 1) / (slot->good + slot->bad + 1);
    double ms = slot->timed > 0.05 ? slot->ms / slot->timed : 0;
    uint64_t low = ms > 0 ? (uint64_t)fmin(fmax(round(ms), 1), UINT32_MAX) : 0;

    atomic_store_explicit(&slot->told, (uint64_t)(success * MILLION) << 32 | low,
                          memory_order_relaxed);
}

static void ended(struct vg_health *health, const char *provider, const char *model, bool made,
                  int64_t ms, int64_t now_ns)
{
    struct slot *slot = take(health, key_of(provider, model), (uint64_t)MILLION << 32);

    if (!slot)
        return;
    fade(slot, now_ns);
    slot->good += made ? 1 : 0;
    slot->bad += made ? 0 : 1;
    if (ms > 0) {
        slot->ms += (double)ms;
        slot->timed += 1;
    }
    tell(slot);
}

void vg_health_made(struct vg_health *health, const char *provider, const char *model, int64_t ms,
                    int64_t now_ns)
{
    ended(health, provider, model, true, ms, now_ns);
    ended(health, provider, VG_HEALTH_ALL, true, ms, now_ns);
}

void vg_health_failed(struct vg_health *health, const char *provider, const char *model,
                      int64_t now_ns)
{
    ended(health, provider, model, false, 0, now_ns);
    ended(health, provider, VG_HEALTH_ALL, false, 0, now_ns);
}

void vg_health_set_down(struct vg_health *health, const char *provider, bool down)
{
    struct slot *slot = take(health, key_of(provider, ""), 0);

    if (slot)
        atomic_store_explicit(&slot->told, down, memory_order_relaxed);
}

void vg_health_refresh(struct vg_health *health, int64_t now_ns)
{
    for (size_t i = 0; health && i < SLOTS; i++) {
        struct slot *slot = &health->slots[i];
        if (slot->at_ns > 0) { /* never set where it says down */
            fade(slot, now_ns);
            tell(slot);
        }
    }
}

struct vg_health_figures vg_health_of(const struct vg_health *health, const char *provider,
                                      const char *model)
{
    const struct slot *slot = find(health, key_of(provider, model));
    uint64_t told =
        slot ? atomic_load_explicit(&slot->told, memory_order_relaxed) : (uint64_t)MILLION << 32;

    return (struct vg_health_figures){.success = (double)(told >> 32) / MILLION,
                                      .ms = (int64_t)(told & UINT32_MAX)};
}

bool vg_health_down(const struct vg_health *health, const char *provider)
{
    const struct slot *slot = find(health, key_of(provider, ""));

    return slot && atomic_load_explicit(&slot->told, memory_order_relaxed) != 0;
}

double vg_health_cost(struct vg_health_figures figures, double usual_ms)
{
    double ms = figures.ms > 0 ? (double)figures.ms : usual_ms;
    double p = fmax(figures.success, 0.001);

    return (ms + (1 - p) * FAILURE_MS) / p;
}
