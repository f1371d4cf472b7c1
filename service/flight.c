/* SPDX-License-Identifier: Apache-2.0 */
#include "service/flight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#define BUCKETS 1024 /* as many as there are slow calls at a time, and a few more */

struct vg_flights {
    pthread_mutex_t lock;
    struct vg_flight *buckets[BUCKETS];
};

struct vg_flights *vg_flights_new(void)
{
    struct vg_flights *flights = vg_xalloc(sizeof(*flights));

    (void)pthread_mutex_init(&flights->lock, NULL);
    return flights;
}

struct vg_flights *vg_flights_free(struct vg_flights *flights)
{
    if (!flights)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        VG_ASSERT(!flights->buckets[i]);
    (void)pthread_mutex_destroy(&flights->lock);
    free(flights);
    return NULL;
}

static struct vg_flight **bucket_of(struct vg_flights *flights, const uint8_t key[32])
{
    return &flights->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS]; /* keys are hashes */
}

bool vg_flight_start(struct vg_flights *flights, struct vg_flight *flight, const uint8_t key[32],
                     bool alone)
{
    struct vg_flight **bucket = bucket_of(flights, key);
    bool free_sky = true;

    VG_ASSERT(!flight->up);
    (void)pthread_mutex_lock(&flights->lock);
    for (const struct vg_flight *f = *bucket; alone && free_sky && f; f = f->next)
        free_sky = memcmp(f->key, key, sizeof(f->key)) != 0;
    if (free_sky) {
        memcpy(flight->key, key, sizeof(flight->key));
        flight->up = true;
        flight->next = *bucket;
        *bucket = flight;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    return free_sky;
}

void vg_flight_land(struct vg_flights *flights, struct vg_flight *flight)
{
    if (!flight->up)
        return;
    (void)pthread_mutex_lock(&flights->lock);
    struct vg_flight **at = bucket_of(flights, flight->key);

    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    flight->up = false;
    (void)pthread_mutex_unlock(&flights->lock);
}
