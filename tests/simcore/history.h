/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder: what was answered, what providers and receivers saw, and what a reader of the
 * database sees after each commit. It keeps its own counts and compares them with I1 to I9 of
 * reliability.md 5.2; it asks neither the modules under test nor the guards of the store. */
#ifndef VG_TESTS_SIMCORE_HISTORY_H
#define VG_TESTS_SIMCORE_HISTORY_H

#include "tests/simcore/sim.h"

void sim_saw_insert(struct sim *sim, int32_t row);
/* Returns the claim's ticket: whoever changes the row must show the latest. */
int32_t sim_saw_claim(struct sim *sim, int32_t row, bool rescued);
void sim_saw_renew(struct sim *sim, int32_t row);
void sim_saw_change(struct sim *sim, int32_t row, int32_t ticket, const struct sim_change *change);
void sim_saw_cancel(struct sim *sim, int32_t row);
/* A row as it reads now. */
void sim_saw_state(struct sim *sim, int32_t row);
void sim_saw_video(struct sim *sim, int32_t video);
/* The caller was told that its key's video is this one. */
void sim_saw_answer(struct sim *sim, int32_t key, int32_t video);

/* A request to submit leaves a replica. */
void sim_saw_submit(struct sim *sim, const struct sim_held *held, int32_t provider);
/* A provider made the job. */
void sim_saw_job(struct sim *sim, int32_t upstream);
/* A receiver got a callback. */
void sim_saw_callback(struct sim *sim, int32_t row, int32_t id, uint32_t body, bool acknowledged);

/* Nothing is in flight any more. */
void sim_saw_end(struct sim *sim);

#endif
