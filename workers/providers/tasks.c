/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/tasks.h"

#include "common/mem.h"
#include "workers/providers/traces.h"

enum { LIST_LIMIT = 100 };

/* Between a request and its answer. */
struct follow {
    const struct vg_task_api *api;
};

static const struct vg_task_api *keep(struct vg_call *call, const struct vg_task_api *api)
{
    struct follow *follow = vg_arena_alloc(call->arena, sizeof(*follow));

    follow->api = api;
    call->scratch = follow;
    return api;
}

static const struct vg_task_api *kept(const struct vg_call *call)
{
    return ((const struct follow *)call->scratch)->api;
}

/* --- one task --- */

static const char *address(struct vg_call *call, const char *path)
{
    return vg_call_printf(call, "%s/%s", path, vg_call_escape(call, call->upstream_id));
}

enum { UNKNOWN, QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELED, EXPIRED };

/* The status of the task asked for, and the task; a word that is not known means that it runs. */
static int read_task(struct vg_call *call, const struct vg_answer *answer,
                     const struct vg_json **out)
{
    static const struct vg_word words[] = {{"queued", QUEUED},       {"running", RUNNING},
                                           {"succeeded", SUCCEEDED}, {"failed", FAILED},
                                           {"cancelled", CANCELED},  {"expired", EXPIRED}};

    *out = vg_json_at(answer->json, kept(call)->task);
    return vg_word_of(words, VG_COUNT(words), vg_call_text(call, *out, "status"));
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *task;

    if (!vg_call_about(call, answer, kept(call)->id))
        return;
    switch (read_task(call, answer, &task)) {
    case SUCCEEDED:
        vg_call_take_result(call, answer, vg_call_text(call, task, kept(call)->result));
        return;
    case FAILED:
        vg_call_job_failed(call, vg_call_text(call, task, "error.code"),
                           vg_call_text(call, task, "error.message"));
        return;
    case CANCELED:
        vg_call_canceled(call);
        return;
    case EXPIRED:
        vg_call_expired(call);
        return;
    default:
        vg_call_running(call, -1, 0);
    }
}

void vg_task_poll(struct vg_call *call, const struct vg_task_api *api)
{
    vg_call_get(call, address(call, keep(call, api)->query), on_polled);
}

/* --- cancel --- */

static void on_deleted(struct vg_call *call, const struct vg_answer *answer)
{
    if (!answer->reason && answer->status >= 200 && answer->status < 300)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    else if (!answer->reason && (answer->status == 400 || answer->status == 409))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
    else
        (void)vg_call_ok(call, answer); /* ends the call */
}

static void on_asked(struct vg_call *call, const struct vg_answer *answer)
{
    static const Videogate__V1__CancelOutcome outcomes[] = {
        [UNKNOWN] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED,
        [RUNNING] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED,
        [SUCCEEDED] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE,
        [FAILED] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE,
        [CANCELED] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED,
        [EXPIRED] = VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE};
    const struct vg_json *task;

    if (!vg_call_about(call, answer, kept(call)->id))
        return;
    int status = read_task(call, answer, &task);
    if (status == QUEUED)
        vg_call_http(call, &(struct vg_call_http){.method = "DELETE",
                                                  .url = address(call, kept(call)->erase),
                                                  .then = on_deleted});
    else
        vg_call_cancel_ended(call, outcomes[status]);
}

void vg_task_cancel(struct vg_call *call, const struct vg_task_api *api)
{
    vg_call_get(call, address(call, keep(call, api)->query), on_asked);
}

/* --- lookup --- */

static void on_listed(struct vg_call *call, const struct vg_answer *answer)
{
    vg_trace_judge(call, answer,
                   &(struct vg_trace_list){.items = "items",
                                           .id = "id",
                                           .created = "created_at",
                                           .unit_ms = 1000,
                                           .seed = kept(call)->seed,
                                           .limit = LIST_LIMIT});
}

void vg_task_lookup(struct vg_call *call, const struct vg_task_api *api)
{
    vg_call_get(call,
                vg_call_printf(call, "%s?page_num=1&page_size=%d&filter.model=%s",
                               keep(call, api)->query, LIST_LIMIT,
                               vg_call_escape(call, call->submit->model)),
                on_listed);
}
