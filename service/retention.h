/* SPDX-License-Identifier: Apache-2.0 */
/* The janitor's turn over the tables that would grow for ever: idempotency records, deliveries that
 * ended, the traces of jobs that ended, and, when asked for, ended videos themselves. Each table
 * gives up batches one after the other until nothing old is left, or until the turn has had its
 * part of the database; then comes the next table. Usage stays.
 *
 * Lives on the service's loop. */
#ifndef VG_SERVICE_RETENTION_H
#define VG_SERVICE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/task.h"

struct vg_arena;
struct vg_service;
struct vg_retainer;

/* What a turn goes through, in this order; the names are the metric's label. */
#define VG_RETENTION_TABLES(X)                                                                     \
    X(IDEMPOTENCY, "idempotency")                                                                  \
    X(DELIVERIES, "deliveries")                                                                    \
    X(ATTEMPTS, "attempts")                                                                        \
    X(SKIPS, "skips")                                                                              \
    X(RECEIVERS, "receivers")                                                                      \
    X(VIDEOS, "videos")

/* Ages in seconds since the row was of use; 0: kept for ever. */
struct vg_retention_options {
    int64_t idempotency_s; /* 0: 48 h */
    int64_t deliveries_s, traces_s, videos_s;
    int32_t batch;   /* rows a statement reads; 0: 1,000 */
    int32_t batches; /* of one table in one turn; 0: 50 */
};

struct vg_retainer *vg_retainer_new(struct vg_service *service,
                                    const struct vg_retention_options *options);
/* NULL is fine. No turn is under way. */
struct vg_retainer *vg_retainer_free(struct vg_retainer *retainer);
/* One turn; `ended` is run on the loop when it is over, whatever came of it. The arena is borrowed
 * until then. */
void vg_retainer_turn(struct vg_retainer *retainer, struct vg_arena *arena, struct vg_task *ended);
/* The turn under way, if any, ends with the batch under way. */
void vg_retainer_hurry(struct vg_retainer *retainer);

#endif
