/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of service/jobs share. Everything here belongs to the jobs loop's thread unless a
 * comment says otherwise. */
#ifndef VG_SERVICE_JOBS_JOBS_PRIV_H
#define VG_SERVICE_JOBS_JOBS_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/loop.h"
#include "common/work_pool.h"
#include "db/generation_store.h"
#include "service/jobs/backoff.h"
#include "service/jobs/delivery_schedule.h"
#include "service/jobs/generation_fsm.h"
#include "service/jobs/jobs.h"
#include "service/jobs/spec.h"
#include "service/jobs/workers.h"

enum {
    VG_JOBS_MAX = 1024,      /* generations in memory */
    VG_JOBS_CLAIM = 256,     /* rows per claim */
    VG_DELIVERIES_MAX = 512, /* deliveries in memory */
    VG_REASON_SIZE = 512,    /* private text kept with an attempt */
    VG_PUBLIC_SIZE = 512,    /* text shown to the caller */
    VG_UPSTREAM_ID_MAX = 1024,
    VG_POLL_STATE_MAX = 64 * 1024
};

enum vg_jobs_metric {
    VG_JM_TRANSITIONS,
    VG_JM_IN_FLIGHT,
    VG_JM_WORKER_UP,
    VG_JM_WORKER_CLOCK,
    VG_JM_BREAKER,
    VG_JM_HELD_BACK,
    VG_JM_SUCCESS,
    VG_JM_LEASE_LOST,
    VG_JM_CLAIMS,
    VG_JM_DELIVERIES,
    VG_JM_ENDPOINTS_DISABLED,
    VG_JM_FETCHED_BYTES,
    VG_JM_STEP_SECONDS,
    VG_JM_RESULTS,
    VG_JM_MAX
};

enum vg_claim_result { VG_CLAIM_OK, VG_CLAIM_FAILED };

/* Series of videogate_deliveries_total. */
enum vg_delivery_end {
    VG_DE_DELIVERED,
    VG_DE_RETRY,
    VG_DE_GONE,
    VG_DE_REFUSED,
    VG_DE_EXHAUSTED,
    VG_DE_SENDER_AWAY,
    VG_DE_MAX
};

struct vg_job;
struct vg_fetch;
struct vg_lookup;
struct vg_deliveries;

/* The claim loop. */
struct vg_dispatcher {
    struct vg_timer timer;
    struct vg_generation_claim claim;
    bool claiming;
    bool again;         /* something happened while claiming */
    int64_t next_ns;    /* no claim for a mere wake-up before */
    int32_t failures;   /* claims in a row */
    int32_t idle_spins; /* rows due but none to be had, in a row */
};

struct vg_jobs {
    struct vg_jobs_options options; /* texts inside are NULL after new but for `owner` (owned) */
    char *owner;                    /* owned */
    struct vg_delivery_schedule schedule;
    struct vg_fsm_policy policy;
    struct vg_loop *loop;             /* owned */
    struct vg_executor *executor;     /* the loop's */
    struct vg_work_pool *pool;        /* owned */
    struct vg_executor *disk;         /* the pool's */
    struct vg_db *db;                 /* borrowed, from start to drain */
    struct vg_workers *workers;       /* owned */
    struct vg_deliveries *deliveries; /* owned */
    struct vg_metric_set *metrics;    /* the registry's */
    struct vg_metric_desc metric_table[VG_JM_MAX];
    const char **provider_names; /* owned array, NULL-terminated; strings the workers' */

    struct vg_timer watch;           /* outcome.c */
    struct vg_webhook_probe *probes; /* under way, doubly linked */
    struct vg_dispatcher dispatcher;
    struct vg_job *jobs; /* all in memory, doubly linked */
    int32_t job_count;

    bool started;
    bool draining; /* claim nothing more */
    bool hurried;  /* cut short what is in flight */
    bool dying;    /* start nothing: no RPC, no database operation, no disk work but aborts */

    struct vg_task wake;
    struct vg_task poke;
    atomic_bool poked;
    atomic_bool claims_ok; /* any thread */
    atomic_bool running;   /* any thread: started and not draining */

    pthread_mutex_t lock; /* for `idle` and calls onto the loop */
    pthread_cond_t changed;
    int32_t busy; /* under lock: jobs and deliveries in memory */
};

/* One generation whose lease we hold. */
struct vg_job {
    struct vg_jobs *jobs;
    struct vg_job *prev, *next;
    struct vg_arena *arena;   /* owned; not touched by us while `changing` */
    struct vg_generation row; /* strings in the arena */
    struct vg_spec spec;
    bool spec_ok;
    struct vg_worker *worker; /* of the row's route; NULL: not configured */
    bool counted;             /* in the worker's in_flight */
    int64_t deadline_ns;      /* monotonic */
    int64_t lease_until_ns;   /* monotonic, not later than the database thinks */
    bool probe;               /* the submission that its provider's breaker waits for */
    bool others_open;         /* Lookup: other submissions that may be meant have no answer yet */
    bool timed_out;           /* the Submit: the worker did not answer in time */
    bool lost;                /* somebody else has the row: record nothing more */
    bool ended;               /* freed as soon as nothing is in flight */
    bool released;            /* the last change gave the lease back */

    struct vg_fsm_decision decision; /* being committed; strings in the arena */
    const char *up_id;               /* as the change writes them; arena */
    const void *up_state;
    size_t up_state_size;
    enum vg_fsm_event_kind because;
    const char *because_class; /* literal; provider errors: the class */
    struct vg_generation_change change;
    bool changing;
    bool commit_waits;     /* for the renewal in flight */
    struct vg_timer retry; /* of a change the database could not take */

    struct vg_timer beat;
    struct vg_generation_renew renew;
    struct vg_arena *renew_arena; /* owned while renewing */
    int64_t renew_sent_ns;
    bool renewing;
    enum vg_step after_renew; /* END: none */

    enum vg_step step;
    int64_t step_ns;
    struct vg_rpc_unary call;
    bool calling;
    void (*answered)(struct vg_job *job, const struct vg_rpc_unary *call);

    struct vg_fetch *fetch;   /* owned; step_fetch.c */
    struct vg_inputs *inputs; /* owned; step_submit.c */
    struct vg_lookup *lookup; /* owned; step_lookup.c */
    struct vg_gate *held;     /* inside it */
    struct vg_gate *gate;     /* waiting in it */
    struct vg_job *gate_next;
    void (*entered)(struct vg_job *job);
};

/* ---- jobs.c */
/* After `count` of jobs or deliveries changed. */
void vg_jobs_busy(struct vg_jobs *jobs, int32_t delta);

/* ---- dispatcher.c */
void vg_dispatcher_init(struct vg_jobs *jobs);
/* Something may be due now. */
void vg_dispatcher_kick(struct vg_jobs *jobs);
/* A row becomes due in so many milliseconds. */
void vg_dispatcher_due_in(struct vg_jobs *jobs, int64_t ms);
void vg_dispatcher_stop(struct vg_jobs *jobs);

/* ---- job.c */
/* Takes a claimed row (copied) and sets out. */
void vg_job_start(struct vg_jobs *jobs, const struct vg_generation *row, int64_t claimed_ns);
/* Decides what follows from the event, records it, goes on. The job may be gone afterwards. */
void vg_job_event(struct vg_job *job, struct vg_fsm_event *event);
/* Short for an event that carries nothing else. */
void vg_job_simple(struct vg_job *job, enum vg_fsm_event_kind kind, int64_t wait_ms);
/* Lets go without recording anything. */
void vg_job_end(struct vg_job *job);
/* After an operation came back: frees an ended job once nothing is in flight. */
void vg_job_settle(struct vg_job *job);
void vg_job_run_step(struct vg_job *job, enum vg_step step);
/* Hurries the end of what is in flight (lease lost, process leaves). */
void vg_job_cut_short(struct vg_job *job);
/* A unary RPC; `answered` gets the result unless the job was lost meanwhile. */
void vg_job_call(struct vg_job *job, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response, int64_t timeout_ms,
                 void (*answered)(struct vg_job *job, const struct vg_rpc_unary *call));

/* ---- job_change.c */
void vg_job_record_init(struct vg_job *job);
/* Commits job->decision, which follows from `event` (NULL: from no worker's answer), and goes on.
 */
void vg_job_record(struct vg_job *job, const struct vg_fsm_event *event);
/* Commits the decision that waited for a renewal. */
void vg_job_commit_now(struct vg_job *job);
/* The provider of a route; the row's when the specification has no such route. */
const char *vg_job_provider(const struct vg_job *job, int32_t route);
/* Whether the provider of the row's route must not be known to callers. */
bool vg_job_stealth(const struct vg_job *job);

/* ---- heartbeat.c */
void vg_heartbeat_start(struct vg_job *job);
void vg_heartbeat_stop(struct vg_job *job);
/* Whether enough of the lease is left for a step; otherwise renews it first and runs the step then.
 */
bool vg_heartbeat_fresh(struct vg_job *job, enum vg_step step);

/* ---- events.c: answers of workers -> events; strings are cleaned and bounded, from `arena` */
const char *vg_clean_text(struct vg_arena *arena, const char *text, size_t max);
/* Without the prompt, should the provider repeat it, and without what follows the "?" of addresses:
 * it may be a signature. */
const char *vg_scrub_reason(struct vg_arena *arena, const char *reason, const char *prompt);
/* With `stealth` the provider's own words stay in the log. */
void vg_event_from_error(struct vg_fsm_event *event, const Videogate__V1__ProviderError *error,
                         bool stealth, struct vg_arena *arena);
/* Bounds what a worker said about the upstream job, borrowed from the answer; what cannot be used
 * becomes an error. */
void vg_event_from_accepted(struct vg_fsm_event *event, const Videogate__V1__Accepted *accepted);
void vg_event_from_finished(struct vg_fsm_event *event, const Videogate__V1__Finished *finished);
/* An RPC that failed: whether the worker refused before doing anything. */
bool vg_rpc_refused(int grpc_code);
bool vg_rpc_malformed(int grpc_code);

/* ---- outcome.c */
/* Tells the provider's breaker and figures what the event says about it; `job->decision` is what
 * follows from it. */
void vg_outcome_note(struct vg_job *job, const struct vg_fsm_event *event);
/* Whether nothing may be submitted to the job's provider just now. Then the job has its event and
 * may be gone. */
bool vg_outcome_holds_back(struct vg_job *job);
/* Whether the route's provider may be tried now. */
bool vg_outcome_route_ready(struct vg_job *job, int32_t route);
/* A probe that was not made makes room for another. */
void vg_outcome_forget(struct vg_job *job);
/* From start to drain: figures fade, breakers end their waits. */
void vg_outcome_init(struct vg_jobs *jobs);
void vg_outcome_watch(struct vg_jobs *jobs);
void vg_outcome_stop(struct vg_jobs *jobs);

/* ---- steps */
void vg_step_submit(struct vg_job *job);
/* The submission as it is sent, without files; what it points at lives as long as the job. */
void vg_submit_describe(struct vg_job *job, char token[VG_TOKEN_SIZE],
                        Videogate__V1__SubmitRequest *out);
/* For how long after it is sent a worker may begin with a Submit. */
int64_t vg_submit_start_ms(const struct vg_job *job);
/* What the submission starts from, without its bytes; false: from nothing. */
bool vg_submit_source(const struct vg_job *job, Videogate__V1__SourceVideo *out);
void vg_step_lookup(struct vg_job *job);
void vg_step_poll(struct vg_job *job);
void vg_step_fetch(struct vg_job *job);
void vg_step_cancel(struct vg_job *job);
/* Best effort after a terminal change; ends the job. */
void vg_step_stop_upstream(struct vg_job *job);
/* Ends what a step holds, sooner than it would. */
void vg_fetch_cut_short(struct vg_job *job);

/* ---- delivery.c */
VG_MUSTCHECK int vg_deliveries_new(struct vg_deliveries **out, struct vg_jobs *jobs,
                                   const struct vg_jobs_options *options, struct vg_err *err);
void vg_deliveries_kick(struct vg_jobs *jobs);
void vg_deliveries_cut_short(struct vg_jobs *jobs);
void vg_deliveries_stop(struct vg_jobs *jobs);
/* NULL: no webhook sender is configured. */
struct vg_rpc_channel *vg_deliveries_channel(const struct vg_jobs *jobs);
/* As vg_workers_close. */
void vg_deliveries_close(struct vg_deliveries *deliveries);
struct vg_deliveries *vg_deliveries_free(struct vg_deliveries *deliveries);

/* ---- webhook_probe.c */
/* Hurries the end of those under way. */
void vg_probes_cut_short(struct vg_jobs *jobs);

/* ---- metrics.c */
void vg_jobs_metrics_register(struct vg_jobs *jobs, struct vg_metrics *metrics);

#endif
