/* SPDX-License-Identifier: Apache-2.0 */
/* One simulated world: virtual time in milliseconds, messages in flight, and everything that is in
 * it. One thread, no I/O, no clock: a seed gives the same world each time. Nothing is allocated
 * while it runs; a world is one struct that is begun again for each seed. */
#ifndef VG_TESTS_SIMCORE_SIM_H
#define VG_TESTS_SIMCORE_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "service/jobs/breaker.h"
#include "service/jobs/delivery_schedule.h"
#include "service/jobs/generation_fsm.h"
#include "tests/simcore/breaks.h"

enum {
    SIM_REPLICAS = 3,
    SIM_PROVIDERS = 3,
    SIM_VIDEOS = 3,
    SIM_STORED_VIDEOS = 12, /* room for what a broken idempotency key makes twice */
    SIM_OUTPUTS = 2,
    SIM_GENERATIONS = SIM_STORED_VIDEOS * SIM_OUTPUTS,
    SIM_UPSTREAM = 96,
    SIM_TARGETS = 2, /* the video's own callback, and the project's endpoint */
    SIM_DELIVERIES = SIM_STORED_VIDEOS * SIM_TARGETS,
    SIM_HELD = 48,
    SIM_MESSAGES = 4096,
    SIM_TOKENS = 64, /* numbers of submissions of one generation that are told apart */
    SIM_LEASE_MS = 30 * 1000,
    SIM_DELIVERY_LEASE_MS = 60 * 1000,
    SIM_PRICE = 7
};

/* What the provider can say of a submission whose answer was lost. */
enum sim_memory {
    SIM_BY_TOKEN, /* the same token is the same job; Lookup by it */
    SIM_BY_LIST,  /* each request is a new job; Lookup by a mark in the list */
    SIM_FORGETS   /* each request is a new job; no Lookup */
};

enum sim_fate { SIM_FINISHES, SIM_FAILS, SIM_IS_CANCELED, SIM_EXPIRES, SIM_NEVER_ENDS };

/* A job at a provider. */
struct sim_upstream {
    int32_t generation, provider, token;
    int64_t shown_at, ends_at;
    enum sim_fate fate;
    struct vg_fsm_error error; /* FAILS; charged: as it is in truth */
};

struct sim_provider {
    enum sim_memory memory;
    bool supports_cancel;
    bool settles; /* does not say absent before it is certain */
    bool mute;    /* its Lookup never knows anything yet */
    int64_t down_since, down_until;
};

/* ---- the database -------------------------------------------------------------------------- */

struct sim_generation {
    int32_t video;
    enum vg_generation_state state;
    int64_t lease_seq, lease_until, due_at, deadline_at;
    bool leased, cancel_requested, cancel_told;
    int32_t route, route_attempts, attempts, fetch_attempts, poll_errors, progress;
    int32_t upstream; /* -1: none */
    uint32_t last_change;
    int64_t opened_at[SIM_TOKENS]; /* attempts: when a number was first submitted; -1: never */
    int64_t submitted_at;          /* earliest, of the present number */
    int64_t opened_last;           /* latest commit of `submitting` */
    int64_t sent_last;             /* latest request that left a replica; no database knows it */
};

enum sim_status { SIM_OPEN, SIM_COMPLETED, SIM_FAILED, SIM_CANCELED, SIM_EXPIRED };

struct sim_video {
    int32_t key; /* idempotency */
    int32_t first, count;
    enum sim_status status;
};

struct sim_delivery {
    int32_t video, target, id;
    enum vg_delivery_state state;
    int32_t attempts;
    int64_t lease_seq, due_at;
    bool leased;
    uint32_t body, last_change; /* body 0: not built */
};

struct sim_account {
    int32_t active, reserved, spent;
};

struct sim_store {
    struct sim_generation generations[SIM_GENERATIONS];
    struct sim_video videos[SIM_STORED_VIDEOS];
    struct sim_delivery deliveries[SIM_DELIVERIES];
    int32_t generation_count, video_count, delivery_count;
    struct sim_account account;
    int64_t down_until;
    uint32_t tokens;
};

/* ---- a replica ----------------------------------------------------------------------------- */

/* A claimed row in a replica's memory; as struct vg_job. */
struct sim_held {
    uint32_t id; /* 0: free */
    int8_t replica;
    bool delivery;
    bool lost, probe, changing, renewing, commit_waits, released, gated;
    int32_t row; /* number of the generation or delivery */
    int32_t provider;
    int32_t ticket;
    struct vg_fsm_row seen;
    int64_t lease_seq, lease_until, deadline_at, renew_sent, step_at;
    enum vg_step step, after_renew;
    uint32_t call; /* 0: none under way */
    uint32_t token, sent_token, beat;
    int32_t upstream, next_upstream;
    struct vg_fsm_decision decision;
    /* deliveries */
    int32_t attempts;
    uint32_t body;
    struct vg_delivery_next next;
    bool not_made;
};

struct sim_replica {
    bool up, draining;
    uint32_t epoch; /* one more with each start */
    int64_t stalled_until;
    struct vg_breaker breakers[SIM_PROVIDERS];
    int64_t full_until[SIM_PROVIDERS];
};

/* ---- messages ------------------------------------------------------------------------------ */

enum sim_kind {
    /* to the database */
    SIM_CREATE,
    SIM_CANCEL,
    SIM_DUE, /* a row may be claimed */
    SIM_CHANGE,
    SIM_RENEW,
    SIM_DELIVERY_DUE,
    SIM_BODY,
    SIM_RECORD,
    /* to a replica */
    SIM_CLAIMED,
    SIM_CHANGED,
    SIM_RENEWED,
    SIM_STEP,
    SIM_BEAT,
    SIM_ANSWER,
    SIM_CHANGE_AGAIN,
    SIM_DELIVERY_CLAIMED,
    SIM_BODY_STORED,
    SIM_DELIVER_ANSWER,
    SIM_RECORDED,
    SIM_RECORD_AGAIN,
    /* to a provider, a receiver, the caller */
    SIM_REQUEST,
    SIM_DELIVER,
    SIM_CREATED,
    /* fate */
    SIM_CRASH,
    SIM_START,
    SIM_STALL,
    SIM_DRAIN,
    SIM_HURRY,
    SIM_WORKER_DOWN,
    SIM_STORE_DOWN,
    SIM_KIND_MAX
};

/* One change of a generation; as struct vg_generation_change. */
struct sim_change {
    int64_t lease_seq;
    enum vg_generation_state from, to;
    int64_t lease_ms, due_ms;
    int32_t route, route_attempts, attempts, fetch_attempts, poll_errors, progress, upstream;
};

struct sim_record {
    int64_t lease_seq;
    enum vg_delivery_state state;
    int64_t due_ms;
    bool not_made;
};

struct sim_answer {
    enum vg_fsm_event_kind kind;
    int32_t upstream;
    int64_t wait_ms;
    int32_t progress;
    bool timed_out;
    struct vg_fsm_error error;
};

struct sim_claim {
    int64_t sent_at, lease_seq, deadline_left_ms;
    int32_t upstream, attempts; /* attempts: of a delivery */
    struct vg_fsm_row row;
};

struct sim_delivered {
    Videogate__V1__DeliverOutcome outcome;
    int64_t retry_after_ms;
    bool not_made;
};

struct sim_message {
    enum sim_kind kind;
    int8_t replica;
    bool mute;                  /* whoever asked has stopped listening */
    bool ok, applied, canceled; /* answers of the database */
    uint32_t epoch, held, token, call;
    int32_t row, ticket;
    int64_t ms;
    enum vg_step step;
    union {
        struct sim_change change;
        struct sim_record record;
        struct sim_answer answer;
        struct sim_claim claim;
        struct sim_delivered delivered;
        struct {
            int32_t provider, token, upstream;
        } request;
        struct {
            int32_t id;
            uint32_t body;
        } deliver;
    } u;
};

/* ---- the history, kept outside ------------------------------------------------------------- */

struct sim_seen_generation {
    int32_t ticket;     /* of the latest claim */
    int64_t touched_at; /* last sign of a holder */
    int64_t cancel_at;  /* -1: none */
    int64_t claimed_at;
    bool fetched, up_canceled, up_expired;
    enum vg_generation_state end; /* 0: none yet */
    int64_t due_at;
    int32_t jobs; /* made at providers */
};

struct sim_receipts {
    int32_t id; /* webhook-id */
    uint32_t body;
    int32_t got, acknowledged;
};

struct sim_history {
    struct sim_seen_generation generations[SIM_GENERATIONS];
    struct sim_receipts receipts[SIM_STORED_VIDEOS][SIM_TARGETS];
    enum sim_status ends[SIM_STORED_VIDEOS];
    int32_t answered[SIM_VIDEOS]; /* the video that the caller was told; -1: none yet */
    int64_t nobody_until;         /* until then no replica could claim, or the database was away */
};

struct sim_figures {
    int64_t seeds, messages, generations, submissions, jobs, rescues, refused, lost_commits,
        crashes, stalls, lookups, unknown, unknown_paid, callbacks, callbacks_twice,
        longest_rescue_ms, longest_claim_ms;
    int64_t ends[VG_GEN_STATE_MAX];
};

enum sim_receiver { SIM_HEALTHY, SIM_RECOVERS, SIM_DEAD, SIM_GONE, SIM_REFUSED };

/* A time-ordered heap of numbers into `messages`. */
struct sim_slot {
    int64_t at;
    uint32_t turn, message;
};

struct sim {
    uint64_t seed, random;
    int64_t now;
    enum sim_break broken;
    bool tell; /* print the trace */
    bool failed;
    char invariant[4];
    char why[240];

    /* chosen by the seed */
    int32_t replica_count, provider_count, video_count, route_count, chaos;
    int64_t quiet_from; /* faults end */
    bool gates;
    struct vg_fsm_route routes[SIM_PROVIDERS];
    int32_t route_provider[SIM_PROVIDERS];
    int32_t outputs[SIM_VIDEOS];
    bool callback[SIM_VIDEOS], endpoint;
    enum sim_receiver receiver[SIM_TARGETS];
    int64_t recovers_at[SIM_TARGETS];
    struct vg_fsm_policy policy;
    struct vg_breaker_policy breaker;
    struct vg_delivery_schedule schedule;

    struct sim_replica replicas[SIM_REPLICAS];
    struct sim_provider providers[SIM_PROVIDERS];
    struct sim_upstream upstream[SIM_UPSTREAM];
    int32_t upstream_count;
    struct sim_held held[SIM_HELD];
    uint32_t helds, calls, bodies;
    struct sim_store store;
    struct sim_history history;
    struct sim_figures *figures;
    uint32_t heap_count, turns, unused_count;

    /* what stands below is not cleared for a new world */
    struct sim_slot heap[SIM_MESSAGES];
    struct sim_message messages[SIM_MESSAGES];
    uint32_t unused[SIM_MESSAGES];
};

/* ---- chance -------------------------------------------------------------------------------- */

uint32_t sim_roll(struct sim *sim, uint32_t n); /* 0 to n - 1; n > 0 */
double sim_unit(struct sim *sim);
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
/* Whether a fault of so many in a thousand happens, by the seed's chaos; never once it is quiet. */
bool sim_fault(struct sim *sim, uint32_t per_mille);

/* ---- messages ------------------------------------------------------------------------------ */

void sim_queue_reset(struct sim *sim);
void sim_send(struct sim *sim, int64_t in_ms, const struct sim_message *message);
/* false: nothing is in flight; else the clock stands at its time. */
bool sim_next(struct sim *sim, struct sim_message *out);

/* ---- story --------------------------------------------------------------------------------- */

/* For the trace of a seed; a line of its own. */
#define sim_tell(sim, ...)                                                                         \
    do {                                                                                           \
        if ((sim)->tell)                                                                           \
            sim_say((sim), __VA_ARGS__);                                                           \
    } while (0)
void sim_say(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first violation ends the run. */
void sim_violated(struct sim *sim, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
