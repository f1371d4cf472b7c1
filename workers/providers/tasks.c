/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/tasks.h"

#include <string.h>

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

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* --- one task --- */

static const char *address(struct vg_call *call, const char *path)
{
    return vg_call_printf(call, "%s/%s", path, vg_call_escape(call, call->upstream_id));
}

/* The task asked for; NULL: the call has ended. */
static const struct vg_json *read_task(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return NULL;
    const struct vg_json *task = vg_json_at(answer->json, kept(call)->task);
    if (is(vg_call_text(call, task, "id"), call->upstream_id) && vg_call_text(call, task, "status"))
        return task;
    vg_call_nonsense(call, answer, "another task, or one without a status");
    return NULL;
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *task = read_task(call, answer);

    if (!task)
        return;
    const char *status = vg_call_text(call, task, "status");
    if (is(status, "succeeded")) {
        call->state->result = (char *)vg_call_text(call, task, kept(call)->result);
        if (call->state->result)
            vg_call_finished(call, NULL);
        else
            vg_call_nonsense(call, answer, "a finished task without a video");
    } else if (is(status, "failed")) {
        vg_call_job_failed(call, vg_call_text(call, task, "error.code"),
                           vg_call_text(call, task, "error.message"));
    } else if (is(status, "cancelled")) {
        vg_call_canceled(call);
    } else if (is(status, "expired")) {
        vg_call_expired(call);
    } else {
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
    const struct vg_json *task = read_task(call, answer);

    if (!task)
        return;
    const char *status = vg_call_text(call, task, "status");
    if (is(status, "queued"))
        vg_call_http(call, &(struct vg_call_http){.method = "DELETE",
                                                  .url = address(call, kept(call)->erase),
                                                  .then = on_deleted});
    else if (is(status, "running"))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
    else if (is(status, "cancelled"))
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    else
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
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
