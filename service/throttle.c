/* SPDX-License-Identifier: Apache-2.0 */
#include "service/throttle.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"

#define WINDOW_NS (60 * VG_NS_PER_S)
#define SETS 2048
#define WAYS 4

/* When the bucket would be empty again; in the past: it is. */
struct entry {
    uint64_t id; /* 0: free */
    int64_t empty_ns;
    bool told;
};

struct vg_throttle {
    int64_t interval_ns[VG_THROTTLE_MAX]; /* a failure's; 0: no limit */
    uint64_t seed; /* offenders must not be able to choose whose place they take */
    pthread_mutex_t lock;
    struct entry entries[VG_THROTTLE_MAX][SETS][WAYS];
};

struct vg_throttle *vg_throttle_new(int32_t per_client, int32_t per_key)
{
    struct vg_throttle *t = vg_xalloc(sizeof(*t));

    t->interval_ns[VG_THROTTLE_CLIENT] = per_client > 0 ? WINDOW_NS / per_client : 0;
    t->interval_ns[VG_THROTTLE_KEY] = per_key > 0 ? WINDOW_NS / per_key : 0;
    vg_random(&t->seed, sizeof(t->seed));
    VG_ASSERT(pthread_mutex_init(&t->lock, NULL) == 0);
    return t;
}

struct vg_throttle *vg_throttle_free(struct vg_throttle *throttle)
{
    if (throttle)
        (void)pthread_mutex_destroy(&throttle->lock);
    free(throttle);
    return NULL;
}

static const char *name_of(const struct vg_throttle_who *who, enum vg_throttle_by by)
{
    return by == VG_THROTTLE_CLIENT ? who->client : who->key_id;
}

/* NULL: none, and `make` is false. */
static struct entry *find(struct vg_throttle *t, enum vg_throttle_by by, const char *name,
                          bool make)
{
    uint64_t id = vg_fnv1a(vg_view_of(name), t->seed) | 1;
    struct entry *set = t->entries[by][(id >> 1) % SETS];
    struct entry *victim = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].id == id)
            return &set[i];
        if (set[i].empty_ns < victim->empty_ns)
            victim = &set[i];
    }
    if (!make)
        return NULL;
    *victim = (struct entry){.id = id};
    return victim;
}

void vg_throttle_look(struct vg_throttle *t, const struct vg_throttle_who *who, int64_t now_ns,
                      struct vg_throttle_answer *out)
{
    *out = (struct vg_throttle_answer){.wait_ms = 0};
    (void)pthread_mutex_lock(&t->lock);
    for (enum vg_throttle_by by = VG_THROTTLE_CLIENT; by < VG_THROTTLE_MAX; by++) {
        const char *name = name_of(who, by);
        struct entry *e = t->interval_ns[by] && name[0] ? find(t, by, name, false) : NULL;
        int64_t wait_ns = e ? e->empty_ns + t->interval_ns[by] - WINDOW_NS - now_ns : 0;
        int64_t wait_ms = (wait_ns + VG_NS_PER_MS - 1) / VG_NS_PER_MS;

        if (!e || wait_ns <= 0 || wait_ms <= out->wait_ms)
            continue;
        *out = (struct vg_throttle_answer){wait_ms, by, !e->told};
        e->told = true;
    }
    (void)pthread_mutex_unlock(&t->lock);
}

void vg_throttle_failed(struct vg_throttle *t, const struct vg_throttle_who *who, int64_t now_ns)
{
    (void)pthread_mutex_lock(&t->lock);
    for (enum vg_throttle_by by = VG_THROTTLE_CLIENT; by < VG_THROTTLE_MAX; by++) {
        const char *name = name_of(who, by);

        if (!t->interval_ns[by] || !name[0])
            continue;
        struct entry *e = find(t, by, name, true);
        if (e->empty_ns <= now_ns) {
            e->empty_ns = now_ns;
            e->told = false;
        }
        /* Calls that were under way together may fail beyond the limit: not more than a window. */
        if (e->empty_ns < now_ns + WINDOW_NS)
            e->empty_ns += t->interval_ns[by];
    }
    (void)pthread_mutex_unlock(&t->lock);
}
