/* SPDX-License-Identifier: Apache-2.0 */
/* The provider workers: one channel each, what they said of themselves (Describe), and whether they
 * are there. Belongs to the jobs loop's thread. */
#ifndef VG_SERVICE_JOBS_WORKERS_H
#define VG_SERVICE_JOBS_WORKERS_H

#include "common/loop.h"
#include "common/rpc/client.h"
#include "service/jobs/breaker.h"
#include "service/jobs/generation_fsm.h"

struct vg_job;
struct vg_workers;

/* At most `max` at once; others wait in order. */
struct vg_gate {
    int32_t active, max;
    struct vg_job *head, *tail; /* borrowed; they wait */
};
/* Calls `entered` now or when there is room. */
void vg_gate_enter(struct vg_gate *gate, struct vg_job *job, void (*entered)(struct vg_job *job));
/* The job leaves the gate it is inside of, if any. */
void vg_gate_leave(struct vg_job *job);
/* A job that no longer wants to wait. */
void vg_gate_forget(struct vg_job *job);

/* A worker's clock against ours, as far as the way of the answer lets us tell. */
enum vg_worker_clock {
    VG_CLOCK_RIGHT,   /* or not told */
    VG_CLOCK_DIFFERS, /* by more than 5 s: half of what a Submit allows for */
    VG_CLOCK_REFUSES  /* so far ahead that every Submit comes too late there */
};

struct vg_worker {
    char *name;                     /* owned; the provider */
    size_t series;                  /* metric label */
    struct vg_workers *workers;     /* borrowed */
    struct vg_rpc_channel *channel; /* owned; NULL after close */
    bool described;
    bool supports_cancel, supports_lookup, supports_events;
    int32_t max_concurrency; /* 0: no limit known */
    int64_t max_submit_ms;   /* deadline of one Submit */
    struct vg_breaker breaker;
    int64_t full_until_ns; /* the provider said that it has too many jobs */
    bool down;             /* as told to creates */
    int64_t asked_wall_ms; /* the Describe under way */
    int64_t asked_ns;
    int64_t clock_ahead_ms; /* of ours; 0: not told */
    enum vg_worker_clock clock;
    int64_t away_since_ns; /* 0: there */
    int32_t failures;      /* in a row */
    int32_t in_flight;     /* jobs in memory */
    struct vg_gate fetches;
    struct vg_gate pictures; /* submissions that carry pictures: memory */
    struct vg_timer probe;
    struct vg_rpc_unary describe;
    bool describing;
};

struct vg_workers_options {
    const char *text; /* "name=host:port,..." */
    struct vg_rpc_tls tls;
    bool use_tls;
    struct vg_metrics *metrics;
    struct vg_loop *loop;
    /* Something about a worker changed: it came, went, or told a new limit. */
    void (*changed)(void *ctx, struct vg_worker *worker);
    /* It told its clock. */
    void (*clock)(void *ctx, struct vg_worker *worker);
    void *ctx;
    int64_t lease_ms;
};

/* So long after it was sent may a worker begin with a Submit: half a lease, and 10 s for clocks
 * that differ. */
int64_t vg_workers_start_ms(int64_t lease_ms);

/* Fails with VG_ERR_INVALID_REQUEST for a text that cannot be read or names a provider twice. */
VG_MUSTCHECK int vg_workers_new(struct vg_workers **out, const struct vg_workers_options *options,
                                struct vg_err *err);
/* Starts to ask them who they are. */
void vg_workers_start(struct vg_workers *workers);
void vg_workers_stop(struct vg_workers *workers); /* no more probes */
/* Any thread, after stop, when no call is started any more: cancels what is in flight and waits for
 * its end. */
void vg_workers_close(struct vg_workers *workers);
struct vg_workers *vg_workers_free(struct vg_workers *workers);

size_t vg_workers_count(const struct vg_workers *workers);
struct vg_worker *vg_workers_at(struct vg_workers *workers, size_t i);
struct vg_worker *vg_workers_find(struct vg_workers *workers, const char *provider);

/* Described and connected. */
bool vg_worker_up(struct vg_worker *worker);
int64_t vg_worker_away_ms(const struct vg_worker *worker);
/* How long to leave a worker that is away alone, longer the longer it is away. */
int64_t vg_worker_wait_ms(const struct vg_worker *worker);
/* A call to it ended so. */
void vg_worker_report(struct vg_worker *worker, int grpc_code);

#endif
