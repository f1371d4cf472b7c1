/* SPDX-License-Identifier: Apache-2.0 */
/* How many generations of each (project, provider) are pending and held, and from where their
 * indexes are worth reading (db/tally_sql.h). Private to db/. */
#ifndef VG_DB_GENERATION_TALLY_H
#define VG_DB_GENERATION_TALLY_H

#include "db/pg.h"
#include "db/tally_sql.h"

/* Common table expressions: base and since, and floors of both. */
#define VG_GENERATION_TALLY VG_TALLY_BASE("tally") ", " VG_TALLY_SINCE("flow")
#define VG_GENERATION_FLOORS                                                                       \
    "floors AS MATERIALIZED (SELECT"                                                               \
    "  least(b.wake_floor, (SELECT min(s.wake_min) FROM since s)) AS wake,"                        \
    "  least(b.taken_floor, (SELECT min(s.taken_min) FROM since s)) AS taken FROM base b)"
/* Rows (project_id, provider, pending, held, floor) to be summed up. */
#define VG_GENERATION_ENTRIES                                                                      \
    "SELECT u.* FROM base b CROSS JOIN LATERAL unnest(b.projects, b.providers, b.pending, b.held," \
    "  b.floors) AS u(project_id, provider, pending, held, floor)"                                 \
    " UNION ALL SELECT s.project_id, s.provider, s.pending, s.held, s.due_min FROM since s"

/* Adds the statements that keep the tally to an open run that holds the claim's lock, before
 * anything in its transaction has written. */
void vg_generation_tally_add(struct vg_pg *pg);

#endif
