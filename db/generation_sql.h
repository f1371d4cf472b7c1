/* SPDX-License-Identifier: Apache-2.0 */
/* SQL that the generation stores share. Private to db/. */
#ifndef VG_DB_GENERATION_SQL_H
#define VG_DB_GENERATION_SQL_H

/* `generations AS g`: the predicate of the index generations_held, word for word. */
#define VG_GENERATION_HELD "g.state IN (2, 3, 4) OR (g.state = 1 AND g.lease_owner IS NOT NULL)"

/* When the poll that a hint asks for may come. */
#define VG_GENERATION_HINT_NEXT "greatest(now(), g.hint_at + interval '1 s')"

/* Columns of a claimed row `c`, as struct vg_generation has them (without the spec). */
#define VG_GENERATION_COLUMNS                                                                      \
    "c.id, c.video_id, c.project_id, c.idx, c.state, c.lease_seq, c.route, c.route_attempts, "     \
    "c.attempts, c.fetch_attempts, c.poll_errors, c.provider, c.upstream_id, c.poll_state, "       \
    "c.progress, (extract(epoch FROM now() - c.created_at) * 1000)::int8, "                        \
    "(extract(epoch FROM c.deadline_at - now()) * 1000)::int8, c.cancel_requested, "               \
    "(extract(epoch FROM c.submitted_at) * 1000)::int8, "                                          \
    "(extract(epoch FROM c.sent_by) * 1000)::int8"

#endif
