/* SPDX-License-Identifier: Apache-2.0 */
#include "db/generation_tally.h"

#include "db/generation_sql.h"

/* The statement keeps its own layout. */
/* clang-format off */
#define ARRAYS                                                                                     \
    " coalesce(array_agg(k.project_id), '{}') AS projects,"                                        \
    " coalesce(array_agg(k.provider), '{}') AS providers,"                                         \
    " coalesce(array_agg(k.pending), '{}') AS pending, coalesce(array_agg(k.held), '{}') AS held," \
    " coalesce(array_agg(k.floor), '{}') AS floors"
#define INTO                                                                                       \
    " INSERT INTO tally (swept, wake_floor, taken_floor, projects, providers, pending, held,"      \
    "  floors, counted_at)"
/* The first that lives, of those that are due. */
#define FIRST_DUE(column, where)                                                                   \
    "coalesce((SELECT g." column " FROM generations g WHERE " where " AND g." column " <= now()"   \
    "  ORDER BY g." column " LIMIT 1), now())"
#define IS_TAKEN "g.state = 1 AND g.lease_owner IS NOT NULL"

static const struct vg_pg_statement count_statement = {
    "vg_tally_count",
    "WITH " VG_TALLY_BASE("tally") ","
    " " VG_TALLY_COUNT_DUE(VG_TALLY_SIZE("generations_pending") " + "
        VG_TALLY_SIZE("generations_held") " + " VG_TALLY_SIZE("generations_wake")) ","
    " k AS MATERIALIZED (SELECT e.project_id, e.provider, sum(e.pending)::int8 AS pending,"
    "   sum(e.held)::int8 AS held, min(e.floor) AS floor FROM ("
    "   SELECT g.project_id, g.provider, count(*) AS pending, 0 AS held, min(g.due_at) AS floor"
    "    FROM generations g WHERE g.state = 1 AND EXISTS (SELECT FROM due)"
    "    GROUP BY g.project_id, g.provider"
    "   UNION ALL SELECT g.project_id, g.provider, 0, count(*), NULL"
    "    FROM generations g WHERE (" VG_GENERATION_HELD ") AND EXISTS (SELECT FROM due)"
    "    GROUP BY g.project_id, g.provider) e GROUP BY e.project_id, e.provider)"
    INTO
    " SELECT " VG_TALLY_FIRST_XID("flow") ","
    "  " FIRST_DUE("wake_at", "g.state < 5") ", " FIRST_DUE("due_at", IS_TAKEN) ","
    "  a.projects, a.providers, a.pending, a.held, a.floors, now()"
    " FROM due CROSS JOIN LATERAL (SELECT " ARRAYS " FROM k) a"};

static const struct vg_pg_statement carry_statement = {
    "vg_tally_carry",
    "WITH " VG_GENERATION_TALLY ","
    " " VG_TALLY_CARRY_DUE("interval '250 ms'") ","
    " " VG_GENERATION_FLOORS ","
    " k AS MATERIALIZED (SELECT s.project_id, s.provider, s.pending, s.held,"
    "   CASE WHEN s.pending > 0 THEN " FIRST_DUE("due_at", "g.state = 1"
    "    AND g.project_id = s.project_id AND g.provider = s.provider"
    "    AND g.due_at >= coalesce(s.floor, '-infinity')") " END AS floor"
    "  FROM (SELECT e.project_id, e.provider, sum(e.pending)::int8 AS pending,"
    "    sum(e.held)::int8 AS held, min(e.floor) AS floor FROM (" VG_GENERATION_ENTRIES ") e"
    "   WHERE EXISTS (SELECT FROM due) GROUP BY e.project_id, e.provider"
    "   HAVING sum(e.pending) <> 0 OR sum(e.held) <> 0) s),"
    " " VG_TALLY_SWEEP("flow", "tally")
    INTO
    " SELECT greatest(d.swept, d.sweep),"
    "  " FIRST_DUE("wake_at", "g.state < 5 AND g.wake_at >= (SELECT f.wake FROM floors f)") ","
    "  " FIRST_DUE("due_at", IS_TAKEN " AND g.due_at >= (SELECT f.taken FROM floors f)") ","
    "  a.projects, a.providers, a.pending, a.held, a.floors, d.counted_at"
    " FROM due d CROSS JOIN LATERAL (SELECT " ARRAYS " FROM k) a"};
/* clang-format on */

void vg_generation_tally_add(struct vg_pg *pg)
{
    (void)vg_pg_add(pg, &count_statement, NULL);
    (void)vg_pg_add(pg, &carry_statement, NULL);
}
