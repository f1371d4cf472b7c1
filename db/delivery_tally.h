/* SPDX-License-Identifier: Apache-2.0 */
/* How many deliveries of each receiver wait and are under way, and from where its index is worth
 * reading (db/tally_sql.h). Private to db/. */
#ifndef VG_DB_DELIVERY_TALLY_H
#define VG_DB_DELIVERY_TALLY_H

#include "db/pg.h"
#include "db/tally_sql.h"

/* Common table expressions: base and since, and taken, the least due_at of leased rows. */
#define VG_DELIVERY_TALLY VG_TALLY_BASE("delivery_tally") ", " VG_TALLY_SINCE("delivery_flow")
#define VG_DELIVERY_TAKEN_FLOOR                                                                    \
    "taken AS MATERIALIZED (SELECT least(b.taken_floor, (SELECT min(s.taken_min) FROM since s))"   \
    "  AS floor FROM base b)"
/* Rows (host_id, project_id, waiting, leased, floor) to be summed up; `of_those` u of the base. */
#define VG_DELIVERY_ENTRIES(of_those)                                                              \
    "SELECT u.* FROM base b CROSS JOIN LATERAL unnest(b.hosts, b.projects, b.waiting, b.leased,"   \
    "  b.floors) AS u(host_id, project_id, waiting, leased, floor)" of_those                       \
    " UNION ALL SELECT s.host_id, s.project_id, s.waiting, s.leased, s.due_min FROM since s"

/* Adds the statements that keep the tally to an open run that holds the claim's lock, before
 * anything in its transaction has written. */
void vg_delivery_tally_add(struct vg_pg *pg);

#endif
