/* SPDX-License-Identifier: Apache-2.0 */
/* The database: claims, leases, compare-and-set and roll-up as in db/generation_store.h and
 * generation_change_store.c, one statement at a time. What a COMMIT's fate is, is decided on the
 * way to it: lost before it, answer lost after it, or late. */
#ifndef VG_TESTS_SIMCORE_STORE_H
#define VG_TESTS_SIMCORE_STORE_H

#include "tests/simcore/sim.h"

/* A replica asks; the answer is a message of the kind that belongs to it, `ok` false when nobody
 * knows what became of it. */
void sim_store_ask(struct sim *sim, const struct sim_message *message);
/* The answer, unless whoever asked has given up. */
void sim_store_answer(struct sim *sim, const struct sim_message *asked, bool applied);
/* The database is away; then the asker is told so. */
bool sim_store_away(struct sim *sim, const struct sim_message *asked);
uint32_t sim_store_token(struct sim *sim);
/* One that could claim now, by chance; -1: none, try again later (the history knows). */
int sim_store_claimer(struct sim *sim, const struct sim_message *due);

/* Handlers of messages. */
void sim_store_create(struct sim *sim, const struct sim_message *message);
void sim_store_cancel(struct sim *sim, const struct sim_message *message);
void sim_store_due(struct sim *sim, const struct sim_message *message);
void sim_store_change(struct sim *sim, const struct sim_message *message);
void sim_store_renew(struct sim *sim, const struct sim_message *message);

/* The outbox. */
void sim_outbox_add(struct sim *sim, int32_t video);
void sim_outbox_due(struct sim *sim, const struct sim_message *message);
void sim_outbox_body(struct sim *sim, const struct sim_message *message);
void sim_outbox_record(struct sim *sim, const struct sim_message *message);

#endif
