/* SPDX-License-Identifier: Apache-2.0 */
#include "service/rate.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/str.h"

#define WINDOW_NS (60 * VG_NS_PER_S)
#define SETS 4096
#define WAYS 4
#define MAX_LIMITS 2

/* When the bucket would be full again; in the past: it is. */
struct entry {
    uint64_t id; /* 0: free */
    int64_t full_ns;
};

struct vg_rate {
    int share;
    pthread_mutex_t lock;
    struct entry entries[SETS][WAYS];
};

struct vg_rate *vg_rate_new(int share)
{
    struct vg_rate *rate = vg_xalloc(sizeof(*rate));

    rate->share = share < 1 ? 1 : share;
    VG_ASSERT(pthread_mutex_init(&rate->lock, NULL) == 0);
    return rate;
}

struct vg_rate *vg_rate_free(struct vg_rate *rate)
{
    if (rate)
        (void)pthread_mutex_destroy(&rate->lock);
    free(rate);
    return NULL;
}

/* The lowest bit tells keys from projects. */
uint64_t vg_rate_key(const char *key_id)
{
    return vg_fnv1a(vg_view_of(key_id), 0) | 1;
}

uint64_t vg_rate_project(int64_t project_id)
{
    return (uint64_t)project_id * UINT64_C(0x9e3779b97f4a7c15) << 1;
}

/* The entry of an id; the place of one that is full, or fullest, when it has none: forgetting that
 * one lets the least through. `kept` is in use by the same request. */
static struct entry *entry_of(struct vg_rate *rate, uint64_t id, const struct entry *kept)
{
    struct entry *set = rate->entries[(id >> 1) % SETS];
    struct entry *victim = kept == &set[0] ? &set[1] : &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].id == id)
            return &set[i];
        if (&set[i] != kept && set[i].full_ns < victim->full_ns)
            victim = &set[i];
    }
    *victim = (struct entry){.id = id};
    return victim;
}

/* One limit looked at: what it would be after one more request. */
struct look {
    struct entry *entry;
    int64_t interval_ns, window_ns;
    int64_t full_ns;
    bool allowed;
};

static struct look look(struct vg_rate *rate, const struct vg_rate_limit *limit,
                        const struct entry *kept, int64_t now_ns)
{
    int64_t burst = limit->per_minute / rate->share;
    struct look l = {.entry = entry_of(rate, limit->id, kept)};

    burst = burst < 1 ? 1 : burst;
    l.window_ns = WINDOW_NS;
    l.interval_ns = WINDOW_NS / burst;
    l.full_ns = (l.entry->full_ns > now_ns ? l.entry->full_ns : now_ns) + l.interval_ns;
    l.allowed = l.full_ns - now_ns <= l.window_ns;
    return l;
}

static void tell(const struct look *l, int32_t limit, int64_t now_ns, struct vg_rate_answer *out)
{
    int64_t full_ns = l->allowed ? l->full_ns : l->full_ns - l->interval_ns;
    int64_t left_ns = l->window_ns - (full_ns - now_ns);

    out->limit = limit;
    out->remaining = left_ns > 0 ? (int32_t)(left_ns / l->interval_ns) : 0;
    out->reset_ms = (full_ns - now_ns + VG_NS_PER_MS - 1) / VG_NS_PER_MS;
    out->retry_ms =
        l->allowed ? 0 : (l->full_ns - now_ns - l->window_ns + VG_NS_PER_MS - 1) / VG_NS_PER_MS;
}

void vg_rate_take(struct vg_rate *rate, const struct vg_rate_limit *limits, size_t count,
                  int64_t now_ns, struct vg_rate_answer *out)
{
    struct look looks[MAX_LIMITS];
    struct vg_rate_answer one = {.allowed = true};

    VG_ASSERT(count >= 1 && count <= MAX_LIMITS);
    *out = (struct vg_rate_answer){.allowed = true, .remaining = INT32_MAX};
    (void)pthread_mutex_lock(&rate->lock);
    for (size_t i = 0; i < count; i++) {
        looks[i] = look(rate, &limits[i], i > 0 ? looks[i - 1].entry : NULL, now_ns);
        tell(&looks[i], limits[i].per_minute, now_ns, &one);
        bool tighter = !looks[i].allowed ? out->allowed || one.retry_ms > out->retry_ms
                                         : out->allowed && one.remaining < out->remaining;
        if (!tighter)
            continue;
        one.allowed = looks[i].allowed;
        one.tightest = i;
        *out = one;
    }
    for (size_t i = 0; i < count && out->allowed; i++)
        looks[i].entry->full_ns = looks[i].full_ns;
    (void)pthread_mutex_unlock(&rate->lock);
}

void vg_rate_duration(char out[VG_RATE_DURATION_SIZE], int64_t ms)
{
    if (ms < 1000)
        (void)snprintf(out, VG_RATE_DURATION_SIZE, "%" PRId64 "ms", ms);
    else if (ms < 60000)
        (void)snprintf(out, VG_RATE_DURATION_SIZE, "%" PRId64 "s", (ms + 999) / 1000);
    else
        (void)snprintf(out, VG_RATE_DURATION_SIZE, "%" PRId64 "m%" PRId64 "s", (ms + 999) / 60000,
                       (ms + 999) / 1000 % 60);
}
