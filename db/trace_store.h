/* SPDX-License-Identifier: Apache-2.0 */
/* A video's way through providers, for operators: what was tried where, and how it ended. */
#ifndef VG_DB_TRACE_STORE_H
#define VG_DB_TRACE_STORE_H

#include "db/db.h"
#include "db/generation_store.h"

/* A submission, or (number 0) a route that was left without one. Times are Unix milliseconds. */
struct vg_trace_attempt {
    int64_t generation_id;
    int32_t number;
    int32_t route;
    const char *provider;
    const char *upstream_id; /* NULL: none known */
    int64_t started_ms;
    int64_t ended_ms;                 /* 0: not ended */
    enum vg_generation_state outcome; /* 0: not ended */
    const char *reason;               /* NULL: none */
};

struct vg_trace_generation {
    int64_t id;
    int32_t index;
    enum vg_generation_state state;
    int32_t route;
    int32_t attempts, fetch_attempts, poll_errors;
    int32_t progress;
    const char *provider;
    const char *upstream_id;
    int64_t due_ms, ended_ms; /* Unix milliseconds; 0: no more, not ended */
    const char *owner;        /* process that works on it; NULL: none */
    const char *error_code, *error_message;
    const void *poll_state; /* NULL: none */
    size_t poll_state_size;
    struct vg_trace_attempt *tries; /* in order of time */
    size_t try_count;
};

/* Fails with VG_ERR_NOT_FOUND. Deleted videos are found until their row goes. */
struct vg_video_trace {
    struct vg_db_op op;
    const char *id;
    /* results */
    struct vg_video video;
    struct vg_trace_generation *generations;
    size_t generation_count;
};
void vg_video_trace(struct vg_db *db, struct vg_video_trace *op);

/* What a Lookup must know of the others. */
struct vg_submissions_near {
    struct vg_db_op op;
    int64_t generation_id;
    const char *provider;
    int64_t submitted_at_ms; /* of the generation asked about */
    int64_t before_ms;       /* how much earlier another's may have begun */
    /* results */
    const char **ids; /* upstream ids of other generations, the newest first */
    size_t count;     /* at most VG_NEAR_MAX */
    bool more;        /* there are more */
    bool open;        /* another submission of the same prompt has not been answered yet */
    bool busy;        /* some other submission at the provider has not */
};
#define VG_NEAR_MAX 1000
void vg_submissions_near(struct vg_db *db, struct vg_submissions_near *op);

#endif
