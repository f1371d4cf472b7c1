/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's circuit breaker: whether to submit to it now. Pure: no clock, no memory of its own,
 * times are monotonic nanoseconds. Only failures of the provider are told to it, never a caller's.
 *
 *   closed --(many failures)--> open --(time)--> half-open: one probe --accepted--> closed
 *                                ^                     '------failed (waits twice as long)--.
 *                                '-----------------------------------------------------------'
 *
 * Many: so many in a row; or so many in about a minute, and as many as there were successes. An
 * accepted submission counts as a success until its job fails. */
#ifndef VG_SERVICE_JOBS_BREAKER_H
#define VG_SERVICE_JOBS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum vg_breaker_state {
    VG_BREAKER_CLOSED,    /* -> open */
    VG_BREAKER_OPEN,      /* -> half-open */
    VG_BREAKER_HALF_OPEN, /* -> closed, open */
    VG_BREAKER_STATE_MAX
};
const char *vg_breaker_state_name(enum vg_breaker_state state);

struct vg_breaker_policy {
    int32_t failures; /* 0: never opens */
    int64_t wait_ms;  /* first time that it stays open; doubled at most four times */
};

struct vg_breaker {
    enum vg_breaker_state state;
    int32_t in_a_row;   /* failures */
    double good, bad;   /* as of counted_ns; each weighs half after half a minute */
    int64_t counted_ns; /* 0: nothing counted yet */
    int64_t until_ns;   /* open */
    int32_t opened;     /* times without a success between */
    bool probing;       /* half-open: the probe is under way */
};

/* Whether a submission may be made; in half-open it is then the probe (*out_probe), whose end must
 * be told by one of the three below. */
bool vg_breaker_enter(struct vg_breaker *b, int64_t now_ns, bool *out_probe);
/* As above without entering. */
bool vg_breaker_admits(const struct vg_breaker *b, int64_t now_ns);
/* How long to wait before asking again; 0: it admits. */
int64_t vg_breaker_wait_ms(const struct vg_breaker *b, int64_t now_ns,
                           const struct vg_breaker_policy *policy);

/* A submission was accepted. */
void vg_breaker_succeeded(struct vg_breaker *b, int64_t now_ns, bool probe);
/* It was not, and the provider is to blame. */
void vg_breaker_failed(struct vg_breaker *b, int64_t now_ns, bool probe,
                       const struct vg_breaker_policy *policy);
/* An accepted job failed later. */
void vg_breaker_spoiled(struct vg_breaker *b, int64_t now_ns,
                        const struct vg_breaker_policy *policy);
/* The probe was not made, or says nothing about the provider. */
void vg_breaker_withdrawn(struct vg_breaker *b);

#endif
