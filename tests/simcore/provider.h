/* SPDX-License-Identifier: Apache-2.0 */
/* Providers and their workers: jobs with a fate, answers that get lost, requests that come late or
 * never. What a provider says of itself is true; a request that was on its way arrives within half
 * a minute or not at all, and a job is shown by Lookup soon after. */
#ifndef VG_TESTS_SIMCORE_PROVIDER_H
#define VG_TESTS_SIMCORE_PROVIDER_H

#include "tests/simcore/sim.h"

bool sim_provider_up(const struct sim *sim, int32_t provider);
/* The replica asks; an answer of some kind always comes. */
void sim_provider_call(struct sim *sim, struct sim_held *held, enum vg_step step);
/* What it means that no answer came. */
enum vg_fsm_event_kind sim_provider_lost(enum vg_step step);

/* Handlers of messages. */
void sim_provider_request(struct sim *sim, const struct sim_message *message);
void sim_provider_down(struct sim *sim, const struct sim_message *message);

#endif
