/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines of calls that the C core does not watch (members of a batch). One thread, which sleeps
 * until the earliest one known; adding and removing are O(1), as nearly all deadlines are removed
 * long before they pass: the thread looks through the list only when the earliest time it has seen
 * comes. Any thread. No gRPC inside.
 *
 * An entry that is added owns whatever its user counts for it (a reference): either
 * vg_rpc_deadline_remove returns true and the user takes that back, or `expire` is called once, on
 * the thread, with no lock held, and takes it. */
#ifndef VG_COMMON_RPC_DEADLINES_H
#define VG_COMMON_RPC_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct vg_rpc_deadlines;

struct vg_rpc_deadline {
    void (*expire)(struct vg_rpc_deadline *deadline);
    int64_t at_ns;
    struct vg_rpc_deadline *prev; /* list's */
    struct vg_rpc_deadline *next;
    bool listed;
};

VG_MUSTCHECK int vg_rpc_deadlines_start(struct vg_rpc_deadlines **out, const char *name,
                                        struct vg_err *err);
/* Joins the thread: from here on nothing expires, adding and removing still work. */
void vg_rpc_deadlines_stop(struct vg_rpc_deadlines *self);
/* After stop. */
struct vg_rpc_deadlines *vg_rpc_deadlines_free(struct vg_rpc_deadlines *self);

void vg_rpc_deadline_add(struct vg_rpc_deadlines *self, struct vg_rpc_deadline *deadline,
                         int64_t at_ns, void (*expire)(struct vg_rpc_deadline *));
/* False: expired, `expire` was or will be called. */
bool vg_rpc_deadline_remove(struct vg_rpc_deadlines *self, struct vg_rpc_deadline *deadline);

#endif
