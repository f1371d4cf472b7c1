/* SPDX-License-Identifier: Apache-2.0 */
/* A process of the service: what service/jobs/{job,heartbeat,outcome}.c do around the pure
 * modules, with messages in place of calls. It may die, stop, or leave between any two of them. */
#ifndef VG_TESTS_SIMCORE_REPLICA_H
#define VG_TESTS_SIMCORE_REPLICA_H

#include "tests/simcore/sim.h"

/* The held row a message is for; NULL: let go of meanwhile. */
struct sim_held *sim_held_of(struct sim *sim, const struct sim_message *message);
struct sim_held *sim_held_take(struct sim *sim, const struct sim_message *claimed);
void sim_held_free(struct sim_held *held);
/* A message about it, from its replica or to it. */
struct sim_message sim_held_message(const struct sim *sim, const struct sim_held *held,
                                    enum sim_kind kind);

/* Handlers of messages: generations. */
void sim_replica_claimed(struct sim *sim, const struct sim_message *message);
void sim_replica_changed(struct sim *sim, const struct sim_message *message);
void sim_replica_change_again(struct sim *sim, const struct sim_message *message);
void sim_replica_renewed(struct sim *sim, const struct sim_message *message);
void sim_replica_step(struct sim *sim, const struct sim_message *message);
void sim_replica_beat(struct sim *sim, const struct sim_message *message);
void sim_replica_answer(struct sim *sim, const struct sim_message *message);
/* The drain's time is up: what is under way is cut. */
void sim_replica_hurry(struct sim *sim, const struct sim_message *message);

/* The breaker and places, as outcome.c. */
bool sim_outcome_ready(const struct sim *sim, const struct sim_held *held, int32_t route);
/* true: not to be submitted now, and `out` says so. */
bool sim_outcome_holds_back(struct sim *sim, struct sim_held *held, struct vg_fsm_event *out);
void sim_outcome_note(struct sim *sim, struct sim_held *held, const struct vg_fsm_event *event,
                      bool timed_out);
void sim_outcome_forget(struct sim *sim, struct sim_held *held);

#endif
