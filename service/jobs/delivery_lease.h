/* SPDX-License-Identifier: Apache-2.0 */
/* The lease of a delivery that is being sent: short, so that one whose process was killed is soon
 * sent by another, and renewed while it lasts. When it cannot be renewed it is given up before it
 * ends, so that two are never under way at once. The loop's thread. */
#ifndef VG_SERVICE_JOBS_DELIVERY_LEASE_H
#define VG_SERVICE_JOBS_DELIVERY_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "db/delivery_store.h"

/* Renewed every 5 s, so one that is stopped has 15 s left at least; its webhook sender has hung up
 * on it and on the receiver within 12 s (workers/webhook/main.c). */
#define VG_DELIVERY_LEASE_MS 20000

struct vg_delivery_lease;

struct vg_delivery_lease_options {
    struct vg_db *db;
    struct vg_loop *loop;
    const char *id; /* borrowed, as all of these */
    int64_t lease_seq;
    int64_t asked_ns; /* before the claim was */
    /* Somebody else has the delivery, or may have it in two seconds: once. */
    void (*lost)(struct vg_delivery_lease *lease);
    /* After an end that had to wait. */
    void (*ended)(struct vg_delivery_lease *lease);
};

struct vg_delivery_lease {
    struct vg_delivery_lease_options options;
    struct vg_timer beat;
    struct vg_delivery_renew renew;
    struct vg_arena *arena; /* owned; of the renewal under way */
    int64_t until_ns, asked_ns;
    bool renewing, over, is_lost;
};

void vg_delivery_lease_begin(struct vg_delivery_lease *lease,
                             const struct vg_delivery_lease_options *options);
/* Whether it lasts long enough to begin something. */
bool vg_delivery_lease_holds(const struct vg_delivery_lease *lease);
/* No more renewals. False: one is under way, `ended` comes with its answer. */
bool vg_delivery_lease_end(struct vg_delivery_lease *lease);

#endif
