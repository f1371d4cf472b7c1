/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that wait for an executor, by kind; and the stop, which executors must see in every
 * wait. Any thread. Private to combiner.c. */
#ifndef VG_DB_OP_QUEUE_H
#define VG_DB_OP_QUEUE_H

#include "db/db_priv.h"

struct vg_op_queue;

/* At most `max` operations wait. `metrics` may be NULL. */
struct vg_op_queue *vg_op_queue_new(int max, struct vg_metrics *metrics);
/* Nothing waits any more. */
struct vg_op_queue *vg_op_queue_free(struct vg_op_queue *queue);

enum vg_op_queue_put { VG_OP_QUEUED, VG_OP_FULL, VG_OP_STOPPING };
VG_MUSTCHECK enum vg_op_queue_put vg_op_queue_put(struct vg_op_queue *queue, struct vg_db_op *op);
/* Waits for operations, and fills `ops` (room for VG_DB_MAX_BATCH) with those of one kind; kinds
 * take turns. 0: stopped, and nothing is left. */
size_t vg_op_queue_take(struct vg_op_queue *queue, struct vg_db_op **ops);
/* Takes out what waits past its deadline, or everything once the stop's deadline has passed; linked
 * by `next`. */
struct vg_db_op *vg_op_queue_expired(struct vg_op_queue *queue);

/* What is there by `deadline_ns` may still run. */
void vg_op_queue_stop(struct vg_op_queue *queue, int64_t deadline_ns);
/* The stop's deadline has passed. */
bool vg_op_queue_over(struct vg_op_queue *queue);
/* Stopped, and nothing is left. */
bool vg_op_queue_done(struct vg_op_queue *queue);
/* Sleeps; a stop ends it. */
void vg_op_queue_pause(struct vg_op_queue *queue, int64_t until_ns);

#endif
