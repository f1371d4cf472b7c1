/* SPDX-License-Identifier: Apache-2.0 */
/* The wake-up line of a process: a thread with one connection that LISTENs and sends NOTIFY for the
 * executors, so that their commits never wait for the lock that NOTIFY takes on all commits of the
 * cluster. Notifications are hints: polling is the truth. Private to db/. */
#ifndef VG_DB_LISTEN_H
#define VG_DB_LISTEN_H

#include "db/db.h"

struct vg_listen;

VG_MUSTCHECK int vg_listen_start(struct vg_listen **out, struct vg_db *db,
                                 const struct vg_db_options *options, struct vg_err *err);
/* Any thread: work became due. Wakes this process at once and the others within milliseconds;
 * coalesced. */
void vg_listen_due(struct vg_listen *listen);
/* Joins the thread; a wake that is queued still runs in its executor, but no longer calls the
 * options' task. */
struct vg_listen *vg_listen_stop(struct vg_listen *listen);

#endif
