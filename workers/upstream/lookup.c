/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup asks each key at each base address in turn: which of them made the lost job is not known.
 */
#include <string.h>

#include "common/clock.h"
#include "workers/upstream/upstream_priv.h"

enum { MAX_LOOKUPS = 64 };

static bool aim_lookup(struct vg_call_run *run)
{
    struct vg_upstream *up = run->upstream;
    size_t keys = vg_credentials_count(up->credentials);
    size_t rows = keys > 0 ? keys : 1;

    if (run->lookup_at >= rows * up->base_count || run->lookup_at >= MAX_LOOKUPS)
        return false;
    run->credential = vg_credentials_at(up->credentials, run->lookup_at % rows);
    run->base = &up->bases[run->lookup_at / rows];
    run->lookup_at++;
    run->call.state->credential = run->credential ? run->credential->id : "";
    run->call.state->base_url = run->base->url;
    return true;
}

static void reply_lookup(struct vg_call_run *run, Videogate__V1__LookupOutcome outcome,
                         Videogate__V1__Accepted *accepted)
{
    Videogate__V1__LookupResponse response = VIDEOGATE__V1__LOOKUP_RESPONSE__INIT;

    response.outcome = outcome;
    response.accepted = accepted;
    vg_call_reply(run, &response.base);
}

void vg_call_lookup_ended(struct vg_call *call, Videogate__V1__LookupOutcome outcome)
{
    struct vg_call_run *run = vg_call_run_of(call);

    if (outcome == VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY) {
        run->lookup_unsure = true; /* of this key; another may have it */
        outcome = VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT;
    }
    if (outcome != VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT) {
        reply_lookup(run, outcome, NULL);
    } else if (aim_lookup(run)) {
        run->upstream->adapter->lookup(call);
    } else {
        reply_lookup(
            run, run->lookup_unsure ? VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY : outcome,
            NULL);
    }
}

void vg_call_found(struct vg_call *call, const char *upstream_id)
{
    struct vg_call_run *run = vg_call_run_of(call);
    Videogate__V1__Accepted accepted;

    vg_call_fill_accepted(run, &accepted, upstream_id, 0);
    reply_lookup(run, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND, &accepted);
}

bool vg_call_settled(const struct vg_call *call, int64_t settle_ms)
{
    const Videogate__V1__LookupRequest *lookup = call->lookup;
    int64_t over = lookup->over_by_ms > 0 ? lookup->over_by_ms : lookup->submitted_at_ms;

    return vg_wall_ms() - over >= settle_ms;
}

bool vg_call_taken(const struct vg_call *call, const char *upstream_id)
{
    for (size_t i = 0; i < call->lookup->n_taken; i++)
        if (strcmp(call->lookup->taken[i], upstream_id) == 0)
            return true;
    return false;
}

void vg_lookup_begin(struct vg_call_run *run)
{
    if (!run->upstream->adapter->lookup || !run->call.submit || !aim_lookup(run))
        reply_lookup(run, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED, NULL);
    else
        run->upstream->adapter->lookup(&run->call);
}
