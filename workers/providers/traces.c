/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/traces.h"

#include <string.h>

#include "common/crypto.h"

enum {
    SETTLE_MS = 60 * 1000, /* by then the list shows what was accepted */
    SLACK_MS = 5000        /* between the two clocks */
};

int64_t vg_trace_seed(struct vg_call *call)
{
    uint8_t hash[VG_SHA256_SIZE];
    int64_t chosen = 0;

    if (vg_json_int(vg_call_extra(call, "seed"), &chosen))
        return chosen < 0 ? chosen : (chosen + call->submit->index) & UINT32_MAX;
    vg_sha256(hash, call->submit->token, strlen(call->submit->token));
    return (int64_t)(hash[0] & 0x7f) << 24 | (int64_t)hash[1] << 16 | (int64_t)hash[2] << 8 |
           hash[3];
}

/* What a list says of the lost job. */
struct traces {
    const char *marked; /* one with our seed */
    int marks;
    bool strangers; /* there are jobs of that time whose owner is not known */
    bool whole;     /* the list goes back to that time */
};

static bool has_mark(struct vg_call *call, const struct vg_trace_list *list,
                     const struct vg_json *job)
{
    int64_t seed = 0;

    return list->seed && vg_json_int(vg_json_at(job, list->seed), &seed) &&
           seed == vg_trace_seed(call);
}

static void read_list(struct vg_call *call, const struct vg_trace_list *list,
                      const struct vg_json *items, struct traces *out)
{
    int64_t since = call->lookup->submitted_at_ms - SLACK_MS, created = 0;

    *out = (struct traces){.whole = vg_json_count(items) < list->limit};
    for (const struct vg_json *job = vg_json_first(items); job; job = vg_json_next(job)) {
        const char *id = vg_call_text(call, job, list->id);
        bool readable = id && vg_json_int(vg_json_at(job, list->created), &created);
        if (readable && created * list->unit_ms < since) {
            out->whole = true;
        } else if (!readable) {
            out->strangers = true;
        } else if (!vg_call_taken(call, id)) {
            bool marked = has_mark(call, list, job);
            out->marked = marked ? id : out->marked;
            out->marks += marked;
            out->strangers = out->strangers || !marked;
        }
    }
}

void vg_trace_judge(struct vg_call *call, const struct vg_answer *answer,
                    const struct vg_trace_list *list)
{
    bool settled = vg_call_settled(call, SETTLE_MS);
    struct traces traces;
    struct vg_fault unsure;

    if (!vg_call_ok(call, answer))
        return;
    const struct vg_json *items = vg_json_at(answer->json, list->items);
    if (!items || vg_json_type(items) != VG_JSON_ARRAY) {
        vg_call_nonsense(call, answer, "no list");
        return;
    }
    read_list(call, list, items, &traces);
    if (traces.marks == 1 && !vg_call_extra(call, "seed")) {
        vg_call_found(call, traces.marked);
    } else if (!settled) {
        vg_fault_of_class(&unsure, VG_CLASS(OVERLOADED));
        vg_call_failed(call, &unsure); /* what the next key's list says; in the end, ask again */
    } else if (traces.marks == 0 && !traces.strangers && traces.whole) {
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT);
    } else {
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
    }
}
