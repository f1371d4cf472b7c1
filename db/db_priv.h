/* SPDX-License-Identifier: Apache-2.0 */
/* What the combiner and the stores share. Private to db/. */
#ifndef VG_DB_DB_PRIV_H
#define VG_DB_DB_PRIV_H

#include "db/db.h"
#include "db/pg.h"
#include "db/pg_value.h"

/* One row per kind: name in metrics. */
#define VG_DB_KINDS(X)                                                                             \
    X(KEY_LOOKUP, "key_lookup")                                                                    \
    X(KEY_CREATE, "key_create")                                                                    \
    X(KEY_LIST, "key_list")                                                                        \
    X(KEY_REVOKE, "key_revoke")                                                                    \
    X(KEY_USED, "key_used")                                                                        \
    X(KEYS_GONE, "keys_gone")                                                                      \
    X(PROJECT_CREATE, "project_create")                                                            \
    X(PROJECT_LIST, "project_list")                                                                \
    X(PROJECT_UPDATE, "project_update")                                                            \
    X(USAGE_REPORT, "usage_report")                                                                \
    X(VIDEO_CREATE, "video_create")                                                                \
    X(VIDEO_CREATE_LIMITED, "video_create_limited")                                                \
    X(VIDEO_REPLAY, "video_replay")                                                                \
    X(VIDEO_MATCH, "video_match")                                                                  \
    X(VIDEO_GET, "video_get")                                                                      \
    X(VIDEO_LIST, "video_list")                                                                    \
    X(VIDEO_VERSIONS, "video_versions")                                                            \
    X(VIDEO_CANCEL, "video_cancel")                                                                \
    X(VIDEO_DELETE, "video_delete")                                                                \
    X(VIDEO_PURGE, "video_purge")                                                                  \
    X(VIDEO_PURGED, "video_purged")                                                                \
    X(IDEMPOTENCY_SWEEP, "idempotency_sweep")                                                      \
    X(RETENTION_SLICE, "retention_slice")                                                          \
    X(GENERATION_CLAIM, "generation_claim")                                                        \
    X(GENERATION_CHANGE, "generation_change")                                                      \
    X(GENERATION_RENEW, "generation_renew")                                                        \
    X(GENERATION_STATS, "generation_stats")                                                        \
    X(HINT_JOB, "hint_job")                                                                        \
    X(HINT_UPSTREAM, "hint_upstream")                                                              \
    X(SUBMISSIONS_NEAR, "submissions_near")                                                        \
    X(VIDEO_TRACE, "video_trace")                                                                  \
    X(DELIVERY_CLAIM, "delivery_claim")                                                            \
    X(DELIVERY_BODY, "delivery_body")                                                              \
    X(DELIVERY_RENEW, "delivery_renew")                                                            \
    X(DELIVERY_RESULT, "delivery_result")                                                          \
    X(DELIVERY_LIST, "delivery_list")                                                              \
    X(DELIVERY_REDELIVER, "delivery_redeliver")                                                    \
    X(DELIVERY_RANGE, "delivery_range")                                                            \
    X(SEALED_PAGE, "sealed_page")                                                                  \
    X(SEALED_PUT, "sealed_put")                                                                    \
    X(META_IDENTITY, "meta_identity")                                                              \
    X(WEBHOOK_CREATE, "webhook_create")                                                            \
    X(WEBHOOK_GET, "webhook_get")                                                                  \
    X(WEBHOOK_LIST, "webhook_list")                                                                \
    X(WEBHOOK_UPDATE, "webhook_update")                                                            \
    X(WEBHOOK_DELETE, "webhook_delete")                                                            \
    X(WEBHOOK_ROTATE, "webhook_rotate")

#define VG_DB_KIND_ENUM(name, text) VG_DB_##name,
enum vg_db_kind_id { VG_DB_KINDS(VG_DB_KIND_ENUM) VG_DB_KIND_MAX };
#undef VG_DB_KIND_ENUM

enum { VG_DB_MAX_BATCH = 64 };
/* How far a claim looks ahead that is to find all: what is added to now() must be a time. */
#define VG_DB_AHEAD_MAX_MS (INT64_C(100) * 365 * 86400 * 1000)

/* One execution of a batch. */
struct vg_db_run {
    struct vg_db *db;
    struct vg_pg *pg;         /* no run open */
    struct vg_arena *scratch; /* lives as long as this run */
    enum vg_pg_fault fault;   /* set by vg_db_pg_run */
    struct vg_err err;
    bool due;       /* out: the batch made work due; dispatchers are woken */
    bool again;     /* this batch, or a member of it, was sent before: it may have been committed */
    int64_t cursor; /* in and out: where the kind's fair scan goes on */
};

struct vg_db_kind {
    enum vg_db_kind_id id;
    size_t max_batch;
    /* Runs `count` operations in one transaction and fills their results; -1: none was done,
     * run->fault says why. An operation that fails by itself (not found) is marked with
     * vg_db_op_fail and the batch succeeds. */
    int (*run)(struct vg_db_run *run, struct vg_db_op *const *ops, size_t count);
};

/* Queues the operation; thread-safe. */
void vg_db_submit(struct vg_db *db, struct vg_db_op *op, const struct vg_db_kind *kind);
/* Posts the operation's end at once: wrong parameters. `fmt` NULL: the table's text. */
void vg_db_refuse(struct vg_db_op *op, enum vg_err_kind kind, const char *fmt, ...) VG_PRINTF(3, 4);
/* Inside run: this operation failed by itself. */
void vg_db_op_fail(struct vg_db_op *op, enum vg_err_kind kind, const char *fmt, ...)
    VG_PRINTF(3, 4);
/* vg_pg_run that keeps fault and error in `run`. */
VG_MUSTCHECK int vg_db_pg_run(struct vg_db_run *run);
/* A run of one statement whose parameters are arrays: the `fields` of every operation. Its rows;
 * NULL: as vg_db_pg_run. */
VG_MUSTCHECK const struct vg_pg_rows *vg_db_pg_ops(struct vg_db_run *run, bool write,
                                                   const struct vg_pg_statement *statement,
                                                   const struct vg_pg_field *fields,
                                                   size_t field_count, struct vg_db_op *const *ops,
                                                   size_t count);
/* Where connections report how they do; see vg_db_ready. `why` is read when not good. */
void vg_db_report(struct vg_db *db, bool good, const char *why);

#endif
