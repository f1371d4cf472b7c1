/* SPDX-License-Identifier: Apache-2.0 */
/* What to do next with a generation: a pure function of its row, one event, and the policy.
 *
 * No clock, no I/O, no memory of its own: time and chance come in as numbers, so that every case
 * can be tested. The answer is a change to commit, a step to do afterwards, or both. Strings in the
 * answer are borrowed from the row, the event, or are literals. */
#ifndef VG_SERVICE_JOBS_GENERATION_FSM_H
#define VG_SERVICE_JOBS_GENERATION_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/generation_store.h"
#include "videogate/v1/worker.pb-c.h"

struct vg_fsm_route {
    const char *provider;
    int32_t max_attempts; /* at least 1 */
};

/* What the decision needs of a row. */
struct vg_fsm_row {
    enum vg_generation_state state;
    int32_t route;
    int32_t route_attempts; /* submissions on this route; the budget */
    int32_t attempts;       /* number in the token of the last submission */
    int32_t fetch_attempts;
    /* In a row. running: failed polls or cancels; submitting: lookups; fetching: lost fetches */
    int32_t poll_errors;
    int32_t progress;
    int64_t deadline_left_ms; /* as of now */
    bool cancel_requested;
    bool supports_cancel; /* the provider can stop a job */
    bool rescued;         /* taken over from a lease that ran out */
    const struct vg_fsm_route *routes;
    size_t route_count;
};

enum vg_fsm_event_kind {
    VG_EV_CLAIMED,      /* we hold the lease; nothing done yet */
    VG_EV_PUT_OFF,      /* no place in memory, or the process leaves: give the row back unchanged */
    VG_EV_NOT_SENT,     /* the worker was certainly not asked (away) */
    VG_EV_LOST,         /* asked, no answer: it may have happened */
    VG_EV_ACCEPTED,     /* Submit or Lookup: the provider has it */
    VG_EV_RUNNING,      /* Poll: still at work */
    VG_EV_FINISHED,     /* Submit or Poll: result ready */
    VG_EV_ERROR,        /* the provider failed; `error` */
    VG_EV_UP_CANCELED,  /* Poll: canceled at the provider */
    VG_EV_UP_EXPIRED,   /* Poll: given up by the provider */
    VG_EV_ABSENT,       /* Lookup: certainly not there */
    VG_EV_NO_LOOKUP,    /* Lookup: the provider cannot tell */
    VG_EV_LOOKUP_RETRY, /* Lookup: could not be asked now */
    VG_EV_CANCEL_DONE,  /* Cancel was answered, however */
    VG_EV_CANCEL_LOST,  /* Cancel was not answered */
    VG_EV_STORED,       /* Fetch: the file is durable */
    VG_EV_BAD_BODY,     /* Fetch: truncated, wrong checksum, or not a video */
    VG_EV_STORE_FAILED, /* Fetch: our disk is full or failed */
    VG_EV_MAX
};
const char *vg_fsm_event_name(enum vg_fsm_event_kind kind);

struct vg_fsm_error {
    Videogate__V1__ErrorClass class;
    bool retryable, fallback_ok, maybe_submitted, charged;
    const char *public_message; /* NULL or "": the table's text */
};

struct vg_fsm_event {
    enum vg_fsm_event_kind kind;
    double jitter;           /* uniform in [0, 1) */
    bool leaving;            /* the process drains: start nothing, hold nothing */
    bool next_ready;         /* NOT_SENT: the next route may be tried now */
    bool held_back;          /* NOT_SENT: the provider's breaker is open */
    int64_t away_ms;         /* NOT_SENT: how long the worker has been away */
    int64_t wait_ms;         /* the peer's wish (poll_after, retry_after) or our own; 0: none */
    const char *upstream_id; /* ACCEPTED, FINISHED */
    const void *poll_state;  /* ACCEPTED, RUNNING, FINISHED */
    size_t poll_state_size;
    int32_t progress;   /* RUNNING */
    const char *reason; /* private, for the attempt's record; NULL: the event's name */
    struct vg_fsm_error error;
};

struct vg_fsm_policy {
    int64_t retry_base_ms, retry_max_ms;           /* between submissions, lookups, fetches */
    int64_t poll_retry_base_ms, poll_retry_max_ms; /* after a failed poll */
    int64_t poll_default_ms, poll_min_ms, poll_max_ms;
    int64_t grace_ms; /* a submitted job whose worker is away is kept so long past its deadline */
    int64_t away_fallback_ms; /* a worker away for so long loses its jobs to the next route */
    int32_t max_fetch_attempts;
    int32_t max_lost_fetches; /* in a row; each may have taken its process with it */
    int32_t max_poll_errors;
    bool retry_unknown_submit;
};
/* The defaults of the product. */
struct vg_fsm_policy vg_fsm_policy_default(void);

enum vg_step {
    VG_STEP_END, /* let go of the row */
    VG_STEP_SUBMIT,
    VG_STEP_LOOKUP,
    VG_STEP_POLL,
    VG_STEP_FETCH,
    VG_STEP_CANCEL,
    VG_STEP_MAX
};
const char *vg_step_name(enum vg_step step);

struct vg_fsm_decision {
    bool commit;                 /* false: nothing to record, do `next` at once */
    enum vg_generation_state to; /* commit */
    bool keep;                   /* commit: hold the lease and do `next` afterwards */
    int64_t due_ms;              /* commit, not kept: wait until the next claim */
    enum vg_step next;           /* END when not kept */
    /* New values of the row. */
    int32_t route, route_attempts, attempts, fetch_attempts, poll_errors, progress;
    enum vg_upstream_change {
        VG_UPSTREAM_KEEP,
        VG_UPSTREAM_TAKE, /* what the event names replaces the row's; what it leaves empty stays */
        VG_UPSTREAM_DROP  /* there is no upstream job any more */
    } upstream;
    const char *error_code, *error_message; /* terminal failures; NULL: none */
    const char *reason;
    bool stop_upstream; /* afterwards, ask the provider to stop; the answer does not matter */
};

/* `row->state` is not terminal. */
void vg_fsm_decide(const struct vg_fsm_row *row, const struct vg_fsm_event *event,
                   const struct vg_fsm_policy *policy, struct vg_fsm_decision *out);

#endif
