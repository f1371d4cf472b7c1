/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simcore/store.h"

#include "common/err.h"
#include "tests/simcore/history.h"

enum { ASK_DEADLINE_MS = 10 * 1000, LATE_COMMIT_MS = 90 * 1000, NOBODY_MS = 500 };

/* ---- the way there and back ---------------------------------------------------------------- */

static enum sim_kind answer_kind(enum sim_kind asked)
{
    static const enum sim_kind kinds[SIM_KIND_MAX] = {
        [SIM_CREATE] = SIM_CREATED,   [SIM_CHANGE] = SIM_CHANGED,  [SIM_RENEW] = SIM_RENEWED,
        [SIM_BODY] = SIM_BODY_STORED, [SIM_RECORD] = SIM_RECORDED,
    };

    return kinds[asked];
}

static void answer_unknown(struct sim *sim, const struct sim_message *asked, int64_t in_ms)
{
    struct sim_message answer = *asked;

    answer.kind = answer_kind(asked->kind);
    answer.ok = answer.applied = false;
    sim_send(sim, in_ms, &answer);
}

void sim_store_ask(struct sim *sim, const struct sim_message *message)
{
    struct sim_message asked = *message;

    asked.mute = false;
    if (sim_fault(sim, 8)) { /* lost on its way */
        answer_unknown(sim, &asked, sim_between(sim, 50, ASK_DEADLINE_MS));
    } else if (sim_fault(sim, 8)) { /* done, and nobody hears of it */
        sim->figures->lost_commits++;
        asked.mute = true;
        sim_send(sim, sim_between(sim, 1, 8), &asked);
        answer_unknown(sim, &asked, sim_between(sim, 10, ASK_DEADLINE_MS));
    } else if (sim_fault(sim, 5)) { /* done when nobody expects it any more */
        sim->figures->lost_commits++;
        asked.mute = true;
        sim_send(sim, sim_between(sim, 500, LATE_COMMIT_MS), &asked);
        answer_unknown(sim, &asked, ASK_DEADLINE_MS);
    } else {
        sim_send(sim, sim_between(sim, 1, 8), &asked);
    }
}

void sim_store_answer(struct sim *sim, const struct sim_message *asked, bool applied)
{
    if (asked->mute)
        return;
    struct sim_message answer = *asked;

    answer.kind = answer_kind(asked->kind);
    answer.ok = true;
    answer.applied = applied;
    sim_send(sim, sim_between(sim, 1, 4), &answer);
}

bool sim_store_away(struct sim *sim, const struct sim_message *asked)
{
    if (sim->now >= sim->store.down_until)
        return false;
    if (!asked->mute)
        answer_unknown(sim, asked, sim_between(sim, 1, 300));
    return true;
}

uint32_t sim_store_token(struct sim *sim)
{
    return ++sim->store.tokens;
}

/* ---- due rows ------------------------------------------------------------------------------ */

static void due_in(struct sim *sim, int32_t row, int64_t in_ms)
{
    const struct sim_message due = {.kind = SIM_DUE, .row = row};

    sim_send(sim, in_ms, &due);
}

static void due_at(struct sim *sim, int32_t row, int64_t at)
{
    sim->store.generations[row].due_at = at;
    due_in(sim, row, at > sim->now ? at - sim->now : 0);
}

static int64_t lease_ms(const struct sim *sim)
{
    return sim->broken == SIM_BREAK_SLOW_RESCUE ? INT64_C(10) * SIM_LEASE_MS : SIM_LEASE_MS;
}

int sim_store_claimer(struct sim *sim, const struct sim_message *due)
{
    int first = (int)sim_roll(sim, (uint32_t)sim->replica_count);

    for (int i = 0; sim->now >= sim->store.down_until && i < sim->replica_count; i++) {
        int r = (first + i) % sim->replica_count;
        const struct sim_replica *replica = &sim->replicas[r];

        if (replica->up && !replica->draining && replica->stalled_until <= sim->now)
            return r;
    }
    sim->history.nobody_until = sim->now + NOBODY_MS;
    sim_send(sim, NOBODY_MS, due);
    return -1;
}

static bool claimable(const struct sim *sim, const struct sim_generation *g)
{
    if (vg_generation_state_terminal(g->state) || g->due_at > sim->now)
        return false;
    if (g->leased && sim->broken == SIM_BREAK_NO_RESCUE)
        return false;
    return !g->leased || g->lease_until <= sim->now;
}

static struct vg_fsm_row row_of(const struct sim *sim, const struct sim_generation *g)
{
    return (struct vg_fsm_row){
        .state = g->state,
        .route = g->route,
        .route_attempts = g->route_attempts,
        .attempts = g->attempts,
        .fetch_attempts = g->fetch_attempts,
        .poll_errors = g->poll_errors,
        .progress = g->progress,
        .cancel_requested = g->cancel_requested,
        .routes = sim->routes,
        .route_count = (size_t)sim->route_count,
    };
}

/* The row as claimed travels in the held job, which exists once the answer is there. */
static void tell_claimer(struct sim *sim, int replica, int32_t row, int32_t ticket, bool rescued)
{
    const struct sim_generation *g = &sim->store.generations[row];
    struct sim_message claimed = {
        .kind = SIM_CLAIMED,
        .replica = (int8_t)replica,
        .epoch = sim->replicas[replica].epoch,
        .row = row,
        .ticket = ticket,
        .u.claim = {.sent_at = sim->now,
                    .lease_seq = g->lease_seq,
                    .deadline_left_ms = g->deadline_at - sim->now,
                    .upstream = g->upstream,
                    .row = row_of(sim, g)},
    };

    claimed.u.claim.row.rescued = rescued;
    if (sim_fault(sim, 6)) {
        sim_tell(sim, "g%d: the claim's answer is lost", row);
    } else {
        sim_send(sim, sim_fault(sim, 6) ? sim_between(sim, 1000, 45000) : sim_between(sim, 1, 20),
                 &claimed);
    }
}

void sim_store_due(struct sim *sim, const struct sim_message *message)
{
    struct sim_generation *g = &sim->store.generations[message->row];

    if (!claimable(sim, g))
        return;
    int replica = sim_store_claimer(sim, message);

    if (replica < 0)
        return;
    bool rescued = g->leased;

    g->leased = true;
    g->lease_seq++;
    g->lease_until = sim->now + lease_ms(sim);
    g->cancel_told = g->cancel_requested;
    int32_t ticket = sim_saw_claim(sim, message->row, rescued);

    sim_tell(sim, "g%d: claimed by r%d, %s, lease %d%s", message->row, replica,
             vg_generation_state_name(g->state), (int)g->lease_seq, rescued ? ", rescued" : "");
    due_at(sim, message->row, g->lease_until);
    tell_claimer(sim, replica, message->row, ticket, rescued);
}

/* ---- create and cancel --------------------------------------------------------------------- */

static int32_t insert_video(struct sim *sim, int32_t key)
{
    struct sim_store *store = &sim->store;
    int32_t number = store->video_count++;
    struct sim_video *video = &store->videos[number];

    VG_ASSERT(number < SIM_STORED_VIDEOS);
    *video = (struct sim_video){
        .key = key, .first = store->generation_count, .count = sim->outputs[key]};
    store->account.active++;
    store->account.reserved += video->count * SIM_PRICE;
    int64_t deadline = sim->now + sim_between(sim, 60, sim_roll(sim, 4) ? 900 : 3600) * 1000;

    for (int32_t i = 0; i < video->count; i++) {
        int32_t row = store->generation_count++;
        struct sim_generation *g = &store->generations[row];

        g->video = number;
        g->state = VG_GEN_PENDING;
        g->upstream = -1;
        g->deadline_at = deadline;
        sim_saw_insert(sim, row);
        due_at(sim, row, sim->now);
        sim->figures->generations++;
    }
    sim_tell(sim, "v%d: created, key %d, %d outputs, deadline %.0f s", number, key, video->count,
             (double)deadline / 1000);
    return number;
}

static int32_t video_of_key(const struct sim *sim, int32_t key)
{
    for (int32_t i = 0; i < sim->store.video_count; i++) {
        if (sim->store.videos[i].key == key)
            return i;
    }
    return -1;
}

void sim_store_create(struct sim *sim, const struct sim_message *message)
{
    struct sim_message asked = *message;

    if (sim->broken == SIM_BREAK_ANSWER_FIRST && sim_roll(sim, 8) == 0) {
        asked.ms = SIM_STORED_VIDEOS - 1; /* a number that it never gets */
        sim_store_answer(sim, &asked, true);
        return;
    }
    if (sim_store_away(sim, message))
        return;
    int32_t found = video_of_key(sim, message->row);
    bool anew = sim->broken == SIM_BREAK_IGNORE_KEY && sim->store.video_count < SIM_STORED_VIDEOS;

    asked.ms = found < 0 || anew ? insert_video(sim, message->row) : found;
    sim_store_answer(sim, &asked, true);
}

void sim_store_cancel(struct sim *sim, const struct sim_message *message)
{
    int32_t number = video_of_key(sim, message->row);

    if (number < 0 || sim->now < sim->store.down_until)
        return;
    const struct sim_video *video = &sim->store.videos[number];

    for (int32_t row = video->first; row < video->first + video->count; row++) {
        struct sim_generation *g = &sim->store.generations[row];

        if (!vg_generation_state_terminal(g->state)) {
            g->cancel_requested = true;
            sim_saw_cancel(sim, row);
            due_at(sim, row, g->leased && g->lease_until > sim->now ? g->lease_until : sim->now);
        } else if (sim->broken == SIM_BREAK_CANCEL_ENDED) {
            g->state = VG_GEN_CANCELED;
            sim_saw_state(sim, row);
        }
    }
    sim_tell(sim, "v%d: cancel requested", number);
}

/* ---- roll-up ------------------------------------------------------------------------------- */

static enum sim_status status_of(const int32_t counts[VG_GEN_STATE_MAX], int32_t all)
{
    if (counts[VG_GEN_STORED] > 0)
        return SIM_COMPLETED;
    if (counts[VG_GEN_CANCELED] == all)
        return SIM_CANCELED;
    return counts[VG_GEN_EXPIRED] == all ? SIM_EXPIRED : SIM_FAILED;
}

static void settle(struct sim *sim, const struct sim_video *video, int32_t stored)
{
    struct sim_account *account = &sim->store.account;

    account->active--;
    if (sim->broken != SIM_BREAK_KEEP_RESERVE || video->status != SIM_CANCELED)
        account->reserved -= video->count * SIM_PRICE;
    account->spent += stored * SIM_PRICE;
}

static void roll_up(struct sim *sim, int32_t number)
{
    struct sim_video *video = &sim->store.videos[number];
    int32_t counts[VG_GEN_STATE_MAX] = {0}, ended = 0;

    for (int32_t row = video->first; row < video->first + video->count; row++) {
        enum vg_generation_state state = sim->store.generations[row].state;

        counts[state]++;
        ended += vg_generation_state_terminal(state);
    }
    bool again = video->status != SIM_OPEN && sim->broken != SIM_BREAK_SETTLE_TWICE;

    if (ended < video->count || again)
        return;
    video->status = status_of(counts, video->count);
    settle(sim, video, counts[VG_GEN_STORED]);
    sim_tell(sim, "v%d: ended", number);
    sim_saw_video(sim, number);
    sim_outbox_add(sim, number);
}

/* ---- changes ------------------------------------------------------------------------------- */

/* Since when the present token may have reached the provider. */
static void note_opening(struct sim *sim, struct sim_generation *g, const struct sim_change *c)
{
    int64_t *opened = &g->opened_at[c->attempts % SIM_TOKENS];
    bool before = c->route_attempts > 1 && *opened > 0;

    g->submitted_at = before ? *opened : sim->now;
    *opened = g->submitted_at;
    g->opened_last = sim->now;
}

static int64_t due_after(const struct sim *sim, const struct sim_generation *g,
                         const struct sim_change *c)
{
    int64_t at = sim->now + c->due_ms;

    if (c->lease_ms > 0)
        return sim->now + lease_ms(sim);
    if (g->cancel_requested && !g->cancel_told)
        return sim->now;
    return g->deadline_at > sim->now && at > g->deadline_at ? g->deadline_at : at;
}

static void apply(struct sim *sim, int32_t row, const struct sim_change *c, uint32_t token)
{
    struct sim_generation *g = &sim->store.generations[row];
    int64_t due = due_after(sim, g, c);

    if (c->from == VG_GEN_PENDING && c->to == VG_GEN_SUBMITTING)
        note_opening(sim, g, c);
    g->state = c->to;
    g->route = c->route;
    g->route_attempts = c->route_attempts;
    g->attempts = c->attempts;
    g->fetch_attempts = c->fetch_attempts;
    g->poll_errors = c->poll_errors;
    g->progress = c->progress;
    g->upstream = c->upstream;
    g->last_change = token;
    g->leased = c->lease_ms > 0;
    g->lease_until = g->leased ? due : 0;
    if (g->leased)
        g->cancel_told = g->cancel_requested;
    if (!vg_generation_state_terminal(g->state))
        due_at(sim, row, due);
}

static bool matches(const struct sim *sim, const struct sim_generation *g,
                    const struct sim_message *m)
{
    const struct sim_change *c = &m->u.change;

    if (sim->broken == SIM_BREAK_IGNORE_LEASE)
        return g->state == c->from && g->last_change != m->token;
    return g->lease_seq == c->lease_seq && g->state == c->from && g->leased &&
           g->last_change != m->token;
}

void sim_store_change(struct sim *sim, const struct sim_message *message)
{
    struct sim_generation *g = &sim->store.generations[message->row];
    const struct sim_change *c = &message->u.change;

    if (sim_store_away(sim, message))
        return;
    if (matches(sim, g, message)) {
        apply(sim, message->row, c, message->token);
        sim_tell(sim, "g%d: %s -> %s, attempt %d, by r%d%s", message->row,
                 vg_generation_state_name(c->from), vg_generation_state_name(c->to), c->attempts,
                 message->replica, message->mute ? " (nobody hears of it)" : "");
        sim_saw_change(sim, message->row, message->ticket, c);
    }
    if (vg_generation_state_terminal(g->state))
        roll_up(sim, g->video); /* computes from rows alone: again changes nothing */
    bool applied = g->last_change == message->token && g->state == c->to;

    if (!applied) {
        sim->figures->refused++;
        sim_tell(sim, "g%d: %s -> %s by r%d refused", message->row,
                 vg_generation_state_name(c->from), vg_generation_state_name(c->to),
                 message->replica);
    }
    struct sim_message asked = *message;

    asked.canceled = g->cancel_requested;
    sim_store_answer(sim, &asked, applied);
}

void sim_store_renew(struct sim *sim, const struct sim_message *message)
{
    struct sim_generation *g = &sim->store.generations[message->row];
    struct sim_message asked = *message;

    if (sim_store_away(sim, message))
        return;
    bool applied = g->lease_seq == message->u.change.lease_seq && g->leased;

    if (applied) {
        g->lease_until = sim->now + lease_ms(sim);
        g->cancel_told = g->cancel_requested;
        sim_saw_renew(sim, message->row);
        due_at(sim, message->row, g->lease_until);
    }
    asked.canceled = g->cancel_requested;
    sim_store_answer(sim, &asked, applied);
}
