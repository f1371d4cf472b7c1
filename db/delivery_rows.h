/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of deliveries and of their attempts, for the stores that read them. Private to db/. */
#ifndef VG_DB_DELIVERY_ROWS_H
#define VG_DB_DELIVERY_ROWS_H

#include "db/db_priv.h"
#include "db/delivery_store.h"

/* Of `deliveries d`. */
#define VG_DELIVERY_COLUMNS                                                                        \
    "d.id, d.video_id, d.state, d.url, d.secret_sealed, d.body, d.attempts, d.lease_seq, "         \
    "d.created_at, d.last_status, d.last_reason, CASE WHEN d.state = 1 THEN d.due_at END, "        \
    "d.endpoint_id, d.event_type"

void vg_delivery_row_read(const struct vg_pg_rows *rows, int row, int first_column,
                          struct vg_arena *arena, struct vg_delivery *out);
/* Fills `log`. A run of its own; -1: run->fault says why. */
VG_MUSTCHECK int vg_delivery_rows_load_log(struct vg_db_run *run, struct vg_delivery *deliveries,
                                           size_t count, struct vg_arena *arena);

#endif
