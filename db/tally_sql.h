/* SPDX-License-Identifier: Apache-2.0 */
/* What a claim knows without looking at rows: counts, and floors below which an index has nothing
 * that lives. SQL that db/generation_tally and db/delivery_tally share. Private to db/.
 *
 * Triggers write into a flow table what each statement did to the rows (migrations 0015, 0017):
 * differences of the counts, and the least times it wrote. Now and then a claim, under its lock,
 * writes the sums of all that its snapshot sees into a tally table. A claim adds to the newest
 * tally the flow that the tally's snapshot did not see: transactions that began later, or had not
 * ended. So both are exact, whatever commits when, and no clock is trusted: a row that a claim
 * could miss was either seen by the tally, and is not below its floor, or its writer's flow was
 * not, and lowers the floor.
 *
 * Why: under a held snapshot no vacuum removes anything, and whoever walks an index from its low
 * end, or counts what it has, steps over all jobs gone by. */
#ifndef VG_DB_TALLY_SQL_H
#define VG_DB_TALLY_SQL_H

/* Common table expressions. base: the newest tally; since: flow that it has not seen. The first
 * arm's rows are of later transactions, the second's of those that were under way. */
#define VG_TALLY_BASE(tally)                                                                       \
    "base AS MATERIALIZED (SELECT * FROM " tally " ORDER BY seq DESC LIMIT 1)"
#define VG_TALLY_SINCE(flow)                                                                       \
    "since AS MATERIALIZED (SELECT f.* FROM " flow " f"                                            \
    "  WHERE f.xid >= (SELECT pg_snapshot_xmax(b.snap)::text::int8 FROM base b)"                   \
    " UNION ALL SELECT f.* FROM " flow " f WHERE f.xid = ANY (ARRAY("                              \
    "  SELECT x::text::int8 FROM base b CROSS JOIN LATERAL pg_snapshot_xip(b.snap) AS x)))"

/* due: a row when the rows themselves are to be counted: there is no tally; it is of another server
 * (a restored dump) or too old to sum up what came since; or ten minutes went by, which nothing
 * needs but a table that was changed behind the triggers' back. That last one only while the
 * indexes to be read, `bytes`, are small: under a held snapshot they grow, and nobody is to wait
 * for it. */
#define VG_TALLY_SIZE(index) "pg_relation_size('" index "'::regclass)"
#define VG_TALLY_COUNT_DUE(bytes)                                                                  \
    "due AS MATERIALIZED (SELECT WHERE NOT EXISTS (SELECT FROM base b"                             \
    "  WHERE b.made_at > now() - interval '1 hour'"                                                \
    "   AND pg_snapshot_xmax(b.snap) <= pg_snapshot_xmax(pg_current_snapshot())"                   \
    "   AND (b.counted_at > now() - interval '10 minutes' OR " bytes " > 8000000)))"
/* The first transaction that the flow may have, for a tally that counts anew. */
#define VG_TALLY_FIRST_XID(flow)                                                                   \
    "coalesce((SELECT b.swept FROM base b), (SELECT f.xid FROM " flow " f ORDER BY f.xid LIMIT 1)" \
    ", pg_snapshot_xmin(pg_current_snapshot())::text::int8)"

/* due: the base when it is to be brought up to date, at the least `age` after it was made, and up
 * to which transaction the flow goes away. */
#define VG_TALLY_CARRY_DUE(age)                                                                    \
    "due AS MATERIALIZED (SELECT b.*, least(pg_snapshot_xmin(b.snap)::text::int8,"                 \
    "    b.swept + 20000) AS sweep FROM base b"                                                    \
    "  WHERE (now() - b.made_at) NOT BETWEEN interval '-10 s' AND interval '10 s'"                 \
    "   OR ((now() - b.made_at) NOT BETWEEN interval '-1 s' AND " age                              \
    "    AND EXISTS (SELECT FROM since)))"
/* Removes what went into the tally before: of a bounded number of transactions, from where the last
 * time ended, so that nothing dead is walked over. */
#define VG_TALLY_SWEEP(flow, tally)                                                                \
    "swept AS (DELETE FROM " flow " f WHERE f.xid >= (SELECT d.swept FROM due d)"                  \
    "  AND f.xid < (SELECT d.sweep FROM due d)),"                                                  \
    " dropped AS (DELETE FROM " tally " t WHERE t.seq >= (SELECT d.seq - 100 FROM due d)"          \
    "  AND t.seq < (SELECT d.seq FROM due d))"

#endif
