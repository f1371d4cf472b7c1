/* SPDX-License-Identifier: Apache-2.0 */
/* The job machine's rows (design.md section 4). Every change is a compare-and-set on (id, state,
 * lease_seq); a stale writer changes nothing. Due times and leases are computed with the database's
 * clock. */
#ifndef VG_DB_GENERATION_STORE_H
#define VG_DB_GENERATION_STORE_H

#include "db/db.h"
#include "db/video_store.h"

/* The same numbers as in SQL (generations.state). Legal successors stand behind each. */
enum vg_generation_state {
    VG_GEN_PENDING = 1, /* waits for its turn            -> pending, submitting, failed, canceled */
    VG_GEN_SUBMITTING,  /* intent committed, call made   -> submitting (look up again), running,
                           fetching, pending, failed,  unknown, canceled, expired */
    VG_GEN_RUNNING,     /* the provider works            -> running, fetching, pending, failed,
                           canceled, expired */
    VG_GEN_FETCHING,    /* result being copied           -> fetching, stored, failed, canceled */
    VG_GEN_STORED,      /* terminal: file in the store */
    VG_GEN_FAILED,      /* terminal */
    VG_GEN_CANCELED,    /* terminal */
    VG_GEN_EXPIRED,     /* terminal */
    VG_GEN_UNKNOWN,     /* terminal: submission_unknown */
    VG_GEN_STATE_MAX
};
const char *vg_generation_state_name(enum vg_generation_state state);
bool vg_generation_state_terminal(enum vg_generation_state state);
/* The table of legal transitions; the one place that knows. */
bool vg_generation_may(enum vg_generation_state from, enum vg_generation_state to);

struct vg_generation {
    int64_t id;
    const char *video_id;
    int64_t project_id;
    int32_t index;
    enum vg_generation_state state;
    int64_t lease_seq;
    int32_t route;          /* into JobSpec.routes */
    int32_t route_attempts; /* submissions made on this route */
    int32_t attempts;       /* submissions made in all */
    int32_t fetch_attempts;
    int32_t poll_errors; /* in a row */
    const char *provider;
    const char *upstream_id; /* NULL: none */
    const void *poll_state;
    size_t poll_state_size;
    int32_t progress;
    int64_t age_ms;           /* since creation */
    int64_t deadline_left_ms; /* negative: past its deadline */
    bool cancel_requested;
    int64_t submitted_at_ms; /* Unix; from when on the present token may have reached the provider;
                                0: it was not submitted */
    int64_t sent_by_ms; /* Unix; claimed as submitting: when it had been sent at the latest, the
                           end of the lease that it was sent under; else 0 */
    bool rescued;       /* taken over from an expired lease */
    const void *spec;   /* packed JobSpec */
    size_t spec_size;
};

/* Claims due generations: raises lease_seq, sets the lease. Pending ones are taken fairly over
 * projects and within the free places of their provider; others by due time. A pending one whose
 * cancel was requested or whose deadline passed is due whatever the places, also for a provider
 * that is not listed. */
struct vg_generation_claim {
    struct vg_db_op op;
    const char *owner; /* process identity, for operators */
    int32_t limit;     /* 1 to 256 */
    int64_t lease_ms;
    int32_t project_concurrency; /* generations of one project in submitting..fetching */
    /* Places per provider in submitting..fetching over all processes; providers not listed are not
     * claimed while pending (no worker). */
    const struct vg_provider_places {
        const char *provider;
        int32_t places;
    } * providers;
    size_t provider_count;
    int64_t ahead_ms; /* what is due later than that need not be found; 0: all */
    /* results */
    struct vg_generation *generations;
    size_t count;
    int64_t next_due_ms; /* until the next row is due (0: more are due now); INT64_MAX: none known
                            within ahead_ms.
                            Pending rows that wait for a place do not count */
};
void vg_generation_claim(struct vg_db *db, struct vg_generation_claim *op);

/* One change. `lease_ms` > 0 keeps the row leased (the holder goes on); 0 releases it, due after
 * `due_ms`. A cancel request that came meanwhile makes a released row due at once. When the
 * generation becomes terminal and is the video's last, the same transaction makes the video
 * terminal (completed when any output is stored, else canceled when all are canceled, else expired
 * when all are expired, else failed) and inserts the callback's delivery row. Entering submitting
 * records an attempt (again under the same number is fine); going on to anything but submitting or
 * running closes it. `left_provider` leaves a record of a route passed over. A release never sets
 * the due time past the deadline while that is ahead. An illegal change fails with VG_ERR_INTERNAL.
 * Batched. Run again after a lost COMMIT answer, it recognises its own work. */
struct vg_generation_change {
    struct vg_db_op op;
    int64_t id;
    int64_t lease_seq;
    enum vg_generation_state from, to;
    int64_t lease_ms;
    int64_t due_ms;
    int32_t route;             /* new value */
    bool stealth;              /* the route's provider is not for callers */
    const char *left_provider; /* of the route before, left without a submission; NULL: none */
    int32_t route_attempts;    /* new values, kept by the caller */
    int32_t attempts;
    int32_t fetch_attempts;
    int32_t poll_errors;
    const char *provider;    /* of the route */
    const char *upstream_id; /* NULL: set to NULL */
    const void *poll_state;
    size_t poll_state_size;
    int32_t progress;
    const char *error_code;    /* terminal failures; NULL: none */
    const char *error_message; /* shown to the caller */
    const char *reason;        /* for the attempt's record; private */
    struct vg_output output;   /* to == stored */
    int64_t retention_s;       /* to == stored: expires_at of the video; 0: none */
    /* results */
    bool applied; /* false: the lease was lost; nothing changed */
    bool cancel_requested;
    int64_t submitted_at_ms; /* as in struct vg_generation */
    bool video_terminal;     /* this change ended the video */
    bool delivery_created;   /* video_terminal, and the batch made deliveries due */
};
void vg_generation_change(struct vg_db *db, struct vg_generation_change *op);

/* Renews a lease. Batched. `applied` false: lost or released. */
struct vg_generation_renew {
    struct vg_db_op op;
    int64_t id;
    int64_t lease_seq;
    int64_t lease_ms;
    bool applied;
    bool cancel_requested;
};
void vg_generation_renew(struct vg_db *db, struct vg_generation_renew *op);

struct vg_generation_stats {
    struct vg_db_op op;
    int64_t
        counts[VG_GEN_STATE_MAX]; /* non-terminal states exactly; terminal ones of the last day */
};
void vg_generation_stats(struct vg_db *db, struct vg_generation_stats *op);

#endif
