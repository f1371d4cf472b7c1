/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks: what a replica does with a claimed delivery, and what receivers make of it. */
#ifndef VG_TESTS_SIMCORE_COURIER_H
#define VG_TESTS_SIMCORE_COURIER_H

#include "tests/simcore/sim.h"

/* Handlers of messages. */
void sim_courier_claimed(struct sim *sim, const struct sim_message *message);
void sim_courier_body_stored(struct sim *sim, const struct sim_message *message);
void sim_courier_answer(struct sim *sim, const struct sim_message *message);
void sim_courier_recorded(struct sim *sim, const struct sim_message *message);
void sim_courier_record_again(struct sim *sim, const struct sim_message *message);
void sim_receiver_deliver(struct sim *sim, const struct sim_message *message);

#endif
