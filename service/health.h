/* SPDX-License-Identifier: Apache-2.0 */
/* How providers do, as this process has seen it: share of jobs that they made and the time they
 * took, per provider and upstream model, older ones weighing less (half after ten minutes). In
 * memory only; nothing known is neutral.
 *
 * Written by the one thread that ends attempts; read by any thread (creates) without a lock: every
 * slot is two atomic words, and slots are never given back. */
#ifndef VG_SERVICE_HEALTH_H
#define VG_SERVICE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct vg_health;

struct vg_health_figures {
    double success; /* 0 to 1; 1 when nothing is known */
    int64_t ms;     /* from submission to result; 0: unknown */
};

struct vg_health *vg_health_new(void);
struct vg_health *vg_health_free(struct vg_health *health);

/* ---- the writer's; times are monotonic nanoseconds */

/* A job ended there: made, in `ms` (0: unknown), or failed by the provider's fault. */
void vg_health_made(struct vg_health *health, const char *provider, const char *model, int64_t ms,
                    int64_t now_ns);
void vg_health_failed(struct vg_health *health, const char *provider, const char *model,
                      int64_t now_ns);
/* The provider cannot be used just now (worker away, breaker open), or can again. */
void vg_health_set_down(struct vg_health *health, const char *provider, bool down);
/* Lets time pass for everybody; every few seconds. */
void vg_health_refresh(struct vg_health *health, int64_t now_ns);

/* ---- any thread; NULL knows nothing */

/* `model` may be VG_HEALTH_ALL: over all of the provider's. */
#define VG_HEALTH_ALL "*"
struct vg_health_figures vg_health_of(const struct vg_health *health, const char *provider,
                                      const char *model);
bool vg_health_down(const struct vg_health *health, const char *provider);
/* The time in ms that a finished video is expected to take, counting that a failure costs its time,
 * a minute more, and another try. `usual_ms` stands for an unknown time. */
double vg_health_cost(struct vg_health_figures figures, double usual_ms);

#endif
