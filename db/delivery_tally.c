/* SPDX-License-Identifier: Apache-2.0 */
#include "db/delivery_tally.h"

/* The statement keeps its own layout. */
/* clang-format off */
#define ARRAYS                                                                                     \
    " coalesce(array_agg(k.host_id), '{}') AS hosts,"                                              \
    " coalesce(array_agg(k.project_id), '{}') AS projects,"                                        \
    " coalesce(array_agg(k.waiting), '{}') AS waiting,"                                            \
    " coalesce(array_agg(k.leased), '{}') AS leased, coalesce(array_agg(k.floor), '{}') AS floors"
#define INTO                                                                                       \
    " INSERT INTO delivery_tally (swept, taken_floor, hosts, projects, waiting, leased, floors,"   \
    "  counted_at)"
/* The end of the first lease that ran out. */
#define FIRST_TAKEN(and)                                                                           \
    "coalesce((SELECT d.due_at FROM deliveries d WHERE d.state = 1 AND d.leased" and               \
    "  AND d.due_at <= now() ORDER BY d.due_at LIMIT 1), now())"

static const struct vg_pg_statement count_statement = {
    "vg_delivery_tally_count",
    "WITH " VG_TALLY_BASE("delivery_tally") ","
    " " VG_TALLY_COUNT_DUE(VG_TALLY_SIZE("deliveries_pending")) ","
    " k AS MATERIALIZED (SELECT h.*, (SELECT v.project_id FROM videos v WHERE v.id = h.video_id)"
    "  FROM (SELECT d.host_id, min(d.video_id) AS video_id,"
    "    count(*) FILTER (WHERE NOT d.leased) AS waiting,"
    "    count(*) FILTER (WHERE d.leased) AS leased, min(d.due_at) AS floor"
    "   FROM deliveries d WHERE d.state = 1 AND EXISTS (SELECT FROM due) GROUP BY d.host_id) h)"
    INTO
    " SELECT " VG_TALLY_FIRST_XID("delivery_flow") ", " FIRST_TAKEN("") ","
    "  a.hosts, a.projects, a.waiting, a.leased, a.floors, now()"
    " FROM due CROSS JOIN LATERAL (SELECT " ARRAYS " FROM k) a"};

/* The more receivers have something pending, the more there is to write, and the more seldom. A
 * receiver that has nothing under way waits for its next attempt, for hours maybe: it is looked at
 * an hour ahead. Where there is traffic the index has dead ends of leases ahead, and nobody looks.
 */
#define AGE "interval '250 ms' + cardinality(b.hosts) * interval '0.2 ms'"
#define AHEAD "now() + CASE WHEN s.leased = 0 THEN interval '1 hour' ELSE '0' END"
static const struct vg_pg_statement carry_statement = {
    "vg_delivery_tally_carry",
    "WITH " VG_DELIVERY_TALLY ", " VG_TALLY_CARRY_DUE(AGE) ", " VG_DELIVERY_TAKEN_FLOOR ","
    " k AS MATERIALIZED (SELECT s.host_id, s.project_id, s.waiting, s.leased,"
    "   CASE WHEN s.floor > now() THEN s.floor ELSE coalesce((SELECT d.due_at FROM deliveries d"
    "    WHERE d.state = 1 AND d.host_id = s.host_id AND d.due_at <= " AHEAD
    "    AND d.due_at >= coalesce(s.floor, '-infinity') ORDER BY d.due_at LIMIT 1), " AHEAD ")"
    "   END AS floor"
    "  FROM (SELECT e.host_id, max(e.project_id) AS project_id, sum(e.waiting)::int8 AS waiting,"
    "    sum(e.leased)::int8 AS leased, min(e.floor) AS floor FROM (" VG_DELIVERY_ENTRIES("") ") e"
    "   WHERE EXISTS (SELECT FROM due) GROUP BY e.host_id"
    "   HAVING sum(e.waiting) <> 0 OR sum(e.leased) <> 0) s),"
    " " VG_TALLY_SWEEP("delivery_flow", "delivery_tally")
    INTO
    " SELECT greatest(d.swept, d.sweep),"
    "  " FIRST_TAKEN(" AND d.due_at >= (SELECT t.floor FROM taken t)") ","
    "  a.hosts, a.projects, a.waiting, a.leased, a.floors, d.counted_at"
    " FROM due d CROSS JOIN LATERAL (SELECT " ARRAYS " FROM k) a"};
/* clang-format on */

void vg_delivery_tally_add(struct vg_pg *pg)
{
    (void)vg_pg_add(pg, &count_statement, NULL);
    (void)vg_pg_add(pg, &carry_statement, NULL);
}
