/* SPDX-License-Identifier: Apache-2.0 */
/* The job machine and the webhook scheduler (design.md sections 4 and 5): claims due generations
 * and deliveries from PostgreSQL, does their upstream work through the workers, and records each
 * step before the next.
 *
 * One loop thread owns every job in flight; RPCs and database operations end there; disk work runs
 * on a small pool. Nothing here is the truth: a process may die at any line, and another goes on
 * from the row (service/jobs/README.md has the table).
 *
 * Life: new -> vg_db_start(wake = vg_jobs_wake, wake_executor = vg_jobs_executor) -> start -> drain
 * -> vg_db_stop -> free -> vg_blob_store_close, vg_metrics_free. The loop runs from new to free, so
 * that the database can always end its operations. The monitor must not scrape after free. */
#ifndef VG_SERVICE_JOBS_JOBS_H
#define VG_SERVICE_JOBS_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/rpc/client.h"
#include "common/task.h"
#include "db/db.h"
#include "db/delivery_store.h"
#include "db/video_store.h"
#include "service/blob.h"
#include "service/health.h"
#include "service/jobs/breaker.h"
#include "videogate/v1/video.pb-c.h"

struct vg_event_addresses;
struct vg_keyring;
struct vg_jobs;

/* A video changed in a way callers can see. Called on the jobs thread; must not block. */
typedef void vg_jobs_changed_f(void *ctx, const char *video_id);
/* Fills `out` (initialised) from a row as GetVideo shows it; what it points at comes from `arena`
 * or lives as long as `video`. Called on the jobs thread; must not block. */
typedef void vg_jobs_translate_f(void *ctx, const struct vg_video *video, Videogate__V1__Video *out,
                                 struct vg_arena *arena);

/* Texts are copied. Zero takes the default given. */
struct vg_jobs_options {
    struct vg_blob_store *blobs; /* borrowed until free */
    struct vg_metrics *metrics;  /* borrowed until free; may be NULL */
    const char *owner;           /* this process, for operators: "host:pid" */
    const char *workers;         /* "sandbox=127.0.0.1:8084,google=..."; NULL or "": none */
    const char *webhook;         /* "127.0.0.1:8086"; NULL or "": callbacks wait */
    const struct vg_event_addresses *event_addresses; /* borrowed until free; NULL: none */
    struct vg_rpc_tls tls; /* towards both; strings borrowed until new returns */
    bool use_tls;
    const struct vg_keyring *keyring; /* borrowed until free; opens callback secrets, which are
                                         sealed with the video's or endpoint's id */
    const char *webhook_schedule;     /* NULL: "0s,5s,5m,30m,2h,5h,10h,14h,20h,24h" */
    int32_t receiver_concurrency;     /* attempts at one receiver over all processes; 0: 8 */
    struct vg_receiver_policy receivers;
    int32_t project_concurrency; /* generations of one project at providers; 0: 64 */
    int64_t lease_ms;            /* 0: 30,000; at least 1,000 */
    bool retry_unknown_submit;   /* submit again when nobody can say; may pay twice */
    struct vg_health *health;    /* written here; borrowed until free; may be NULL */
    struct vg_breaker_policy breaker;
    int64_t retention_s;            /* files are kept so long; 0: for ever */
    int64_t retry_base_ms;          /* first wait after a failure; 0: 2,000; tests shorten it */
    int64_t poll_retry_base_ms;     /* first wait after a failed poll; 0: 10,000 */
    int blob_threads;               /* 0: 4 */
    vg_jobs_changed_f *changed;     /* may be NULL */
    vg_jobs_translate_f *translate; /* needed when a webhook sender is set */
    void *ctx;                      /* for both */
};

/* Starts the threads and the channels; nothing is claimed yet. VG_ERR_INVALID_REQUEST names a bad
 * workers or webhook_schedule text. */
VG_MUSTCHECK int vg_jobs_new(struct vg_jobs **out, const struct vg_jobs_options *options,
                             struct vg_err *err);
/* For vg_db_options: work may be due. */
struct vg_task *vg_jobs_wake(struct vg_jobs *jobs);
struct vg_executor *vg_jobs_executor(struct vg_jobs *jobs);
/* Begins to claim. Once. `db` is borrowed until drain has returned. */
void vg_jobs_start(struct vg_jobs *jobs, struct vg_db *db);
/* The same as a wake from the database, from this process: call after a cancel or redelivery (a
 * create wakes by itself). Any thread, cheap. */
void vg_jobs_poke(struct vg_jobs *jobs);
/* One attempt of a webhook beside the schedule; nothing is recorded. The caller's until
 * vg_jobs_probe, then the machine's until `done`. */
struct vg_webhook_probe {
    const char *id, *url;
    struct vg_view body;
    const char *aad;              /* the secrets were sealed with it */
    const struct vg_view *sealed; /* newest first, as struct vg_webhook_get has them */
    size_t sealed_count;
    int64_t timeout_ms;
    struct vg_executor *executor; /* where done.run is called */
    struct vg_task done;
    /* results */
    bool ok; /* the attempt was made; false: `err`, mostly VG_ERR_UNAVAILABLE */
    struct vg_err err;
    int32_t http_status; /* 0: no answer, `reason` says why */
    char reason[64];
    /* the machine's */
    struct vg_jobs *jobs;
    struct vg_webhook_probe *prev, *next;
    struct vg_task start;
    struct vg_rpc_unary call;
};
/* Any thread. */
void vg_jobs_probe(struct vg_jobs *jobs, struct vg_webhook_probe *probe);

/* Whether the machine claims; writes why not. Workers that are away do not make it unready: jobs
 * wait for them. Any thread. */
bool vg_jobs_ready(const struct vg_jobs *jobs, char *why, size_t why_size);
/* Blocks: stops claiming, lets short steps end, aborts fetches and gives their rows back, until the
 * deadline; then lets go of what is left, whose leases run out by themselves. Afterwards no new
 * database operation is started. Must not be called on the jobs thread. */
void vg_jobs_drain(struct vg_jobs *jobs, int64_t deadline_ns);
/* After drain and vg_db_stop; also right after new. NULL is fine. */
struct vg_jobs *vg_jobs_free(struct vg_jobs *jobs);

#endif
