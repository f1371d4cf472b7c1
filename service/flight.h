/* SPDX-License-Identifier: Apache-2.0 */
/* Creates under way in this process, by a hash of what makes two of them the same: project and
 * idempotency key, or the match of an SDK's attempts. The database decides between processes; this
 * spares the second caller the work before the insert. Any thread. */
#ifndef VG_SERVICE_FLIGHT_H
#define VG_SERVICE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

struct vg_flights;

/* Embedded in the call; zeroed: on the ground. */
struct vg_flight {
    struct vg_flight *next;
    uint8_t key[32];
    bool up;
};

struct vg_flights *vg_flights_new(void);
/* Nothing is up any more; NULL is fine. */
struct vg_flights *vg_flights_free(struct vg_flights *flights);
/* With `alone` false while another with the same key is up. */
bool vg_flight_start(struct vg_flights *flights, struct vg_flight *flight, const uint8_t key[32],
                     bool alone);
/* Does nothing on the ground. */
void vg_flight_land(struct vg_flights *flights, struct vg_flight *flight);

#endif
