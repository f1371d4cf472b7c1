/* SPDX-License-Identifier: Apache-2.0 */
/* A seed's world, from the first request to the last callback. */
#ifndef VG_TESTS_SIMCORE_WORLD_H
#define VG_TESTS_SIMCORE_WORLD_H

#include "tests/simcore/sim.h"

/* Runs the world of `seed`; afterwards sim->failed says whether an invariant broke. `figures` are
 * added to. */
void sim_world_run(struct sim *sim, uint64_t seed, enum sim_break broken, bool tell,
                   struct sim_figures *figures);

#endif
